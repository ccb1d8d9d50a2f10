/** Pipelines: workflows, one behind the other. A pipeline is a workflow like any other once it is built. */
import { StepTable, touch, type StepSpec } from './dispatch.js';
import { valueOf, type BlazenEvent } from './events.js';
import { native, platform } from './native.js';
import { Run, runToEnd, WorkflowHandler, NO_INPUT, type Built, type ResumeOptions, type RunOptions } from './run.js';
import { Snapshot, type SnapshotLike } from './snapshot.js';
import { EventStream, originOf } from './stream.js';
import { encode } from './values.js';
import { BlazenError } from './errors.js';
import { addDecision, checkName, isFirstSuccess, policyNumber, retryOf, toMs, type Buildable, type JoinStrategy, type RetryOptions, type SessionPausePolicy } from './workflow.js';

/** What a stage can be told. `C` is the platform's context: its state is shared by the decisions of all stages. */
export interface StageOptions<C> {
  /** False: the stage is skipped, and the last result stays. */
  condition?: (last: any, context: C) => boolean | PromiseLike<boolean>; // eslint-disable-line @typescript-eslint/no-explicit-any
  /** Makes the stage's input; missing: the last result. */
  input?: (last: any, context: C) => unknown; // eslint-disable-line @typescript-eslint/no-explicit-any
  /** Makes the stage's result of what it gave. */
  output?: (result: any, context: C) => unknown; // eslint-disable-line @typescript-eslint/no-explicit-any
  /** Of a loop: `again`, `done` or `fail`; true is done, false again. */
  until?: (result: any, context: C) => 'again' | 'done' | 'fail' | boolean | PromiseLike<'again' | 'done' | 'fail' | boolean>; // eslint-disable-line @typescript-eslint/no-explicit-any
  /** Seconds that it may take. */
  timeout?: number;
  retry?: RetryOptions;
  /** Of a loop: its bound is no failure. */
  doneAtBound?: boolean;
}

/** A stage that runs one workflow. */
export class Stage<C = unknown> {
  constructor(readonly name: string, readonly workflow: Buildable, readonly options: StageOptions<C> = {}) {
    checkName(name, "a stage's name");
  }
}

/** A stage that runs several workflows at once. */
export class ParallelStage<C = unknown> {
  readonly branches: Stage<C>[];
  constructor(readonly name: string, branches: Stage<C>[] | Record<string, Buildable>, readonly joinStrategy?: JoinStrategy, readonly options: StageOptions<C> = {}) {
    checkName(name, "a stage's name");
    this.branches = Array.isArray(branches) ? branches : Object.entries(branches).map(([branch, workflow]) => new Stage<C>(branch, workflow));
  }
}

/** A stage that runs another one in rounds. */
export class LoopStage<C = unknown> {
  constructor(readonly name: string, readonly maxIterations: number, readonly inner: Stage<C> | ParallelStage<C>, readonly options: StageOptions<C> = {}) {
    checkName(name, "a stage's name");
    if (!Number.isInteger(maxIterations) || maxIterations < 1) throw new TypeError(`stage "${name}": maxIterations must be 1 or more`);
  }
}

type AnyStage<C> = Stage<C> | ParallelStage<C> | LoopStage<C>;

/** What a stage has given. */
export interface StageResult {
  name: string;
  output: unknown;
  skipped: boolean;
  durationMs: number;
}

/** What a pipeline has given. */
export interface PipelineResult {
  pipelineName: string;
  runId: string;
  finalOutput: any; // eslint-disable-line @typescript-eslint/no-explicit-any
  stageResults: StageResult[];
  /** The state that the decisions share. */
  sharedState: Record<string, unknown>;
}

/** An item of a pipeline's stream. */
export interface PipelineEvent {
  stageName: string | null;
  branchName: string | null;
  workflowRunId: string | null;
  event: BlazenEvent;
}

/** How far a pipeline is. */
export interface PipelineProgress {
  current: number;
  total: number;
  percent: number;
  currentStage: string | null;
}

/** A pipeline's failure. */
export { BlazenError as PipelineError };
/** A pipeline's snapshot is a snapshot. */
export { Snapshot as PipelineSnapshot };

interface Stages {
  stages: { name: string; status: string; took_ms?: number; started_ms?: number }[];
  current: number;
  total: number;
  percent: number;
}

/** A pipeline that goes on in the background. */
export class PipelineHandler {
  readonly #handler: WorkflowHandler;
  readonly #name: string;

