/**
 * Values in four tiers: bytes are BYTES; what JSON holds exactly is JSON; plain data beyond it is NATIVE with the codec
 * `blazen/cbor`, or `js/structured` where only JavaScript knows it; the rest is LIVE. Whatever has a serialised form is
 * serialised when it is given; inside this process the object itself is found again by its number.
 */
import { isEmbedded, readCbor, writeCbor } from './cbor.js';
import { RemoteDetail, type RemoteError } from './errors.js';
import { Foreign } from './foreign.js';
import { isWellFormed, readJson, writeJson } from './json.js';
import { native, platform, Shared, shared, Tag, type ValueArguments, type Wire } from './native.js';
import { readStructured, writeStructured } from './structured.js';

/** The codec that all faces share. */
export const CBOR = 'blazen/cbor';
/** The codec of what only JavaScript knows. */
export const STRUCTURED = 'js/structured';
/** The label of an event that has a live field. */
export const LIVE_EVENT = 'blazen/event';
/** The label of what a step has thrown. */
export const LIVE_ERROR = 'blazen/error';
/** The label of plain data in the session, which is written when the snapshot is taken. */
export const LIVE_VALUE = 'blazen/value';

/** An object that can be kept in a snapshot although it is of a class. */
export interface Serializable {
  /** Its type name; the class's name where it is missing. */
  __blazen_type__?: string;
  /** Gives the bytes that a snapshot keeps; the deserializer of its type name is given them. */
  __blazen_serialize__(): Uint8Array;
}

const objects: unknown[] = [undefined];
const unused: number[] = [];

/** Keeps an object until the engine lets go of its number. */
export function hold(object: unknown): number {
  const number = unused.pop();
  if (number === undefined) return objects.push(object) - 1;
  objects[number] = object;
  return number;
}

/** The object of a number. */
export function held(number: number): unknown {
  return objects[number];
}

/** How many objects the engine refers to. */
export function heldCount(): number {
  return objects.length - 1 - unused.length;
}

/** Forgets the objects that the engine has let go of. */
export function sweep(): void {
  const count = shared[Shared.DROPPED]!;
  const listed = Math.min(count, Shared.LIST_MAX);
  for (let i = 0; i < listed; ++i) forget(shared[Shared.LIST + i]!);
  if (count > listed) for (const number of native().takeDropped()) forget(number);
  shared[Shared.DROPPED] = 0;
}

function forget(number: number): void {
  objects[number] = undefined;
  unused.push(number);
}

/** What stands in the table for an event: its fields are the value, without its type. */
export class HeldEvent {
  constructor(readonly event: Record<string, unknown>) {}

  /** The value, as it would be read from its serialised form. */
  payload(): unknown {
    const { type: _, ...fields } = this.event;
    return fields;
  }
}

function isSerializable(value: object): value is Serializable {
  return typeof (value as Partial<Serializable>).__blazen_serialize__ === 'function';
}

/** The label of an object: its own, or its class's name. */
export function labelOf(value: object): string {
  const own = (value as Partial<Serializable>).__blazen_type__;
  const label = typeof own === 'string' ? own : (value.constructor as { name?: string } | undefined)?.name ?? '';
  if (!isWellFormed(label)) throw new TypeError('the label of a live object must be well-formed text');
  return label;
}

function embedStructured(value: object): Foreign | undefined {
  if (isSerializable(value)) return undefined;
  const data = writeStructured(value);
  return data === undefined ? undefined : new Foreign('native', STRUCTURED, data);
}

/** A value's serialised form; undefined where it has none. `object` 0: its identity is not kept. */
export function serialized(value: unknown, object: () => number): ValueArguments | undefined {
  if (value instanceof Uint8Array) return [Tag.BYTES, value, undefined, object()];
  if (value instanceof Foreign && value.tag === 'native') return [Tag.NATIVE, value.data, value.codec, object()];
  if (typeof value === 'object' && value !== null && isSerializable(value)) return undefined;
  const json = writeJson(value);
  if (json !== undefined) return [Tag.JSON, json, undefined, object()];
  const cbor = writeCbor(value, embedStructured);
  if (cbor !== undefined && !isEmbedded(cbor)) return [Tag.NATIVE, cbor, CBOR, object()];
  const structured = writeStructured(value);
  if (structured !== undefined) return [Tag.NATIVE, structured, STRUCTURED, object()];
  return undefined;
}

