//! A run that goes on beside its caller: [`WorkflowHandler`].

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use libblazen_sys as sys;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::drive::{Await, Driven};
use crate::error::{Parked, Status, WorkflowError};
use crate::event::ToEvent;
use crate::ffi::{self, text, KeysRef, StreamRef};
use crate::snapshot::Snapshot;
use crate::stream::{EventStream, StreamOptions};
use crate::value::{IntoValue, Value};
use crate::workflow::WorkflowResult;

/// A future that a spawner takes.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Where a run goes on while nobody awaits it: an executor's `spawn`. Any `Fn(BoxFuture)` is one.
pub trait Spawn: Send + Sync + 'static {
    /// Lets the future run to its end.
    fn spawn(&self, future: BoxFuture);
}

impl<F: Fn(BoxFuture) + Send + Sync + 'static> Spawn for F {
    fn spawn(&self, future: BoxFuture) {
        self(future);
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunState {
    /// Not started yet.
    Created,
    /// Goes on.
    Running,
    /// Idle, until an event comes from outside.
    Waiting,
    /// Parked: only steps that are elsewhere can go on.
    Elsewhere,
    /// Has a result.
    Completed,
    /// Has an error.
    Failed,
    /// Was closed or aborted.
    Cancelled,
    /// Paused: [`WorkflowHandler::resume_in_place`] goes on.
    Paused,
    /// Only an answer can go on.
    Asking,
}

impl RunState {
    fn of(state: sys::blazen_run_state) -> Self {
        match state {
            sys::BLAZEN_RUN_CREATED => RunState::Created,
            sys::BLAZEN_RUN_WAITING => RunState::Waiting,
            sys::BLAZEN_RUN_ELSEWHERE => RunState::Elsewhere,
            sys::BLAZEN_RUN_COMPLETED => RunState::Completed,
            sys::BLAZEN_RUN_FAILED => RunState::Failed,
            sys::BLAZEN_RUN_CANCELLED => RunState::Cancelled,
            sys::BLAZEN_RUN_PAUSED => RunState::Paused,
            sys::BLAZEN_RUN_ASKING => RunState::Asking,
            _ => RunState::Running,
        }
    }

    /// Whether the run has ended.
    pub fn has_ended(self) -> bool {
        matches!(self, RunState::Completed | RunState::Failed | RunState::Cancelled)
    }
}

/// An open question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct OpenQuestion {
    /// Its id, for [`WorkflowHandler::respond_to_input`].
    pub request_id: String,
    /// What is asked.
    #[serde(default)]
    pub prompt: Option<serde_json::Value>,
    /// Anything beside it.
    #[serde(default)]
    pub metadata: Option<serde_json::Value>,
    /// The step that asks.
    #[serde(default)]
    pub step: Option<String>,
    /// How long it has been open.
    #[serde(default)]
    pub age_ms: Option<f64>,
}

/// A run that goes on beside its caller.
///
/// A [spawner](Spawn) drives it: the current tokio runtime where there is one, or the one that the workflow was given.
/// Without any, it goes on while somebody awaits one of its methods, its streams, or [`drive`](Self::drive).
///
/// Dropping the handler lets the run go on where it is driven, unless it waits for what only a handler can do: then it is
/// aborted.
#[must_use = "a run may be aborted when its handler is dropped"]
pub struct WorkflowHandler {
    driven: Arc<Driven>,
    /// The subscription from before the start, until the first stream takes it.
    first: Mutex<Option<StreamRef>>,
}

impl WorkflowHandler {
    pub(crate) fn new(driven: Arc<Driven>, first: Option<StreamRef>) -> Self {
        driven.holders.fetch_add(1, Ordering::SeqCst);
        Self { driven, first: Mutex::new(first) }
    }

    fn raw(&self) -> *mut sys::blazen_run {
        self.driven.run.raw()
    }

    /// The id of the run.
    pub fn run_id(&self) -> String {
        let mut length = 0;
        // SAFETY: the run lives, and the text with it.
        unsafe {
            let id = sys::blazen_run_id(self.raw(), &mut length);
            ffi::text_of(id, length).to_owned()
        }
    }

