/** A run of a workflow, and the handle to it. */
import { await_, platform, runs, StepTable, touch, watchRun, type RunRecord } from './dispatch.js';
import { BlazenError, errorOf, InputRequired, ParkedElsewhere, RemoteDetail, WaitingForEvent, type Question } from './errors.js';
import { encodeEvent, makeEvent, STOP_EVENT, type BlazenEvent } from './events.js';
import { readJson } from './json.js';
import { native, RunState, Tag, type Native, type Wire } from './native.js';
import { checkKey, type SendOptions } from './scope.js';
import { Snapshot } from './snapshot.js';
import { EventStream, type StreamOptions } from './stream.js';
import { decode, encode, encodeThrown, held, labelsOf, sweep, Thrown, wellFormed, withDeserializers, type Deserializer } from './values.js';

/** What a run has given: the StopEvent's type, and its value. */
export interface WorkflowResult<T = any> { // eslint-disable-line @typescript-eslint/no-explicit-any
  /** `blazen::StopEvent` */
  type: string;
  /** The result itself. */
  data: T;
}

/** Answers the questions of a run; what it throws fails the run. */
export type InputHandler = (question: Question) => unknown;

/** What a run can be given beside its input. */
export interface RunOptions {
  /** Kept with the run and in its snapshots; anything that JSON holds. */
  metadata?: unknown;
  /** The id of the run, where you have one: a UUID that was never given before. */
  runId?: string;
  /** Answers the questions of the run. */
  onInput?: InputHandler;
  /** Aborts the run when it is aborted. */
  signal?: AbortSignal;
}

/** How a run goes on from a snapshot. */
export interface ResumeOptions {
  /** Makes the live objects of the session again, by their type names. */
  deserializers?: Readonly<Record<string, Deserializer>>;
  /** What is unknown there is left out, and logged. */
  skipUnknown?: boolean;
  /** A run that was paused stays so. */
  keepPaused?: boolean;
  /** Also where the workflow's steps are others; its queued work is still checked. */
  allowChangedWorkflow?: boolean;
  /** Delays and deadlines count by the date; else they stood still since the snapshot. */
  timeHasPassed?: boolean;
  /** A new run from there, with another id. */
  fork?: boolean;
  /** Where this is false, values of codecs that execute code on reading stay foreign. JavaScript reads none that does. */
  trusted?: boolean;
  onInput?: InputHandler;
  signal?: AbortSignal;
}

/** What a run is doing. */
export type RunStateName =
  'created' | 'running' | 'waiting' | 'elsewhere' | 'completed' | 'failed' | 'cancelled' | 'paused' | 'asking';

const NAMES: (RunStateName | undefined)[] = [
  undefined, 'created', 'running', 'waiting', 'elsewhere', 'completed', 'failed', 'cancelled', 'paused', 'asking',
];

const UNTIL = { ended: 0, waiting: 8, elsewhere: 16, paused: 256, asking: 512 } as const;
const PAUSE_DRAIN = 2;
const ENDED = new Set<number>([RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED]);

type Outcome = { result: WorkflowResult } | { error: unknown; engine: BlazenError };

/** A workflow that was built: what the engine needs of it, and its steps. */
export interface Built {
  handle: number;
  name: string;
  table: StepTable;
  /** A pause drops the session's entries. */
  clearsSession: boolean;
}

/**
 * What is to be done when a run's last handle has gone. It must lead back neither to the handle nor to the run's result, or
 * they would never go.
 */
class Remains {
  ended = false;
  asked = false;
  /** What the run has failed with, where somebody should hear of it. */
  error: { thrown: unknown } | undefined;
  private orphaned = false;
  private released = false;

  constructor(readonly handle: number) {}

  /** Nobody has the handle: the run goes on as far as it can by itself. */
  orphan(): void {
    this.orphaned = true;
    if (this.ended) this.release();
    else watchRun(this.handle, UNTIL.waiting | UNTIL.elsewhere | UNTIL.paused | UNTIL.asking, () => this.release());
  }

  /** Nobody will have the handle when the run has ended. */
  letGoAtEnd(): void {
    this.orphaned = true;
  }

  /** Somebody has the handle after all. */
  adopt(): void {
    this.orphaned = false;
  }

  end(): void {
    this.ended = true;
    if (this.orphaned) this.release();
  }

  private release(): void {
    if (this.released) return;
    this.released = true;
    native().release(this.handle);
    touch();
  }
}

