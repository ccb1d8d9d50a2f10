/** blazen: an event-driven workflow engine, in this process and on this event loop. */
import { AsyncResource } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { deserialize } from 'node:v8';
import { begin, useContexts } from '../../core/dispatch.js';
import type { Native, Platform } from '../../core/native.js';
import { LoopStage as CoreLoopStage, ParallelStage as CoreParallelStage, Pipeline as CorePipeline, PipelineBuilder as CorePipelineBuilder, Stage as CoreStage } from '../../core/pipeline.js';
import type { ResumeOptions, WorkflowHandler } from '../../core/run.js';
import { Snapshot, type SnapshotLike } from '../../core/snapshot.js';
import { registerState } from '../../core/typed.js';
import { heldCount } from '../../core/values.js';
import { Workflow as CoreWorkflow, WorkflowBuilder as CoreWorkflowBuilder } from '../../core/workflow.js';
import { Context } from './context.js';
import { load } from './load.js';

const addon = load(createRequire(import.meta.url)) as Native;

const node: Platform = {
  capture() {
    const resource = new AsyncResource('BlazenRun');
    return (call, event, context) => resource.runInAsyncScope(call as (...given: unknown[]) => unknown, undefined, event, context);
  },
  readV8: (bytes) => deserialize(bytes) as unknown,
  inputRequested: 'blazen::InputRequestEvent',
  bytes: (data) => (Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  sessionPolicy: 0,
  sessionOnPause: 0,
};

begin(addon, node);
useContexts((scope) => new Context(scope));

/** A workflow: steps, wired by the types of the events that they take and give. */
export class Workflow extends CoreWorkflow<Context> {
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
export class Stage extends CoreStage<Context> {}
/** A stage that runs several workflows at once. */
export class ParallelStage extends CoreParallelStage<Context> {}
/** A stage that runs another one in rounds. */
export class LoopStage extends CoreLoopStage<Context> {}
/** Stages in order. */
export class Pipeline extends CorePipeline<Context> {}
/** Sets a pipeline up. */
export class PipelineBuilder extends CorePipelineBuilder<Context> {}

/** The engine's version. */
export const version: string = addon.version();

/** What this thread's runtime has: runs by their states, invocations, handles, and objects that the engine refers to. */
export function counts(): Record<string, number> {
  const names = ['created', 'running', 'waiting', 'elsewhere', 'paused', 'asking', 'completed', 'failed', 'cancelled', 'inFlight', 'abandoned', 'handles', 'invocations'];
  const result: Record<string, number> = {};
  addon.counts().forEach((count, i) => (result[names[i]!] = count));
  result['objects'] = heldCount();
  return result;
}

export * from '../../core/index.js';
export { Context, StateNamespace, SessionNamespace, type StateValue } from './context.js';
export { BlazenState, CallbackFieldStore, type BlazenStateMeta, type FieldStore } from './state.js';
export { Snapshot };
