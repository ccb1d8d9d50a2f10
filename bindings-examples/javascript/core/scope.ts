/** An invocation, as the core sees it: everything that a body can do, at once. The platforms' contexts are made of it. */
import { BlazenError } from './errors.js';
import { decodeEvent, encodeEvent, type BlazenEvent } from './events.js';
import { isWellFormed, writeJson } from './json.js';
import { native, Tag, type ValueArguments, type Wire } from './native.js';
import { decode, encode, encodeSession, encodeState } from './values.js';

/** How an event is sent. */
export interface SendOptions {
  /** To this step alone. */
  step?: string;
  /** So many milliseconds later. */
  delayMs?: number;
  /** An id that ties it to others. */
  correlation?: string;
}

/** A question to a human. */
export interface AskOptions {
  /** The id to answer under; one is made where it is missing. */
  requestId?: string;
  /** Anything that JSON holds. */
  metadata?: unknown;
  /** After so many milliseconds, `defaultAnswer` is the answer. */
  deadlineMs?: number;
  defaultAnswer?: unknown;
}

/** What a join was invoked with. */
export interface JoinInfo {
  reason: 'none' | 'complete' | 'condition' | 'short' | 'deadline';
  /** How many were wanted; 0: all. */
  wanted: number;
  arrived: number;
  scopeId: number;
}

const REASONS = ['none', 'complete', 'condition', 'short', 'deadline'] as const;

/** Throws where a text cannot be a key. */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key !== 'string') throw new TypeError(`a key must be a text, not ${typeof key}`);
  if (!isWellFormed(key)) throw new TypeError('a key must be well-formed text; this one has a lone surrogate');
}

const waiting = new Map<number, (answer: Wire) => void>();
const controllers = new Map<number, AbortController>();
let lastToken = 0;

/** A number that stands for something that is waited for. */
export function newToken(): number {
  return ++lastToken;
}

/** An answer has come. Called by the backend. */
export function onAnswered(token: number, answer: Wire): void {
  const resolve = waiting.get(token);
  waiting.delete(token);
  resolve?.(answer);
}

/** A step is cancelled. Called by the backend. */
export function onCancelled(token: number): void {
  const controller = controllers.get(token);
  controllers.delete(token);
  controller?.abort(new BlazenError('the step is cancelled: its run has ended, or its time is up', { code: 'CANCELLED' }));
}

/** One invocation of a step. */
export class Scope {
  private facts: ReturnType<ReturnType<typeof native>['about']> | undefined;
  private controller: AbortController | undefined;
  private token = 0;

  /** @param slot the backend's number of the invocation; 0 once it is over */
  constructor(public slot: number) {}

  private open(): number {
    if (this.slot === 0) throw new BlazenError('this context is of a step that is over; keep what you need before the step returns', { code: 'WRONG_STATE' });
    return this.slot;
  }

  /** Called when the step is over. */
  end(): void {
    this.slot = 0;
    if (this.token !== 0) controllers.delete(this.token);
  }

  get about(): ReturnType<ReturnType<typeof native>['about']> {
    return this.facts ??= native().about(this.open());
  }

