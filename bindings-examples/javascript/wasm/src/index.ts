/** @blazen/sdk: an event-driven workflow engine in WebAssembly, for browsers, workers and Node. */
import { SyncContext } from '../../core/context.js';
import { useContexts } from '../../core/dispatch.js';
import { native } from '../../core/native.js';
import {
  LoopStage as CoreLoopStage, ParallelStage as CoreParallelStage, Pipeline as CorePipeline, PipelineBuilder as CorePipelineBuilder, Stage as CoreStage,
} from '../../core/pipeline.js';
import type { ResumeOptions, WorkflowHandler } from '../../core/run.js';
import type { SnapshotLike } from '../../core/snapshot.js';
import { registerState, type FieldStore as CoreFieldStore, type StateMeta } from '../../core/typed.js';
import { heldCount } from '../../core/values.js';
import { Workflow as CoreWorkflow, WorkflowBuilder as CoreWorkflowBuilder } from '../../core/workflow.js';
import { init } from './backend.js';

export default init;
export { init, type Source } from './backend.js';

useContexts((scope) => new SyncContext(scope));

/** What a step sees of its run. */
export type Context = SyncContext;
/** Stores one field of a typed object somewhere else; it is done when it returns. */
export type FieldStore = CoreFieldStore<SyncContext>;
/** How the fields of a class are stored. */
export type BlazenStateMeta = StateMeta<SyncContext>;
/** What can be set and got. */
export type StateValue = string | number | boolean | null | Uint8Array | StateValue[] | { [key: string]: StateValue };

/** A workflow: steps, wired by the types of the events that they take and give. */
export class Workflow extends CoreWorkflow<SyncContext> {
  /** Sets a workflow up, and makes as many of it as are wanted. */
  static builder(name: string): WorkflowBuilder {
    return new WorkflowBuilder(name);
  }

  /** Lets a run of this workflow go on from its snapshot. */
  static resume(snapshot: SnapshotLike, workflow: Workflow, options?: ResumeOptions): Promise<WorkflowHandler> {
    return workflow.resume(snapshot, options);
  }

  /** Lets objects of this class be made again when typed state is loaded. */
  static registerState(type: Parameters<typeof registerState>[0]): void {
    registerState(type);
  }
}

/** Sets a workflow up, and makes as many of it as are wanted. */
export class WorkflowBuilder extends CoreWorkflowBuilder<Workflow> {
  /** Begins a workflow without a step. */
  constructor(name: string) {
    super(() => new Workflow(name));
  }
}

/** A stage that runs one workflow. */
export class Stage extends CoreStage<SyncContext> {}
/** A stage that runs several workflows at once. */
export class ParallelStage extends CoreParallelStage<SyncContext> {}
/** A stage that runs another one in rounds. */
export class LoopStage extends CoreLoopStage<SyncContext> {}
/** Stages in order. */
export class Pipeline extends CorePipeline<SyncContext> {}
/** Sets a pipeline up. */
export class PipelineBuilder extends CorePipelineBuilder<SyncContext> {}

/** The engine's version. */
export function version(): string {
  return native().version();
}

/** What the runtime has: runs by their states, invocations, handles, and objects that the engine refers to. */
export function counts(): Record<string, number> {
  const names = ['created', 'running', 'waiting', 'elsewhere', 'paused', 'asking', 'completed', 'failed', 'cancelled', 'inFlight', 'abandoned', 'handles', 'invocations'];
  const result: Record<string, number> = {};
  native().counts().forEach((count, i) => (result[names[i]!] = count));
  result['objects'] = heldCount();
  return result;
}

export * from '../../core/index.js';
export { SyncContext as WasmContext, StateNamespace, SessionNamespace } from '../../core/context.js';
export { ChatMessage, CompletionModel, type CompletionOptions, type CompletionResponse, type Role } from './model.js';
