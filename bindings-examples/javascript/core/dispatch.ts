/** Where the engine calls into JavaScript: bodies of steps, states of runs, streams, questions. */
import { errorOf } from './errors.js';
import { decodeEvent, encodeEvent, typeNumber, type BlazenEvent } from './events.js';
import { native, platform, Shared, shared, Tag, useNative, type Native, type Platform, type Wire } from './native.js';
import { onAnswered, onCancelled, Scope } from './scope.js';
import { decode, deserializeLive, encodeThrown, serializeLive, sweep, Thrown, wellFormed } from './values.js';

/** What a step gives: nothing, an event, or several. */
// eslint-disable-next-line @typescript-eslint/no-invalid-void-type
export type StepResult = BlazenEvent | readonly BlazenEvent[] | null | undefined | void;

/** A body, as the core calls it. */
export type Body = (event: BlazenEvent, context: unknown) => unknown;

/** A step of a workflow, as the core knows it. */
export interface StepSpec {
  name: string;
  types: string[];
  body: Body;
  /** A decision: what it gives is the answer itself, and not an event. */
  decides: boolean;
}

/** What a run needs of JavaScript while it lives. */
export interface RunRecord {
  enter: ReturnType<Platform['capture']>;
  onInput: ((id: string, request: Wire) => void) | undefined;
}

const BODY_DONE = 0;
const BODY_DEFERRED = 1;
const BODY_FAILED = 2;

const steps: (StepSpec | undefined)[] = [];
let lastStep = 0;

/** The runs that are at work, by their handles. */
export const runs: (RunRecord | undefined)[] = [];

let makeContext: (scope: Scope) => unknown = (scope) => scope;

/** Says how this platform's contexts are made. */
export function useContexts(make: (scope: Scope) => unknown): void {
  makeContext = make;
}

/** The steps of a workflow that was built. They are known to the engine by their numbers, while a run may call them. */
export class StepTable {
  private active = 0;
  constructor(private readonly own: Map<number, StepSpec>, private readonly inner: readonly StepTable[]) {}

  static number(): number {
    return ++lastStep;
  }

  /** A run begins. */
  enter(): void {
    for (const table of this.inner) table.enter();
    if (this.active++ > 0) return;
    for (const [number, step] of this.own) steps[number] = step;
  }

  /** A run has ended. */
  leave(): void {
    for (const table of this.inner) table.leave();
    if (--this.active > 0) return;
    for (const number of this.own.keys()) delete steps[number];
  }
}

/** Hands over what a step gave; a text is its one event, whose type and object are in the shared numbers. */
function give(scope: Scope, step: StepSpec, result: unknown): string | undefined {
  if (step.decides) {
    scope.answer(result);
    return undefined;
  }
  if (result === null || result === undefined) return undefined;
  if (Array.isArray(result)) {
    for (const event of result) scope.send(0, event, undefined, `step "${step.name}"`);
    return undefined;
  }
  const event = encodeEvent(result, `step "${step.name}"`);
  if (event[1] === Tag.JSON) {
    const number = typeNumber(event[0]);
    if (number !== undefined) {
      shared[Shared.TYPE] = number;
      shared[Shared.OBJECT] = event[4];
      return event[2] as string;
    }
  }
  native().send(scope.slot, 0, ...event, undefined, undefined, 0);
  return undefined;
}

function hostCodeOf(thrown: unknown): number {
  const code = typeof thrown === 'object' && thrown !== null ? (thrown as { hostCode?: unknown }).hostCode : undefined;
  return typeof code === 'number' && Number.isSafeInteger(code) ? code : 0;
}

function fail(scope: Scope, thrown: unknown): void {
  const { type, message } = new Thrown(thrown);
  native().fail(scope.slot, hostCodeOf(thrown), wellFormed(`${type}: ${message}`), ...encodeThrown(thrown));
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function settle(scope: Scope, step: StepSpec, result: unknown): void {
  let text: string | undefined;
  try {
    text = give(scope, step, result);
  } catch (error) {
    fail(scope, error);
  }
  scope.finish(text);
  goOn();
}

let goesOn = false;

/** Lets the engine go on when the promises that are settled now have had their turn: a chain of them needs no turn of the loop. */
function goOn(): void {
  if (goesOn) return;
  goesOn = true;
  queueMicrotask(pollMore);
}

function pollMore(): void {
  goesOn = false;
  if (native().pollMore()) goOn();
}

function dispatch(wire?: Wire, type?: string): string | number {
  const step = steps[shared[Shared.STEP]!]!;
  const scope = new Scope(shared[Shared.SLOT]!);
  const enter = runs[shared[Shared.RUN]!]?.enter;
  try {
    const event = decodeEvent(type ?? step.types[shared[Shared.EVENT_TYPE]!]!, shared[Shared.VALUE] || wire);
    const context = makeContext(scope);
    const result = enter === undefined ? step.body(event, context) : enter(step.body, event, context);
    if (isThenable(result)) {
      // A thenable of somebody else's may call back at once; a promise does not.
      const promise = result instanceof Promise ? (result as Promise<unknown>) : Promise.resolve(result);
      promise.then((value) => settle(scope, step, value), (error: unknown) => {
        fail(scope, error);
        scope.finish(undefined);
        goOn();
      });
      return BODY_DEFERRED;
    }
    const text = give(scope, step, result);
    scope.end();
    return text ?? BODY_DONE;
  } catch (error) {
    fail(scope, error);
    scope.end();
    return BODY_FAILED;
  }
}

const states = new Map<number, (state: number) => void>();
const readies = new Map<number, () => void>();
let lastToken = 0;
let awaited = 0;

/** Tells the loop that something may have become ready. */
export function touch(): void {
  native().touch(awaited);
}

/** Counts a promise that somebody awaits: the process stays for it. */
export function await_(more: 1 | -1): void {
  awaited += more;
  touch();
}

/** Calls back once, when the run has come to one of these states. */
export function watchRun(run: number, until: number, call: (state: number) => void): void {
  const token = ++lastToken;
  states.set(token, call);
  native().runWatch(run, until, token);
}

/** Calls back once, when the stream has an item. */
export function watchStream(stream: number, call: () => void): void {
  const token = ++lastToken;
  readies.set(token, call);
  native().streamReady(stream, token);
}

function once<A extends unknown[]>(map: Map<number, (...rest: A) => void>, token: number, ...rest: A): void {
  const call = map.get(token);
  map.delete(token);
  call?.(...rest);
}

/** Takes a backend into use, once. */
export function begin(backend: Native, itsPlatform: Platform): void {
  useNative(backend, itsPlatform);
  backend.start(
    [
      dispatch,
      (token, state) => once(states, token, state),
      (token) => once(readies, token),
      serializeLive,
      deserializeLive,
      (run, id, request) => runs[run]?.onInput?.(id, request),
      (error) => errorOf(error, decode),
      onCancelled,
      onAnswered,
      sweep,
    ],
    shared,
  );
}

export { platform };