/** A value for the engine, whose identity is kept. */
export function encode(value: unknown): ValueArguments {
  const kept = typeof value === 'object' && value !== null ? () => hold(value) : () => 0;
  return serialized(value, kept) ?? live(value);
}

/** A value for the state: what is read is a copy, as a resumed run would read it. LIVE where it has no serialised form. */
export function encodeState(value: unknown): ValueArguments {
  return serialized(value, () => 0) ?? live(value);
}

/** A value for the session: an object is written when the snapshot is taken, with what it holds then. */
export function encodeSession(value: unknown): ValueArguments {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof Foreign) return encode(value);
  return serialized(value, () => 0) === undefined ? live(value) : [Tag.LIVE, true, LIVE_VALUE, hold(value)];
}

/** A value that has no serialised form. */
export function live(value: unknown): ValueArguments {
  if (typeof value === 'function') return [Tag.LIVE, false, value.name, hold(value)];
  if (typeof value === 'symbol') return [Tag.LIVE, false, 'symbol', hold(value)];
  const object = value as object;
  return [Tag.LIVE, isSerializable(object), labelOf(object), hold(object)];
}

/** What a step has thrown, for the engine: whoever awaits the run gets the very same. */
export function encodeThrown(thrown: unknown): ValueArguments {
  return [Tag.LIVE, true, LIVE_ERROR, hold(new Thrown(thrown))];
}

/** What stands in the table for something that was thrown. */
export class Thrown {
  constructor(readonly thrown: unknown) {}

  /** The name of its type, for other languages. */
  get type(): string {
    return this.thrown instanceof Error ? this.thrown.name : typeof this.thrown;
  }

  /** Its text, for other languages. */
  get message(): string {
    if (this.thrown instanceof Error) return this.thrown.message;
    try {
      return String(this.thrown);
    } catch {
      return 'something without a text';
    }
  }

  /** What it serialises to. */
  description(): RemoteError {
    const description: RemoteError = {
      language: 'javascript', type: this.type, message: wellFormed(this.message),
      traceback: wellFormed(this.thrown instanceof Error ? this.thrown.stack ?? '' : ''),
    };
    const object = writeStructured(this.thrown);
    if (object !== undefined) description.object = [STRUCTURED, object];
    return description;
  }
}

