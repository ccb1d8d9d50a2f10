//! Steps: what one is ([`StepDef`]), what it takes ([`StepInput`]) and gives ([`StepReturn`]), and how the engine calls it.

use std::any::TypeId;
use std::ffi::c_void;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use libblazen_sys as sys;

use crate::context::Context;
use crate::drive::Frame;
use crate::error::{Status, WorkflowError};
use crate::event::{Event, EventView, RawEvent, ToEvent};
use crate::ffi::InvocationRef;
use crate::guard;
use crate::join::Join;
use crate::retry::RetryPolicy;
use crate::task::{Deferred, StepFuture, Task};

/// An event type by its name, and the Rust type that stands for it, where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    pub(crate) name: String,
    pub(crate) rust: Option<(TypeId, &'static str)>,
}

impl EventType {
    /// The type of an [`Event`].
    pub fn of<E: Event>() -> Self {
        Self { name: E::TYPE.to_owned(), rust: Some((TypeId::of::<E>(), std::any::type_name::<E>())) }
    }
}

impl From<&str> for EventType {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), rust: None }
    }
}

impl From<String> for EventType {
    fn from(name: String) -> Self {
        Self { name, rust: None }
    }
}

/// One call of a step: what its parameters are made of.
pub struct Call<'a> {
    pub(crate) event: EventView,
    raw: *const sys::blazen_event,
    pub(crate) context: &'a Context,
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("event_type", &self.event.event_type()).finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    /// # Safety
    /// `event` lives as long as the call is used.
    pub(crate) unsafe fn read(event: *const sys::blazen_event, context: &'a Context) -> Result<Self, WorkflowError> {
        // SAFETY: the caller says so.
        let view = unsafe { EventView::read(event) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "a step was called without an event"))?;
        Ok(Self { event: view, raw: event, context })
    }

    pub(crate) fn raw_event(&self) -> Result<RawEvent, WorkflowError> {
        // SAFETY: as `read` was promised.
        unsafe { RawEvent::read(self.raw) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "a step was called without an event"))
    }
}

/// A parameter of a step: an [`Event`], a [`RawEvent`], a [`Context`], or a `Vec` of events (all that a join has collected).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a step",
    label = "an event (#[derive(Event)]), Context, RawEvent, or a Vec of events"
)]
pub trait StepInput: Sized {
    /// Adds the event types that this parameter accepts.
    fn accepts(types: &mut Vec<EventType>);
    /// Reads the parameter.
    fn read(call: &Call<'_>) -> Result<Self, WorkflowError>;
}

impl StepInput for Context {
    fn accepts(_: &mut Vec<EventType>) {}
    fn read(call: &Call<'_>) -> Result<Self, WorkflowError> {
        Ok(call.context.clone())
    }
}

impl<E: Event> StepInput for E {
    fn accepts(types: &mut Vec<EventType>) {
        types.push(EventType::of::<E>());
    }
    fn read(call: &Call<'_>) -> Result<Self, WorkflowError> {
        if call.event.event_type() != E::TYPE {
            return Err(WorkflowError::invalid(format!(
                "the step takes a {}, and was invoked with a {}: where it accepts several types, its parameter is a RawEvent",
                E::TYPE,
                call.event.event_type()
            )));
        }
        E::from_value(call.event.value())
    }
}

impl StepInput for RawEvent {
    /// Any: `accepts(...)` of the step says which.
    fn accepts(_: &mut Vec<EventType>) {}
    fn read(call: &Call<'_>) -> Result<Self, WorkflowError> {
        call.raw_event()
    }
}

impl<E: Event> StepInput for Vec<E> {
    fn accepts(types: &mut Vec<EventType>) {
        types.push(EventType::of::<E>());
    }
    fn read(call: &Call<'_>) -> Result<Self, WorkflowError> {
        call.context.events()?.iter().filter_map(RawEvent::get::<E>).collect()
    }
}

impl StepInput for Vec<RawEvent> {
    fn accepts(_: &mut Vec<EventType>) {}
    fn read(call: &Call<'_>) -> Result<Self, WorkflowError> {
        call.context.events()
    }
}

/// What a step may give: nothing, an event, an Option, a Vec or a tuple of these, a [`StepOutput`], or a Result of one of
/// these with any error that is [`Into<WorkflowError>`].
#[diagnostic::on_unimplemented(
    message = "a step cannot return `{Self}`",
    label = "an event, (), Option, Vec, a tuple, StepOutput, or a Result of one of these"
)]
pub trait StepReturn {
    /// The event types it may be; None: not known.
    fn emits() -> Option<Vec<EventType>>;
    /// Emits what there is.
    fn emit(self, context: &Context) -> Result<(), WorkflowError>;
}

