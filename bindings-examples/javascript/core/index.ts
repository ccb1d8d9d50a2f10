/** What both packages export. */
export { BlazenError, TimeoutError, AbortError, ParkedElsewhere, InputRequired, WaitingForEvent, type RemoteError, type Question } from './errors.js';
export { payload, START_EVENT, STOP_EVENT, INPUT_REQUEST_EVENT, INPUT_RESPONSE_EVENT, type BlazenEvent } from './events.js';
export { Foreign } from './foreign.js';
export { Snapshot, type SnapshotJson, type SnapshotLike } from './snapshot.js';
export { EventStream, originOf, type StreamOptions, type ItemOrigin } from './stream.js';
export { WorkflowHandler, type WorkflowResult, type RunOptions, type ResumeOptions, type RunStateName, type InputHandler } from './run.js';
export {
  JoinStrategy, SessionPausePolicy, Limit, setPool, type RetryOptions, type JoinOptions, type StepOptions, type SubworkflowOptions, type Buildable,
} from './workflow.js';
export { registerState } from './typed.js';
export type { FieldStore as CoreFieldStore, StateMeta } from './typed.js';
export type { StepResult } from './dispatch.js';
export type { SendOptions, AskOptions, JoinInfo } from './scope.js';
export type { Serializable, Deserializer } from './values.js';
export {
  PipelineHandler, PipelineError, PipelineSnapshot, type PipelineResult, type StageResult, type PipelineEvent, type PipelineProgress, type StageOptions,
} from './pipeline.js';
