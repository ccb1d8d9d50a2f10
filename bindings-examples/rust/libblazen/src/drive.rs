//! How a run goes on: whoever awaits it polls it, with the engine in pump mode.
//!
//! One poll of a run takes turns until there is nothing to do: the engine calls the bodies of the steps that are ready; each
//! body is polled once, at once; a step that is not ready then is deferred, and becomes a task of the run; the tasks that
//! were woken are polled, outside the engine. So a step runs inside the `poll` of the future that awaits the run, where the
//! executor's timers and sockets work.
//!
//! Inside a callback of the engine, a run cannot be polled (the library wants such calls from outside). A step that awaits
//! another run is therefore deferred at its first poll, and goes on as a task.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as Poller, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use libblazen_sys as sys;
use parking_lot::Mutex;

use crate::error::{Status, WorkflowError};
use crate::ffi::{self, InvocationRef, RunRef};
use crate::runtime::Runtime;
use crate::step::StepBody;
use crate::task::Task;
use crate::timer::Moment;
use crate::value::Value;
use crate::wakes::WakeSet;

/// Steps that the engine may run in one go before the tasks have their turn.
const STEPS_IN_A_ROW_MAX: u64 = 64;
/// Turns of one poll before the executor has its own.
const TURNS_MAX: u32 = 32;

/// Steps of a run that another run's poll was asked to call, on a runtime that both share.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Vec<(Arc<StepBody>, InvocationRef)>>);

impl Inbox {
    pub(crate) fn put(&self, body: Arc<StepBody>, invocation: InvocationRef) {
        self.0.lock().push((body, invocation));
    }
}

/// A run, and what drives it.
pub(crate) struct Driven {
    pub(crate) run: RunRef,
    runtime: Runtime,
    /// Whether the runtime was lent for this run alone, and goes back.
    lent: bool,
    pub(crate) wakes: Arc<WakeSet>,
    waker: Waker,
    inbox: Arc<Inbox>,
    /// Who polls has it, see `WakeSet`.
    driver: Mutex<Driver>,
    /// Tasks that came up outside a poll.
    fresh: Mutex<Vec<Task>>,
    ended: OnceLock<Result<Value, WorkflowError>>,
    /// Handlers and streams that can still let a parked run go on.
    pub(crate) holders: AtomicUsize,
    /// Whether somebody has seen how it ended.
    pub(crate) seen: AtomicBool,
}

#[derive(Default)]
struct Driver {
    tasks: FuturesUnordered<Task>,
    moment: Option<Moment>,
}

/// A call of the engine under way in this thread, and where the steps that it defers go.
pub(crate) struct Frame<'a> {
    pub(crate) driven: &'a Driven,
    tasks: RefCell<Vec<Task>>,
    refused: Cell<u32>,
}

thread_local! {
    static FRAME: Cell<*const Frame<'static>> = const { Cell::new(ptr::null()) };
}

impl Frame<'_> {
    /// The frame of this thread, where it is inside a call of the engine.
    pub(crate) fn with<T>(body: impl FnOnce(Option<&Frame<'_>>) -> T) -> T {
        let frame = FRAME.get();
        // SAFETY: `Driven::enter` sets the pointer for as long as it borrows the frame, in this thread alone.
        body(unsafe { frame.as_ref() })
    }

    pub(crate) fn put(&self, task: Task) {
        self.tasks.borrow_mut().push(task);
    }

    /// For what the first poll of a step is given: it wakes the run.
    pub(crate) fn waker(&self) -> &Waker {
        &self.driven.waker
    }
}

/// How often a run may be polled inside one call of the engine before that is an error: a future that is polled there says
/// that it wants to be polled again, and a step that blocks its thread on it would do so for ever.
const REFUSALS_MAX: u32 = 10_000;

/// Whether this thread is inside a call of the engine, where no run can be polled.
fn inside() -> Result<bool, WorkflowError> {
    Frame::with(|frame| {
        let Some(frame) = frame else { return Ok(false) };
        frame.refused.set(frame.refused.get() + 1);
        if frame.refused.get() > REFUSALS_MAX {
            return Err(WorkflowError::new(
                Status::WrongPlace,
                "a step blocks its thread on another run: await the run instead of blocking on it",
            ));
        }
        Ok(true)
    })
}

impl Driven {
    pub(crate) fn new(runtime: Runtime, lent: bool, run: RunRef) -> Arc<Self> {
        let wakes = Arc::new(WakeSet::default());
        let inbox = Arc::default();
        runtime.join(run.raw() as usize, &wakes, &inbox);
        Arc::new(Self {
            waker: Waker::from(Arc::clone(&wakes)),
            run,
            runtime,
            lent,
            wakes,
            inbox,
            driver: Mutex::default(),
            fresh: Mutex::default(),
            ended: OnceLock::new(),
            holders: AtomicUsize::new(0),
            seen: AtomicBool::new(false),
        })
    }

