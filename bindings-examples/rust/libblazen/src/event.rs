//! Events: the trait [`Event`], the built-in ones, and [`RawEvent`] for types that are no struct here.

use std::time::Duration;

use libblazen_sys as sys;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Encoded};
use crate::error::{Status, WorkflowError};
use crate::ffi::{self, sized, text, EventHandle};
use crate::value::{tag_of, IntoValue, Tag, Value, ValueRef};

/// The type names of the built-in events.
pub mod types {
    /// Starts every run; its value is the input.
    pub const START: &str = "blazen::StartEvent";
    /// Ends a run; its value is the result.
    pub const STOP: &str = "blazen::StopEvent";
    /// Asks a human.
    pub const INPUT_REQUEST: &str = "blazen::InputRequestEvent";
    /// The human's answer.
    pub const INPUT_RESPONSE: &str = "blazen::InputResponseEvent";
    /// A step has failed for good.
    pub const STEP_FAILED: &str = "blazen::StepFailedEvent";
    /// What a join is invoked with where nothing has arrived.
    pub const EMPTY_JOIN: &str = "blazen::EmptyJoinEvent";
    /// The last item of every stream.
    pub const STREAM_END: &str = "blazen::StreamEnd";
    /// On a stream, in place of items that were lost.
    pub const STREAM_GAP: &str = "blazen::StreamGap";
    /// On a stream with lifecycle: what happened to the run itself.
    pub const LIFECYCLE: &str = "blazen::lifecycle";
    /// On a stream with lifecycle: progress.
    pub const PROGRESS: &str = "blazen::ProgressEvent";
}

/// What an event carries, on its way to the library.
#[derive(Debug)]
pub struct Payload(pub(crate) Carried);

#[derive(Debug)]
pub(crate) enum Carried {
    Json(Vec<u8>),
    Value(Value),
}

impl Payload {
    /// Plain data, in the first tier that holds it.
    pub fn new<T: Serialize + ?Sized>(data: &T) -> Result<Self, WorkflowError> {
        Ok(Self(match codec::encode(data)? {
            Encoded::Json(json) => Carried::Json(json),
            Encoded::Cbor(cbor) => Carried::Value(Value::native(codec::CBOR, cbor)?),
            Encoded::Live(value) => Carried::Value(value),
        }))
    }

    /// A value of any tag.
    pub fn of(value: Value) -> Self {
        Self(Carried::Value(value))
    }

    /// No fields.
    pub fn empty() -> Self {
        Self(Carried::Json(b"{}".to_vec()))
    }

    pub(crate) fn into_value(self) -> Result<Value, WorkflowError> {
        match self.0 {
            Carried::Json(json) => Value::json_text(String::from_utf8(json).map_err(WorkflowError::step)?),
            Carried::Value(value) => Ok(value),
        }
    }
}

/// A type of event. Derive it, beside serde's two traits where it has fields:
///
/// ```
/// use blazen::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// struct Scored {
///     score: f64,
/// }
///
/// #[derive(Debug, Event)]
/// #[event(type = "shop.Closed")]
/// struct Closed;
///
/// assert_eq!(Scored::TYPE, "Scored");
/// assert_eq!(Closed::TYPE, "shop.Closed");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "derive it: #[derive(Event)], with serde's Serialize and Deserialize where it has fields"
)]
pub trait Event: Sized + 'static {
    /// The name that events of this type are routed by, in all languages.
    const TYPE: &'static str;

    /// What an event of this type carries.
    fn to_payload(&self) -> Result<Payload, WorkflowError>;

    /// Reads it back.
    fn from_value(value: ValueRef<'_>) -> Result<Self, WorkflowError>;
}

/// What can be sent: any [`Event`], or a [`RawEvent`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "derive it: #[derive(Event)], with serde's Serialize and Deserialize where it has fields"
)]
pub trait ToEvent: Sized {
    /// The event with its type name and value.
    fn to_raw(self) -> Result<RawEvent, WorkflowError>;

    /// Its type and payload alone, where nothing else is said about it.
    #[doc(hidden)]
    fn to_parts(self) -> Result<Parts, WorkflowError> {
        Ok(Parts::Raw(self.to_raw()?))
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub enum Parts {
    Plain(&'static str, Payload),
    Raw(RawEvent),
}

impl<E: Event> ToEvent for E {
    fn to_raw(self) -> Result<RawEvent, WorkflowError> {
        Ok(RawEvent::of(E::TYPE, self.to_payload()?.into_value()?))
    }

    fn to_parts(self) -> Result<Parts, WorkflowError> {
        Ok(Parts::Plain(E::TYPE, self.to_payload()?))
    }
}

impl ToEvent for RawEvent {
    fn to_raw(self) -> Result<RawEvent, WorkflowError> {
        Ok(self)
    }
}

/// Starts a run; `data` is the run's input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartEvent {
    /// The input of the run.
    pub data: serde_json::Value,
}

impl StartEvent {
    /// The input as any type that serde reads.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, WorkflowError> {
        Ok(serde_json::from_value(self.data.clone())?)
    }
}

/// Ends the run; `result` is its result. The first one wins.
///
/// A result that is no JSON goes by [`RawEvent::stop`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StopEvent {
    /// The result of the run.
    pub result: serde_json::Value,
}

