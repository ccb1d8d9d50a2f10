//! What a step sees of its run: [`Context`].

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use libblazen_sys as sys;
use parking_lot::{Mutex, ReentrantMutex};
use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::codec;
use crate::error::{Status, WorkflowError};
use crate::event::{millis, Carried, Parts, RawEvent, ToEvent};
use crate::ffi::{self, sized, text, InvocationRef, KeysRef};
use crate::guard;
use crate::session::Session;
use crate::value::{tag_of, IntoValue, Tag, Value, ValueRef};

pub use crate::value::{BytesWrapper, StateValue};

/// What a step sees of its run: the state and the session that all its steps share, the stream, and the invocation itself.
///
/// The writing methods (`set`, `send_event`, ...) return nothing: a failure is kept, and fails the step when it
/// returns. Each has a sibling `try_...` that returns it at once.
///
/// A clone is the same context. It may be sent to other threads, and outlive the step: then every `try_...` answers an
/// error ([`Status::WrongState`]), getters answer nothing, and what is written is dropped, since the step that it would
/// fail is over.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    /// Held during every call with the C context, which wants one thread at a time. It may be taken again by the same
    /// thread, since such a call can run a drop of the user's that uses this context.
    cell: ReentrantMutex<State>,
}

struct State {
    /// NULL when the step is over.
    raw: Cell<*mut sys::blazen_context>,
    /// Keeps the C context alive once the step is deferred; before that, the body that is being called does.
    invocation: RefCell<Option<InvocationRef>>,
    failure: RefCell<Option<WorkflowError>>,
    identity: RefCell<Option<Identity>>,
}

// SAFETY: the pointer is used with the lock of Inner held alone, so from one thread at a time, which is what the tag
// `thread: step` of its calls asks for; it is NULL before the C context ends (see `close`).
unsafe impl Send for State {}

/// Which invocation it was, for contexts that outlive it.
#[derive(Clone)]
struct Identity {
    run_id: String,
    workflow: String,
    step: String,
    invocation_id: u64,
    attempt: u32,
}

type Error<'a> = *mut *mut sys::blazen_error;

impl Context {
    /// # Safety
    /// `raw` lives until `close` is called, or `deferred` is given the invocation that keeps it.
    pub(crate) unsafe fn open(raw: *mut sys::blazen_context) -> Self {
        Self(Arc::new(Inner {
            cell: ReentrantMutex::new(State {
                raw: Cell::new(raw),
                invocation: RefCell::new(None),
                failure: RefCell::new(None),
                identity: RefCell::new(None),
            }),
        }))
    }

    /// The body goes on later: from now on the invocation keeps the C context.
    pub(crate) fn defer(&self) -> Result<(), WorkflowError> {
        let state = self.0.cell.lock();
        // SAFETY: the context is that of the body that is being called.
        let made =
            ffi::make(|invocation, error| unsafe { sys::blazen_context_defer(state.raw.get(), invocation, error) })?;
        // SAFETY: made above, and ours.
        let invocation = unsafe { InvocationRef::own(made) };
        *state.invocation.borrow_mut() = invocation;
        Ok(())
    }

    pub(crate) fn of_invocation(invocation: InvocationRef) -> Self {
        // SAFETY: the invocation keeps its context, and stands beside it until `close`.
        unsafe {
            let context = Self::open(sys::blazen_invocation_context(invocation.raw()));
            *context.0.cell.lock().invocation.borrow_mut() = Some(invocation);
            context
        }
    }

    /// Ends the context, and gives what it was: the failure that was kept, and the invocation where the step was deferred.
    pub(crate) fn close(&self) -> (Option<WorkflowError>, Option<InvocationRef>) {
        let state = self.0.cell.lock();
        if Arc::strong_count(&self.0) > 1 {
            let identity = self.identity();
            *state.identity.borrow_mut() = identity;
        }
        state.raw.set(ptr::null_mut());
        let failure = state.failure.borrow_mut().take();
        let invocation = state.invocation.borrow_mut().take();
        (failure, invocation)
    }

