/** Workflows, and the steps that they are made of. */
import { StepTable, touch, type Body, type StepResult, type StepSpec } from './dispatch.js';
import { checkType, valueOf, type BlazenEvent } from './events.js';
import { isWellFormed, readJson } from './json.js';
import { native, platform, type Join, type Retry } from './native.js';
import { NO_INPUT, Run, runToEnd, WorkflowHandler, type Built, type ResumeOptions, type RunOptions, type WorkflowResult } from './run.js';
import { Snapshot, type SnapshotLike } from './snapshot.js';
import { EventStream } from './stream.js';
import { encode, type Deserializer } from './values.js';
import type { Scope } from './scope.js';

/** When a step that failed is tried again. */
export interface RetryOptions {
  /** With the first one. */
  maxAttempts: number;
  initialDelayMs?: number;
  /** 2 where it is missing. */
  multiplier?: number;
  /** 60,000 where it is missing. */
  maxDelayMs?: number;
  /** 0 to 100: so much of the delay is taken off. */
  jitterPercent?: number;
  /** The host codes (`hostCode` of what is thrown) that are tried again; missing: all. */
  only?: number[];
  /** The host codes that are not. */
  never?: number[];
}

/** How a step joins what has come of another one. */
export interface JoinOptions {
  /** The step whose invocations open the scopes. */
  of: string;
  /** `all`: when nothing of the scope is left; `any`: at the first arrival; a number: at so many. */
  when?: 'all' | 'any' | number;
  deadlineMs?: number;
  /** What happens at the deadline. */
  atDeadline?: 'give' | 'fail';
  /** Once it is invoked, the rest of the scope is cancelled. */
  cancelRest?: boolean;
  /** The events stand in the order in which they were sent. */
  ordered?: boolean;
  /** One group, and one invocation, for each correlation. */
  byCorrelation?: boolean;
  /** Where nothing has arrived. */
  empty?: 'invoke' | 'skip';
}

/** What a step can be told beside its types. */
export interface StepOptions {
  /** The types that it emits or sends; where they are given, the build checks them. */
  emits?: string[];
  /** How many of it run at once in one run; missing: as many as there are. */
  maxConcurrency?: number;
  /** Seconds that one attempt may take. */
  timeout?: number;
  retry?: RetryOptions;
  /** What it writes and sends is held back until it is done, and dropped where it fails. */
  atomic?: boolean;
  /** A pool of {@link setPool} of which it needs a permit. */
  pool?: string;
  /** An attempt whose time is up no longer counts, although its body is still at work. */
  abandonedFreesPermit?: boolean;
  join?: JoinOptions;
}

/** What a step that is a workflow can be told. */
export interface SubworkflowOptions<C> {
  /** Seconds that a run inside may take. */
  timeout?: number;
  retry?: RetryOptions;
  maxConcurrency?: number;
  /** Makes the input of the run inside; missing: the event's value. */
  input?: (event: BlazenEvent, context: C) => unknown;
  /** Makes the value of the output event of the result; missing: the result. */
  output?: (result: unknown, context: C) => unknown;
}

/** How several workflows at once are joined. */
export type JoinStrategy = 'wait_all' | 'first_success' | 'WaitAll' | 'FirstSuccess' | 'waitAll' | 'firstSuccess';

/** The names of {@link JoinStrategy}. */
export const JoinStrategy = { WaitAll: 'wait_all', FirstSuccess: 'first_success' } as const;

/** What a snapshot does with the session; `pause` keeps it when the run is paused, `continue` clears it. */
export type SessionPausePolicy =
  | 'pickle_or_error' | 'pickle_or_serialize' | 'warn_drop' | 'hard_error'
  | 'PickleOrError' | 'PickleOrSerialize' | 'WarnDrop' | 'HardError' | 'pause' | 'continue';

/** The names of {@link SessionPausePolicy}. */
export const SessionPausePolicy = {
  PickleOrError: 'pickle_or_error', PickleOrSerialize: 'pickle_or_serialize', WarnDrop: 'warn_drop', HardError: 'hard_error',
} as const;