  get cancelled(): boolean {
    return this.slot === 0 || native().isCancelled(this.slot);
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      this.token = newToken();
      controllers.set(this.token, this.controller);
      native().onCancel(this.open(), this.token);
    }
    return this.controller.signal;
  }

  /** The value of a key: of the state, then of the session. `true`: a typed object stands there; `false`: nothing does. */
  find(key: string): Wire | boolean {
    checkKey(key);
    return native().get(this.open(), key, 0);
  }

  getState(key: string): unknown {
    checkKey(key);
    const wire = native().get(this.open(), key, 1);
    return typeof wire === 'boolean' ? undefined : decode(wire, `the value of "${key}"`);
  }

  /** The JSON text of a key of the state, as it stands there; null where there is none, or something else. */
  getJson(key: string): string | null {
    checkKey(key);
    const wire = native().get(this.open(), key, 1);
    return typeof wire === 'string' ? wire : null;
  }

  getSession(key: string): unknown {
    checkKey(key);
    const wire = native().get(this.open(), key, 2);
    return typeof wire === 'boolean' ? undefined : decode(wire);
  }

  getAll(prefix: string): Map<string, unknown> {
    const all = native().getAll(this.open(), prefix);
    const result = new Map<string, unknown>();
    for (let i = 0; i + 1 < all.length; i += 2) result.set(all[i] as string, decode(all[i + 1]));
    return result;
  }

  set(key: string, value: unknown): void {
    checkKey(key);
    native().set(this.open(), key, 0, ...encodeState(value));
  }

  setState(key: string, value: unknown): void {
    checkKey(key);
    const encoded = encodeState(value);
    if (encoded[0] === Tag.LIVE) {
      throw new TypeError(`"${key}": ${encoded[2] === '' ? 'this object' : `a ${encoded[2]}`} has no serialised form and cannot stand in the state; use ctx.session`);
    }
    native().set(this.open(), key, 1, ...encoded);
  }

  setSession(key: string, value: unknown): void {
    checkKey(key);
    native().set(this.open(), key, 2, ...encodeSession(value));
  }

  setBytes(key: string, data: Uint8Array): void {
    if (!(data instanceof Uint8Array)) throw new TypeError(`setBytes("${String(key)}"): the data must be bytes (a Uint8Array or Buffer)`);
    this.set(key, data);
  }

  getBytes(key: string): Uint8Array | null {
    const value = this.getState(key);
    return value instanceof Uint8Array ? value : null;
  }

  has(key: string, session: boolean): boolean {
    checkKey(key);
    return native().has(this.open(), key, session);
  }

  remove(key: string, session: boolean): boolean {
    checkKey(key);
    return native().remove(this.open(), key, session);
  }

  keys(prefix: string, session: boolean): string[] {
    checkKey(prefix);
    return native().keys(this.open(), prefix, session);
  }

  clear(): void {
    native().clear(this.open());
  }

  /** Writes all of it, or nothing. */
  batch(sets: [key: string, value: ValueArguments][], removes: string[]): void {
    native().batch(this.open(), sets.flatMap(([key, value]) => [key, ...value]), removes);
  }

  send(how: 0 | 1 | 2, event: unknown, options: SendOptions = {}, where = 'sendEvent'): void {
    native().send(this.open(), how, ...encodeEvent(event, where), options.correlation, options.step, options.delayMs ?? 0);
  }

  async ask(prompt: string, options: AskOptions = {}): Promise<unknown> {
    const token = newToken();
    const metadata = options.metadata === undefined ? undefined : writeJson(options.metadata);
    if (options.metadata !== undefined && metadata === undefined) throw new TypeError('ask: metadata must be what JSON holds');
    const fallback: ValueArguments = options.defaultAnswer === undefined ? [Tag.NONE, undefined, undefined, 0] : encode(options.defaultAnswer);
    const answer = native().ask(this.open(), token, options.requestId, prompt, metadata, options.deadlineMs ?? 0, ...fallback);
    if (answer !== true) return decode(answer);
    const wire = await new Promise<Wire>((resolve) => waiting.set(token, resolve));
    if (wire === undefined) throw new BlazenError(`the question "${prompt}" was withdrawn`, { code: 'CANCELLED' });
    return decode(wire);
  }

  progress(current: number, total: number, label: string): void {
    native().progress(this.open(), label, current, total);
  }

  events(): BlazenEvent[] {
    const all = native().events(this.open());
    const result: BlazenEvent[] = [];
    for (let i = 0; i < all.length; i += 4) result.push(decodeEvent(all[i] as string, all[i + 1] as Wire));
    return result;
  }

  /** The sources of the events, in their order: of several workflows at once, the branches. */
  sources(): (string | null)[] {
    return native().events(this.open()).filter((_, i) => i % 4 === 2) as (string | null)[];
  }

  joinInfo(): JoinInfo {
    const [reason, wanted, arrived, scopeId] = native().joinInfo(this.open());
    return { reason: REASONS[reason] ?? 'none', wanted, arrived, scopeId };
  }

  collect(wanted: Record<string, number>, key: string): BlazenEvent[] | null {
    return native().collect(this.open(), key, Object.keys(wanted), Object.values(wanted)) ? this.events() : null;
  }

  retryAfter(delayMs: number): void {
    native().retryAfter(this.open(), delayMs);
  }

  answer(value: unknown): void {
    native().answer(this.open(), ...encode(value));
  }

  finish(text: string | undefined): void {
    native().finish(this.open(), text);
    this.end();
  }
}