    pub(crate) fn is_deferred(&self) -> bool {
        self.0.cell.lock().invocation.borrow().is_some()
    }

    /// Wakes when the step is cancelled.
    pub(crate) fn on_cancel(&self, cancel: &Arc<AtomicWaker>) -> Result<(), WorkflowError> {
        self.call(|raw, error| {
            let cancel = Arc::into_raw(Arc::clone(cancel)).cast_mut().cast();
            // SAFETY: the context lives; an Arc<AtomicWaker>, as the callbacks expect; drop_cancel takes it back, also when
            // this fails.
            unsafe { sys::blazen_context_on_cancel(raw, Some(tell_cancel), cancel, Some(drop_cancel), error) }
        })
    }

    /// Calls the library with the C context, or answers that the step is over.
    pub(crate) fn call(
        &self,
        body: impl FnOnce(*mut sys::blazen_context, Error<'_>) -> sys::blazen_status,
    ) -> Result<(), WorkflowError> {
        let state = self.0.cell.lock();
        let raw = state.raw.get();
        if raw.is_null() {
            return Err(over());
        }
        ffi::call(|error| body(raw, error))
    }

    fn get_from<T>(&self, otherwise: T, body: impl FnOnce(*mut sys::blazen_context) -> T) -> T {
        let state = self.0.cell.lock();
        let raw = state.raw.get();
        if raw.is_null() {
            otherwise
        } else {
            body(raw)
        }
    }

    /// Keeps a failure until the step returns. The first one counts.
    fn latch(&self, result: Result<(), WorkflowError>) {
        let Err(error) = result else { return };
        let state = self.0.cell.lock();
        if state.raw.get().is_null() {
            log::warn!(target: "blazen", "a context was used after its step, and what it wrote is dropped: {error}");
            return;
        }
        let later = {
            let mut failure = state.failure.borrow_mut();
            if failure.is_none() {
                *failure = Some(error);
                return;
            }
            error
        };
        drop(later); // a drop of the user's may use this context
    }

    // ------------------------------------------------------------------------------------------------------- identity

    fn identity(&self) -> Option<Identity> {
        let state = self.0.cell.lock();
        let raw = state.raw.get();
        if raw.is_null() {
            return state.identity.borrow().clone();
        }
        let text = |getter: unsafe extern "C" fn(*const sys::blazen_context, *mut usize) -> *const std::ffi::c_char| {
            let mut length = 0;
            // SAFETY: the context lives, as long as the lock is held and raw is not NULL.
            unsafe {
                let lent = getter(raw, &mut length);
                ffi::text_of(lent, length).to_owned()
            }
        };
        Some(Identity {
            run_id: text(sys::blazen_context_run_id),
            workflow: text(sys::blazen_context_workflow_name),
            step: text(sys::blazen_context_step_name),
            // SAFETY: as above.
            invocation_id: unsafe { sys::blazen_context_invocation_id(raw) },
            // SAFETY: as above.
            attempt: unsafe { sys::blazen_context_attempt(raw) },
        })
    }

    /// The id of the run: a UUID of 36 characters.
    pub fn run_id(&self) -> String {
        self.identity().map(|identity| identity.run_id).unwrap_or_default()
    }

    /// The name of the workflow.
    pub fn workflow_name(&self) -> String {
        self.identity().map(|identity| identity.workflow).unwrap_or_default()
    }

    /// The name of the step.
    pub fn step_name(&self) -> String {
        self.identity().map(|identity| identity.step).unwrap_or_default()
    }

    /// The number of this invocation, from 1. With the id of the run it is an idempotency key: it stays the same when the
    /// invocation runs again after a resume.
    pub fn invocation_id(&self) -> u64 {
        self.identity().map_or(0, |identity| identity.invocation_id)
    }

    /// Which attempt of the invocation this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.identity().map_or(0, |identity| identity.attempt)
    }

