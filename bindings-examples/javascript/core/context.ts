/** What a step sees of its run, with methods that are done when they return: the context of the browser's package. */
import type { BlazenEvent } from './events.js';
import type { AskOptions, JoinInfo, Scope, SendOptions } from './scope.js';
import { isTyped, loadTyped, removeKey, saveTyped } from './typed.js';
import { decode } from './values.js';

/** Persistent values of a run. */
export class StateNamespace {
  readonly #scope: Scope;
  /** @internal */
  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** Writes a value; a live object is refused, and belongs in the session. */
  set(key: string, value: unknown): void {
    this.#scope.setState(key, value);
  }

  /** Reads a value; null, or what is given, where there is none. */
  get<T = any>(key: string, otherwise: T | null = null): T | null { // eslint-disable-line @typescript-eslint/no-explicit-any
    const value = this.#scope.getState(key);
    return value === undefined ? otherwise : value as T;
  }

  /** Writes bytes. */
  setBytes(key: string, data: Uint8Array): void {
    this.#scope.setBytes(key, data);
  }

  /** Reads bytes; null where there are none, or something else. */
  getBytes(key: string): Uint8Array | null {
    return this.#scope.getBytes(key);
  }

  /** Whether there is such a key; a value that is null counts. */
  has(key: string): boolean {
    return this.#scope.has(key, false);
  }

  /** Removes a key; says whether it was there. */
  remove(key: string): boolean {
    return this.#scope.remove(key, false);
  }

  /** The keys that begin with this, in order. */
  keys(prefix = ''): string[] {
    return this.#scope.keys(prefix, false);
  }

  /** Removes every key. */
  clear(): void {
    this.#scope.clear();
  }
}

/** Values of this process: objects keep their identity. */
export class SessionNamespace {
  readonly #scope: Scope;
  /** @internal */
  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** Writes a value. */
  set(key: string, value: unknown): void {
    this.#scope.setSession(key, value);
  }

  /** Reads a value; null, or what is given, where there is none. */
  get<T = any>(key: string, otherwise: T | null = null): T | null { // eslint-disable-line @typescript-eslint/no-explicit-any
    const value = this.#scope.getSession(key);
    return value === undefined ? otherwise : value as T;
  }

  /** Whether there is such a key; a value that is null counts. */
  has(key: string): boolean {
    return this.#scope.has(key, true);
  }

  /** Removes a key; says whether it was there. */
  remove(key: string): boolean {
    return this.#scope.remove(key, true);
  }

  /** The keys that begin with this, in order. */
  keys(prefix = ''): string[] {
    return this.#scope.keys(prefix, true);
  }
}

/** What a step sees of its run. */
export class SyncContext {
  /** @internal */
  readonly scope_: Scope;
  #state: StateNamespace | undefined;
  #session: SessionNamespace | undefined;

  /** @internal */
  constructor(scope: Scope) {
    this.scope_ = scope;
  }

  /** Persistent values. */
  get state(): StateNamespace {
    return (this.#state ??= new StateNamespace(this.scope_));
  }

  /** Values of this process. */
  get session(): SessionNamespace {
    return (this.#session ??= new SessionNamespace(this.scope_));
  }

  /** Writes a value: to the state, or, of a live object, to the session. A marked object is stored field by field. */
  set(key: string, value: unknown): void {
    if (!isTyped(value)) {
      this.scope_.set(key, value);
      return;
    }
    for (const given of saveTyped(this.scope_, this, key, value)) {
      if (given instanceof Promise) throw new TypeError(`"${key}": a FieldStore's save must be done when it returns; it gave a promise`);
    }
  }

  /** Reads a value of the state, else of the session; null, or what is given, where there is none. */
  get<T = any>(key: string, otherwise: T | null = null): T | null { // eslint-disable-line @typescript-eslint/no-explicit-any
    const wire = this.scope_.find(key);
    if (wire === false) return otherwise;
    if (wire !== true) return decode(wire, `the value of "${key}"`) as T;
    const loading = loadTyped(this.scope_, this, key, true)!;
    for (const given of loading.stored) {
      if (given instanceof Promise) throw new TypeError(`"${key}": a FieldStore's load must give the value itself; it gave a promise`);
    }
    return loading.make(loading.stored) as T;
  }

  /** Writes bytes. */
  setBytes(key: string, data: Uint8Array): void {
    this.scope_.setBytes(key, data);
  }

  /** Reads bytes; null where there are none, or something else. */
  getBytes(key: string): Uint8Array | null {
    return this.scope_.getBytes(key);
  }

  /** Reads the JSON text of a key of the state, exactly as it stands there; null where there is none. */
  getJson(key: string): string | null {
    return this.scope_.getJson(key);
  }

  /** Removes a key, and the typed object under it. */
  remove(key: string): boolean {
    return removeKey(this.scope_, key);
  }

  /** Routes an event at once. */
  sendEvent(event: BlazenEvent, options?: SendOptions): void {
    this.scope_.send(1, event, options);
  }

  /** Publishes an event on the run's stream. */
  writeEventToStream(event: BlazenEvent): void {
    this.scope_.send(2, event, undefined, 'writeEventToStream');
  }

  /** Asks a human. The step waits, and the run with it where nothing else can go on. */
  ask<T = any>(prompt: string, options?: AskOptions): Promise<T> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return this.scope_.ask(prompt, options) as Promise<T>;
  }

  /** The id of the run: a UUID. */
  runId(): string {
    return this.scope_.about[0];
  }

  /** The name of the workflow. */
  get workflowName(): string {
    return this.scope_.about[1];
  }

  /** The name of the step. */
  get stepName(): string {
    return this.scope_.about[2];
  }

  /** With the run's id, the idempotency key: it stays the same when the step runs again. */
  get invocationId(): number {
    return this.scope_.about[3];
  }

  /** Which attempt this is, from 1. */
  get attempt(): number {
    return this.scope_.about[4];
  }

  /** The correlation id of the event; null where it has none. */
  get correlation(): string | null {
    return this.scope_.about[6];
  }

  /** Whether the run has ended, or the time of this attempt is up. */
  get cancelled(): boolean {
    return this.scope_.cancelled;
  }

  /** Is aborted when the step is cancelled: for fetch, timers and the like. */
  get signal(): AbortSignal {
    return this.scope_.signal;
  }

  /** Says how far this step is; total 0: not known. */
  progress(current: number, total = 0, label = ''): void {
    this.scope_.progress(current, total, label);
  }

  /** All the events that this step was invoked with: of a join, what has arrived. */
  events(): BlazenEvent[] {
    return this.scope_.events();
  }

  /** Why this join was invoked. */
  joinInfo(): JoinInfo {
    return this.scope_.joinInfo();
  }

  /** Keeps this step's event until there are as many of each type; null before that. */
  collect(wanted: Record<string, number>, key = ''): BlazenEvent[] | null {
    return this.scope_.collect(wanted, key);
  }

  /** The next attempt, if this one fails, begins so much later. */
  retryAfter(delayMs: number): void {
    this.scope_.retryAfter(delayMs);
  }
}
