//! Workflows: [`WorkflowBuilder`], and the ways to run what it builds.

use std::collections::HashMap;
use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use libblazen_sys as sys;
use serde::de::DeserializeOwned;

use crate::child::{Branches, ChildOptions};
use crate::drive::Driven;
use crate::error::{Status, WorkflowError};
use crate::event::{millis, types, InputRequestEvent};
use crate::ffi::{self, sized, text, RunRef, WorkflowBuilderRef, WorkflowRef};
use crate::handler::{parked, Spawn, WorkflowHandler};
use crate::input::{self, InputHandler};
use crate::resume::ResumeOptions;
use crate::runtime::Runtime;
use crate::snapshot::Snapshot;
use crate::step::{self, EventType, IntoStep, StepDef};
use crate::stream::{EventStream, StreamOptions};
use crate::value::{IntoValue, Value};

/// How long a run may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What becomes of an event that no step accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unhandled {
    /// It is published on the stream.
    #[default]
    Stream,
    /// It is dropped.
    Ignore,
    /// The run fails with [`Status::NoHandler`].
    Fail,
}

/// What becomes of a run that can make no progress by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// It fails at once with [`Status::Stalled`].
    #[default]
    Fail,
    /// It waits for an event from outside.
    Wait,
}

/// What a snapshot does with live objects, in the session and elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionPausePolicy {
    /// One that cannot be kept: no snapshot, and the error names every one.
    #[default]
    PickleOrError,
    /// One that cannot be kept is dropped, and its name recorded.
    PickleOrSerialize,
    /// Every one is dropped, and its name recorded.
    WarnDrop,
    /// Any: no snapshot, and the error names every one.
    HardError,
}

/// What a pause does to the session of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionOnPause {
    /// It stays.
    #[default]
    Keep,
    /// Its entries are dropped, after the snapshot of the pause was taken.
    Clear,
}

/// A bound that a workflow sets for its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say what they bound; blazen.h has their defaults
pub enum Limit {
    QueuedEvents,
    StateBytes,
    SessionBytes,
    StreamItems,
    Subscribers,
    StepSends,
    StreamRetained,
    Questions,
    Scopes,
    ScopeDepth,
    ChildDepth,
    Children,
}

impl Limit {
    pub(crate) fn number(self) -> sys::blazen_limit {
        self as sys::blazen_limit + sys::BLAZEN_LIMIT_QUEUED_EVENTS
    }
}

/// A part of a workflow, in the order in which they were added.
enum Part {
    Step(StepDef),
    Elsewhere(String, Vec<EventType>),
    Child(String, Vec<EventType>, Branches, ChildOptions),
}

/// Builds a [`Workflow`] of steps.
///
/// ```
/// use blazen::prelude::*;
///
/// #[step]
/// async fn greet(event: StartEvent) -> Result<StopEvent, WorkflowError> {
///     let name: String = event.to()?;
///     Ok(StopEvent { result: serde_json::json!(format!("Hello, {name}")) })
/// }
///
/// # fn main() -> Result<(), WorkflowError> {
/// let workflow = WorkflowBuilder::new("greeting").step(greet).build()?;
/// # #[cfg(not(miri))]
/// # futures_executor::block_on(async {
/// let result = workflow.run("Ada").await?;
/// assert_eq!(result.to::<String>()?, "Hello, Ada");
/// # Ok::<(), WorkflowError>(())
/// # })?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a workflow is made by WorkflowBuilder::build"]
pub struct WorkflowBuilder {
    name: String,
    parts: Vec<Part>,
    timeout: Duration,
    unhandled: Unhandled,
    idle: Idle,
    session_policy: SessionPausePolicy,
    session_on_pause: SessionOnPause,
    limits: Vec<(Limit, u64)>,
    input: Option<Arc<InputHandler>>,
    spawner: Option<Arc<dyn Spawn>>,
}