    /// Whether the step is cancelled, so that nothing it does counts any more; true when it is over.
    ///
    /// An async step rarely asks: its future is dropped at the next await. It is for long work in between.
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: the context lives.
        self.get_from(true, |raw| unsafe { sys::blazen_context_is_cancelled(raw) } == 1)
    }

    // ---------------------------------------------------------------------------------------------------------- state

    /// Writes data to the state of the run, which all its steps see at once, and every snapshot has.
    pub fn set(&self, key: &str, value: impl Serialize) {
        self.latch(self.try_set(key, value));
    }

    /// [`set`](Self::set), with its failure at once.
    pub fn try_set(&self, key: &str, value: impl Serialize) -> Result<(), WorkflowError> {
        let set = codec::with_json(&value, |json| {
            self.call(|raw, error| {
                let (data, length) = (json.as_ptr().cast(), json.len());
                // SAFETY: the context lives; the texts live during the call.
                unsafe { sys::blazen_context_set_json(raw, text(key), key.len(), data, length, error) }
            })
        });
        match set {
            Some(set) => set,
            None => self.set_beyond_json(key, &value),
        }
    }

    fn set_beyond_json<T: Serialize>(&self, key: &str, value: &T) -> Result<(), WorkflowError> {
        let value = Value::new(value).map_err(|error| of_key(key, &error))?;
        if value.tag() == Tag::Live {
            return Err(WorkflowError::new(
                Status::WrongTag,
                format!("the key {key:?}: an object of this process belongs into the session: ctx.session().set_ref"),
            ));
        }
        self.put(key, &value)
    }

    fn put(&self, key: &str, value: &Value) -> Result<(), WorkflowError> {
        self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_set_value(raw, text(key), key.len(), value.raw(), error) }
        })
    }

    /// Reads structured data from the state. None where there is no such key, and for bytes and native values:
    /// [`try_get`](Self::try_get) tells these apart.
    pub fn get(&self, key: &str) -> Option<serde_json::Value> {
        match self.read(key, StateValue::of).ok()?? {
            Ok(StateValue::Json(json)) => Some(json),
            Ok(_) => None,
            Err(error) => {
                self.latch(Err(of_key(key, &error)));
                None
            }
        }
    }

    /// [`get`](Self::get), where bytes and native values are an error that says how to read them, and None is no such key.
    pub fn try_get(&self, key: &str) -> Result<Option<serde_json::Value>, WorkflowError> {
        self.get_as(key)
    }

    /// Reads from the state as any type that serde reads: JSON, `blazen/cbor`, or bytes.
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, WorkflowError> {
        let read = self.read(key, |value| {
            // A Deserialize of the user's may read this context meanwhile: the value stays for as long as it is read.
            let _kept = value.to_value();
            value.to()
        })?;
        read.transpose().map_err(|error| of_key(key, &error))
    }

    /// The JSON text of a key, byte for byte as it was written; None where there is no such key, or it is no JSON.
    pub fn get_json(&self, key: &str) -> Option<String> {
        let text =
            |value: &ValueRef<'_>| (value.tag() == Tag::Json).then(|| String::from_utf8_lossy(value.data).into_owned());
        self.read(key, text).ok()??
    }

    /// Writes JSON text to the state; [`get_json`](Self::get_json) gives it back byte for byte.
    pub fn set_json(&self, key: &str, json: &str) {
        self.latch(self.try_set_json(key, json));
    }

    /// [`set_json`](Self::set_json), with its failure at once.
    pub fn try_set_json(&self, key: &str, json: &str) -> Result<(), WorkflowError> {
        self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_set_json(raw, text(key), key.len(), text(json), json.len(), error) }
        })
    }

    /// Writes bytes to the state.
    pub fn set_bytes(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.latch(self.try_set_bytes(key, bytes));
    }

    /// [`set_bytes`](Self::set_bytes), with its failure at once.
    pub fn try_set_bytes(&self, key: &str, bytes: impl Into<Vec<u8>>) -> Result<(), WorkflowError> {
        self.put(key, &Value::bytes(bytes)?)
    }

    /// Reads bytes from the state. None where there is no such key, and for values of other tags.
    pub fn get_bytes(&self, key: &str) -> Option<Vec<u8>> {
        match self.get_value(key)? {
            StateValue::Bytes(bytes) => Some(bytes.into_vec()),
            _ => None,
        }
    }

    /// Writes a value of any tag to the state.
    pub fn set_value(&self, key: &str, value: StateValue) {
        self.latch(self.try_set_value(key, value));
    }

    /// [`set_value`](Self::set_value), with its failure at once.
    pub fn try_set_value(&self, key: &str, value: StateValue) -> Result<(), WorkflowError> {
        match value {
            StateValue::Json(json) => self.try_set(key, json),
            other => self.put(key, &other.into_value()?),
        }
    }

    /// Reads a value of any tag from the state.
    pub fn get_value(&self, key: &str) -> Option<StateValue> {
        match self.read(key, StateValue::of).ok()?? {
            Ok(value) => Some(value),
            Err(error) => {
                self.latch(Err(of_key(key, &error)));
                None
            }
        }
    }

    /// [`get_value`](Self::get_value), with its failure at once.
    pub fn try_get_value(&self, key: &str) -> Result<Option<StateValue>, WorkflowError> {
        let read = self.read(key, StateValue::of)?;
        read.transpose().map_err(|error| of_key(key, &error))
    }

    fn read<T>(&self, key: &str, body: impl FnOnce(&ValueRef<'_>) -> T) -> Result<Option<T>, WorkflowError> {
        let held = self.0.cell.lock();
        let view = view(held.raw.get(), key)?;
        if view.value.is_null() {
            return Ok(None);
        }
        // SAFETY: lent until the next read of this context: the lock keeps other threads from one, and `body` does not read,
        // or keeps the value for itself.
        let value = unsafe {
            ValueRef {
                raw: view.value,
                tag: tag_of(view.tag),
                codec: ffi::text_of(view.codec, view.codec_length),
                data: ffi::bytes_of(view.data.cast(), view.data_length),
            }
        };
        Ok(Some(body(&value)))
    }

    /// Whether the state has the key; false when the step is over.
    pub fn has(&self, key: &str) -> bool {
        let mut found = 0;
        let answered = self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_has_value(raw, text(key), key.len(), &mut found, error) }
        });
        answered.is_ok() && found == 1
    }

    /// Removes a key from the state; true where it was there.
    pub fn remove(&self, key: &str) -> bool {
        let mut removed = 0;
        self.latch(self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_remove_value(raw, text(key), key.len(), &mut removed, error) }
        }));
        removed == 1
    }

    /// The keys of the state that begin with a prefix (empty: all), in the order of their bytes.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.list(|raw, keys, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_keys(raw, text(prefix), prefix.len(), keys, error) }
        })
    }

    pub(crate) fn list(
        &self,
        body: impl FnOnce(*mut sys::blazen_context, *mut *mut sys::blazen_keys, Error<'_>) -> sys::blazen_status,
    ) -> Vec<String> {
        let mut keys = ptr::null_mut();
        if self.call(|raw, error| body(raw, &mut keys, error)).is_err() {
            return Vec::new();
        }
        // SAFETY: made by the call, and ours.
        unsafe { KeysRef::own(keys) }.map_or_else(Vec::new, |keys| keys.to_vec())
    }

    /// Removes every key from the state.
    pub fn clear(&self) {
        self.latch(self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_clear_values(raw, error) }
        }));
    }

    /// The version of a key, for [`compare_and_set`](Self::compare_and_set): it grows with every write; 0 where there is none.
    pub fn version(&self, key: &str) -> Result<u64, WorkflowError> {
        let held = self.0.cell.lock();
        Ok(view(held.raw.get(), key)?.version)
    }

    /// Writes only where the key still has this version (0: is not there); None removes it. Gives the new version, or fails
    /// with [`Status::Conflict`].
    pub fn compare_and_set(&self, key: &str, expected: u64, value: Option<StateValue>) -> Result<u64, WorkflowError> {
        let value = value.map(IntoValue::into_value).transpose()?;
        let raw_value = value.as_ref().map_or(ptr::null_mut(), Value::raw);
        let mut version = 0;
        self.call(|raw, error| {
            // SAFETY: as above.
            unsafe {
                sys::blazen_context_compare_and_set(raw, text(key), key.len(), expected, raw_value, &mut version, error)
            }
        })?;
        Ok(version)
    }

    /// The session of the run: objects of this process, beside the state.
    pub fn session(&self) -> Session {
        Session::of(self.clone())
    }

    // --------------------------------------------------------------------------------------------------------- events

    /// Routes an event at once, while the step runs.
    pub fn send_event(&self, event: impl ToEvent) {
        self.latch(self.try_send_event(event));
    }

    /// [`send_event`](Self::send_event), with its failure at once.
    pub fn try_send_event(&self, event: impl ToEvent) -> Result<(), WorkflowError> {
        let event = event.to_raw()?;
        let (handle, options) = (event.to_handle()?, event.send_options());
        self.call(|raw, error| {
            // SAFETY: as above; the options borrow from `event`.
            unsafe { sys::blazen_context_send_event(raw, handle.raw(), &options, error) }
        })
    }

    /// Publishes an event on the stream at once; it is never routed.
    pub fn write_event_to_stream(&self, event: impl ToEvent) {
        self.latch(self.try_write_event_to_stream(event));
    }

    /// [`write_event_to_stream`](Self::write_event_to_stream), with its failure at once.
    pub fn try_write_event_to_stream(&self, event: impl ToEvent) -> Result<(), WorkflowError> {
        let handle = event.to_raw()?.to_handle()?;
        self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_publish(raw, handle.raw(), error) }
        })
    }

    /// Adds an event to what the step returns.
    pub(crate) fn emit(&self, event: impl ToEvent) -> Result<(), WorkflowError> {
        match event.to_parts()? {
            Parts::Plain(event_type, payload) => match payload.0 {
                Carried::Json(json) => self.call(|raw, error| {
                    // SAFETY: as above.
                    unsafe {
                        sys::blazen_context_emit_json(
                            raw,
                            text(event_type),
                            event_type.len(),
                            json.as_ptr().cast(),
                            json.len(),
                            error,
                        )
                    }
                }),
                Carried::Value(value) => self.call(|raw, error| {
                    // SAFETY: as above.
                    unsafe { sys::blazen_context_emit(raw, text(event_type), event_type.len(), value.raw(), error) }
                }),
            },
            Parts::Raw(event) => {
                let (handle, options) = (event.to_handle()?, event.send_options());
                self.call(|raw, error| {
                    // SAFETY: as above; the options borrow from `event`.
                    unsafe { sys::blazen_context_emit_event(raw, handle.raw(), &options, error) }
                })
            }
        }
    }

    /// Answers, of a mapper.
    pub(crate) fn answer(&self, value: &Value) -> Result<(), WorkflowError> {
        self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_answer(raw, value.raw(), error) }
        })
    }

    /// Says how far the step is, to the streams with lifecycle. `total` 0: not known.
    pub fn progress(&self, label: &str, current: u64, total: u64) {
        self.latch(self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_progress(raw, text(label), label.len(), current, total, error) }
        }));
    }

    /// Sets that the next attempt, if this one fails, begins after this delay instead of what the policy says.
    pub fn retry_after(&self, delay: Duration) {
        self.latch(self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_retry_after(raw, millis(delay), error) }
        }));
    }

    /// All the events that the step was invoked with: of a join, what has arrived; of others, one.
    pub fn events(&self) -> Result<Vec<RawEvent>, WorkflowError> {
        let _held = self.0.cell.lock();
        let (mut events, mut count) = (ptr::null(), 0);
        self.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_events(raw, &mut events, &mut count, error) }
        })?;
        // SAFETY: the events are lent for as long as the context lives, which the lock keeps.
        Ok((0..count).filter_map(|index| unsafe { RawEvent::read(*events.add(index)) }).collect())
    }

    /// Why this join was invoked; None in a step that is no join.
    pub fn join_info(&self) -> Option<crate::join::JoinInfo> {
        let mut info = sized!(sys::blazen_join_info);
        self.call(|raw, error| {
            // SAFETY: as above; the struct knows its size.
            unsafe { sys::blazen_context_join_info(raw, &mut info, error) }
        })
        .ok()?;
        crate::join::JoinInfo::of(&info)
    }

    /// Collects the event of this invocation, under a key of this step, until there are so many events of each type. Gives
    /// them then, in the order of the types; None before that, and the step has nothing more to do.
    pub fn collect(&self, key: &str, counts: &[(&str, u32)]) -> Result<Option<Vec<RawEvent>>, WorkflowError> {
        let _held = self.0.cell.lock();
        let types: Vec<_> = counts.iter().map(|(name, _)| text(name)).collect();
        let lengths: Vec<_> = counts.iter().map(|(name, _)| name.len()).collect();
        let numbers: Vec<_> = counts.iter().map(|(_, count)| *count).collect();
        let mut pending = false;
        self.call(|raw, error| {
            // SAFETY: as above; three arrays of the same length.
            let status = unsafe {
                sys::blazen_context_collect(
                    raw,
                    text(key),
                    key.len(),
                    types.as_ptr(),
                    lengths.as_ptr(),
                    numbers.as_ptr(),
                    counts.len(),
                    error,
                )
            };
            pending = status == sys::BLAZEN_PENDING;
            if pending {
                sys::BLAZEN_OK
            } else {
                status
            }
        })?;
        if pending {
            return Ok(None);
        }
        self.events().map(Some)
    }

    /// Asks a human, and waits for the answer. A run that is resumed asks the same question no second time: its step is
    /// called again from its beginning, and has the answer here.
    pub fn ask(&self, question: impl Into<Question>) -> Ask {
        Ask { context: self.clone(), question: question.into(), asked: None }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let identity = self.identity();
        let step = identity.as_ref().map(|identity| identity.step.as_str());
        f.debug_struct("Context").field("step", &step).finish_non_exhaustive()
    }
}

