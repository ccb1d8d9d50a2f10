/** What a run publishes, item by item. */
import { await_, touch, watchStream } from './dispatch.js';
import { decodeEvent, STREAM_END, type BlazenEvent } from './events.js';
import { native, type Wire } from './native.js';
import { readJson } from './json.js';

/** What a subscriber wants to see. */
export interface StreamOptions {
  /** Lifecycle and progress items too. */
  lifecycle?: boolean;
  /** Each event that is routed too. */
  routed?: boolean;
  /** From this item on; missing: from now on. */
  from?: number;
  /** So many items are kept for it, before it gets a gap. */
  capacity?: number;
  /** Nothing of the runs inside the run. */
  ownLevel?: boolean;
}

/** Where an item of a stream comes from. */
export interface ItemOrigin {
  /** Its number in the run's stream; unnumbered items have that of the one before. */
  sequence: number;
  /** The step that made it; null: it came from outside. */
  source: string | null;
  /** Of an item of a run inside the run: the steps that host one another, down to it. */
  path?: { step: string; invocation_id: number; branch?: string; run_id: string }[];
  /** The id of the run inside that it is of. */
  childRunId?: string;
}

/** In place of an item that JavaScript does not hold. */
class Unreadable {
  constructor(readonly error: unknown) {}
}

const origins = new WeakMap<BlazenEvent, ItemOrigin>();

/** Says where an item of a stream comes from; undefined of an event that was on none. */
export function originOf(event: BlazenEvent): ItemOrigin | undefined {
  return origins.get(event);
}

const closed = new FinalizationRegistry<number>((stream) => {
  native().release(stream);
  touch();
});

/** The items of a run, in order. It can be iterated once, with `for await`. */
export class EventStream implements AsyncIterableIterator<BlazenEvent> {
  private readonly items: (BlazenEvent | Unreadable)[] = [];
  private ended = false;
  private wake: (() => void) | undefined;
  private readonly handle: number;

  constructor(run: number, options: StreamOptions) {
    this.handle = native().runSubscribe(
      run, options.lifecycle ?? false, options.routed ?? false, options.from ?? 0, options.capacity ?? 0, options.ownLevel ?? false,
    );
    closed.register(this, this.handle, this);
  }

  /** The next item; null at the end of the stream, and ever after. */
  async nextEvent(): Promise<BlazenEvent | null> {
    for (;;) {
      const item = this.items.shift();
      if (item instanceof Unreadable) throw item.error;
      if (item !== undefined) return item;
      if (this.ended) return null;
      this.take();
      if (this.items.length > 0 || this.ended) continue;
      await_(1);
      try {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
          watchStream(this.handle, resolve);
        });
      } finally {
        await_(-1);
      }
    }
  }

  private take(): void {
    const all = native().streamTake(this.handle);
    for (let i = 0; i < all.length; i += 6) {
      const type = all[i] as string;
      if (type === STREAM_END) {
        this.close();
        return;
      }
      let event: BlazenEvent;
      try {
        event = decodeEvent(type, all[i + 1] as Wire);
      } catch (error) {
        this.items.push(new Unreadable(error));
        continue;
      }
      const origin: ItemOrigin = { sequence: all[i + 2] as number, source: all[i + 3] as string | null };
      if (typeof all[i + 4] === 'string') origin.path = readJson(all[i + 4] as string) as NonNullable<ItemOrigin['path']>;
      if (typeof all[i + 5] === 'string') origin.childRunId = all[i + 5] as string;
      origins.set(event, origin);
      this.items.push(event);
    }
  }

  /** Ends the subscription. */
  close(): void {
    if (this.ended) return;
    this.ended = true;
    closed.unregister(this);
    native().release(this.handle);
    this.wake?.();
  }

  async next(): Promise<IteratorResult<BlazenEvent, undefined>> {
    const value = await this.nextEvent();
    return value === null ? { done: true, value: undefined } : { done: false, value };
  }

  async return(): Promise<IteratorResult<BlazenEvent, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