    /// How far the run is.
    pub fn state(&self) -> RunState {
        RunState::of(self.driven.state())
    }

    /// Waits for the end of the run. It can be asked again, and gives the same. It goes on waiting where the run asks, is
    /// paused, or parked: [`wait`](Self::wait) tells.
    pub async fn result(&self) -> Result<WorkflowResult, WorkflowError> {
        let ended = Await::new(&self.driven, |driven, _| driven.outcome()).await;
        self.driven.seen.store(true, Ordering::SeqCst);
        Ok(WorkflowResult::new(ended?))
    }

    /// Waits until the run is in one of these states, or has ended.
    pub async fn wait(&self, until: &[RunState]) -> Result<RunState, WorkflowError> {
        Await::new(&self.driven, |_, state| {
            let state = RunState::of(state);
            (state.has_ended() || until.contains(&state)).then_some(Ok(state))
        })
        .await
    }

    /// Lets the run go on to its end, for executors without a spawner: poll it beside whatever uses the handler.
    pub async fn drive(&self) -> Result<(), WorkflowError> {
        Await::new(&self.driven, |driven, _| driven.outcome().map(|_| Ok(()))).await
    }

    /// What the run publishes. The first stream misses nothing since the start; later ones begin now.
    pub fn stream_events(&self) -> Result<EventStream, WorkflowError> {
        match self.first.lock().take() {
            Some(first) => Ok(EventStream::new(Arc::clone(&self.driven), first)),
            None => self.stream_with(&StreamOptions::new()),
        }
    }

    /// What the run publishes, with options.
    pub fn stream_with(&self, options: &StreamOptions) -> Result<EventStream, WorkflowError> {
        let stream = EventStream::subscribe(self.raw(), options)?;
        Ok(EventStream::new(Arc::clone(&self.driven), stream))
    }

    /// Pauses the run: no step starts any more, those in flight land; then gives its snapshot. Where the session policy
    /// refuses the snapshot, the run stays paused, and [`resume_in_place`](Self::resume_in_place) goes on.
    pub async fn pause(&self) -> Result<Snapshot, WorkflowError> {
        self.driven.host_call(|run, error| {
            // SAFETY: the run lives.
            unsafe { sys::blazen_run_pause(run, sys::BLAZEN_PAUSE_DRAIN, error) }
        })?;
        let state = self.wait(&[RunState::Paused]).await?;
        if state.has_ended() {
            return Err(self
                .driven
                .outcome()
                .and_then(Result::err)
                .unwrap_or_else(|| WorkflowError::new(Status::Cancelled, "the run has ended before it was paused")));
        }
        self.snapshot()
    }

    /// Lets a paused run go on. On one that runs, or has ended, it changes nothing.
    pub fn resume_in_place(&self) -> Result<(), WorkflowError> {
        let resumed = self.driven.host_call(|run, error| {
            // SAFETY: the run lives.
            unsafe { sys::blazen_run_resume_in_place(run, error) }
        });
        self.driven.wakes.wake_everybody();
        match resumed {
            Err(_) if self.state().has_ended() => Ok(()),
            resumed => resumed,
        }
    }

    /// Takes a snapshot, at any instant, running or not, without stopping the run.
    pub fn snapshot(&self) -> Result<Snapshot, WorkflowError> {
        // SAFETY: the run lives.
        unsafe { Snapshot::take(self.raw()) }
    }

    /// The open questions, in the order in which they were asked.
    pub fn questions(&self) -> Result<Vec<OpenQuestion>, WorkflowError> {
        self.driven.told(sys::blazen_run_questions)
    }

    /// Answers an open question. For an id that is unknown, or was answered, it is [`Status::NotFound`].
    pub fn respond_to_input(&self, request_id: &str, answer: impl IntoValue) -> Result<(), WorkflowError> {
        let answer = answer.into_value()?;
        self.driven.host_call(|run, error| {
            // SAFETY: the run lives; the id and the answer live during the call.
            unsafe { sys::blazen_run_respond(run, text(request_id), request_id.len(), answer.raw(), error) }
        })
    }