impl WorkflowBuilder {
    /// Begins a workflow of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parts: Vec::new(),
            timeout: TIMEOUT,
            unhandled: Unhandled::default(),
            idle: Idle::default(),
            session_policy: SessionPausePolicy::default(),
            session_on_pause: SessionOnPause::default(),
            limits: Vec::new(),
            input: None,
            spawner: None,
        }
    }

    /// Adds a step: what `#[step]` made, or a [`StepDef`].
    pub fn step(mut self, step: impl IntoStep) -> Self {
        self.parts.push(Part::Step(step.into_step()));
        self
    }

    /// Adds a step whose body is in another process, perhaps in another language. When a run can go on only there, it parks
    /// until somebody who has the step resumes its snapshot. The names of the workflow and its steps, the accepted types,
    /// and their order have to be equal in all hosts.
    pub fn elsewhere<T: Into<EventType>>(
        mut self,
        name: impl Into<String>,
        accepts: impl IntoIterator<Item = T>,
    ) -> Self {
        let accepts = accepts.into_iter().map(Into::into).collect();
        self.parts.push(Part::Elsewhere(name.into(), accepts));
        self
    }

    /// Adds a step that is a workflow: each of its invocations hosts a run of it, which is a part of the run.
    pub fn workflow(
        self,
        name: impl Into<String>,
        accepts: impl Into<EventType>,
        child: &Workflow,
        options: ChildOptions,
    ) -> Self {
        self.child(name, accepts, Branches::One(child.clone()), options)
    }

    /// Adds a step that is several workflows at once, each of which gets the same input. The result is an object by the
    /// names of the branches, or that of the first success.
    pub fn workflows<'a>(
        self,
        name: impl Into<String>,
        accepts: impl Into<EventType>,
        branches: impl IntoIterator<Item = (&'a str, &'a Workflow)>,
        options: ChildOptions,
    ) -> Self {
        let branches = branches.into_iter().map(|(name, workflow)| (name.to_owned(), workflow.clone())).collect();
        self.child(name, accepts, Branches::Several(branches), options)
    }

    fn child(
        mut self,
        name: impl Into<String>,
        accepts: impl Into<EventType>,
        branches: Branches,
        options: ChildOptions,
    ) -> Self {
        self.parts.push(Part::Child(name.into(), vec![accepts.into()], branches, options));
        self
    }

    /// How long a run may take: 300 seconds where it is not said; zero: for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What becomes of an event that no step accepts.
    pub fn unhandled(mut self, unhandled: Unhandled) -> Self {
        self.unhandled = unhandled;
        self
    }

    /// What becomes of a run that can make no progress by itself.
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// What a snapshot does with live objects.
    pub fn session_pause_policy(mut self, policy: SessionPausePolicy) -> Self {
        self.session_policy = policy;
        self
    }

    /// What a pause does to the session.
    pub fn session_on_pause(mut self, session: SessionOnPause) -> Self {
        self.session_on_pause = session;
        self
    }

    /// Sets a bound.
    pub fn limit(mut self, limit: Limit, bound: u64) -> Self {
        self.limits.push((limit, bound));
        self
    }

    /// Answers the questions of its runs, where they come up. An error fails the run.
    pub fn input_handler<F, Fut, V>(mut self, handler: F) -> Self
    where
        F: Fn(InputRequestEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<V, WorkflowError>> + Send + 'static,
        V: IntoValue,
    {
        self.input = Some(input::handler(handler));
        self
    }

    /// Where handlers of its runs go on, in place of the current tokio runtime: `|future| executor.spawn(future)`.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Checks what was added, and builds a workflow of it. The builder may go on and build another.
    pub fn build(&self) -> Result<Workflow, WorkflowError> {
        self.check_types()?;
        let made = ffi::make(|builder, error| {
            // SAFETY: the name lives during the call.
            unsafe { sys::blazen_workflow_builder_create(text(&self.name), self.name.len(), builder, error) }
        })?;
        // SAFETY: made above, and ours.
        let builder = unsafe { WorkflowBuilderRef::own(made) }.ok_or_else(nothing_made)?;
        for part in &self.parts {
            match part {
                Part::Step(step) => add_step(&builder, step)?,
                Part::Elsewhere(name, accepts) => add_elsewhere(&builder, name, accepts)?,
                Part::Child(name, accepts, branches, options) => {
                    options.add(&builder, name, accepts, branches)?;
                }
            }
        }
        self.say_policies(&builder)?;
        let made = ffi::make(|workflow, error| {
            // SAFETY: a live builder.
            unsafe { sys::blazen_workflow_builder_build(builder.raw(), workflow, error) }
        })?;
        // SAFETY: made above, and ours.
        let handle = unsafe { WorkflowRef::own(made) }.ok_or_else(nothing_made)?;
        Ok(Workflow { handle, runtime: None, input: self.input.clone(), spawner: self.spawner.clone() })
    }

    fn say_policies(&self, builder: &WorkflowBuilderRef) -> Result<(), WorkflowError> {
        let raw = builder.raw();
        let unhandled = match self.unhandled {
            Unhandled::Fail => sys::BLAZEN_UNHANDLED_FAIL,
            Unhandled::Ignore => sys::BLAZEN_UNHANDLED_IGNORE,
            Unhandled::Stream => sys::BLAZEN_UNHANDLED_STREAM,
        };
        let idle = match self.idle {
            Idle::Fail => sys::BLAZEN_IDLE_FAIL,
            Idle::Wait => sys::BLAZEN_IDLE_WAIT,
        };
        let on_pause = match self.session_on_pause {
            SessionOnPause::Keep => sys::BLAZEN_SESSION_KEEP,
            SessionOnPause::Clear => sys::BLAZEN_SESSION_CLEAR,
        };
        // SAFETY: a live builder.
        unsafe {
            ffi::call(|error| sys::blazen_workflow_builder_set_timeout(raw, millis(self.timeout), error))?;
            ffi::call(|error| sys::blazen_workflow_builder_set_unhandled(raw, unhandled, error))?;
            ffi::call(|error| sys::blazen_workflow_builder_set_idle(raw, idle, error))?;
            ffi::call(|error| {
                sys::blazen_workflow_builder_set_session_policy(raw, policy_number(self.session_policy), error)
            })?;
            ffi::call(|error| sys::blazen_workflow_builder_set_session_on_pause(raw, on_pause, error))?;
            for (limit, bound) in &self.limits {
                ffi::call(|error| sys::blazen_workflow_builder_set_limit(raw, limit.number(), *bound, error))?;
            }
        }
        Ok(())
    }

    /// Two Rust types of one name would be taken for one another; a name that is nearly a built-in one is a slip.
    fn check_types(&self) -> Result<(), WorkflowError> {
        let mut known: HashMap<&str, (std::any::TypeId, &str)> = HashMap::new();
        for event_type in self.parts.iter().flat_map(Part::types) {
            refuse_nearly_built_in(&event_type.name)?;
            let Some(rust) = event_type.rust else { continue };
            let first = *known.entry(&event_type.name).or_insert(rust);
            if first.0 != rust.0 {
                return Err(WorkflowError::new(
                    Status::InvalidWorkflow,
                    format!(
                        "the event type {:?} of the workflow {:?} is both {} and {}: give one of them another name with \
                         #[event(type = \"...\")]",
                        event_type.name, self.name, first.1, rust.1
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Part {
    fn types(&self) -> impl Iterator<Item = &EventType> {
        let (accepts, emits) = match self {
            Part::Step(step) => (&step.accepts, step.emits.as_ref()),
            Part::Elsewhere(_, accepts) | Part::Child(_, accepts, ..) => (accepts, None),
        };
        accepts.iter().chain(emits.into_iter().flatten())
    }
}

fn refuse_nearly_built_in(name: &str) -> Result<(), WorkflowError> {
    let built_in = [types::START, types::STOP, types::INPUT_REQUEST, types::INPUT_RESPONSE];
    match built_in.iter().find(|full| full.strip_prefix("blazen::") == Some(name)) {
        Some(full) => Err(WorkflowError::new(
            Status::InvalidWorkflow,
            format!("the event type {name:?} is none of the built-in ones: did you mean {full:?}?"),
        )),
        None => Ok(()),
    }
}

pub(crate) fn policy_number(policy: SessionPausePolicy) -> sys::blazen_session_policy {
    match policy {
        SessionPausePolicy::PickleOrError => sys::BLAZEN_SESSION_PICKLE_OR_ERROR,
        SessionPausePolicy::PickleOrSerialize => sys::BLAZEN_SESSION_PICKLE_OR_SERIALIZE,
        SessionPausePolicy::WarnDrop => sys::BLAZEN_SESSION_WARN_DROP,
        SessionPausePolicy::HardError => sys::BLAZEN_SESSION_HARD_ERROR,
    }
}

pub(crate) fn nothing_made() -> WorkflowError {
    WorkflowError::new(Status::Internal, "the library made nothing")
}

fn add_step(builder: &WorkflowBuilderRef, step: &StepDef) -> Result<(), WorkflowError> {
    if step.accepts.is_empty() {
        return Err(WorkflowError::new(
            Status::InvalidWorkflow,
            format!("the step {:?} accepts no event: give it one as a parameter, or #[step(accepts(...))]", step.name),
        ));
    }
    let emits = step.emits.as_deref().unwrap_or_default();
    let (accepts, accept_lengths) = names(&step.accepts);
    let (emit_names, emit_lengths) = names(emits);
    let retry = step.retry.as_ref().map(crate::RetryPolicy::options);
    let join = step.join.as_ref().map(crate::Join::options);
    let mut options = sized!(sys::blazen_step_options);
    (options.accepts, options.accept_lengths, options.accept_count) =
        (accepts.as_ptr(), accept_lengths.as_ptr(), accepts.len());
    if !emits.is_empty() {
        (options.emits, options.emit_lengths, options.emit_count) =
            (emit_names.as_ptr(), emit_lengths.as_ptr(), emits.len());
    }
    options.max_concurrency = step.max_concurrency;
    options.atomic = i32::from(step.atomic);
    options.timeout_ms = millis(step.timeout);
    options.retry = retry.as_ref().map_or(ptr::null(), ptr::from_ref);
    options.abandoned = i32::from(step.frees_permit);
    options.join = join.as_ref().map_or(ptr::null(), ptr::from_ref);
    let body: *mut c_void = Arc::into_raw(Arc::clone(&step.body)).cast_mut().cast();
    let (name, raw) = (&step.name, builder.raw());
    ffi::call(|error| {
        // SAFETY: all that the options borrow lives during the call; `body` is an Arc<StepBody>, which drop_step takes back,
        // also when the step is refused.
        unsafe {
            sys::blazen_workflow_builder_add_step_with(
                raw,
                text(name),
                name.len(),
                &options,
                Some(step::body),
                body,
                Some(step::drop_step),
                error,
            )
        }
    })?;
    if let Some(pool) = &step.pool {
        ffi::call(|error| {
            // SAFETY: the texts live during the call.
            unsafe {
                sys::blazen_workflow_builder_step_uses_pool(raw, text(name), name.len(), text(pool), pool.len(), error)
            }
        })?;
    }
    Ok(())
}

pub(crate) fn names(types: &[EventType]) -> (Vec<*const std::ffi::c_char>, Vec<usize>) {
    types.iter().map(|each| (text(&each.name), each.name.len())).unzip()
}

fn add_elsewhere(builder: &WorkflowBuilderRef, name: &str, accepts: &[EventType]) -> Result<(), WorkflowError> {
    let Some((first, more)) = accepts.split_first() else {
        return Err(WorkflowError::new(
            Status::InvalidWorkflow,
            format!("the step {name:?}, which is elsewhere, accepts no event"),
        ));
    };
    ffi::call(|error| {
        // SAFETY: a live builder; the texts live during the call.
        unsafe {
            sys::blazen_workflow_builder_add_elsewhere(
                builder.raw(),
                text(name),
                name.len(),
                text(&first.name),
                first.name.len(),
                error,
            )
        }
    })?;
    more.iter().try_for_each(|each| accept_more(builder, name, &each.name))
}

pub(crate) fn accept_more(builder: &WorkflowBuilderRef, step: &str, event_type: &str) -> Result<(), WorkflowError> {
    ffi::call(|error| {
        // SAFETY: as above.
        unsafe {
            sys::blazen_workflow_builder_step_accepts(
                builder.raw(),
                text(step),
                step.len(),
                text(event_type),
                event_type.len(),
                error,
            )
        }
    })
}

impl std::fmt::Debug for WorkflowBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkflowBuilder")
            .field("name", &self.name)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

/// A workflow: immutable, and shared by any number of runs. A clone is the same workflow.
#[derive(Clone)]
pub struct Workflow {
    pub(crate) handle: WorkflowRef,
    runtime: Option<Runtime>,
    input: Option<Arc<InputHandler>>,
    spawner: Option<Arc<dyn Spawn>>,
}

impl Workflow {
    pub(crate) fn of(handle: WorkflowRef) -> Self {
        Self { handle, runtime: None, input: None, spawner: None }
    }

    /// Begins a workflow of this name.
    pub fn builder(name: impl Into<String>) -> WorkflowBuilder {
        WorkflowBuilder::new(name)
    }

    /// The same workflow, whose runs share this runtime with others, for the sake of its pools.
    #[must_use]
    pub fn on(&self, runtime: &Runtime) -> Self {
        Self { runtime: Some(runtime.clone()), ..self.clone() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        let mut length = 0;
        // SAFETY: a live workflow, and the text with it.
        unsafe {
            let name = sys::blazen_workflow_name(self.handle.raw(), &mut length);
            ffi::text_of(name, length)
        }
    }

    /// Describes it: steps, types, policies, bounds, dead ends.
    pub fn describe(&self) -> Result<serde_json::Value, WorkflowError> {
        // SAFETY: a live workflow.
        let made = ffi::make(|described, error| unsafe {
            sys::blazen_workflow_describe(self.handle.raw(), described, error)
        })?;
        // SAFETY: made above, and ours.
        unsafe { Value::own(made) }.ok_or_else(nothing_made)?.to_json()
    }

    /// Draws it as a Mermaid flowchart.
    pub fn draw_mermaid(&self) -> Result<String, WorkflowError> {
        // SAFETY: a live workflow.
        let made = ffi::make(|drawing, error| unsafe {
            sys::blazen_workflow_draw(self.handle.raw(), sys::BLAZEN_DRAW_MERMAID, drawing, error)
        })?;
        // SAFETY: made above, and ours.
        let drawing = unsafe { Value::own(made) }.ok_or_else(nothing_made)?;
        Ok(String::from_utf8_lossy(drawing.data()).into_owned())
    }

    /// Runs the workflow once, from its input to its result, inside the `poll` of the future; under any executor.
    ///
    /// Dropping the future aborts the run. It never waits on nobody: where only the outside can let the run go on (it asks,
    /// or is parked elsewhere), it ends with a [`parked`](WorkflowError::parked) error that has the run's handler.
    pub fn run(&self, input: impl IntoValue) -> Run {
        Run { state: RunNow::New(Box::new(self.clone()), Some(input.into_value())), id: 0, local: false }
    }

    /// Begins a run that goes on beside its caller, and gives its handler. Nothing that it publishes is lost.
    ///
    /// The current tokio runtime drives it, or the [spawner](WorkflowBuilder::spawner) of the workflow. Without any, it goes
    /// on while somebody awaits the handler.
    pub fn run_with_handler(&self, input: impl IntoValue) -> Result<WorkflowHandler, WorkflowError> {
        let input = input.into_value()?;
        let handler = self.begin(self.create(false)?, Some(&input))?;
        Ok(handler)
    }

    /// Resumes a run from its snapshot: the [`Snapshot`], its bytes, or its JSON form. It starts, and goes on, also where it
    /// was paused.
    pub fn resume<S>(&self, snapshot: S) -> Result<WorkflowHandler, WorkflowError>
    where
        S: TryInto<Snapshot>,
        S::Error: Into<WorkflowError>,
    {
        self.resume_with(snapshot, ResumeOptions::new())
    }

    /// Resumes a run with options: deserializers of its session, fork, keep paused, ...
    pub fn resume_with<S>(&self, snapshot: S, options: ResumeOptions) -> Result<WorkflowHandler, WorkflowError>
    where
        S: TryInto<Snapshot>,
        S::Error: Into<WorkflowError>,
    {
        let snapshot = snapshot.try_into().map_err(Into::into)?.parse()?;
        let (runtime, lent) = self.runtime(false)?;
        let run = options.resume(&runtime, self, &snapshot, self.input.as_ref())?;
        self.begin(Driven::new(runtime, lent, run), None)
    }

    /// That of the workflow, or one that is lent. A local run has one that no other thread has ever used, or will.
    fn runtime(&self, local: bool) -> Result<(Runtime, bool), WorkflowError> {
        match &self.runtime {
            Some(runtime) => Ok((runtime.clone(), false)),
            None if local => Ok((Runtime::private()?, false)),
            None => Ok((Runtime::lend()?, true)),
        }
    }

    fn create(&self, local: bool) -> Result<Arc<Driven>, WorkflowError> {
        let (runtime, lent) = self.runtime(local)?;
        let mut options = sized!(sys::blazen_run_options);
        let input = self.input.as_ref();
        let made = ffi::make(|run, error| {
            input::say(input, &mut options);
            // SAFETY: live handles; the options are taken over as `input::say` tells.
            unsafe { sys::blazen_run_create(runtime.raw(), self.handle.raw(), &options, run, error) }
        })?;
        // SAFETY: made above, and ours.
        let run = unsafe { RunRef::own(made) }.ok_or_else(nothing_made)?;
        Ok(Driven::new(runtime, lent, run))
    }

    /// Subscribes, starts, and lets a spawner drive it.
    fn begin(&self, driven: Arc<Driven>, input: Option<&Value>) -> Result<WorkflowHandler, WorkflowError> {
        let first = EventStream::subscribe(driven.run.raw(), &StreamOptions::new())?;
        let handler = WorkflowHandler::new(Arc::clone(&driven), Some(first));
        start(&driven, input)?;
        match &self.spawner {
            Some(spawner) => handler.spawn_on(&**spawner),
            None => spawn_on_tokio(&handler),
        }
        Ok(handler)
    }
}

#[cfg(feature = "tokio")]
fn spawn_on_tokio(handler: &WorkflowHandler) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        handler.spawn_on(&move |future| drop(runtime.spawn(future)));
    }
}

#[cfg(not(feature = "tokio"))]
fn spawn_on_tokio(_: &WorkflowHandler) {}

fn start(driven: &Driven, input: Option<&Value>) -> Result<(), WorkflowError> {
    driven.host_call(|run, error| {
        // SAFETY: a live run; the value lives during the call.
        unsafe { sys::blazen_run_start(run, input.map_or(ptr::null_mut(), Value::raw), error) }
    })
}

impl std::fmt::Debug for Workflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workflow").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowResult(Value);

impl WorkflowResult {
    pub(crate) fn new(value: Value) -> Self {
        Self(value)
    }

    /// The type of the event that ended the run: `blazen::StopEvent`.
    pub fn event_type(&self) -> &'static str {
        types::STOP
    }

    /// The result, of any tag: bytes by [`Value::as_bytes`], an object of this process by [`Value::object`].
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The result as any type that serde reads.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, WorkflowError> {
        self.0.to()
    }

    /// The result as a JSON tree.
    pub fn to_json(&self) -> Result<serde_json::Value, WorkflowError> {
        self.0.to_json()
    }
}

/// A run under way: see [`Workflow::run`].
#[must_use = "a run begins when it is awaited"]
pub struct Run {
    state: RunNow,
    id: u64,
    /// A `LocalWorkflow`'s: no handler of it is given away, since that could go to another thread.
    local: bool,
}

enum RunNow {
    New(Box<Workflow>, Option<Result<Value, WorkflowError>>),
    Driven(Arc<Driven>),
    Over,
}

impl Future for Run {
    type Output = Result<WorkflowResult, WorkflowError>;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        let local = self.local;
        if let RunNow::New(workflow, input) = &mut self.state {
            let begun = input.take().unwrap_or_else(|| Err(nothing_made())).and_then(|input| {
                let driven = workflow.create(local)?;
                start(&driven, Some(&input))?;
                Ok(driven)
            });
            match begun {
                Ok(driven) => {
                    self.id = driven.wakes.new_id();
                    self.state = RunNow::Driven(driven);
                }
                Err(error) => {
                    self.state = RunNow::Over;
                    return Poll::Ready(Err(error));
                }
            }
        }
        let RunNow::Driven(driven) = &self.state else {
            return Poll::Ready(Err(WorkflowError::new(Status::WrongState, "a run was polled after its end")));
        };
        if let Err(error) = driven.poll(self.id, poller) {
            return self.end(Err(error));
        }
        if let Some(outcome) = driven.outcome() {
            driven.seen.store(true, Ordering::SeqCst);
            return self.end(outcome.map(WorkflowResult));
        }
        match parked(driven) {
            None => Poll::Pending,
            Some(Err(error)) => self.end(Err(error)),
            Some(Ok(why)) => {
                let handler = (!self.local).then(|| WorkflowHandler::new(Arc::clone(driven), None));
                self.end(Err(WorkflowError::parked_at(why, handler)))
            }
        }
    }
}

impl Run {
    fn end(&mut self, answer: Result<WorkflowResult, WorkflowError>) -> Poll<<Self as Future>::Output> {
        if let RunNow::Driven(driven) = std::mem::replace(&mut self.state, RunNow::Over) {
            driven.wakes.forget(self.id);
        }
        Poll::Ready(answer)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let RunNow::Driven(driven) = &self.state {
            driven.wakes.forget(self.id);
            driven.seen.store(true, Ordering::SeqCst);
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

pub(crate) fn run_local(workflow: &Workflow, input: Result<Value, WorkflowError>) -> Run {
    Run { state: RunNow::New(Box::new(workflow.clone()), Some(input)), id: 0, local: true }
}