/// What the state has under a key, lent; `raw` is NULL when the step is over. The lock of the context is held.
fn view(raw: *mut sys::blazen_context, key: &str) -> Result<sys::blazen_value_view, WorkflowError> {
    if raw.is_null() {
        return Err(over());
    }
    let mut view = sized!(sys::blazen_value_view);
    ffi::call(|error| {
        // SAFETY: the context lives, since it is not NULL and the lock is held; the view knows its size.
        unsafe { sys::blazen_context_read(raw, text(key), key.len(), &mut view, error) }
    })?;
    Ok(view)
}

fn over() -> WorkflowError {
    WorkflowError::new(Status::WrongState, "this context was used after its step: the step is over")
}

fn of_key(key: &str, error: &WorkflowError) -> WorkflowError {
    WorkflowError::new(error.status(), format!("the key {key:?}: {error}"))
}

/// A question to a human.
#[derive(Clone, Debug, Default)]
pub struct Question {
    request_id: Option<String>,
    prompt: String,
    metadata: Option<serde_json::Value>,
    deadline: Duration,
    default_answer: Option<serde_json::Value>,
}

impl Question {
    /// Asks this.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }

    /// Gives it an id of one's own; else one is made, the same when the step asks the same again.
    #[must_use]
    pub fn id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// Anything beside the prompt.
    #[must_use]
    pub fn metadata(mut self, metadata: serde_json::Value) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// So long after it is asked, it is answered with this where nobody has.
    #[must_use]
    pub fn default_after(mut self, deadline: Duration, answer: serde_json::Value) -> Self {
        self.deadline = deadline;
        self.default_answer = Some(answer);
        self
    }
}