/** The bounds that a workflow may set. */
export const Limit = {
  queuedEvents: 1, stateBytes: 2, sessionBytes: 3, streamItems: 4, subscribers: 5, stepSends: 6, streamRetained: 7,
  questions: 8, scopes: 9, scopeDepth: 10, childDepth: 11, children: 12,
} as const;

const POLICIES = ['pickle_or_error', 'pickle_or_serialize', 'warn_drop', 'hard_error'];
const UNHANDLED = ['fail', 'ignore', 'stream'] as const;
const IDLE = ['fail', 'wait'] as const;
const OPTION = { timeout: 0, sessionOnPause: 1, unhandled: 2, idle: 3, sessionPolicy: 4, limit: 100 } as const;
const STEP_OPTIONS = new Set(['emits', 'maxConcurrency', 'timeout', 'retry', 'atomic', 'pool', 'abandonedFreesPermit', 'join']);

/** The number of a policy. */
export function policyNumber(policy: string): number {
  const number = POLICIES.indexOf(policy.replace(/[a-z](?=[A-Z])/g, '$&_').toLowerCase());
  if (number < 0) throw new TypeError(`setSessionPausePolicy: "${policy}" is none of ${POLICIES.join(', ')}, pause, continue`);
  return number;
}

/** Seconds as milliseconds. */
export function toMs(seconds: unknown, where: string): number {
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds < 0) throw new TypeError(`${where}: the time must be seconds, 0 or more`);
  return seconds > 0 ? Math.max(1, Math.round(seconds * 1000)) : 0;
}

/** A name, checked. */
export function checkName(name: unknown, what: string): asserts name is string {
  if (typeof name !== 'string' || name === '') throw new TypeError(`${what} must be a text that is not empty`);
  if (!isWellFormed(name)) throw new TypeError(`${what} must be well-formed text; this one has a lone surrogate`);
}

/** A retry policy, for the backend. */
export function retryOf(retry: RetryOptions | undefined): Retry | undefined {
  if (retry === undefined) return undefined;
  return [
    retry.maxAttempts, retry.jitterPercent ?? 0, retry.initialDelayMs ?? 0, retry.multiplier ?? 0, retry.maxDelayMs ?? 0,
    retry.only ?? [], retry.never ?? [],
  ];
}

function joinOf(join: JoinOptions | undefined): Join | undefined {
  if (join === undefined) return undefined;
  const when = join.when ?? 'all';
  return [
    join.of, when === 'all' ? 0 : when === 'any' ? 1 : 2, typeof when === 'number' ? when : 0, join.deadlineMs ?? 0,
    join.atDeadline === 'fail' ? 1 : 0, join.cancelRest ? 1 : 0, join.ordered ? 1 : 0, join.byCorrelation ? 1 : 0,
    join.empty === 'skip' ? 1 : 0,
  ];
}

/** Whether a strategy is that of the first success. */
export function isFirstSuccess(strategy: JoinStrategy | undefined): boolean {
  const name = (strategy ?? 'wait_all').replace('_', '').toLowerCase();
  if (name !== 'waitall' && name !== 'firstsuccess') throw new TypeError(`"${String(strategy)}" is no join strategy: wait_all or first_success`);
  return name === 'firstsuccess';
}

type Adder = (builder: number, own: Map<number, StepSpec>, inner: StepTable[]) => void;

const released = new FinalizationRegistry<number>((handle) => {
  native().release(handle);
  touch();
});

/** Registers a body, and gives its number. */
export function addBody(own: Map<number, StepSpec>, name: string, types: string[], body: Body, decides: boolean): number {
  const number = StepTable.number();
  own.set(number, { name, types, body, decides });
  return number;
}

/** A body that decides: what it gives is the answer. */
export function addDecision(own: Map<number, StepSpec>, name: string, decide: ((value: never, context: never) => unknown) | undefined): number {
  if (decide === undefined) return -1;
  return addBody(own, name, [], decide as unknown as Body, true);
}