/** Lets go of what a stack trace refers to, the functions on it and their variables, by having its text made. */
function settleStack(error: unknown): void {
  if (error instanceof Error) void error.stack;
}

/** A run, as long as somebody has its handle or it is at work. */
export class Run implements RunRecord {
  readonly enter: RunRecord['enter'];
  onInput: RunRecord['onInput'];
  outcome: Outcome | undefined;
  readonly remains: Remains;
  private readonly atEnd: (() => void)[] = [];

  private constructor(readonly handle: number, readonly built: Built, onInput: InputHandler | undefined, signal: AbortSignal | undefined) {
    this.enter = platform().capture();
    this.remains = new Remains(handle);
    this.onInput = onInput === undefined ? undefined : (id, request) => this.input(onInput, id, request);
    runs[handle] = this;
    built.table.enter();
    watchRun(handle, UNTIL.ended, () => this.ended());
    if (signal !== undefined) {
      const abort = (): void => this.abort();
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
      this.whenEnded(() => signal.removeEventListener('abort', abort));
    }
  }

  static create(built: Built, options: RunOptions): Run {
    const metadata = options.metadata === undefined ? undefined : JSON.stringify(options.metadata);
    const handle = native().runCreate(built.handle, metadata, options.runId, options.onInput !== undefined);
    return new Run(handle, built, options.onInput, options.signal);
  }

  static resume(built: Built, snapshot: Snapshot, options: ResumeOptions): Run {
    const map = options.deserializers ?? {};
    const flags = (options.keepPaused ? 1 : 0) | (options.allowChangedWorkflow ? 2 : 0) | (options.timeHasPassed ? 4 : 0)
      | (options.fork ? 8 : 0) | (options.skipUnknown ? 16 : 0);
    const handle = withDeserializers(map, () =>
      native().runResume(built.handle, snapshot.bytes, flags, labelsOf(map), options.onInput !== undefined, undefined));
    return new Run(handle, built, options.onInput, options.signal);
  }

  start(...input: Parameters<Native['runStart']> extends [number, ...infer V] ? V : never): void {
    try {
      native().runStart(this.handle, ...input);
    } finally {
      touch();
    }
  }

  get state(): number {
    return native().runState(this.handle);
  }

  abort(): void {
    if (this.outcome !== undefined) return;
    native().runAbort(this.handle);
    touch();
  }

  whenEnded(call: () => void): void {
    if (this.outcome === undefined) this.atEnd.push(call);
    else call();
  }

  /** Reads what the run has ended with, once. */
  ended(): void {
    if (this.outcome !== undefined) return;
    this.outcome = this.readOutcome();
    if ('error' in this.outcome) {
      const { error, engine } = this.outcome;
      settleStack(error);
      if (engine.code !== 'ABORTED' && engine.code !== 'CANCELLED') this.remains.error = { thrown: error };
    }
    this.built.table.leave();
    delete runs[this.handle];
    for (const call of this.atEnd.splice(0)) call();
    this.remains.end();
  }

  private readOutcome(): Outcome {
    try {
      const [good, what] = native().runOutcome(this.handle);
      if (good) return { result: { type: STOP_EVENT, data: decode(what, 'the result') } };
      const engine = errorOf(what, decode);
      return { error: thrownOf(what[7], engine), engine };
    } catch (error) {
      // The result is one that JavaScript does not hold.
      return { error, engine: new BlazenError(error instanceof Error ? error.message : String(error), { code: 'HOST', cause: error }) };
    }
  }

  private input(handler: InputHandler, id: string, request: Wire): void {
    const fail = (error: unknown): void => {
      const { type, message } = new Thrown(error);
      this.quietly(() => native().runFailQuestion(this.handle, id, 0, wellFormed(`${type}: ${message}`), ...encodeThrown(error)));
    };
    // A handler is the host's code: it begins in the loop's turn, and never inside a call of the engine.
    queueMicrotask(() => {
      const begin = (): unknown => handler({ ...(decode(request) as object), request_id: id });
      Promise.resolve().then(() => (this.enter === undefined ? begin() : this.enter(begin, undefined, undefined)))
        .then((answer) => this.quietly(() => native().runRespond(this.handle, id, false, ...encode(answer))), fail)
        .catch(fail);
    });
  }

  private quietly(call: () => void): void {
    if (this.outcome !== undefined) return; // its handle may be another run's by now
    try {
      call();
    } catch (error) {
      // The question was answered by somebody else, or the run is over.
      if (!(error instanceof BlazenError && (error.code === 'NOT_FOUND' || error.code === 'CANCELLED'))) throw error;
    } finally {
      touch();
    }
  }
}

