//! What a run has under way outside the engine: steps that were deferred, and input handlers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use futures_util::task::AtomicWaker;
use libblazen_sys as sys;

use crate::context::Context;
use crate::error::WorkflowError;
use crate::ffi::{self, InvocationRef};
use crate::guard;
use crate::step::{Call, StepBody};

/// The rest of a step. Not `Send` by its type, so that steps of a `LocalWorkflow` fit; see the impl for [`Task`].
pub(crate) type StepFuture = Pin<Box<dyn Future<Output = Result<(), WorkflowError>>>>;

pub(crate) enum Task {
    Step(Deferred),
    Late(Arc<StepBody>, Option<InvocationRef>),
    Input(Pin<Box<dyn Future<Output = ()> + Send>>),
}

// SAFETY: a Task holds a future of a step. Those of a `Workflow` are `Send`, since `StepDef` asks for it where they are
// made. Those of a `LocalWorkflow` need not be: its runs (`LocalRun`) are `!Send`, its runtime is private to each run, and
// tasks are made, polled and dropped by the poll or the drop of that run alone, so in its thread. A `Context` that goes to
// another thread keeps no task.
unsafe impl Send for Task {}

pub(crate) struct Deferred {
    rest: Option<StepFuture>,
    context: Context,
    cancel: Arc<AtomicWaker>,
}

impl Deferred {
    /// The context is deferred already.
    pub(crate) fn new(rest: StepFuture, context: Context) -> Self {
        let cancel = Arc::<AtomicWaker>::default();
        if let Err(error) = context.on_cancel(&cancel) {
            log::warn!(target: "blazen", "a step will not be told that it is cancelled: {error}");
        }
        Self { rest: Some(rest), context, cancel }
    }

    fn poll(&mut self, poller: &mut Poller<'_>) -> Poll<()> {
        self.cancel.register(poller.waker());
        if self.context.is_cancelled() {
            self.end(None);
            return Poll::Ready(());
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(()) };
        match guard::catch(|| Ok(rest.as_mut().poll(poller))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => self.end(Some(answer)),
            Err(panicked) => self.end(Some(Err(panicked))),
        }
        Poll::Ready(())
    }

    /// Ends the step with its answer; without one, it is cancelled, and its future is dropped.
    fn end(&mut self, answer: Option<Result<(), WorkflowError>>) {
        let rest = self.rest.take();
        guard::quietly(|| drop(rest));
        let (failure, invocation) = self.context.close();
        let (Some(answer), Some(invocation)) = (answer, invocation) else { return };
        finish(invocation, answer.err().or(failure));
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if self.rest.is_some() {
            self.end(None);
        }
    }
}

/// Completes an invocation, or fails it.
fn finish(invocation: InvocationRef, failure: Option<WorkflowError>) {
    let cause = failure.as_ref().and_then(WorkflowError::to_handle);
    let cause = cause.as_ref().map_or(std::ptr::null_mut(), ffi::ErrorHandle::raw);
    let finished = ffi::call(|error| {
        // SAFETY: our reference is given away; the cause lives during the call.
        unsafe { sys::blazen_invocation_finish(invocation.into_raw(), cause, error) }
    });
    if let Err(error) = finished {
        // The run has ended meanwhile, or the time of the attempt was up.
        log::debug!(target: "blazen", "a step came back too late: {error}");
    }
}

impl Task {
    pub(crate) fn late(body: Arc<StepBody>, invocation: InvocationRef) -> Self {
        Self::Late(body, Some(invocation))
    }

    /// Calls the body of a step that another run's poll was asked to call.
    fn begin(body: &Arc<StepBody>, invocation: InvocationRef) -> Result<Deferred, InvocationAndError> {
        let context = Context::of_invocation(invocation.clone());
        // SAFETY: the invocation keeps its event.
        let made = guard::catch(|| unsafe {
            let event = sys::blazen_invocation_event(invocation.raw());
            body.call(&Call::read(event, &context)?)
        });
        match made {
            Ok(rest) => Ok(Deferred::new(rest, context)),
            Err(error) => {
                context.close();
                Err((invocation, error))
            }
        }
    }
}

type InvocationAndError = (InvocationRef, WorkflowError);

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Task::Step(step) => return step.poll(poller),
                Task::Input(handler) => return handler.as_mut().poll(poller),
                Task::Late(body, invocation) => {
                    let Some(invocation) = invocation.take() else { return Poll::Ready(()) };
                    match Task::begin(body, invocation) {
                        Ok(step) => *self = Task::Step(step),
                        Err((invocation, error)) => {
                            finish(invocation, Some(error));
                            return Poll::Ready(());
                        }
                    }
                }
            }
        }
    }
}
