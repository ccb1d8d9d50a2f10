//! How calls and runs fail: [`WorkflowError`], and the way of a step's own error through the library and back.

use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use libblazen_sys as sys;
use serde::Deserialize;

use crate::ffi::{self, sized, text, ErrorHandle};
use crate::handler::WorkflowHandler;
use crate::value::Value;

/// How a call, or a run, ended. The numbers are those of `blazen.h`, and stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// An argument is wrong; the message names it.
    InvalidArgument,
    /// A handle of another kind.
    WrongHandle,
    /// A text is not UTF-8.
    InvalidUtf8,
    /// A text is not JSON.
    InvalidJson,
    /// A value with this tag cannot stand here.
    WrongTag,
    /// Not from inside a callback, or only from there.
    WrongPlace,
    /// Too early, too late, or twice.
    WrongState,
    /// There is no such step, question or run.
    NotFound,
    /// Compare-and-set: the key has another version.
    Conflict,
    /// A workflow that could never work; the message says why.
    InvalidWorkflow,
    /// There is no memory left.
    OutOfMemory,
    /// A bound was reached; the message names it.
    Limit,
    /// The deadline of a call has passed; the run goes on.
    Timeout,
    /// The run, or its runtime, was closed or has already ended.
    Cancelled,
    /// The operating system refused; the host code is its errno.
    System,
    /// A defect of the library.
    Internal,
    /// The host's own failure, such as the error of a step.
    Host,
    /// A step has failed for good: [`WorkflowError::step_name`] and [`WorkflowError::attempt`] say which.
    StepFailed,
    /// An event that no step accepts.
    NoHandler,
    /// Nothing is queued, running or awaited, and there was no StopEvent.
    Stalled,
    /// The time of the run is up.
    RunTimeout,
    /// The time of an attempt of a step is up.
    StepTimeout,
    /// The run was aborted.
    Aborted,
    /// Live values that a snapshot cannot keep, or make again; the message names them.
    NotSerializable,
    /// A snapshot that is truncated, altered or hostile.
    SnapshotInvalid,
    /// A snapshot of a format that this library does not know yet.
    SnapshotNewer,
    /// A snapshot of another workflow, or one that lacks a step.
    SnapshotMismatch,
    /// A number that is newer than this crate.
    Unknown(i32),
}

const STATUSES: [(i32, Status); 27] = [
    (sys::BLAZEN_ERROR_INVALID_ARGUMENT, Status::InvalidArgument),
    (sys::BLAZEN_ERROR_WRONG_HANDLE, Status::WrongHandle),
    (sys::BLAZEN_ERROR_INVALID_UTF8, Status::InvalidUtf8),
    (sys::BLAZEN_ERROR_INVALID_JSON, Status::InvalidJson),
    (sys::BLAZEN_ERROR_WRONG_TAG, Status::WrongTag),
    (sys::BLAZEN_ERROR_WRONG_PLACE, Status::WrongPlace),
    (sys::BLAZEN_ERROR_WRONG_STATE, Status::WrongState),
    (sys::BLAZEN_ERROR_NOT_FOUND, Status::NotFound),
    (sys::BLAZEN_ERROR_CONFLICT, Status::Conflict),
    (sys::BLAZEN_ERROR_INVALID_WORKFLOW, Status::InvalidWorkflow),
    (sys::BLAZEN_ERROR_OUT_OF_MEMORY, Status::OutOfMemory),
    (sys::BLAZEN_ERROR_LIMIT, Status::Limit),
    (sys::BLAZEN_ERROR_TIMEOUT, Status::Timeout),
    (sys::BLAZEN_ERROR_CANCELLED, Status::Cancelled),
    (sys::BLAZEN_ERROR_SYSTEM, Status::System),
    (sys::BLAZEN_ERROR_INTERNAL, Status::Internal),
    (sys::BLAZEN_ERROR_HOST, Status::Host),
    (sys::BLAZEN_ERROR_STEP_FAILED, Status::StepFailed),
    (sys::BLAZEN_ERROR_NO_HANDLER, Status::NoHandler),
    (sys::BLAZEN_ERROR_STALLED, Status::Stalled),
    (sys::BLAZEN_ERROR_RUN_TIMEOUT, Status::RunTimeout),
    (sys::BLAZEN_ERROR_STEP_TIMEOUT, Status::StepTimeout),
    (sys::BLAZEN_ERROR_ABORTED, Status::Aborted),
    (sys::BLAZEN_ERROR_NOT_SERIALIZABLE, Status::NotSerializable),
    (sys::BLAZEN_ERROR_SNAPSHOT_INVALID, Status::SnapshotInvalid),
    (sys::BLAZEN_ERROR_SNAPSHOT_NEWER, Status::SnapshotNewer),
    (sys::BLAZEN_ERROR_SNAPSHOT_MISMATCH, Status::SnapshotMismatch),
];

