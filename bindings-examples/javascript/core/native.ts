/**
 * What the core needs of the engine: a thin backend over blazen.h. Node's is an addon in C, the browser's is WebAssembly.
 * Handles are numbers. A value goes to the engine as four arguments (tag, data, codec or label, number of the object it was
 * made of), and comes from it as a {@link Wire}.
 */

/** `undefined`: none; number: an object of ours; string: JSON; bytes: BYTES; `[codec, bytes]`: NATIVE; `[label]`: LIVE. */
export type Wire = undefined | number | string | Uint8Array | [string, Uint8Array] | [string];

/** Tag, data, codec or label, number of the object (0: none). */
export type ValueArguments = [tag: number, data: string | Uint8Array | boolean | undefined, codec: string | undefined, object: number];

/** The tags of values, as in blazen.h. */
export const Tag = { NONE: 0, JSON: 1, BYTES: 2, NATIVE: 3, LIVE: 4 } as const;

/** How far a run is, as in blazen.h. */
export const RunState = {
  CREATED: 1, RUNNING: 2, WAITING: 3, ELSEWHERE: 4, COMPLETED: 5, FAILED: 6, CANCELLED: 7, PAUSED: 8, ASKING: 9,
} as const;

/** An error of the engine: status, its name, message, host code, step, attempt, offset, detail, cause. */
export type NativeError = [
  status: number, name: string, message: string, hostCode: number, step: string | null, attempt: number,
  offset: number | undefined, detail: Wire, cause: NativeError | undefined,
];

/** The functions of the core that the backend calls, in this order. */
export type Calls = [
  dispatch: (wire?: Wire, type?: string) => string | number,
  state: (token: number, state: number) => void,
  ready: (token: number) => void,
  serialize: (object: number) => ValueArguments | string,
  deserialize: (label: string, kept: Wire) => ValueArguments | string | undefined,
  input: (run: number, id: string, request: Wire) => void,
  error: (error: NativeError | undefined) => Error,
  cancelled: (token: number) => void,
  answered: (token: number, answer: Wire) => void,
  turn: () => void,
];

/**
 * The numbers that both sides see: type and object of what `dispatch` answers, how many objects were dropped; what `dispatch`
 * is called with: step, slot, run, type (−1: its second argument) and object (0: its first argument is the value); then, from LIST on, the first LIST_MAX
 * objects that were dropped.
 */
export const Shared = { TYPE: 0, OBJECT: 1, DROPPED: 2, STEP: 3, SLOT: 4, RUN: 5, EVENT_TYPE: 6, VALUE: 7, LIST: 8, LIST_MAX: 1024 } as const;

/** The backend. */
export interface Native {
  start(calls: Calls, shared: Int32Array): void;
  touch(awaited: number): void;
  /** Goes on from a microtask; true: there is more to do at once. */
  pollMore(): boolean;
  intern(type: string): number;
  /** The objects that were dropped and had no room in the shared list. */
  takeDropped(): number[];
  counts(): number[];
  setPool(name: string, permits: number): void;
  version(): string;

  builderCreate(name: string): number;
  builderStep(
    builder: number, step: number, name: string, accepts: string[], emits: string[] | undefined, atOnce: number,
    timeoutMs: number, atomic: boolean, abandoned: number, retry: Retry | undefined, join: Join | undefined,
    pool: string | undefined,
  ): void;
  builderElsewhere(builder: number, name: string, accepts: string[]): void;
  builderChild(
    builder: number, name: string, accepts: string[], child: number | number[], branches: string[] | undefined,
    outputType: string | undefined, input: number, output: number, firstSuccess: boolean, retry: Retry | undefined,
    timeoutMs: number, atOnce: number,
  ): void;
  builderOption(builder: number, which: number, value: number): void;
  builderBuild(builder: number): number;
  pipelineCreate(name: string): number;
  pipelineStage(
    builder: number, name: string, child: number | number[], branches: string[] | undefined, rounds: number,
    condition: number, input: number, output: number, until: number, timeoutMs: number, firstSuccess: boolean,
    doneAtBound: boolean, retry: Retry | undefined,
  ): void;
  pipelineOption(builder: number, which: number, value: number): void;
  pipelineBuild(builder: number): number;
  workflowDescribe(workflow: number): string;
  workflowDraw(workflow: number, format: number): string;
  release(handle: number): void;