    /// Makes a call that may run callbacks of this run, such as its start.
    pub(crate) fn host_call(
        &self,
        body: impl FnOnce(*mut sys::blazen_run, *mut *mut sys::blazen_error) -> sys::blazen_status,
    ) -> Result<(), WorkflowError> {
        let called = if Frame::with(|frame| frame.is_some()) {
            ffi::call(|error| body(self.run.raw(), error))
        } else {
            let (called, tasks) = self.enter(|| ffi::call(|error| body(self.run.raw(), error)));
            self.fresh.lock().extend(tasks);
            called
        };
        self.wakes.notify();
        called
    }

    /// Calls the engine.
    fn enter<T>(&self, body: impl FnOnce() -> T) -> (T, Vec<Task>) {
        struct Left;
        impl Drop for Left {
            fn drop(&mut self) {
                FRAME.set(ptr::null());
            }
        }
        let frame = Frame { driven: self, tasks: RefCell::default(), refused: Cell::new(0) };
        FRAME.set(ptr::from_ref(&frame).cast());
        let left = Left;
        let answer = body();
        drop(left);
        (answer, frame.tasks.into_inner())
    }

    pub(crate) fn state(&self) -> sys::blazen_run_state {
        // SAFETY: the run lives.
        unsafe { sys::blazen_run_state_now(self.run.raw()) }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// How the run ended; None before that.
    pub(crate) fn outcome(&self) -> Option<Result<Value, WorkflowError>> {
        if let Some(ended) = self.ended.get() {
            return Some(ended.clone());
        }
        if !has_ended(self.state()) {
            return None;
        }
        let result = ffi::make(|value, error| {
            // SAFETY: the run lives.
            unsafe { sys::blazen_run_result(self.run.raw(), value, error) }
        })
        .and_then(|value| {
            // SAFETY: made above, and ours.
            unsafe { Value::own(value) }.ok_or_else(|| WorkflowError::new(Status::Internal, "the run has no result"))
        });
        Some(self.ended.get_or_init(|| result).clone())
    }

    /// Takes turns until there is nothing to do, and registers `poller` to be woken when there is again.
    ///
    /// Answers whether this thread is outside the engine. Inside, nothing is done, and `poller` is polled again soon.
    pub(crate) fn poll(&self, id: u64, poller: &Poller<'_>) -> Result<bool, WorkflowError> {
        if inside()? {
            poller.waker().wake_by_ref();
            return Ok(false);
        }
        self.wakes.register(id, poller.waker(), self.state());
        if !self.wakes.begin() {
            return Ok(true);
        }
        let polled = self.take_turns();
        self.wakes.wake_others(id, self.state());
        polled.map(|()| true)
    }

    /// With the right to poll, which is given back.
    fn take_turns(&self) -> Result<(), WorkflowError> {
        let mut driver = self.driver.lock();
        let mut turns = 0;
        loop {
            let more = match self.take_turn(&mut driver) {
                Ok(more) => more,
                Err(error) => {
                    self.wakes.end();
                    return Err(error);
                }
            };
            if has_ended(self.state()) {
                *driver = Driver::default();
                self.wakes.end();
                return Ok(());
            }
            turns += 1;
            if turns == TURNS_MAX {
                self.wakes.end();
                self.wakes.wake_everybody();
                return Ok(());
            }
            if more || self.wakes.look_again() {
                continue;
            }
            let soon = self.set_moment(&mut driver);
            if !soon && self.wakes.end_unless_notified() {
                return Ok(());
            }
        }
    }

    /// One call of the engine, one look at the tasks. Answers whether the engine has left something to run.
    fn take_turn(&self, driver: &mut Driver) -> Result<bool, WorkflowError> {
        let mut steps = 0;
        let (polled, tasks) = self.enter(|| {
            ffi::call(|error| {
                // SAFETY: the runtime lives, and this thread is in no callback (`inside`).
                unsafe { sys::blazen_runtime_poll(self.runtime.raw(), STEPS_IN_A_ROW_MAX, &mut steps, error) }
            })
        });
        driver.tasks.extend(tasks);
        polled?;
        driver.tasks.extend(std::mem::take(&mut *self.fresh.lock()));
        if self.runtime.is_shared() {
            let steps = std::mem::take(&mut *self.inbox.0.lock());
            driver.tasks.extend(steps.into_iter().map(|(body, invocation)| Task::late(body, invocation)));
        }
        if !driver.tasks.is_empty() {
            let mut poller = Poller::from_waker(&self.waker);
            while let Poll::Ready(Some(())) = driver.tasks.poll_next_unpin(&mut poller) {}
        }
        Ok(steps >= STEPS_IN_A_ROW_MAX)
    }

    /// Lets the run be polled again when something is due by the time alone. Answers whether that is now.
    fn set_moment(&self, driver: &mut Driver) -> bool {
        let mut delay_ms = -1;
        // SAFETY: the runtime lives.
        let asked =
            ffi::call(|error| unsafe { sys::blazen_runtime_next_timer(self.runtime.raw(), &mut delay_ms, error) });
        let Some(delay_ms) = asked.ok().and_then(|()| u64::try_from(delay_ms).ok()) else { return false };
        // The library counts in whole milliseconds: one more, so that nobody comes too early.
        let delay = Duration::from_millis(delay_ms.saturating_add(1).min(FAR_MS));
        let now = Instant::now();
        let kept = driver.moment.as_ref().is_some_and(|moment| moment.at() > now && moment.at() <= now + delay);
        if !kept {
            driver.moment = Moment::new(delay, &self.wakes);
        }
        delay_ms == 0
    }

    /// Ends the run at once, and what it has under way.
    pub(crate) fn abort(&self) -> Result<(), WorkflowError> {
        let aborted = self.host_call(|run, error| {
            // SAFETY: the run lives.
            unsafe { sys::blazen_run_abort(run, error) }
        });
        self.drop_tasks();
        self.wakes.wake_everybody();
        aborted
    }

    /// Drops the steps under way of a run that has ended. One that is being polled just now ends with that poll.
    fn drop_tasks(&self) {
        if self.wakes.begin() {
            *self.driver.lock() = Driver::default();
            self.wakes.end();
        }
    }

    /// Nobody has asked how the run ended: a failure is said, as of a task that nobody joins.
    fn report_unseen(&self) {
        match self.outcome() {
            Some(Err(error)) if error.status() != Status::Aborted => {
                log::error!(target: "blazen", "a run has failed, and nobody has asked for its result: {error}");
            }
            _ => {}
        }
    }

    /// A run that nobody can let go on any more is ended: there is no handler left, and it waits for one.
    pub(crate) fn end_if_forsaken(&self) {
        if self.holders.load(Ordering::SeqCst) > 0 {
            return;
        }
        let forsaken = match self.state() {
            sys::BLAZEN_RUN_WAITING | sys::BLAZEN_RUN_ELSEWHERE | sys::BLAZEN_RUN_PAUSED => true,
            sys::BLAZEN_RUN_ASKING => self.wants_input(),
            _ => false,
        };
        if forsaken {
            log::warn!(target: "blazen", "a run waits for its handler, which is gone: it is aborted");
            if let Err(error) = self.abort() {
                log::error!(target: "blazen", "it cannot be aborted: {error}");
            }
        }
    }

    /// Whether a question is open that no input handler has taken.
    pub(crate) fn wants_input(&self) -> bool {
        let mut wants = 0;
        // SAFETY: the run lives.
        let asked = ffi::call(|error| unsafe { sys::blazen_run_wants_input(self.run.raw(), &mut wants, error) });
        asked.is_ok() && wants == 1
    }

    /// A JSON value that a call about the run gives.
    pub(crate) fn told<T: serde::de::DeserializeOwned>(
        &self,
        body: unsafe extern "C" fn(
            *const sys::blazen_run,
            *mut *mut sys::blazen_value,
            *mut *mut sys::blazen_error,
        ) -> sys::blazen_status,
    ) -> Result<T, WorkflowError> {
        // SAFETY: the run lives.
        let made = ffi::make(|value, error| unsafe { body(self.run.raw(), value, error) })?;
        // SAFETY: made above, and ours.
        match unsafe { Value::own(made) } {
            Some(value) => value.to(),
            None => Err(WorkflowError::new(Status::Internal, "the library told nothing")),
        }
    }
}

/// A moment further away than this is set anew when it has come.
const FAR_MS: u64 = 24 * 3600 * 1000;

impl Drop for Driven {
    fn drop(&mut self) {
        if !has_ended(self.state()) {
            if let Err(error) = self.abort() {
                log::error!(target: "blazen", "a run that was dropped cannot be aborted: {error}");
            }
        }
        self.drop_tasks();
        if !self.seen.load(Ordering::SeqCst) {
            self.report_unseen();
        }
        if self.lent && has_ended(self.state()) {
            self.runtime.clone().give_back();
        }
    }
}

pub(crate) fn has_ended(state: sys::blazen_run_state) -> bool {
    matches!(state, sys::BLAZEN_RUN_COMPLETED | sys::BLAZEN_RUN_FAILED | sys::BLAZEN_RUN_CANCELLED)
}

/// Is given the state of the run, by which alone it decides that it has to wait.
type Look<'a, T> = Box<dyn FnMut(&Driven, sys::blazen_run_state) -> Option<T> + Send + 'a>;

/// Polls a run until `look` finds what it looks for.
pub(crate) struct Await<'a, T> {
    driven: &'a Driven,
    id: u64,
    look: Look<'a, T>,
}

impl<'a, T> Await<'a, T> {
    pub(crate) fn new(
        driven: &'a Driven,
        look: impl FnMut(&Driven, sys::blazen_run_state) -> Option<T> + Send + 'a,
    ) -> Self {
        Self { id: driven.wakes.new_id(), driven, look: Box::new(look) }
    }
}

impl<T> Future for Await<'_, Result<T, WorkflowError>> {
    type Output = Result<T, WorkflowError>;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        if let Err(error) = self.driven.poll(self.id, poller) {
            return Poll::Ready(Err(error));
        }
        let driven = self.driven;
        let state = driven.state();
        let found = (self.look)(driven, state);
        if found.is_none() {
            driven.wakes.saw(self.id, state);
        }
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Await<'_, T> {
    fn drop(&mut self) {
        self.driven.wakes.forget(self.id);
    }
}