  /** @internal */
  constructor(handler: WorkflowHandler, name: string) {
    this.#handler = handler;
    this.#name = name;
  }

  /** The run of the pipeline, with all that a run can do. */
  get run(): WorkflowHandler {
    return this.#handler;
  }

  /** Waits for the end. */
  async result(): Promise<PipelineResult> {
    const { data } = await this.#handler.result();
    return resultOf(this.#handler, this.#name, data);
  }

  /** How far it is. */
  progress(): PipelineProgress {
    const { current, total, percent, stages } = this.#handler.stages() as Stages;
    return { current, total, percent, currentStage: stages.find((stage) => stage.status === 'running')?.name ?? null };
  }

  /** Calls back for every item of every stage. */
  async streamEvents(callback: (event: PipelineEvent) => unknown): Promise<void> {
    await this.#handler.streamEvents((event) => callback(pipelineEvent(event)));
  }

  /** Its items, for `for await`. */
  async *events(): AsyncGenerator<PipelineEvent, void> {
    for await (const event of this.#handler.events()) yield pipelineEvent(event);
  }

  /** As {@link WorkflowHandler.pause}. */
  pause(): Promise<Snapshot> {
    return this.#handler.pause();
  }

  /** As {@link WorkflowHandler.resumeInPlace}. */
  resumeInPlace(): Promise<void> {
    return this.#handler.resumeInPlace();
  }

  /** As {@link WorkflowHandler.snapshot}. */
  snapshot(): Promise<Snapshot> {
    return this.#handler.snapshot();
  }

  /** As {@link WorkflowHandler.respondToInput}. */
  respondToInput(requestId: string, answer: unknown): Promise<void> {
    return this.#handler.respondToInput(requestId, answer);
  }

  /** As {@link WorkflowHandler.abort}. */
  abort(): Promise<void> {
    return this.#handler.abort();
  }
}

function pipelineEvent(event: BlazenEvent): PipelineEvent {
  const origin = originOf(event);
  const top = origin?.path?.[0];
  return { stageName: top?.step ?? null, branchName: top?.branch ?? null, workflowRunId: origin?.childRunId ?? null, event };
}

const escape = (name: string): string => name.replace(/~/g, '~0').replace(/\//g, '~1');

function resultOf(handler: WorkflowHandler, pipelineName: string, finalOutput: unknown): PipelineResult {
  const { stages } = handler.stages() as Stages;
  const sharedState: Record<string, unknown> = {};
  const stageResults = stages.map((stage) => {
    const output = handler.getState(`blazen/pipeline/${escape(stage.name)}`) ?? null;
    sharedState[stage.name] = output;
    return { name: stage.name, output, skipped: stage.status === 'skipped', durationMs: stage.took_ms ?? 0 };
  });
  return { pipelineName, runId: handler.runId(), finalOutput, stageResults, sharedState };
}

const released = new FinalizationRegistry<number>((handle) => {
  native().release(handle);
  touch();
});

/** Stages in order. It can be a step or a stage of something larger, too. */
export class Pipeline<C = unknown> implements Buildable {
  readonly name: string;
  readonly #built: Built;

  /** @internal */
  constructor(name: string, stages: readonly AnyStage<C>[], options: ReadonlyMap<number, number>) {
    this.name = name;
    const own = new Map<number, StepSpec>();
    const inner: StepTable[] = [];
    const builder = native().pipelineCreate(name);
    try {
      for (const stage of stages) addStage(builder, stage, own, inner);
      for (const [option, value] of options) native().pipelineOption(builder, option, value);
      this.#built = { handle: native().pipelineBuild(builder), name, table: new StepTable(own, inner), clearsSession: false };
      released.register(this.#built, this.#built.handle);
    } finally {
      native().release(builder);
    }
  }

  /** @internal */
  build_(): Built {
    return this.#built;
  }

  #start(input: unknown, options: RunOptions): WorkflowHandler {
    const run = Run.create(this.#built, options);
    const handler = new WorkflowHandler(run, new EventStream(run.handle, { routed: true }));
    run.start(...encode(input === undefined ? {} : input));
    return handler;
  }

  /** Starts it. */
  async start(input?: unknown, options: RunOptions = {}): Promise<PipelineHandler> {
    return new PipelineHandler(this.#start(input, options), this.name);
  }

  /** Runs it to its end. */
  async run(input?: unknown, options: RunOptions = {}): Promise<PipelineResult> {
    const run = Run.create(this.#built, options);
    const handler = new WorkflowHandler(run, undefined);
    run.start(...encode(input === undefined ? {} : input));
    const { data } = await runToEnd(run, handler);
    return resultOf(handler, this.name, data);
  }

  /** Goes on from a snapshot, in the middle of whatever it was at. */
  async resume(snapshot: SnapshotLike, options: ResumeOptions = {}): Promise<PipelineHandler> {
    const run = Run.resume(this.#built, Snapshot.from(snapshot), options);
    const handler = new WorkflowHandler(run, new EventStream(run.handle, { routed: true }));
    run.start(...NO_INPUT);
    return new PipelineHandler(handler, this.name);
  }
}

function untilOf<C>(until: StageOptions<C>['until']): ((result: never, context: C) => unknown) | undefined {
  if (until === undefined) return undefined;
  return async (result, context) => {
    const word = await until(result, context);
    return typeof word === 'boolean' ? (word ? 'done' : 'again') : word;
  };
}

function addStage<C>(builder: number, stage: AnyStage<C>, own: Map<number, StepSpec>, inner: StepTable[]): void {
  const loop = stage instanceof LoopStage ? stage : undefined;
  const body = loop === undefined ? stage as Stage<C> | ParallelStage<C> : loop.inner;
  const options: StageOptions<C> = { ...body.options, ...loop?.options };
  const several = body instanceof ParallelStage;
  const built = (several ? body.branches.map((branch) => branch.workflow) : [body.workflow]).map((workflow) => workflow.build_());
  inner.push(...built.map((each) => each.table));
  const decide = (what: string, decision: ((value: never, context: never) => unknown) | undefined): number =>
    addDecision(own, `${stage.name}::${what}`, decision === undefined ? undefined
      : ((event: BlazenEvent, context: never) => decision(valueOf(event) as never, context)) as never);
  native().pipelineStage(
    builder, stage.name, several ? built.map((each) => each.handle) : built[0]!.handle,
    several ? body.branches.map((branch) => branch.name) : undefined, loop?.maxIterations ?? 0,
    decide('condition', options.condition as never), decide('input', options.input as never), decide('output', options.output as never),
    decide('until', untilOf(options.until) as never), toMs(options.timeout ?? 0, `stage "${stage.name}"`),
    several && isFirstSuccess(body.joinStrategy), options.doneAtBound ?? false, retryOf(options.retry),
  );
}

const OPTION = { totalTimeout: 0, stageTimeout: 1, sessionPolicy: 4 } as const;

/** Sets a pipeline up. */
export class PipelineBuilder<C = unknown> {
  readonly #stages: AnyStage<C>[] = [];
  readonly #options = new Map<number, number>();

  /** Begins a pipeline without a stage. */
  constructor(readonly name: string) {
    checkName(name, "a pipeline's name");
    this.#options.set(OPTION.sessionPolicy, platform().sessionPolicy);
  }

  /** Adds a stage. */
  stage(stage: Stage<C>): this {
    return this.#add(stage, Stage, 'stage');
  }

  /** Adds a stage of several workflows at once. */
  parallel(stage: ParallelStage<C>): this {
    return this.#add(stage, ParallelStage, 'parallel');
  }

  /** Adds a stage that is a loop. */
  loopStage(stage: LoopStage<C>): this {
    return this.#add(stage, LoopStage, 'loopStage');
  }

  #add(stage: AnyStage<C>, type: abstract new (...rest: never[]) => object, where: string): this {
    if (!(stage instanceof type)) throw new TypeError(`${where}: a ${type.name} is wanted`);
    this.#stages.push(stage);
    return this;
  }

  /** Seconds that each stage may take which says nothing else. */
  timeoutPerStage(seconds: number): this {
    this.#options.set(OPTION.stageTimeout, toMs(seconds, 'timeoutPerStage'));
    return this;
  }

  /** Seconds that a run may take. */
  totalTimeout(seconds: number): this {
    this.#options.set(OPTION.totalTimeout, toMs(seconds, 'totalTimeout'));
    return this;
  }

  /** What a snapshot does with live values. */
  sessionPausePolicy(policy: SessionPausePolicy): this {
    this.#options.set(OPTION.sessionPolicy, policyNumber(policy));
    return this;
  }

  /** Makes a pipeline of what there is. */
  build(): Pipeline<C> {
    return new Pipeline<C>(this.name, this.#stages, this.#options);
  }
}
