//! Event-driven workflows: steps that are async functions, wired by the types of the events they take and give; a run can be
//! snapshotted at any instant, and goes on from those bytes in another process and another language.
//!
//! ```
//! use blazen::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Event)]
//! struct Counted {
//!     words: usize,
//! }
//!
//! #[step]
//! async fn count(event: StartEvent, ctx: Context) -> Result<Counted, WorkflowError> {
//!     let text: String = event.to()?;
//!     ctx.set("text", &text);
//!     Ok(Counted { words: text.split_whitespace().count() })
//! }
//!
//! #[step]
//! async fn report(event: Counted, ctx: Context) -> Result<StopEvent, WorkflowError> {
//!     let text: Option<String> = ctx.get_as("text")?;
//!     Ok(StopEvent { result: serde_json::json!({ "text": text, "words": event.words }) })
//! }
//!
//! # fn main() -> Result<(), WorkflowError> {
//! # futures_executor::block_on(async {
//! let workflow = Workflow::builder("words").step(count).step(report).build()?;
//! let result = workflow.run("to be or not").await?;
//! assert_eq!(result.to_json()?["words"], 4);
//! # Ok(()) }) }
//! ```
//!
//! # How a run goes on
//!
//! Nothing here starts a thread for steps. A run is polled by whoever awaits it: the bodies of its steps run inside the
//! `poll` of the future that [`Workflow::run`] gives, so the timers and sockets of the executor work in them. Any executor
//! will do. One thread, shared by all runs, tells the time (time-outs, retries, delays).
//!
//! # Which data goes how
//!
//! What JSON holds exactly is JSON. What it does not (byte strings, NaN, integers beyond 64 bits) is `blazen/cbor`, which
//! all languages read. Bytes are bytes. An object of this process that is neither stands in the [`Session`] of the run.
//!
//! | codec | format version | written by | read by | executes code on reading |
//! |---|---|---|---|---|
//! | `blazen/cbor` | 1 | this crate, and other faces | this crate, and other faces | no |
//! | any other (`python/pickle`, `js/structured`, ...) | - | other faces | passed through, bit for bit | no |
#![forbid(unsafe_op_in_unsafe_fn)]

extern crate self as blazen;

mod cbor;
mod child;
mod codec;
pub mod context;
mod drive;
mod error;
pub mod event;
mod exact;
mod ffi;
mod guard;
mod handler;
mod input;
mod join;
mod live;
mod local;
mod pipeline;
mod pipeline_run;
#[cfg(doctest)]
mod refused;
mod resume;
mod retry;
mod runtime;
mod session;
mod snapshot;
mod step;
mod stream;
mod task;
mod timer;
mod value;
mod wakes;
mod workflow;

pub use child::ChildOptions;
pub use context::{Ask, Context, Question};
pub use error::{Parked, RemoteError, Status, StepError, WorkflowError};
pub use event::{Event, InputRequestEvent, InputResponseEvent, RawEvent, StartEvent, StepFailedEvent, StopEvent};
pub use handler::{BoxFuture, OpenQuestion, RunState, Spawn, WorkflowHandler};
pub use join::{Join, JoinInfo, JoinReason};
pub use libblazen_macros::{step, Event};
pub use live::Live;
pub use local::{LocalRun, LocalWorkflow, LocalWorkflowBuilder};
pub use pipeline::{JoinStrategy, LoopDecision, LoopStage, ParallelStage, PipelineBuilder, Stage};
pub use pipeline_run::{Pipeline, PipelineHandler, PipelineResult, Progress, StageResult};
pub use resume::ResumeOptions;
pub use retry::RetryPolicy;
pub use runtime::Runtime;
pub use session::{Session, SessionRef};
pub use snapshot::Snapshot;
pub use step::{
    Call, EventType, IntoLocalStep, IntoStep, LocalStepDef, StepDef, StepFn, StepInput, StepOutput, StepReturn,
};
pub use stream::{EventStream, StreamEvent, StreamOptions};
pub use value::{BytesWrapper, IntoValue, StateValue, Tag, Value, ValueRef};
pub use workflow::{
    Idle, Limit, Run, SessionOnPause, SessionPausePolicy, Unhandled, Workflow, WorkflowBuilder, WorkflowResult,
};

/// The names that a workflow is written with.
pub mod prelude {
    pub use crate::context::Context;
    pub use crate::{
        step, Event, InputRequestEvent, InputResponseEvent, RawEvent, StartEvent, StateValue, StepOutput, StopEvent,
        Workflow, WorkflowBuilder, WorkflowError, WorkflowHandler, WorkflowResult,
    };
}

/// For the code that the macros write.
#[doc(hidden)]
pub mod __private {
    use serde::de::DeserializeOwned;

    pub use crate::event::Payload;
    use crate::{ValueRef, WorkflowError};

    /// Reads an event with fields.
    pub fn fields<T: DeserializeOwned>(value: ValueRef<'_>, event_type: &str) -> Result<T, WorkflowError> {
        crate::event::fields(value, event_type)
    }

    /// Reads an event without fields: an object, whose members are ignored, or null.
    pub fn no_fields(value: ValueRef<'_>, event_type: &str) -> Result<(), WorkflowError> {
        crate::event::fields::<std::collections::HashMap<String, serde::de::IgnoredAny>>(value, event_type).map(drop)
    }
}
