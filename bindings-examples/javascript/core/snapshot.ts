/** Snapshots: bytes at heart, with a JSON form that is exact both ways. */
import { readJson } from './json.js';
import { native } from './native.js';
import { base64 } from './structured.js';

/** A snapshot in JSON. */
export interface SnapshotJson {
  format: 'blazen/snapshot';
  version: 1;
  /** Its bytes: CBOR, in standard base64, padded. */
  cbor: string;
}

/** What every resume takes. */
export type SnapshotLike = Snapshot | SnapshotJson | Uint8Array | string;

/** Everything of a run, at one instant. */
export class Snapshot {
  /** @param bytes CBOR, the same in every language */
  constructor(readonly bytes: Uint8Array) {}

  /** The form that JSON.stringify writes, and every resume takes. */
  toJSON(): SnapshotJson {
    return { format: 'blazen/snapshot', version: 1, cbor: base64.encode(this.bytes) };
  }

  /** What is in it: workflow, run_id, state, queued, in_flight, questions, steps_needed, state_keys, dropped and more. */
  get info(): Record<string, unknown> {
    return readJson(native().snapshotInfo(this.bytes)) as Record<string, unknown>;
  }

  /** Makes a snapshot of the object, its JSON, the text of that, or the bytes. */
  static from(snapshot: SnapshotLike): Snapshot {
    if (snapshot instanceof Snapshot) return snapshot;
    if (snapshot instanceof Uint8Array) return new Snapshot(snapshot);
    let json: unknown = snapshot;
    if (typeof snapshot === 'string') {
      try {
        json = JSON.parse(snapshot) as unknown;
      } catch (error) {
        throw new TypeError('a snapshot that is a text must be what JSON.stringify(snapshot) has written', { cause: error });
      }
    }
    const { format, version, cbor } = (json ?? {}) as Partial<SnapshotJson>;
    if (format !== 'blazen/snapshot') throw new TypeError('this is no snapshot: its "format" must be "blazen/snapshot"');
    if (version !== 1) throw new TypeError(`this snapshot's JSON is of version ${String(version)}; this library reads version 1`);
    if (typeof cbor !== 'string') throw new TypeError('this snapshot lacks its "cbor", a text in base64');
    return new Snapshot(base64.decode(cbor));
  }
}