impl StepReturn for () {
    fn emits() -> Option<Vec<EventType>> {
        None
    }
    fn emit(self, _: &Context) -> Result<(), WorkflowError> {
        Ok(())
    }
}

impl<E: Event> StepReturn for E {
    fn emits() -> Option<Vec<EventType>> {
        Some(vec![EventType::of::<E>()])
    }
    fn emit(self, context: &Context) -> Result<(), WorkflowError> {
        context.emit(self)
    }
}

impl StepReturn for RawEvent {
    fn emits() -> Option<Vec<EventType>> {
        None
    }
    fn emit(self, context: &Context) -> Result<(), WorkflowError> {
        context.emit(self)
    }
}

impl<T: StepReturn> StepReturn for Option<T> {
    fn emits() -> Option<Vec<EventType>> {
        T::emits()
    }
    fn emit(self, context: &Context) -> Result<(), WorkflowError> {
        self.map_or(Ok(()), |event| event.emit(context))
    }
}

impl<T: StepReturn> StepReturn for Vec<T> {
    fn emits() -> Option<Vec<EventType>> {
        T::emits()
    }
    fn emit(self, context: &Context) -> Result<(), WorkflowError> {
        self.into_iter().try_for_each(|event| event.emit(context))
    }
}

impl<T: StepReturn, E: Into<WorkflowError>> StepReturn for Result<T, E> {
    fn emits() -> Option<Vec<EventType>> {
        T::emits()
    }
    fn emit(self, context: &Context) -> Result<(), WorkflowError> {
        self.map_err(Into::into)?.emit(context)
    }
}

macro_rules! tuples {
    ($(($($name:ident),+))*) => {
        $(impl<$($name: StepReturn),+> StepReturn for ($($name,)+) {
            fn emits() -> Option<Vec<EventType>> {
                let mut all = Vec::new();
                $(all.extend($name::emits()?);)+
                Some(all)
            }
            #[allow(non_snake_case)]
            fn emit(self, context: &Context) -> Result<(), WorkflowError> {
                let ($($name,)+) = self;
                $($name.emit(context)?;)+
                Ok(())
            }
        })*
    };
}
tuples!((A)(A, B)(A, B, C)(A, B, C, D)(A, B, C, D, E)(A, B, C, D, E, F));

/// Events of several types, decided as the step goes.
#[derive(Debug, Default)]
pub struct StepOutput(Vec<RawEvent>);

impl StepOutput {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    pub fn with(mut self, event: impl ToEvent) -> Result<Self, WorkflowError> {
        self.push(event)?;
        Ok(self)
    }

    /// Adds an event.
    pub fn push(&mut self, event: impl ToEvent) -> Result<(), WorkflowError> {
        self.0.push(event.to_raw()?);
        Ok(())
    }
}

impl StepReturn for StepOutput {
    fn emits() -> Option<Vec<EventType>> {
        None
    }
    fn emit(self, context: &Context) -> Result<(), WorkflowError> {
        self.0.emit(context)
    }
}