impl Status {
    pub(crate) fn of(number: i32) -> Self {
        STATUSES.iter().find(|(known, _)| *known == number).map_or(Status::Unknown(number), |(_, status)| *status)
    }

    pub(crate) fn number(self) -> i32 {
        match self {
            Status::Unknown(number) => number,
            known => STATUSES
                .iter()
                .find(|(_, status)| *status == known)
                .map_or(sys::BLAZEN_ERROR_INTERNAL, |(number, _)| *number),
        }
    }
}

/// Any error that a step can fail with.
pub type StepError = dyn Error + Send + Sync + 'static;

/// Why a run stands where only the outside can let it go on: what [`Workflow::run`](crate::Workflow::run) ends with, since
/// it never waits on nobody. [`WorkflowError::into_handler`] gives the run, which stays usable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parked {
    /// Only steps that are elsewhere can go on; these.
    Elsewhere(Vec<String>),
    /// A human is asked; the ids of the open questions.
    InputRequired(Vec<String>),
    /// The run is idle until an event comes from outside.
    Waiting,
}

/// What another language said of the error of one of its steps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RemoteError {
    /// The language, such as `"python"`.
    pub language: String,
    /// The type of the error there.
    #[serde(rename = "type")]
    pub error_type: String,
    /// Its message.
    pub message: String,
    /// Its traceback, as that language writes it.
    #[serde(default)]
    pub traceback: Option<serde_json::Value>,
}

/// A call, or a run, has failed.
///
/// Of a run that a step has failed, [`source`](Error::source) is the step's own error, the very object, and
/// [`downcast_ref`](Self::downcast_ref) finds it by type; step, attempt and status are here. A clone is the same error.
#[derive(Clone)]
pub struct WorkflowError(Arc<Inner>);

#[derive(Default)]
struct Inner {
    status: Option<Status>,
    message: String,
    step: Option<String>,
    attempt: u32,
    host_code: i64,
    offset: Option<u64>,
    own: Option<Arc<StepError>>,
    cause: Option<WorkflowError>,
    remote: Option<RemoteError>,
    detail: Option<Value>,
    handle: Option<ErrorHandle>,
    parked: Option<Parked>,
    handler: parking_lot::Mutex<Option<Box<WorkflowHandler>>>,
}