/// Asks a human. The run waits for the answer, which comes as an [`InputResponseEvent`] to whoever accepts it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputRequestEvent {
    /// The id of the question. One is made where it is None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What is asked.
    #[serde(default)]
    pub prompt: String,
    /// Anything beside it.
    #[serde(default)]
    pub metadata: serde_json::Value,
}

/// The answer of a human.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputResponseEvent {
    /// The id of the question.
    pub request_id: String,
    /// The answer.
    #[serde(default)]
    pub response: serde_json::Value,
}

/// A step has failed for good, for a step that accepts this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepFailedEvent {
    /// The step.
    pub step: String,
    /// Its last attempt.
    #[serde(default)]
    pub attempt: u32,
    /// The type of the event that it was invoked with.
    #[serde(default)]
    pub event_type: String,
    /// The status, as the library names it.
    #[serde(default)]
    pub status: serde_json::Value,
    /// What went wrong.
    #[serde(default)]
    pub message: String,
    /// The host's own code; 0 where there is none.
    #[serde(default)]
    pub host_code: i64,
    /// Everything else that the library says of it.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

macro_rules! bare {
    ($type:ident, $name:expr, $field:ident, $what:literal) => {
        impl Event for $type {
            const TYPE: &'static str = $name;
            fn to_payload(&self) -> Result<Payload, WorkflowError> {
                Payload::new(&self.$field)
            }
            fn from_value(value: ValueRef<'_>) -> Result<Self, WorkflowError> {
                let $field = value.to().map_err(|error| {
                    WorkflowError::new(
                        error.status(),
                        format!("{} is not JSON ({error}); accept a RawEvent instead", $what),
                    )
                })?;
                Ok(Self { $field })
            }
        }
    };
}
bare!(StartEvent, types::START, data, "the input of the run");
bare!(StopEvent, types::STOP, result, "the result of the run");

macro_rules! built_in {
    ($type:ident, $name:expr) => {
        impl Event for $type {
            const TYPE: &'static str = $name;
            fn to_payload(&self) -> Result<Payload, WorkflowError> {
                Payload::new(self)
            }
            fn from_value(value: ValueRef<'_>) -> Result<Self, WorkflowError> {
                fields(value, $name)
            }
        }
    };
}
built_in!(InputRequestEvent, types::INPUT_REQUEST);
built_in!(InputResponseEvent, types::INPUT_RESPONSE);
built_in!(StepFailedEvent, types::STEP_FAILED);

/// Reads the fields of an event; null stands for none.
pub(crate) fn fields<T: DeserializeOwned>(value: ValueRef<'_>, event_type: &str) -> Result<T, WorkflowError> {
    let read = if value.tag == Tag::Json && value.data == b"null" {
        codec::from_json(b"{}").or_else(|_| codec::from_json(b"null"))
    } else {
        value.to()
    };
    read.map_err(|error| {
        WorkflowError::new(Status::InvalidArgument, format!("the event {event_type} cannot be read here: {error}"))
    })
}

/// An event of any type, with all that the library knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawEvent {
    event_type: String,
    value: Value,
    id: u64,
    source: Option<String>,
    correlation: Option<String>,
    path: Option<String>,
    child_run_id: Option<String>,
    target: Option<String>,
    delay: Duration,
}

impl RawEvent {
    /// An event of this type with this value: data that serde writes, or a [`Value`]. It is the bare value; an event with
    /// fields has an object.
    pub fn new(event_type: impl Into<String>, value: impl IntoValue) -> Result<Self, WorkflowError> {
        Ok(Self::of(event_type, value.into_value()?))
    }

    /// The StopEvent with a result of any tag.
    pub fn stop(result: impl IntoValue) -> Result<Self, WorkflowError> {
        Self::new(types::STOP, result)
    }

    pub(crate) fn of(event_type: impl Into<String>, value: Value) -> Self {
        Self {
            event_type: event_type.into(),
            value,
            id: 0,
            source: None,
            correlation: None,
            path: None,
            child_run_id: None,
            target: None,
            delay: Duration::ZERO,
        }
    }