  runCreate(workflow: number, metadata: string | undefined, id: string | undefined, input: boolean): number;
  runResume(
    workflow: number, bytes: Uint8Array, flags: number, labels: string[], input: boolean, id: string | undefined,
  ): number;
  runStart(run: number, ...value: ValueArguments): void;
  runId(run: number): string;
  runWatch(run: number, until: number, token: number): void;
  runState(run: number): number;
  runOutcome(run: number): [true, Wire] | [false, NativeError];
  runPause(run: number, mode: number): void;
  runResumeInPlace(run: number): void;
  runAbort(run: number): void;
  runRespond(run: number, id: string, early: boolean, ...value: ValueArguments): void;
  runWithdraw(run: number, id: string): void;
  runFailQuestion(run: number, id: string, hostCode: number, message: string, ...value: ValueArguments): void;
  runTell(run: number, which: number): Wire;
  runSend(run: number, type: string, ...rest: [...ValueArguments, string | undefined, string | undefined, number, number]): void;
  runGetValue(run: number, key: string): Wire;
  runSnapshot(run: number): Uint8Array;
  snapshotInfo(bytes: Uint8Array): string;
  runSubscribe(run: number, lifecycle: boolean, routed: boolean, from: number, capacity: number, ownLevel: boolean): number;
  streamReady(stream: number, token: number): void;
  streamTake(stream: number): unknown[];

  finish(slot: number, text: string | undefined): void;
  fail(slot: number, hostCode: number, message: string, ...value: ValueArguments): void;
  about(slot: number): [string, string, string, number, number, number, string | null, string | null, number];
  isCancelled(slot: number): boolean;
  onCancel(slot: number, token: number): void;
  get(slot: number, key: string, where: number): Wire | boolean;
  getAll(slot: number, prefix: string): Wire[];
  set(slot: number, key: string, where: number, ...value: ValueArguments): void;
  has(slot: number, key: string, session: boolean): boolean;
  remove(slot: number, key: string, session: boolean): boolean;
  keys(slot: number, prefix: string, session: boolean): string[];
  clear(slot: number): void;
  batch(slot: number, sets: unknown[], removes: string[]): void;
  send(slot: number, how: number, type: string, ...rest: [...ValueArguments, string | undefined, string | undefined, number]): void;
  ask(
    slot: number, token: number, id: string | undefined, prompt: string | undefined, metadata: string | undefined,
    deadlineMs: number, ...fallback: ValueArguments
  ): Wire | true;
  progress(slot: number, label: string, current: number, total: number): void;
  events(slot: number): unknown[];
  joinInfo(slot: number): [number, number, number, number];
  collect(slot: number, key: string, types: string[], counts: number[]): boolean;
  answer(slot: number, ...value: ValueArguments): void;
  retryAfter(slot: number, delayMs: number): void;
}

/** Attempts, jitter in percent, first delay, multiplier, longest delay, host codes tried again, host codes not. */
export type Retry = [number, number, number, number, number, number[], number[]];
/** Opener, mode, n, deadline, at deadline, cancel rest, ordered, correlation, empty. */
export type Join = [string, number, number, number, number, number, number, number, number];

/** What a platform adds: how its contexts are made, and how the caller's asynchronous context comes into the steps. */
export interface Platform {
  /** Gives a function that calls another one in the context of now; undefined where there is none. */
  capture(): ((call: (event: never, context: never) => unknown, event: unknown, context: unknown) => unknown) | undefined;
  /** Reads what `node/v8` has written; throws where the platform cannot. */
  readV8?(bytes: Uint8Array): unknown;
  /** The name of InputRequestEvent on streams, as `eventType`. */
  inputRequested: string;
  /** Bytes as this platform's users expect them. */
  bytes(data: Uint8Array): Uint8Array;
  /** What a workflow of this platform starts with. */
  sessionPolicy: number;
  sessionOnPause: number;
}

/** The shared numbers. */
export let shared = new Int32Array(Shared.LIST + Shared.LIST_MAX);

/** Takes other memory for the shared numbers: the backend's own, and again where that has moved. */
export function useShared(memory: Int32Array<ArrayBuffer>): void {
  shared = memory;
}

let current: Native | undefined;
let currentPlatform: Platform | undefined;

/** The backend; throws before it is there. */
export function native(): Native {
  if (current === undefined) throw new Error('@blazen/sdk: call `await init()` first; nothing works before that');
  return current;
}

/** The platform of this package. */
export function platform(): Platform {
  if (currentPlatform === undefined) throw new Error('@blazen/sdk: call `await init()` first; nothing works before that');
  return currentPlatform;
}

/** Whether the backend is there. */
export function isReady(): boolean {
  return current !== undefined;
}

/** Takes the backend into use, once. */
export function useNative(backend: Native, itsPlatform: Platform): void {
  current = backend;
  currentPlatform = itsPlatform;
}