/// A function that can be a step: of up to four parameters, told apart by their types, that gives a future.
pub trait StepFn<Parameters>: Send + Sync + 'static {
    /// What the future gives.
    type Return: StepReturn;
    /// The future.
    type Future: Future<Output = Self::Return> + 'static;
    /// The event types that the parameters accept.
    fn accepts() -> Vec<EventType>;
    /// Calls the function.
    fn call(&self, call: &Call<'_>) -> Result<Self::Future, WorkflowError>;
}

macro_rules! functions {
    ($(($($name:ident),*))*) => {
        $(impl<Function, Fut, $($name: StepInput),*> StepFn<($($name,)*)> for Function
        where
            Function: Fn($($name),*) -> Fut + Send + Sync + 'static,
            Fut: Future + 'static,
            Fut::Output: StepReturn,
        {
            type Return = Fut::Output;
            type Future = Fut;
            fn accepts() -> Vec<EventType> {
                #[allow(unused_mut)]
                let mut types = Vec::new();
                $($name::accepts(&mut types);)*
                types
            }
            fn call(&self, _call: &Call<'_>) -> Result<Fut, WorkflowError> {
                Ok(self($($name::read(_call)?),*))
            }
        })*
    };
}
functions!(()(A)(A, B)(A, B, C)(A, B, C, D));

type Make = dyn Fn(&Call<'_>) -> Result<StepFuture, WorkflowError> + Send + Sync;

/// A step: its name, its body, and what is said about it. `#[step]` makes one of a function;
/// [`StepDef::new`] makes one of a closure.
#[must_use = "a step is added to a workflow by WorkflowBuilder::step"]
pub struct StepDef {
    pub(crate) name: String,
    pub(crate) accepts: Vec<EventType>,
    pub(crate) emits: Option<Vec<EventType>>,
    pub(crate) max_concurrency: u32,
    pub(crate) timeout: Duration,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) atomic: bool,
    pub(crate) pool: Option<String>,
    pub(crate) frees_permit: bool,
    pub(crate) join: Option<Join>,
    pub(crate) body: Arc<StepBody>,
}

impl StepDef {
    /// A step of this name, and its body.
    pub fn new<Parameters, F>(name: impl Into<String>, body: F) -> Self
    where
        F: StepFn<Parameters>,
        F::Future: Send,
    {
        Self::of(name, body)
    }

    fn of<Parameters, F: StepFn<Parameters>>(name: impl Into<String>, body: F) -> Self {
        let make: Box<Make> = Box::new(move |call| {
            let future = body.call(call)?;
            let context = call.context.clone();
            Ok(Box::pin(async move { future.await.emit(&context) }))
        });
        Self {
            name: name.into(),
            accepts: F::accepts(),
            emits: F::Return::emits(),
            max_concurrency: 0,
            timeout: Duration::ZERO,
            retry: None,
            atomic: false,
            pool: None,
            frees_permit: false,
            join: None,
            body: Arc::new(StepBody::new(make)),
        }
    }

    /// Another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// One more event type that starts it.
    pub fn accepts(mut self, event_type: impl Into<EventType>) -> Self {
        self.accepts.push(event_type.into());
        self
    }

    /// One more event type that it declares to emit or send, beside those of its return type.
    pub fn emits(mut self, event_type: impl Into<EventType>) -> Self {
        self.emits.get_or_insert_default().push(event_type.into());
        self
    }

    /// It declares nothing, and may emit anything.
    ///
    /// Where all steps declare what they emit, a workflow with a step that no event reaches is refused; so one says this of
    /// some step where events come from outside ([`WorkflowHandler::send_event`](crate::WorkflowHandler::send_event)).
    pub fn emits_anything(mut self) -> Self {
        self.emits = None;
        self
    }

    /// How many invocations of it run at once in one run; 0 (the default): as many as there are.
    pub fn max_concurrency(mut self, concurrency_max: u32) -> Self {
        self.max_concurrency = concurrency_max;
        self
    }