/** The step's own object, where this language has thrown it. */
function thrownOf(detail: Wire, engine: BlazenError): unknown {
  if (engine.code !== 'STEP_FAILED' && engine.code !== 'HOST') return engine;
  const thrown = typeof detail === 'number' ? held(detail) : undefined;
  if (!(thrown instanceof Thrown)) return engine;
  return thrown.thrown instanceof RemoteDetail ? engine : thrown.thrown;
}

/** Rejects where nobody has asked what became of a run that failed, as the platform does with promises. */
const forgotten = new FinalizationRegistry<Remains>((remains) => {
  if (remains.error !== undefined && !remains.asked) void Promise.reject(remains.error.thrown as Error);
  remains.orphan();
});

/** A run that goes on in the background: its result, its stream, its questions, its snapshots. */
export class WorkflowHandler {
  readonly #run: Run;
  #stream: EventStream | undefined;

  /** @internal */
  constructor(run: Run, stream: EventStream | undefined) {
    this.#run = run;
    this.#stream = stream;
    run.remains.adopt();
    forgotten.register(this, run.remains);
  }

  #outcome(outcome: Outcome): WorkflowResult {
    if ('error' in outcome) throw outcome.error;
    return outcome.result;
  }

  /** Waits for the end, whatever the run waits for meanwhile; gives the same object each time, or throws the same error. */
  async result<T = any>(): Promise<WorkflowResult<T>> { // eslint-disable-line @typescript-eslint/no-explicit-any
    const run = this.#run;
    run.remains.asked = true;
    if (run.outcome === undefined) {
      await_(1);
      await new Promise<void>((resolve) => run.whenEnded(resolve));
      await_(-1);
    }
    return this.#outcome(run.outcome!) as WorkflowResult<T>;
  }

  /** Waits for the end, and gives the bare result. */
  async awaitResult<T = any>(): Promise<T> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return (await this.result<T>()).data;
  }

  /** Waits until the run has ended, or has come to one of these states, and says which. */
  async wait(...until: ('waiting' | 'elsewhere' | 'paused' | 'asking')[]): Promise<RunStateName> {
    const run = this.#run;
    if (run.outcome !== undefined) return NAMES[run.state]!;
    const bits = until.reduce((sum, name) => sum | UNTIL[name], 0);
    await_(1);
    try {
      return NAMES[await new Promise<number>((resolve) => watchRun(run.handle, bits, resolve))]!;
    } finally {
      await_(-1);
    }
  }

  /** How far the run is, now. */
  get state(): RunStateName {
    return NAMES[this.#run.state]!;
  }

  /** What the run has failed with, as the engine tells it: step, attempt and status. Undefined while it has not failed. */
  get error(): BlazenError | undefined {
    const outcome = this.#run.outcome;
    return outcome !== undefined && 'error' in outcome ? outcome.engine : undefined;
  }

  /** The id of the run: a UUID. */
  runId(): string {
    return native().runId(this.#run.handle);
  }

  /** The metadata that the run was given; null where there is none. */
  get metadata(): unknown {
    return decode(native().runTell(this.#run.handle, 5));
  }

  #control(call: () => void): void {
    try {
      call();
    } finally {
      touch();
    }
  }

  /**
   * Pauses the run when no body is at work any more, and gives its snapshot. Where the session's policy refuses that, it
   * rejects, and the run stays paused. Where a pause clears the session, the snapshot is the one of before: a step at work is in
   * it as one that runs again.
   */
  async pause(): Promise<Snapshot> {
    const run = this.#run;
    if (!run.built.clearsSession) {
      this.#control(() => native().runPause(run.handle, PAUSE_DRAIN));
      if (run.outcome === undefined) await this.wait('paused');
      return this.snapshot();
    }
    const snapshot = this.snapshot();
    snapshot.catch(() => undefined);
    this.#control(() => native().runPause(run.handle, PAUSE_DRAIN));
    if (run.outcome === undefined) await this.wait('paused');
    return snapshot;
  }

  /** Lets the run go on after a pause; one that is not paused goes on as it is. */
  async resumeInPlace(): Promise<void> {
    if (this.#run.outcome === undefined) this.#control(() => native().runResumeInPlace(this.#run.handle));
  }

  /** Takes a snapshot, at any instant, without stopping the run. */
  async snapshot(): Promise<Snapshot> {
    return new Snapshot(native().runSnapshot(this.#run.handle));
  }

  /** Answers the question of this id. */
  async respondToInput(requestId: string, answer: unknown): Promise<void> {
    this.#control(() => native().runRespond(this.#run.handle, requestId, false, ...encode(answer)));
  }

  /** Answers a question that may not be asked yet. */
  async respondEarly(requestId: string, answer: unknown): Promise<void> {
    this.#control(() => native().runRespond(this.#run.handle, requestId, true, ...encode(answer)));
  }

  /** Withdraws an open question. */
  async withdrawQuestion(requestId: string): Promise<void> {
    this.#control(() => native().runWithdraw(this.#run.handle, requestId));
  }

  /** The questions that are open. */
  questions(): Question[] {
    return readJson(native().runTell(this.#run.handle, 1) as string) as Question[];
  }

  /** The steps elsewhere that have events queued. */
  elsewhere(): string[] {
    return readJson(native().runTell(this.#run.handle, 2) as string) as string[];
  }

  /** What snapshots have dropped, and what the resume has skipped. */
  dropped(): string[] {
    return readJson(native().runTell(this.#run.handle, 3) as string) as string[];
  }

  /** What the run is doing, without stopping it. */
  describe(): Record<string, unknown> {
    return readJson(native().runTell(this.#run.handle, 0) as string) as Record<string, unknown>;
  }

  /** Where the stages of a pipeline stand. */
  stages(): unknown {
    return readJson(native().runTell(this.#run.handle, 4) as string);
  }

  /** Reads a key of the run's state, at any time; undefined where there is none. */
  getState(key: string): unknown {
    checkKey(key);
    const wire = native().runGetValue(this.#run.handle, key);
    return wire === undefined ? undefined : decode(wire);
  }

  /** Sends an event into the run from outside. */
  async sendEvent(event: BlazenEvent, options: SendOptions & { scope?: number } = {}): Promise<void> {
    this.#control(() => native().runSend(
      this.#run.handle, ...encodeEvent(event, 'sendEvent'), options.correlation, options.step, options.delayMs ?? 0, options.scope ?? 0,
    ));
  }

  /** Ends the run at once. */
  async abort(): Promise<void> {
    this.#run.abort();
  }

  /** The same as {@link abort}. */
  async cancel(): Promise<void> {
    this.#run.abort();
  }

  #take(): EventStream | undefined {
    const stream = this.#stream;
    this.#stream = undefined;
    return stream;
  }

  /** The run's items, for `for await`. The first stream misses nothing of what came before. */
  events(options?: StreamOptions): EventStream {
    const first = this.#take();
    if (first !== undefined && options === undefined) return first;
    first?.close();
    return new EventStream(this.#run.handle, options ?? { routed: true });
  }

  /** Calls back for every item; resolves at the end of the stream. What the callback throws rejects it, and leaves the run alone. */
  async streamEvents(callback: (event: BlazenEvent) => unknown): Promise<void> {
    const stream = this.events();
    try {
      for await (const event of stream) await callback(event);
    } finally {
      stream.close();
    }
  }

  #next: EventStream | undefined;

  /** The next item; null at the end. */
  async nextEvent(): Promise<BlazenEvent | null> {
    this.#next ??= this.events();
    return this.#next.nextEvent();
  }
}

/** Runs a workflow to its end; rejects where it would wait for somebody who is not there. */
export function runToEnd(run: Run, known?: WorkflowHandler): Promise<WorkflowResult> {
  if (known === undefined) run.remains.letGoAtEnd();
  run.remains.asked = true;
  const until = UNTIL.elsewhere | UNTIL.waiting | (run.onInput === undefined ? UNTIL.asking : 0);
  return new Promise<WorkflowResult>((resolve, reject) => {
    await_(1);
    watchRun(run.handle, until, (state) => {
      await_(-1);
      if (ENDED.has(state)) {
        run.ended();
        const outcome = run.outcome!;
        if ('error' in outcome) reject(outcome.error as Error);
        else resolve(outcome.result);
        return;
      }
      const handler = known ?? new WorkflowHandler(run, undefined);
      if (state === RunState.ELSEWHERE) reject(new ParkedElsewhere(handler.elsewhere(), handler));
      else if (state === RunState.ASKING) reject(new InputRequired(handler.questions(), handler));
      else reject(new WaitingForEvent(handler));
    });
  });
}

/** The argument of {@link Run.start} for a run that goes on. */
export const NO_INPUT = [Tag.NONE, undefined, undefined, 0] as const;

export { makeEvent, sweep };