/** The text with U+FFFD in place of lone surrogates. */
export function wellFormed(text: string): string {
  return isWellFormed(text) ? text : text.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** Reads a value of the engine; `what` names it in errors. */
export function decode(wire: Wire, what?: string): unknown {
  switch (typeof wire) {
    case 'undefined': return null;
    case 'string': return readJson(wire, what);
    case 'number': {
      const object = objects[wire];
      if (object instanceof HeldEvent) return object.payload();
      if (object instanceof Thrown) return object.thrown;
      return object;
    }
  }
  if (wire instanceof Uint8Array) return platform().bytes(wire);
  return wire.length === 1 ? new Foreign('live', wire[0], new Uint8Array()) : readNative(wire[0], wire[1]);
}

/** Reads a NATIVE value; of a codec that is not known here, it is a {@link Foreign}. */
export function readNative(codec: string, data: Uint8Array): unknown {
  switch (codec) {
    case CBOR: return readCbor(data, (object) => readNative(object.codec, object.data));
    case STRUCTURED: return readStructured(data);
    case 'node/v8': {
      const read = platform().readV8;
      if (read !== undefined) return read(data);
    }
  }
  return new Foreign('native', codec, data);
}

function bytesOf(value: Serializable, label: string): Uint8Array {
  const data = value.__blazen_serialize__();
  if (!(data instanceof Uint8Array)) {
    throw new TypeError(`__blazen_serialize__ of ${label} must give bytes (a Uint8Array), at once and not as a promise`);
  }
  return data;
}

/** What a snapshot keeps of a live object; a text says why it cannot be kept. Called by the backend. */
export function serializeLive(number: number): ValueArguments | string {
  try {
    const object = objects[number];
    if (object instanceof Thrown) return [Tag.NATIVE, writeCbor(object.description(), embedStructured), CBOR, 0];
    if (object instanceof HeldEvent) return serializeEvent(object.event);
    if (typeof object === 'object' && object !== null) {
      if (isSerializable(object)) return [Tag.BYTES, bytesOf(object, labelOf(object)), undefined, 0];
      const value = serialized(object, () => 0);
      if (value !== undefined) return value;
    }
    return 'it has no __blazen_serialize__';
  } catch (error) {
    return wellFormed(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

/** The fields of an event, each live one as [label, bytes] under tag 27. */
function serializeEvent(event: Record<string, unknown>): ValueArguments {
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(event)) {
    if (key === 'type') continue;
    let value = event[key];
    if (typeof value === 'function' || typeof value === 'symbol' || (typeof value === 'object' && value !== null && serialized(value, () => 0) === undefined)) {
      if (typeof value !== 'object' || value === null || !isSerializable(value)) {
        throw new TypeError(`the field "${key}" cannot be kept: it has no __blazen_serialize__`);
      }
      value = new Foreign('native', labelOf(value), bytesOf(value, labelOf(value)));
    }
    Object.defineProperty(fields, key, { value, writable: true, enumerable: true, configurable: true });
  }
  const data = writeCbor(fields, embedStructured);
  if (data === undefined) throw new TypeError('it has a field that cannot be kept');
  return [Tag.NATIVE, data, CBOR, 0];
}

/** Makes a live object again of what a snapshot has kept. */
export type Deserializer = (data: Uint8Array) => unknown;

let deserializers: Readonly<Record<string, Deserializer>> = {};

/** The labels that a resume knows: those of its map, and the face's own. */
export function labelsOf(map: Readonly<Record<string, Deserializer>>): string[] {
  return [...new Set([...Object.keys(map), LIVE_EVENT, LIVE_ERROR, LIVE_VALUE])];
}

/** Calls `resume` while these deserializers are in use. */
export function withDeserializers<T>(map: Readonly<Record<string, Deserializer>>, resume: () => T): T {
  const before = deserializers;
  deserializers = map;
  try {
    return resume();
  } finally {
    deserializers = before;
  }
}

/** Makes the live object of a label again; undefined: its label is not known; a text: why it failed. Called by the backend. */
export function deserializeLive(label: string, kept: Wire): ValueArguments | string | undefined {
  try {
    if (Object.hasOwn(deserializers, label)) {
      const data = decode(kept);
      const object = deserializers[label]!(data instanceof Uint8Array ? data : data as Uint8Array);
      if (object instanceof Promise) return `the deserializer of "${label}" must give its object at once, not as a promise`;
      return [Tag.LIVE, typeof object === 'object' && object !== null && isSerializable(object), label, hold(object)];
    }
    switch (label) {
      case LIVE_VALUE: return [Tag.LIVE, true, LIVE_VALUE, hold(decode(kept))];
      case LIVE_ERROR: return [Tag.LIVE, true, LIVE_ERROR, hold(new Thrown(remoteOf(decode(kept) as RemoteError)))];
      case LIVE_EVENT: {
        if (!Array.isArray(kept) || kept.length !== 2 || kept[0] !== CBOR) return 'an event with live fields must be blazen/cbor';
        const fields = readCbor(kept[1] as Uint8Array, (object) =>
          Object.hasOwn(deserializers, object.codec) ? deserializers[object.codec]!(object.data) : readNative(object.codec, object.data));
        return [Tag.LIVE, true, LIVE_EVENT, hold(new HeldEvent({ ...(fields as Record<string, unknown>), type: '' }))];
      }
      default: return undefined;
    }
  } catch (error) {
    return wellFormed(`${label}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The error object of this language, or what another one says about its own. */
export function remoteOf(description: RemoteError): unknown {
  const object = description.object;
  if (Array.isArray(object) && object[0] === STRUCTURED) return readStructured(object[1]);
  return new RemoteDetail(description);
}