    /// How long one attempt may take, waiting for a permit or an answer not counted. Past it, its future is dropped, and the
    /// attempt has failed with [`Status::StepTimeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When it is tried again after a failure.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// What it writes to the state and sends is held back until it completes, and discarded when it fails.
    pub fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// It runs only with a permit of this pool of its [`Runtime`](crate::Runtime).
    pub fn uses_pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// The next attempt does not wait for one that was abandoned.
    pub fn abandoned_frees_permit(mut self) -> Self {
        self.frees_permit = true;
        self
    }

    /// It takes all that has come of one invocation of another step at once.
    pub fn joins(mut self, join: Join) -> Self {
        self.join = Some(join);
        self
    }
}

impl std::fmt::Debug for StepDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepDef")
            .field("name", &self.name)
            .field("accepts", &self.accepts)
            .field("emits", &self.emits)
            .finish_non_exhaustive()
    }
}

/// A step whose future need not be `Send`, for a [`LocalWorkflow`](crate::LocalWorkflow). `#[step(local)]` makes one.
#[derive(Debug)]
#[must_use = "a step is added to a workflow by LocalWorkflowBuilder::step"]
pub struct LocalStepDef(pub(crate) StepDef);

impl LocalStepDef {
    /// A step of this name, and its body.
    pub fn new<Parameters, F: StepFn<Parameters>>(name: impl Into<String>, body: F) -> Self {
        Self(StepDef::of(name, body))
    }

    /// One more event type that starts it.
    pub fn accepts(self, event_type: impl Into<EventType>) -> Self {
        Self(self.0.accepts(event_type))
    }

    /// One more event type that it declares to emit or send.
    pub fn emits(self, event_type: impl Into<EventType>) -> Self {
        Self(self.0.emits(event_type))
    }

    /// As [`StepDef::emits_anything`].
    pub fn emits_anything(self) -> Self {
        Self(self.0.emits_anything())
    }

    /// As [`StepDef::max_concurrency`].
    pub fn max_concurrency(self, concurrency_max: u32) -> Self {
        Self(self.0.max_concurrency(concurrency_max))
    }

    /// As [`StepDef::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// As [`StepDef::retry`].
    pub fn retry(self, policy: RetryPolicy) -> Self {
        Self(self.0.retry(policy))
    }

    /// As [`StepDef::atomic`].
    pub fn atomic(self) -> Self {
        Self(self.0.atomic())
    }

    /// As [`StepDef::joins`].
    pub fn joins(self, join: Join) -> Self {
        Self(self.0.joins(join))
    }
}

/// What a workflow takes as a step: a [`StepDef`], or a function that gives one, as `#[step]` makes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step",
    note = "a step is a function with #[step], or a StepDef; one with #[step(local)] goes into a LocalWorkflow"
)]
pub trait IntoStep {
    /// The step.
    fn into_step(self) -> StepDef;
}

impl IntoStep for StepDef {
    fn into_step(self) -> StepDef {
        self
    }
}

impl<F: FnOnce() -> S, S: IntoStep> IntoStep for F {
    fn into_step(self) -> StepDef {
        self().into_step()
    }
}

/// What a local workflow takes as a step: a step of either kind.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step",
    note = "a step is a function with #[step] or #[step(local)], a StepDef, or a LocalStepDef"
)]
pub trait IntoLocalStep {
    /// The step.
    fn into_local_step(self) -> LocalStepDef;
}

impl IntoLocalStep for StepDef {
    fn into_local_step(self) -> LocalStepDef {
        LocalStepDef(self)
    }
}

impl IntoLocalStep for LocalStepDef {
    fn into_local_step(self) -> LocalStepDef {
        self
    }
}

impl<F: FnOnce() -> S, S: IntoLocalStep> IntoLocalStep for F {
    fn into_local_step(self) -> LocalStepDef {
        self().into_local_step()
    }
}

/// What the engine knows as user_data of a step.
pub(crate) struct StepBody(Box<Make>);

impl StepBody {
    pub(crate) fn new(make: Box<Make>) -> Self {
        Self(make)
    }