/** What a workflow is made of, before it is built. */
export interface Definition {
  readonly name: string;
  readonly steps: Adder[];
  readonly options: Map<number, number>;
  readonly names: Set<string>;
}

/** Something that can be built: a workflow, or a pipeline. */
export interface Buildable {
  /** @internal */
  build_(): Built;
}

/** A workflow: steps, wired by the types of the events that they take and give. */
export class Workflow<C = unknown> implements Buildable {
  /** The name it was given. */
  readonly name: string;
  /** @internal */
  readonly definition: Definition;
  #built: Built | undefined;

  /** Begins a workflow without a step. */
  constructor(name: string) {
    checkName(name, "a workflow's name");
    native();
    this.name = name;
    this.definition = {
      name, steps: [], names: new Set(),
      options: new Map([
        [OPTION.unhandled, 2], [OPTION.idle, 0], [OPTION.sessionPolicy, platform().sessionPolicy], [OPTION.sessionOnPause, platform().sessionOnPause],
      ]),
    };
  }

  /** Makes a workflow of what the builder has; the builder may go on. */
  static fromBuilder<W extends Workflow<any>>(builder: WorkflowBuilder<W>): W {
    return builder.build();
  }

  #add(name: string, add: Adder): this {
    checkName(name, "a step's name");
    if (this.definition.names.has(name)) throw new TypeError(`workflow "${this.name}" has two steps "${name}"`);
    this.definition.names.add(name);
    this.definition.steps.push(add);
    this.#built = undefined;
    return this;
  }

  #types(types: unknown, step: string): string[] {
    const list = typeof types === 'string' ? [types] : types;
    if (!Array.isArray(list) || list.length === 0) throw new TypeError(`step "${step}": the types it accepts must be a list that is not empty`);
    for (const type of list) checkType(type, `step "${step}"`);
    return [...new Set(list as string[])];
  }

  /**
   * Adds a step. It is called with each event of these types, and gives an event, several, or none. A step that is added
   * after the first run holds for later runs.
   */
  addStep(name: string, types: string | string[], body: (event: BlazenEvent, context: C) => StepResult | PromiseLike<StepResult>, options: StepOptions = {}): this {
    const accepts = this.#types(types, name);
    if (typeof body !== 'function') throw new TypeError(`step "${name}": its body must be a function (event, ctx) => event`);
    for (const key of Object.keys(options)) if (!STEP_OPTIONS.has(key)) throw new TypeError(`step "${name}": there is no option "${key}"`);
    for (const type of options.emits ?? []) checkType(type, `step "${name}", emits`);
    const timeout = toMs(options.timeout ?? 0, `step "${name}"`);
    return this.#add(name, (builder, own) => {
      const number = addBody(own, name, accepts, body as Body, false);
      native().builderStep(
        builder, number, name, accepts, options.emits, options.maxConcurrency ?? 0, timeout, options.atomic ?? false,
        options.abandonedFreesPermit ? 1 : 0, retryOf(options.retry), joinOf(options.join), options.pool,
      );
    });
  }

  /** Adds a step whose body is in another process, or another language. */
  addElsewhere(name: string, types: string | string[]): this {
    const accepts = this.#types(types, name);
    return this.#add(name, (builder) => native().builderElsewhere(builder, name, accepts));
  }

  /** Adds a step that is a workflow. Its result is the value of the event `emits`. */
  addSubworkflowStep(name: string, accepts: string | string[], emits: string | string[] | undefined, inner: Workflow<C> | Buildable, timeoutSecs?: number, retry?: RetryOptions, options: SubworkflowOptions<C> = {}): this {
    return this.#child(name, accepts, emits, undefined, [inner], { ...options, timeout: timeoutSecs ?? options.timeout ?? 0, ...(retry === undefined ? {} : { retry }) }, false);
  }

  /** Adds a step that is a pipeline. */
  addSubpipelineStep(name: string, accepts: string | string[], emits: string | string[] | undefined, inner: Buildable, timeoutSecs?: number, retry?: RetryOptions, options: SubworkflowOptions<C> = {}): this {
    return this.addSubworkflowStep(name, accepts, emits, inner, timeoutSecs, retry, options);
  }

  /** Adds a step that is several workflows at once; the result is an object by the names of the branches, or the first success. */
  addParallelSubworkflows(name: string, accepts: string | string[], emits: string | string[] | undefined, branchSpecs: (string | { name: string })[], branchWorkflows: (Workflow<C> | Buildable)[], joinStrategy?: JoinStrategy, options: SubworkflowOptions<C> = {}): this {
    if (branchSpecs.length !== branchWorkflows.length) throw new TypeError(`step "${name}": it has ${branchSpecs.length} branches and ${branchWorkflows.length} workflows`);
    const names = branchSpecs.map((branch) => (typeof branch === 'string' ? branch : branch.name));
    for (const branch of names) checkName(branch, `step "${name}": a branch's name`);
    return this.#child(name, accepts, emits, names, branchWorkflows, options, isFirstSuccess(joinStrategy));
  }

  #child(name: string, types: string | string[], emits: string | string[] | undefined, branches: string[] | undefined, workflows: Buildable[], options: SubworkflowOptions<C>, first: boolean): this {
    const accepts = this.#types(types, name);
    const output = Array.isArray(emits) ? emits[0] : emits;
    if (output !== undefined) checkType(output, `step "${name}", emits`);
    const timeout = toMs(options.timeout ?? 0, `step "${name}"`);
    return this.#add(name, (builder, own, inner) => {
      const built = workflows.map((workflow) => workflow.build_());
      inner.push(...built.map((each) => each.table));
      const input = addDecision(own, `${name}::input`, options.input as never);
      const { output: map } = options;
      const result = map === undefined ? -1 : addDecision(own, `${name}::output`, ((event: BlazenEvent, context: C) => map(valueOf(event), context)) as never);
      native().builderChild(
        builder, name, accepts, branches === undefined ? built[0]!.handle : built.map((each) => each.handle), branches, output,
        input, result, first, retryOf(options.retry), timeout, options.maxConcurrency ?? 0,
      );
    });
  }

  #set(option: number, value: number): this {
    this.definition.options.set(option, value);
    this.#built = undefined;
    return this;
  }

  /** Sets how many seconds a run may take; 0: for ever. 300 where it is not set. */
  setTimeout(seconds: number): this {
    return this.#set(OPTION.timeout, toMs(seconds, 'setTimeout'));
  }

  /** Sets what a snapshot does with the session (a policy's name), or what a pause does to it: `pause` keeps it, `continue` clears it. */
  setSessionPausePolicy(policy: SessionPausePolicy): this {
    if (policy === 'pause' || policy === 'continue') return this.#set(OPTION.sessionOnPause, policy === 'continue' ? 1 : 0);
    return this.#set(OPTION.sessionPolicy, policyNumber(policy));
  }

  /** Sets what becomes of an event that no step accepts; `stream` where it is not set. */
  setUnhandled(policy: 'fail' | 'ignore' | 'stream'): this {
    const number = UNHANDLED.indexOf(policy);
    if (number < 0) throw new TypeError(`setUnhandled: "${String(policy)}" is none of fail, ignore, stream`);
    return this.#set(OPTION.unhandled, number);
  }

  /** Sets what becomes of a run that can make no progress by itself; `fail` where it is not set. */
  setIdle(policy: 'fail' | 'wait'): this {
    const number = IDLE.indexOf(policy);
    if (number < 0) throw new TypeError(`setIdle: "${String(policy)}" is none of fail, wait`);
    return this.#set(OPTION.idle, number);
  }

  /** Sets a bound of its runs. */
  setLimit(limit: keyof typeof Limit, bound: number): this {
    if (!Object.hasOwn(Limit, limit)) throw new TypeError(`setLimit: there is no limit "${String(limit)}"`);
    return this.#set(OPTION.limit + Limit[limit], bound);
  }

  /** @internal */
  build_(): Built {
    if (this.#built !== undefined) return this.#built;
    const own = new Map<number, StepSpec>();
    const inner: StepTable[] = [];
    const builder = native().builderCreate(this.name);
    try {
      for (const add of this.definition.steps) add(builder, own, inner);
      for (const [option, value] of this.definition.options) native().builderOption(builder, option, value);
      const built: Built = { handle: native().builderBuild(builder), name: this.name, table: new StepTable(own, inner), clearsSession: this.definition.options.get(OPTION.sessionOnPause) === 1 };
      released.register(built, built.handle);
      return (this.#built = built);
    } finally {
      native().release(builder);
    }
  }

  #start(input: unknown, options: RunOptions): Run {
    const run = Run.create(this.build_(), options);
    run.start(...encode(input === undefined ? {} : input));
    return run;
  }

  /** Runs it to its end. Rejects with the very object that a step has thrown, or where the run would wait for nobody. */
  async run<T = any>(input?: unknown, options: RunOptions = {}): Promise<WorkflowResult<T>> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return runToEnd(this.#start(input, options)) as Promise<WorkflowResult<T>>;
  }

  /** Runs it to its end, and calls back for every event that is routed or published. */
  async runStreaming<T = any>(input: unknown, callback: (event: BlazenEvent) => unknown, options: RunOptions = {}): Promise<WorkflowResult<T>> { // eslint-disable-line @typescript-eslint/no-explicit-any
    const run = Run.create(this.build_(), options);
    const stream = new EventStream(run.handle, { routed: true });
    run.start(...encode(input === undefined ? {} : input));
    const result = runToEnd(run) as Promise<WorkflowResult<T>>;
    const listen = async (): Promise<void> => {
      for await (const event of stream) await callback(event);
    };
    try {
      // Where the run parks, the stream goes on, and only the rejection ends this.
      await Promise.race([listen(), result.then(() => new Promise<void>(() => undefined))]);
    } finally {
      stream.close();
      result.catch(() => undefined);
    }
    return result;
  }

  /** Starts a run, and gives the handle to it. */
  async runWithHandler(input?: unknown, options: RunOptions = {}): Promise<WorkflowHandler> {
    const run = Run.create(this.build_(), options);
    const handler = new WorkflowHandler(run, new EventStream(run.handle, { routed: true }));
    run.start(...encode(input === undefined ? {} : input));
    return handler;
  }

  /** Lets a run go on from its snapshot. Everything that it was about to do goes on; nothing that was done is done again. */
  async resume(snapshot: SnapshotLike, options: ResumeOptions = {}): Promise<WorkflowHandler> {
    const run = Run.resume(this.build_(), Snapshot.from(snapshot), options);
    const handler = new WorkflowHandler(run, new EventStream(run.handle, { routed: true }));
    run.start(...NO_INPUT);
    if (options.skipUnknown) {
      const dropped = handler.dropped();
      if (dropped.length > 0) console.warn(`blazen: the resumed run lacks ${dropped.join(', ')}`);
    }
    return handler;
  }

  /** Lets a run go on, with deserializers for the live objects of its session; those without one are left out and logged. */
  async resumeWithSerializableRefs(snapshot: SnapshotLike, deserializers: Readonly<Record<string, Deserializer>>, options: ResumeOptions = {}): Promise<WorkflowHandler> {
    return this.resume(snapshot, { ...options, deserializers, skipUnknown: options.skipUnknown ?? true });
  }

  /** Describes it: its steps, policies, limits, dead ends and workflows inside. */
  describe(): Record<string, unknown> {
    return readJson(native().workflowDescribe(this.build_().handle)) as Record<string, unknown>;
  }

  /** Draws it: a Mermaid flowchart, or a digraph in Graphviz's DOT. */
  draw(format: 'mermaid' | 'dot' = 'mermaid'): string {
    return native().workflowDraw(this.build_().handle, format === 'dot' ? 2 : 1);
  }

  /** 16 hexadecimal digits over the names and types of its steps, the same in every language. */
  get fingerprint(): string {
    return this.describe()['fingerprint'] as string;
  }
}