impl WorkflowError {
    /// A step fails with this error. Whoever awaits the run gets the same object back, by
    /// [`downcast_ref`](Self::downcast_ref); other languages get its type, its message and the messages of its sources.
    pub fn step<E: Error + Send + Sync + 'static>(error: E) -> Self {
        let own: Arc<StepError> = Arc::new(error);
        Self::of_own(short_type_name(type_name::<E>()), own)
    }

    /// A failure that is only a message.
    pub fn message(message: impl Into<String>) -> Self {
        Self::new(Status::Host, message)
    }

    /// The same error with a code of the host's own, by which retries can choose.
    #[must_use]
    pub fn with_code(self, host_code: i64) -> Self {
        let inner = &*self.0;
        Self(Arc::new(Inner {
            status: inner.status,
            message: inner.message.clone(),
            host_code,
            own: inner.own.clone(),
            cause: inner.cause.clone(),
            detail: inner.detail.clone(),
            ..Inner::default()
        }))
    }

    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { status: Some(status), message: message.into(), ..Inner::default() }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, message)
    }

    fn of_own(name: &str, own: Arc<StepError>) -> Self {
        Self(Arc::new(Inner {
            status: Some(Status::Host),
            message: format!("{name}: {own}"),
            own: Some(own),
            ..Inner::default()
        }))
    }

    pub(crate) fn parked_at(parked: Parked, handler: Option<WorkflowHandler>) -> Self {
        let message = match &parked {
            Parked::Elsewhere(steps) => format!(
                "the run is parked: only steps that are elsewhere can go on ({}). Take a snapshot of \
                 WorkflowError::into_handler, and resume it where they are",
                steps.join(", ")
            ),
            Parked::InputRequired(ids) => format!(
                "the run asks a human (open questions: {}). Answer with respond_to_input of \
                 WorkflowError::into_handler, or give the workflow an input_handler",
                ids.join(", ")
            ),
            Parked::Waiting => "the run waits for an event from outside: send it with send_event of \
                                WorkflowError::into_handler"
                .to_owned(),
        };
        Self(Arc::new(Inner {
            status: Some(Status::WrongState),
            message,
            parked: Some(parked),
            handler: parking_lot::Mutex::new(handler.map(Box::new)),
            ..Inner::default()
        }))
    }

    /// The error of a call that failed.
    ///
    /// # Safety
    /// `error` is NULL or an error that belongs to the caller; it is taken over.
    pub(crate) unsafe fn from_library(status: sys::blazen_status, error: *mut sys::blazen_error) -> Self {
        // SAFETY: the caller says so.
        match unsafe { ErrorHandle::own(error) } {
            Some(handle) => Self::of_handle(handle),
            None => Self::new(Status::of(status), "no details were given"),
        }
    }

    fn of_handle(handle: ErrorHandle) -> Self {
        let mut view = sized!(sys::blazen_error_view);
        // SAFETY: a live error and a view of its size. What it lends lives as long as `handle`.
        let (message, step, detail, cause) = unsafe {
            sys::blazen_error_read(handle.raw(), &mut view);
            (
                ffi::text_of(view.message, view.message_length).to_owned(),
                (!view.step.is_null()).then(|| ffi::text_of(view.step, view.step_length).to_owned()),
                Value::borrow(view.detail),
                ErrorHandle::borrow(view.cause),
            )
        };
        let cause = cause.map(Self::of_handle);
        // A detail is also said to be that of the errors above it: it is kept where it was given.
        let detail = detail.filter(|_| cause.as_ref().is_none_or(|cause| cause.0.detail.is_none()));
        Self(Arc::new(Inner {
            status: Some(Status::of(view.status)),
            message,
            step,
            attempt: view.attempt,
            host_code: view.host_code,
            offset: (view.offset != u64::MAX).then_some(view.offset),
            own: detail.as_ref().and_then(own_error),
            remote: detail.as_ref().and_then(|detail| detail.to().ok()),
            detail,
            cause,
            handle: Some(handle),
            ..Inner::default()
        }))
    }

    /// Hands the error to the library, from a callback: sets `*error` and answers the status to return.
    ///
    /// # Safety
    /// `error` is where a callback may leave an error: writable, or NULL.
    pub(crate) unsafe fn report(&self, error: *mut *mut sys::blazen_error) -> sys::blazen_status {
        let inner = &*self.0;
        if let Some(handle) = &inner.handle {
            if !error.is_null() {
                // SAFETY: as the caller says.
                unsafe { *error = handle.clone().into_raw() };
            }
            return self.status().number();
        }
        let detail = match &inner.own {
            Some(own) => Value::live_error(OwnError { error: Arc::clone(own), said: inner.message.clone() }),
            None => inner.detail.clone(),
        };
        let raw = detail.as_ref().map_or(std::ptr::null_mut(), Value::raw);
        // SAFETY: a text, a live value or NULL, and the place of the error.
        unsafe { sys::blazen_error_host(inner.host_code, text(&inner.message), inner.message.len(), raw, error) }
    }

    /// The same as a handle of the library's.
    pub(crate) fn to_handle(&self) -> Option<ErrorHandle> {
        let mut error = std::ptr::null_mut();
        // SAFETY: a place for an error, which is ours then.
        unsafe {
            self.report(&mut error);
            ErrorHandle::own(error)
        }
    }

    /// How it ended.
    pub fn status(&self) -> Status {
        self.0.status.unwrap_or(Status::Internal)
    }

    /// Whether some time was up: that of the run, of a step, or of a call.
    pub fn is_timeout(&self) -> bool {
        self.chain().any(|error| matches!(error.status(), Status::RunTimeout | Status::StepTimeout | Status::Timeout))
    }

    /// The step that failed, or that sent the event; None where no step has to do with it.
    pub fn step_name(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// Which attempt of that step it was, from 1; 0 where there is none.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The host's own code, of this error or of the first of its causes that has one; 0 where there is none.
    pub fn host_code(&self) -> i64 {
        self.chain().map(|error| error.0.host_code).find(|code| *code != 0).unwrap_or(0)
    }

    /// The byte at fault in the text or the snapshot that was given.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The value that the failure carries, of this error or of the first of its causes that has one.
    pub fn detail(&self) -> Option<&Value> {
        self.chain().find_map(|error| error.0.detail.as_ref())
    }

    /// The step's own error, where it is an `E`: the very object that the step failed with, or one of its sources.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        let mut next: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<E>() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// What another language said of the error, where the step that failed was not of this process.
    pub fn remote(&self) -> Option<&RemoteError> {
        self.chain().find_map(|error| error.0.remote.as_ref())
    }

    /// Why the run is parked, where [`Workflow::run`](crate::Workflow::run) ended because nobody would let it go on.
    pub fn parked(&self) -> Option<&Parked> {
        self.0.parked.as_ref()
    }

    /// The run of a [`parked`](Self::parked) error, to let it go on. It is given once: later calls, and those on clones,
    /// get None.
    pub fn into_handler(self) -> Option<WorkflowHandler> {
        self.0.handler.lock().take().map(|handler| *handler)
    }

    fn chain(&self) -> impl Iterator<Item = &WorkflowError> {
        std::iter::successors(Some(self), |error| error.0.cause.as_ref())
    }
}

