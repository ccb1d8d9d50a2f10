/** What a step sees of its run: the effect is at the call, and the promise is settled. */
import { SyncContext } from '../../core/context.js';
import type { BlazenEvent } from '../../core/events.js';
import type { AskOptions, JoinInfo, Scope, SendOptions } from '../../core/scope.js';
import { isTyped, loadTyped, saveTyped } from '../../core/typed.js';
import { decode } from '../../core/values.js';

/** What can be set and got; objects of classes stand in the session. */
export type StateValue = string | number | boolean | null | Buffer | StateValue[] | { [key: string]: StateValue };

/** Does something now, and gives the promise of it. */
function now<T>(call: () => T): Promise<T> {
  try {
    return Promise.resolve(call());
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

/** Persistent values of a run: they are in its snapshots. */
export class StateNamespace {
  readonly #sync: SyncContext['state'];
  /** @internal */
  constructor(sync: SyncContext['state']) {
    this.#sync = sync;
  }

  /** Writes a value; a live object is refused, and belongs in the session. */
  set(key: string, value: unknown): Promise<void> {
    return now(() => this.#sync.set(key, value));
  }

  /** Reads a value; null, or what is given, where there is none. */
  get<T = any>(key: string, otherwise: T | null = null): Promise<T | null> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return now(() => this.#sync.get<T>(key, otherwise));
  }

  /** Writes bytes. */
  setBytes(key: string, data: Uint8Array): Promise<void> {
    return now(() => this.#sync.setBytes(key, data));
  }

  /** Reads bytes; null where there are none, or something else. */
  getBytes(key: string): Promise<Buffer | null> {
    return now(() => this.#sync.getBytes(key) as Buffer | null);
  }

  /** Whether there is such a key; a value that is null counts. */
  has(key: string): Promise<boolean> {
    return now(() => this.#sync.has(key));
  }

  /** Removes a key; says whether it was there. */
  remove(key: string): Promise<boolean> {
    return now(() => this.#sync.remove(key));
  }

  /** The keys that begin with this, in order. */
  keys(prefix = ''): Promise<string[]> {
    return now(() => this.#sync.keys(prefix));
  }

  /** Removes every key. */
  clear(): Promise<void> {
    return now(() => this.#sync.clear());
  }
}

/** Values of this process: objects keep their identity. */
export class SessionNamespace {
  readonly #sync: SyncContext['session'];
  /** @internal */
  constructor(sync: SyncContext['session']) {
    this.#sync = sync;
  }

  /** Writes a value. */
  set(key: string, value: unknown): Promise<void> {
    return now(() => this.#sync.set(key, value));
  }

  /** Reads a value; null, or what is given, where there is none. */
  get<T = any>(key: string, otherwise: T | null = null): Promise<T | null> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return now(() => this.#sync.get<T>(key, otherwise));
  }

  /** Whether there is such a key; a value that is null counts. */
  has(key: string): Promise<boolean> {
    return now(() => this.#sync.has(key));
  }

  /** Removes a key; says whether it was there. */
  remove(key: string): Promise<boolean> {
    return now(() => this.#sync.remove(key));
  }

  /** The keys that begin with this, in order. */
  keys(prefix = ''): Promise<string[]> {
    return now(() => this.#sync.keys(prefix));
  }
}

/** What a step sees of its run. */
export class Context {
  readonly #scope: Scope;
  #sync: SyncContext | undefined;
  #state: StateNamespace | undefined;
  #session: SessionNamespace | undefined;

  /** @internal */
  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** @internal */
  get sync_(): SyncContext {
    return (this.#sync ??= new SyncContext(this.#scope));
  }

  /** Persistent values. */
  get state(): StateNamespace {
    return (this.#state ??= new StateNamespace(this.sync_.state));
  }

  /** Values of this process. */
  get session(): SessionNamespace {
    return (this.#session ??= new SessionNamespace(this.sync_.session));
  }

  /** Writes a value: to the state, or, of a live object, to the session. An object marked `__blazen_state__` is stored field by field. */
  set(key: string, value: unknown): Promise<void> {
    if (!isTyped(value)) return now(() => this.#scope.set(key, value));
    return this.saveTyped_(key, value);
  }

  /** @internal */
  async saveTyped_(key: string, value: object): Promise<void> {
    await Promise.all(saveTyped(this.#scope, this, key, value));
  }

  /** @internal */
  async loadTyped_(key: string, marked: boolean, type?: Parameters<typeof loadTyped>[4]): Promise<object | null> {
    const loading = loadTyped(this.#scope, this, key, marked, type);
    return loading === null ? null : loading.make(await Promise.all(loading.stored));
  }

  /** Reads a value of the state, else of the session; null, or what is given, where there is none. */
  get<T = any>(key: string, otherwise: T | null = null): Promise<T | null> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return now(() => {
      const wire = this.#scope.find(key);
      if (wire === false) return otherwise;
      return wire === true ? this.loadTyped_(key, true) as Promise<T> : decode(wire, `the value of "${key}"`) as T;
    }) as Promise<T | null>;
  }

  /** Writes bytes. */
  setBytes(key: string, data: Uint8Array): Promise<void> {
    return now(() => this.sync_.setBytes(key, data));
  }

  /** Reads bytes; null where there are none, or something else. */
  getBytes(key: string): Promise<Buffer | null> {
    return now(() => this.sync_.getBytes(key) as Buffer | null);
  }

  /** Reads the JSON text of a key of the state, exactly as it stands there; null where there is none. */
  getJson(key: string): Promise<string | null> {
    return now(() => this.#scope.getJson(key));
  }

  /** Removes a key, and the typed object under it. */
  remove(key: string): Promise<boolean> {
    return now(() => this.sync_.remove(key));
  }

  /** Routes an event at once. */
  sendEvent(event: BlazenEvent, options?: SendOptions): Promise<void> {
    return now(() => this.sync_.sendEvent(event, options));
  }

  /** Publishes an event on the run's stream; it is never routed. */
  writeEventToStream(event: BlazenEvent): Promise<void> {
    return now(() => this.sync_.writeEventToStream(event));
  }

  /** Asks a human. The step waits, and the run with it where nothing else can go on. */
  ask<T = any>(prompt: string, options?: AskOptions): Promise<T> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return this.sync_.ask<T>(prompt, options);
  }

  /** The id of the run: a UUID. */
  runId(): Promise<string> {
    return now(() => this.sync_.runId());
  }

  /** The name of the workflow. */
  get workflowName(): string {
    return this.sync_.workflowName;
  }

  /** The name of the step. */
  get stepName(): string {
    return this.sync_.stepName;
  }

  /** With the run's id, the idempotency key: it stays the same when the step runs again. */
  get invocationId(): number {
    return this.sync_.invocationId;
  }

  /** Which attempt this is, from 1. */
  get attempt(): number {
    return this.sync_.attempt;
  }

  /** The correlation id of the event; null where it has none. */
  get correlation(): string | null {
    return this.sync_.correlation;
  }

  /** Whether the run has ended, or the time of this attempt is up. */
  get cancelled(): boolean {
    return this.sync_.cancelled;
  }

  /** Is aborted when the step is cancelled: for fetch, timers and the like. */
  get signal(): AbortSignal {
    return this.sync_.signal;
  }

  /** Says how far this step is; total 0: not known. */
  progress(current: number, total = 0, label = ''): Promise<void> {
    return now(() => this.sync_.progress(current, total, label));
  }

  /** All the events that this step was invoked with: of a join, what has arrived. */
  events(): Promise<BlazenEvent[]> {
    return now(() => this.sync_.events());
  }

  /** Why this join was invoked. */
  joinInfo(): Promise<JoinInfo> {
    return now(() => this.sync_.joinInfo());
  }

  /** Keeps this step's event until there are as many of each type; null before that. */
  collect(wanted: Record<string, number>, key = ''): Promise<BlazenEvent[] | null> {
    return now(() => this.sync_.collect(wanted, key));
  }

  /** The next attempt, if this one fails, begins so much later. */
  retryAfter(delayMs: number): Promise<void> {
    return now(() => this.sync_.retryAfter(delayMs));
  }
}