    /// Gives it an id that ties it to others.
    #[must_use]
    pub fn with_correlation(mut self, correlation: impl Into<String>) -> Self {
        self.correlation = Some(correlation.into());
        self
    }

    /// It goes to this step alone.
    #[must_use]
    pub fn to_step(mut self, step: impl Into<String>) -> Self {
        self.target = Some(step.into());
        self
    }

    /// It is routed so much later, by the clock of the run.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The name that it is routed by.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Its value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its number among the events of the run; 0 where it was not sent yet.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The step that made it; None where it came from outside.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The id that ties it to others.
    pub fn correlation(&self) -> Option<&str> {
        self.correlation.as_deref()
    }

    /// On a stream, of an item of a run inside the run: the steps that host one another down to it, as JSON.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// On a stream, of an item of a run inside the run: the id of that run.
    pub fn child_run_id(&self) -> Option<&str> {
        self.child_run_id.as_deref()
    }

    /// The event as an `E`; None where it is of another type.
    pub fn get<E: Event>(&self) -> Option<Result<E, WorkflowError>> {
        (self.event_type == E::TYPE).then(|| E::from_value(self.value.view()))
    }

    /// Its value as a JSON tree.
    pub fn to_json(&self) -> Result<serde_json::Value, WorkflowError> {
        self.value.to_json()
    }

    /// # Safety
    /// `event` lives during the call.
    pub(crate) unsafe fn read(event: *const sys::blazen_event) -> Option<Self> {
        // SAFETY: as the caller says; what the view lends is copied here.
        unsafe {
            let view = EventView::read(event)?;
            let some = |text: &str, pointer: *const std::ffi::c_char| (!pointer.is_null()).then(|| text.to_owned());
            let raw = &view.0;
            Some(Self {
                event_type: view.event_type().to_owned(),
                value: Value::borrow(raw.value)?,
                id: raw.id,
                source: some(ffi::text_of(raw.source, raw.source_length), raw.source),
                correlation: some(ffi::text_of(raw.correlation, raw.correlation_length), raw.correlation),
                path: some(ffi::text_of(raw.path, raw.path_length), raw.path),
                child_run_id: some(ffi::text_of(raw.child_run_id, raw.child_run_id_length), raw.child_run_id),
                target: None,
                delay: Duration::ZERO,
            })
        }
    }

    pub(crate) fn to_handle(&self) -> Result<EventHandle, WorkflowError> {
        let mut options = sized!(sys::blazen_event_options);
        if let Some(correlation) = &self.correlation {
            options.correlation = text(correlation);
            options.correlation_length = correlation.len();
        }
        let made = ffi::make(|event, error| {
            // SAFETY: all that is given lives during the call.
            unsafe {
                sys::blazen_event_create(
                    text(&self.event_type),
                    self.event_type.len(),
                    self.value.raw(),
                    &options,
                    event,
                    error,
                )
            }
        })?;
        // SAFETY: made above, and ours.
        unsafe { EventHandle::own(made) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "the library made no event"))
    }

    /// How it is sent. The texts are borrowed from `self`.
    pub(crate) fn send_options(&self) -> sys::blazen_send_options {
        let mut options = sized!(sys::blazen_send_options);
        if let Some(step) = &self.target {
            options.step = text(step);
            options.step_length = step.len();
        }
        options.delay_ms = millis(self.delay);
        options
    }
}

/// Milliseconds, never sooner than the duration says.
pub(crate) fn millis(duration: Duration) -> i64 {
    let whole = duration.as_millis() + u128::from(duration.subsec_nanos() % 1_000_000 != 0);
    i64::try_from(whole).unwrap_or(i64::MAX)
}

/// Everything of an event that the library lends, in one call.
pub(crate) struct EventView(sys::blazen_event_view);

impl EventView {
    /// # Safety
    /// `event` lives as long as the view is used.
    pub(crate) unsafe fn read(event: *const sys::blazen_event) -> Option<Self> {
        let mut view = sized!(sys::blazen_event_view);
        // SAFETY: the caller says so; the view knows its size.
        (unsafe { sys::blazen_event_read(event, &mut view) } == 1).then_some(Self(view))
    }

    pub(crate) fn event_type(&self) -> &str {
        // SAFETY: lent for as long as the event lives, which whoever read the view has promised.
        unsafe { ffi::text_of(self.0.type_, self.0.type_length) }
    }

    pub(crate) fn value(&self) -> ValueRef<'_> {
        // SAFETY: as above.
        unsafe {
            ValueRef {
                raw: self.0.value,
                tag: tag_of(self.0.tag),
                codec: ffi::text_of(self.0.codec, self.0.codec_length),
                data: ffi::bytes_of(self.0.data.cast(), self.0.data_length),
            }
        }
    }
}