    pub(crate) fn call(&self, call: &Call<'_>) -> Result<StepFuture, WorkflowError> {
        (self.0)(call)
    }
}

/// The body of every step.
pub(crate) unsafe extern "C" fn body(
    step: *mut c_void,
    context: *mut sys::blazen_context,
    event: *const sys::blazen_event,
    error: *mut *mut sys::blazen_error,
) -> sys::blazen_status {
    // SAFETY: `step` is an Arc<StepBody> that the workflow keeps; context, event and error live during the call.
    unsafe {
        guard::status(error, || {
            let step = step.cast::<StepBody>().cast_const();
            Frame::with(|frame| {
                let frame = frame.ok_or_else(|| {
                    WorkflowError::new(Status::WrongPlace, "a step was called outside the poll of a run")
                })?;
                if frame.driven.runtime().is_shared() && !is_of(frame, context) {
                    Arc::increment_strong_count(step);
                    hand_over(frame, Arc::from_raw(step), context)
                } else {
                    run(frame, &*step, context, event)
                }
            })
        })
    }
}

/// # Safety
/// As for `body`.
unsafe fn is_of(frame: &Frame<'_>, context: *mut sys::blazen_context) -> bool {
    // SAFETY: the context lives.
    std::ptr::eq(unsafe { sys::blazen_context_run(context) }, frame.driven.run.raw())
}

/// The step is another run's: that run's poll calls it.
///
/// # Safety
/// As for `body`.
unsafe fn hand_over(
    frame: &Frame<'_>,
    step: Arc<StepBody>,
    context: *mut sys::blazen_context,
) -> Result<sys::blazen_status, WorkflowError> {
    // SAFETY: the context lives during the call; what is made of it is the caller's.
    let (run, made) = unsafe {
        let made = crate::ffi::make(|invocation, error| sys::blazen_context_defer(context, invocation, error))?;
        (sys::blazen_context_run(context), InvocationRef::own(made))
    };
    let gone = || WorkflowError::new(Status::Cancelled, "nobody polls the run of this step any more");
    let inbox = frame.driven.runtime().inbox(run as usize).ok_or_else(gone)?;
    inbox.put(step, made.ok_or_else(gone)?);
    frame.driven.runtime().notify_all();
    Ok(sys::BLAZEN_PENDING)
}

/// # Safety
/// As for `body`.
unsafe fn run(
    frame: &Frame<'_>,
    step: &StepBody,
    context: *mut sys::blazen_context,
    event: *const sys::blazen_event,
) -> Result<sys::blazen_status, WorkflowError> {
    // SAFETY: the C context lives until this body returns, and `context` is closed before, or deferred: every panic of the
    // user's is caught on the way.
    let context = unsafe { Context::open(context) };
    let polled = guard::catch(|| {
        // SAFETY: the event lives during the call.
        let mut rest = step.call(&unsafe { Call::read(event, &context) }?)?;
        match rest.as_mut().poll(&mut Poller::from_waker(frame.waker())) {
            Poll::Ready(answer) => answer.map(|()| None),
            Poll::Pending => Ok(Some(rest)),
        }
    });
    match polled {
        Ok(Some(rest)) => match context.defer() {
            Ok(()) => {
                frame.put(Task::Step(Deferred::new(rest, context)));
                Ok(sys::BLAZEN_PENDING)
            }
            Err(error) => {
                guard::quietly(|| drop(rest));
                context.close();
                Err(error)
            }
        },
        Ok(None) => match context.close().0 {
            Some(failure) => Err(failure),
            None => Ok(sys::BLAZEN_OK),
        },
        Err(error) => {
            context.close();
            Err(error)
        }
    }
}

pub(crate) unsafe extern "C" fn drop_step(step: *mut c_void) {
    guard::quietly(|| {
        // SAFETY: given by Arc::into_raw; the library calls this once.
        drop(unsafe { Arc::from_raw(step.cast::<StepBody>()) });
    });
}