    /// Withdraws an open question: nobody needs to answer it any more.
    pub fn withdraw_question(&self, request_id: &str) -> Result<(), WorkflowError> {
        self.driven.host_call(|run, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_run_withdraw_question(run, text(request_id), request_id.len(), error) }
        })
    }

    /// Sends an event from outside.
    pub fn send_event(&self, event: impl ToEvent) -> Result<(), WorkflowError> {
        let event = event.to_raw()?;
        let (handle, options) = (event.to_handle()?, event.send_options());
        self.driven.host_call(|run, error| {
            // SAFETY: as above; the options borrow from `event`.
            unsafe { sys::blazen_run_send_event(run, handle.raw(), &options, error) }
        })
    }

    /// Ends the run at once with [`Status::Aborted`], where it has not ended; the futures of its steps are dropped.
    pub fn abort(&self) -> Result<(), WorkflowError> {
        self.driven.abort()
    }

    /// What the run is doing, without stopping it.
    pub fn describe(&self) -> Result<serde_json::Value, WorkflowError> {
        self.driven.told(sys::blazen_run_describe)
    }

    /// The steps elsewhere that have events queued.
    pub fn elsewhere(&self) -> Result<Vec<String>, WorkflowError> {
        self.driven.told(sys::blazen_run_elsewhere)
    }

    /// What the snapshots that this run comes from have dropped, and what its resume has skipped.
    pub fn dropped(&self) -> Result<Vec<String>, WorkflowError> {
        self.driven.told(sys::blazen_run_dropped)
    }

    /// Reads a key of the run's state, at any time.
    pub fn get_value(&self, key: &str) -> Result<Option<Value>, WorkflowError> {
        let mut value = std::ptr::null_mut();
        ffi::call(|error| {
            // SAFETY: as above.
            unsafe {
                sys::blazen_run_get_value(self.raw(), text(key), key.len(), &mut value, std::ptr::null_mut(), error)
            }
        })?;
        // SAFETY: given by the call, and ours.
        Ok(unsafe { Value::own(value) })
    }

    /// The keys of the run's state that begin with a prefix (empty: all).
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, WorkflowError> {
        let made = ffi::make(|keys, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_run_keys(self.raw(), text(prefix), prefix.len(), keys, error) }
        })?;
        // SAFETY: made above, and ours.
        Ok(unsafe { KeysRef::own(made) }.map_or_else(Vec::new, |keys| keys.to_vec()))
    }

    pub(crate) fn stages(&self) -> Result<serde_json::Value, WorkflowError> {
        self.driven.told(sys::blazen_run_stages)
    }

    /// Lets a spawner drive the run.
    pub(crate) fn spawn_on(&self, spawner: &dyn Spawn) {
        let driven = Arc::clone(&self.driven);
        spawner.spawn(Box::pin(async move {
            let driving = Await::new(&driven, |driven, _| {
                driven.end_if_forsaken();
                driven.outcome().map(|_| Ok(()))
            });
            if let Err(error) = driving.await {
                log::error!(target: "blazen", "a run cannot be driven: {error}");
            }
        }));
    }
}

impl Drop for WorkflowHandler {
    fn drop(&mut self) {
        let_go(&self.driven);
    }
}

/// One fewer that can let the run go on.
pub(crate) fn let_go(driven: &Driven) {
    if driven.holders.fetch_sub(1, Ordering::SeqCst) == 1 {
        driven.end_if_forsaken();
        driven.wakes.notify();
    }
}

impl std::fmt::Debug for WorkflowHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkflowHandler")
            .field("run_id", &self.run_id())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// Why a run can only go on from outside, if so.
pub(crate) fn parked(driven: &Driven) -> Option<Result<Parked, WorkflowError>> {
    match driven.state() {
        sys::BLAZEN_RUN_ELSEWHERE => Some(driven.told(sys::blazen_run_elsewhere).map(Parked::Elsewhere)),
        sys::BLAZEN_RUN_ASKING if driven.wants_input() => {
            let questions: Result<Vec<OpenQuestion>, _> = driven.told(sys::blazen_run_questions);
            Some(questions.map(|questions| {
                Parked::InputRequired(questions.into_iter().map(|question| question.request_id).collect())
            }))
        }
        sys::BLAZEN_RUN_WAITING => Some(Ok(Parked::Waiting)),
        _ => None,
    }
}