impl fmt::Display for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowError")
            .field("status", &self.status())
            .field("message", &self.0.message)
            .field("step", &self.0.step)
            .field("attempt", &self.0.attempt)
            .field("source", &self.source().map(ToString::to_string))
            .finish()
    }
}

impl Error for WorkflowError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Some(own) = &self.0.own {
            return Some(&**own);
        }
        let cause = self.0.cause.as_ref()?;
        // The library's wrapping of the step's own error says nothing that this one does not.
        match &cause.0.own {
            Some(own) => Some(&**own),
            None => Some(cause),
        }
    }
}

impl From<serde_json::Error> for WorkflowError {
    fn from(error: serde_json::Error) -> Self {
        Self::step(error)
    }
}

impl From<Box<StepError>> for WorkflowError {
    fn from(error: Box<StepError>) -> Self {
        match error.downcast::<WorkflowError>() {
            Ok(error) => *error,
            Err(error) => Self::of_own("Error", Arc::from(error)),
        }
    }
}

impl From<std::io::Error> for WorkflowError {
    fn from(error: std::io::Error) -> Self {
        Self::step(error)
    }
}

impl From<std::convert::Infallible> for WorkflowError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<String> for WorkflowError {
    fn from(message: String) -> Self {
        Self::message(message)
    }
}

impl From<&str> for WorkflowError {
    fn from(message: &str) -> Self {
        Self::message(message)
    }
}

/// The error of a step on its way through the library.
pub(crate) struct OwnError {
    error: Arc<StepError>,
    said: String,
}

impl OwnError {
    /// What a snapshot, and so another language, keeps of it.
    pub(crate) fn serialized(&self) -> serde_json::Value {
        let (name, message) = self.said.split_once(": ").unwrap_or(("Error", &self.said));
        let sources: Vec<String> = std::iter::successors(self.error.source(), |&error| error.source())
            .map(|source| format!("caused by: {source}"))
            .collect();
        serde_json::json!({
            "language": "rust",
            "type": name,
            "message": message,
            "traceback": sources.join("\n"),
            "object": null,
        })
    }
}

fn own_error(detail: &Value) -> Option<Arc<StepError>> {
    detail.live_ref::<OwnError>().map(|own| Arc::clone(&own.error))
}

/// The bare name of a type: `a::b::C<d::E>` is `C`.
pub(crate) fn short_type_name(name: &str) -> &str {
    let bare = name.split('<').next().unwrap_or(name);
    bare.rsplit("::").next().unwrap_or(bare)
}