/** Sets a workflow up, and makes as many of it as are wanted. */
export class WorkflowBuilder<W extends Workflow<any> = Workflow<any>> {
  readonly #calls: ((workflow: Workflow<unknown>) => void)[] = [];
  readonly #make: () => W;
  #stepTimeout: number | undefined;
  #stepRetry: RetryOptions | undefined;

  /** @internal */
  constructor(make: () => W) {
    this.#make = make;
  }

  #call(call: (workflow: Workflow<unknown>) => void): this {
    this.#calls.push(call);
    return this;
  }

  /** As {@link Workflow.addStep}. */
  addStep(name: string, types: string | string[], body: Parameters<W['addStep']>[2], options: StepOptions = {}): this {
    return this.#call((workflow) => workflow.addStep(name, types, body as Body as never, {
      ...(this.#stepTimeout === undefined ? {} : { timeout: this.#stepTimeout }),
      ...(this.#stepRetry === undefined ? {} : { retry: this.#stepRetry }),
      ...options,
    }));
  }

  /** As {@link Workflow.addElsewhere}. */
  addElsewhere(name: string, types: string | string[]): this {
    return this.#call((workflow) => workflow.addElsewhere(name, types));
  }

  /** As {@link Workflow.addSubworkflowStep}. */
  addSubworkflowStep(...step: Parameters<W['addSubworkflowStep']>): this {
    return this.#call((workflow) => workflow.addSubworkflowStep(...step as Parameters<Workflow<unknown>['addSubworkflowStep']>));
  }

  /** As {@link Workflow.addParallelSubworkflows}. */
  addParallelSubworkflows(...step: Parameters<W['addParallelSubworkflows']>): this {
    return this.#call((workflow) => workflow.addParallelSubworkflows(...step as Parameters<Workflow<unknown>['addParallelSubworkflows']>));
  }

  /** As {@link Workflow.addSubpipelineStep}. */
  addSubpipelineStep(...step: Parameters<W['addSubpipelineStep']>): this {
    return this.#call((workflow) => workflow.addSubpipelineStep(...step as Parameters<Workflow<unknown>['addSubpipelineStep']>));
  }

  /** Seconds that a run may take. */
  timeout(seconds: number): this {
    return this.#call((workflow) => workflow.setTimeout(seconds));
  }

  /** A run may take for ever. */
  noTimeout(): this {
    return this.timeout(0);
  }

  /** Seconds that an attempt of each step may take which says nothing else. */
  stepTimeout(seconds: number): this {
    this.#stepTimeout = seconds;
    return this;
  }

  /** The retry of each step which says nothing else. */
  stepRetry(retry: RetryOptions): this {
    this.#stepRetry = retry;
    return this;
  }

  /** As {@link Workflow.setSessionPausePolicy}. */
  sessionPausePolicy(policy: SessionPausePolicy): this {
    return this.#call((workflow) => workflow.setSessionPausePolicy(policy));
  }

  /** As {@link Workflow.setSessionPausePolicy}. */
  setSessionPausePolicy(policy: SessionPausePolicy): this {
    return this.sessionPausePolicy(policy);
  }

  /** As {@link Workflow.setUnhandled}. */
  unhandled(policy: 'fail' | 'ignore' | 'stream'): this {
    return this.#call((workflow) => workflow.setUnhandled(policy));
  }

  /** As {@link Workflow.setIdle}. */
  idle(policy: 'fail' | 'wait'): this {
    return this.#call((workflow) => workflow.setIdle(policy));
  }

  /** Makes a workflow of what there is; it may go on, and make another. */
  build(): W {
    const workflow = this.#make();
    for (const call of this.#calls) call(workflow as unknown as Workflow<unknown>);
    workflow.build_();
    return workflow;
  }
}

/** Sets how many bodies run at once, of all the steps that use this pool, in all runs of this thread. */
export function setPool(name: string, permits: number): void {
  checkName(name, "a pool's name");
  native().setPool(name, permits);
}

export type { Scope };