impl From<&str> for Question {
    fn from(prompt: &str) -> Self {
        Self::new(prompt)
    }
}

impl From<String> for Question {
    fn from(prompt: String) -> Self {
        Self::new(prompt)
    }
}

/// The answer to come of [`Context::ask`].
#[must_use = "a question is asked when it is awaited"]
#[derive(Debug)]
pub struct Ask {
    context: Context,
    question: Question,
    asked: Option<Arc<Answer>>,
}

#[derive(Debug, Default)]
struct Answer(Mutex<(Answered, Option<Waker>)>);

type Answered = Option<Result<Value, WorkflowError>>;

impl Future for Ask {
    type Output = Result<Value, WorkflowError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        if let Some(asked) = &self.asked {
            let mut answer = asked.0.lock();
            return match answer.0.take() {
                Some(answered) => Poll::Ready(answered),
                None => {
                    answer.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        if !self.context.is_deferred() && !self.context.is_cancelled() {
            // Only a deferred step waits in flight: this makes it one, and it is polled again at once.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let slot = Arc::new(Answer(Mutex::new((None, Some(cx.waker().clone())))));
        match self.put_to_the_library(&slot) {
            Ok(Some(answer)) => Poll::Ready(Ok(answer)),
            Ok(None) => {
                self.asked = Some(slot);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Ask {
    fn put_to_the_library(&self, slot: &Arc<Answer>) -> Result<Option<Value>, WorkflowError> {
        let asks = &self.question;
        let metadata = asks.metadata.as_ref().map(Value::new).transpose()?;
        let default_answer = asks.default_answer.as_ref().map(Value::new).transpose()?;
        let raw = |value: &Option<Value>| value.as_ref().map_or(ptr::null_mut(), Value::raw);
        let mut question = sized!(sys::blazen_question);
        if let Some(id) = &asks.request_id {
            (question.request_id, question.request_id_length) = (text(id), id.len());
        }
        (question.prompt, question.prompt_length) = (text(&asks.prompt), asks.prompt.len());
        question.metadata = raw(&metadata);
        question.deadline_ms = millis(asks.deadline);
        question.default_answer = raw(&default_answer);
        question.answered = Some(answered);
        question.drop = Some(drop_answer);
        let (mut answer, mut pending) = (ptr::null_mut(), false);
        self.context.call(|context, error| {
            question.user_data = Arc::into_raw(Arc::clone(slot)).cast_mut().cast();
            // SAFETY: the context lives; what the question borrows lives during the call; drop_answer takes the slot back.
            let status = unsafe { sys::blazen_context_ask(context, &question, &mut answer, error) };
            pending = status == sys::BLAZEN_PENDING;
            if pending {
                sys::BLAZEN_OK
            } else {
                status
            }
        })?;
        // SAFETY: where it was answered already, the answer is ours.
        let answer = unsafe { Value::own(answer) };
        if pending {
            return Ok(None);
        }
        answer.map_or_else(|| Value::json_text("null"), Ok).map(Some)
    }
}

unsafe extern "C" fn tell_cancel(cancel: *mut c_void) {
    // SAFETY: given as Arc<AtomicWaker>, and not dropped yet.
    guard::quietly(|| unsafe { &*cancel.cast::<AtomicWaker>() }.wake());
}

unsafe extern "C" fn drop_cancel(cancel: *mut c_void) {
    // SAFETY: given by Arc::into_raw; the library calls this once.
    guard::quietly(|| drop(unsafe { Arc::from_raw(cancel.cast::<AtomicWaker>()) }));
}

unsafe extern "C" fn answered(
    slot: *mut c_void,
    _context: *mut sys::blazen_context,
    _request_id: *const std::ffi::c_char,
    _request_id_length: usize,
    answer: *mut sys::blazen_value,
) {
    guard::quietly(|| {
        // SAFETY: given as Arc<Answer> and not yet dropped; the answer lives during the call.
        let (slot, answer) = unsafe { (&*slot.cast::<Answer>(), Value::borrow(answer)) };
        let answer = answer
            .ok_or_else(|| WorkflowError::new(Status::Cancelled, "the question was withdrawn: nobody answers it"));
        let waker = {
            let mut kept = slot.0.lock();
            kept.0 = Some(answer);
            kept.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
}

unsafe extern "C" fn drop_answer(slot: *mut c_void) {
    // SAFETY: given by Arc::into_raw; the library calls this once.
    drop(unsafe { Arc::from_raw(slot.cast::<Answer>()) });
}
