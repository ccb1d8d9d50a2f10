//! Values: [`Value`], which any value of a run is, and [`StateValue`], what the state of a run holds.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use libblazen_sys as sys;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{self, Encoded, CBOR};
use crate::error::{OwnError, Status, WorkflowError};
use crate::ffi::{self, sized, text, ValueHandle};
use crate::guard;
use crate::live::{Kept, LiveEvent};

/// From how many bytes on a value keeps the buffer it was made of, instead of a copy.
const ADOPT_BYTES_MIN: usize = 1024;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tag {
    /// JSON text, kept byte for byte.
    Json,
    /// Any bytes.
    Bytes,
    /// Opaque bytes of one platform's serializer, with a codec.
    Native,
    /// An object of this process.
    Live,
}

/// Any value of a run: an event's, a result, an entry of the session. Immutable; a clone is the same value.
#[derive(Clone)]
pub struct Value(ValueHandle);

impl Value {
    /// Plain data: JSON where JSON holds it exactly, else `blazen/cbor`.
    pub fn new<T: Serialize + ?Sized>(data: &T) -> Result<Self, WorkflowError> {
        match codec::encode(data)? {
            Encoded::Json(json) => Self::adopt(sys::BLAZEN_TAG_JSON, json, ""),
            Encoded::Cbor(cbor) => Self::adopt(sys::BLAZEN_TAG_NATIVE, cbor, CBOR),
            Encoded::Live(value) => Ok(value),
        }
    }

    /// JSON text, checked and kept byte for byte.
    pub fn json_text(json: impl Into<String>) -> Result<Self, WorkflowError> {
        Self::adopt(sys::BLAZEN_TAG_JSON, json.into().into_bytes(), "")
    }

    /// Any bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, WorkflowError> {
        Self::adopt(sys::BLAZEN_TAG_BYTES, bytes.into(), "")
    }

    /// The bytes of a platform's own serializer, which `codec` names.
    pub fn native(codec: &str, bytes: impl Into<Vec<u8>>) -> Result<Self, WorkflowError> {
        Self::adopt(sys::BLAZEN_TAG_NATIVE, bytes.into(), codec)
    }

    /// An object of this process, which no snapshot can keep. Its label is the bare name of its type.
    pub fn live<T: Any + Send + Sync>(object: Arc<T>) -> Result<Self, WorkflowError> {
        let label = crate::error::short_type_name(std::any::type_name::<T>());
        Self::make_live(label, LiveObject { object, serialize: None })
    }

    pub(crate) fn live_with(
        label: &str,
        object: Arc<dyn Any + Send + Sync>,
        serialize: Serialize_,
    ) -> Result<Self, WorkflowError> {
        Self::make_live(label, LiveObject { object, serialize: Some(serialize) })
    }

    pub(crate) fn live_error(error: OwnError) -> Option<Self> {
        let serialize: Serialize_ = Box::new(|object| {
            let error = object
                .downcast_ref::<OwnError>()
                .ok_or_else(|| WorkflowError::message("the object is no error of a step"))?;
            Value::new(&error.serialized())
        });
        Self::live_with("blazen/error", Arc::new(error), serialize).ok()
    }

    fn make_live(label: &str, live: LiveObject) -> Result<Self, WorkflowError> {
        let mut options = sized!(sys::blazen_live_options);
        options.drop = LIVE_DROP;
        options.serialize = live.serialize.is_some().then_some(serialize_live as _);
        let object: *mut c_void = Box::into_raw(Box::new(live)).cast();
        let made = ffi::make(|value, error| {
            // SAFETY: `object` is a LiveObject, as LIVE_DROP and serialize_live expect; the library calls the drop once,
            // also when this call fails.
            unsafe { sys::blazen_value_live_with(object, text(label), label.len(), &options, value, error) }
        })?;
        // SAFETY: made above, and ours.
        unsafe { Self::own(made) }.ok_or_else(no_value)
    }

    fn adopt(tag: sys::blazen_tag, bytes: Vec<u8>, codec: &str) -> Result<Self, WorkflowError> {
        let made = if bytes.len() < ADOPT_BYTES_MIN {
            copy(tag, &bytes, codec)?
        } else {
            let bytes = Box::new(bytes);
            let (data, length) = (bytes.as_ptr(), bytes.len());
            let owner: *mut c_void = Box::into_raw(bytes).cast();
            ffi::make(|value, error| {
                // SAFETY: the buffer of the Vec stays where it is until drop_bytes, which the library calls once, also when
                // this call fails.
                unsafe {
                    sys::blazen_value_adopt(
                        tag,
                        data.cast(),
                        length,
                        text(codec),
                        codec.len(),
                        owner,
                        Some(drop_bytes),
                        value,
                        error,
                    )
                }
            })?
        };
        // SAFETY: made above, and ours.
        unsafe { Self::own(made) }.ok_or_else(no_value)
    }

    /// # Safety
    /// As for the handle.
    pub(crate) unsafe fn own(raw: *mut sys::blazen_value) -> Option<Self> {
        // SAFETY: the caller says so.
        unsafe { ValueHandle::own(raw) }.map(Self)
    }

    /// # Safety
    /// As for the handle.
    pub(crate) unsafe fn borrow(raw: *const sys::blazen_value) -> Option<Self> {
        // SAFETY: the caller says so.
        unsafe { ValueHandle::borrow(raw) }.map(Self)
    }

    pub(crate) fn raw(&self) -> *mut sys::blazen_value {
        self.0.raw()
    }

    pub(crate) fn into_raw(self) -> *mut sys::blazen_value {
        self.0.into_raw()
    }

    /// What it is.
    pub fn tag(&self) -> Tag {
        // SAFETY: a live value.
        tag_of(unsafe { sys::blazen_value_tag(self.raw()) })
    }

    /// The codec of a native value, or the label of a live one; empty where it has none.
    pub fn codec(&self) -> &str {
        let mut length = 0;
        // SAFETY: a live value; what it lends lives as long as it does, and never changes.
        unsafe {
            let codec = sys::blazen_value_codec(self.raw(), &mut length);
            ffi::text_of(codec, length)
        }
    }

    /// The JSON text or the bytes, without a copy; empty for a live value.
    pub fn data(&self) -> &[u8] {
        let mut length = 0;
        // SAFETY: as for the codec.
        unsafe {
            let data = sys::blazen_value_data(self.raw(), &mut length);
            ffi::bytes_of(data.cast(), length)
        }
    }

    /// The JSON text; None where the value is no JSON.
    pub fn as_json_text(&self) -> Option<&str> {
        (self.tag() == Tag::Json).then(|| std::str::from_utf8(self.data()).unwrap_or_default())
    }

    /// The bytes of a value of tag bytes, or of a native one; None for the others.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        matches!(self.tag(), Tag::Bytes | Tag::Native).then(|| self.data())
    }

    /// The data as a JSON tree.
    pub fn to_json(&self) -> Result<serde_json::Value, WorkflowError> {
        self.to()
    }

    /// The data as any type that serde reads: of JSON, of `blazen/cbor`, and a `Vec<u8>` or the like of bytes.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, WorkflowError> {
        self.view().to()
    }

    pub(crate) fn view(&self) -> ValueRef<'_> {
        ValueRef { raw: self.raw(), tag: self.tag(), codec: self.codec(), data: self.data() }
    }

    /// The object of a live value, where it is a `T` of this crate: the very object that was given.
    pub fn object<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.live_object()?.object).downcast().ok()
    }

    pub(crate) fn live_ref<T: Any>(&self) -> Option<&T> {
        self.live_object()?.object.downcast_ref()
    }

    fn live_object(&self) -> Option<&LiveObject> {
        // SAFETY: the library gives the pointer only where the value was made with exactly LIVE_DROP, so it is a LiveObject;
        // it lives as long as the value, and is only shared (LiveObject is Sync).
        unsafe { sys::blazen_value_object_of(self.raw(), LIVE_DROP).cast::<LiveObject>().as_ref() }
    }
}

/// A value that the library lends for the time of a call, with all that it says of it.
#[derive(Clone, Copy)]
pub struct ValueRef<'a> {
    pub(crate) raw: *const sys::blazen_value,
    pub(crate) tag: Tag,
    pub(crate) codec: &'a str,
    pub(crate) data: &'a [u8],
}

impl ValueRef<'_> {
    /// The data as any type that serde reads, as [`Value::to`].
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, WorkflowError> {
        match self.tag {
            Tag::Json => codec::from_json(self.data),
            Tag::Native if self.codec == CBOR => codec::from_cbor(self.data),
            Tag::Bytes => {
                let bytes = serde::de::value::BytesDeserializer::<serde::de::value::Error>::new(self.data);
                T::deserialize(bytes).map_err(|_| self.unreadable("bytes: read them with as_bytes"))
            }
            Tag::Native => Err(self.unreadable(&format!(
                "an opaque value of the codec {:?}: forward it, or read its bytes with as_bytes",
                self.codec
            ))),
            Tag::Live => {
                let value = self.to_value();
                if let Some(event) = value.live_ref::<LiveEvent>() {
                    return event.read();
                }
                match value.live_ref::<Kept>() {
                    Some(kept) => kept.0.to(),
                    None => Err(self.unreadable("an object of this process: take it with Value::object")),
                }
            }
        }
    }

    /// What it is.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// A value of one's own.
    pub fn to_value(&self) -> Value {
        // SAFETY: lent for as long as this reference lives, and never NULL.
        match unsafe { Value::borrow(self.raw) } {
            Some(value) => value,
            None => unreachable!("a lent value is never NULL"),
        }
    }

    fn unreadable(&self, is: &str) -> WorkflowError {
        WorkflowError::new(Status::WrongTag, format!("the value is {is}"))
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

pub(crate) fn tag_of(tag: sys::blazen_tag) -> Tag {
    match tag {
        sys::BLAZEN_TAG_JSON => Tag::Json,
        sys::BLAZEN_TAG_BYTES => Tag::Bytes,
        sys::BLAZEN_TAG_NATIVE => Tag::Native,
        _ => Tag::Live,
    }
}

fn no_value() -> WorkflowError {
    WorkflowError::new(Status::Internal, "the library made no value")
}

fn copy(tag: sys::blazen_tag, bytes: &[u8], codec: &str) -> Result<*mut sys::blazen_value, WorkflowError> {
    ffi::make(|value, error| {
        // SAFETY: the library copies what it is given.
        unsafe {
            match tag {
                sys::BLAZEN_TAG_JSON => sys::blazen_value_json(bytes.as_ptr().cast(), bytes.len(), value, error),
                sys::BLAZEN_TAG_BYTES => sys::blazen_value_bytes(bytes.as_ptr().cast(), bytes.len(), value, error),
                _ => {
                    sys::blazen_value_native(bytes.as_ptr().cast(), bytes.len(), text(codec), codec.len(), value, error)
                }
            }
        }
    })
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag() {
            Tag::Json => write!(f, "Value({})", String::from_utf8_lossy(self.data())),
            tag => write!(f, "Value({tag:?} {:?}, {} bytes)", self.codec(), self.data().len()),
        }
    }
}

impl PartialEq for Value {
    /// Same tag, same codec, same bytes; of live values, the same object.
    fn eq(&self, other: &Self) -> bool {
        let (tag, object) = (self.tag(), |value: &Value| {
            // SAFETY: a live value.
            unsafe { sys::blazen_value_object(value.raw()) }
        });
        tag == other.tag()
            && self.codec() == other.codec()
            && if tag == Tag::Live { ptr::eq(object(self), object(other)) } else { self.data() == other.data() }
    }
}

/// What can be given where a value is wanted: any data that serde writes, a [`Value`], a [`StateValue`].
pub trait IntoValue {
    /// Makes the value.
    fn into_value(self) -> Result<Value, WorkflowError>;
}

impl<T: Serialize> IntoValue for T {
    fn into_value(self) -> Result<Value, WorkflowError> {
        Value::new(&self)
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Result<Value, WorkflowError> {
        Ok(self)
    }
}

impl IntoValue for StateValue {
    fn into_value(self) -> Result<Value, WorkflowError> {
        match self {
            StateValue::Json(json) => Value::new(&json),
            StateValue::Bytes(bytes) => Value::bytes(bytes.bytes),
            StateValue::Native(native) => Value::native(&native.codec, native.bytes),
        }
    }
}

/// A value of the state of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum StateValue {
    /// Structured data.
    Json(serde_json::Value),
    /// Raw bytes.
    Bytes(BytesWrapper),
    /// Opaque bytes of a platform's serializer (a Python pickle, say), with the name of its codec inside. It passes through
    /// Rust steps bit for bit.
    Native(BytesWrapper),
}

impl StateValue {
    pub(crate) fn of(value: &ValueRef<'_>) -> Result<Self, WorkflowError> {
        Ok(match value.tag {
            Tag::Json => StateValue::Json(value.to()?),
            Tag::Bytes => StateValue::Bytes(value.data.to_vec().into()),
            _ => StateValue::Native(BytesWrapper { bytes: value.data.to_vec(), codec: value.codec.to_owned() }),
        })
    }
}

/// Bytes, and, of a native value, the codec that made them, which moves with them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BytesWrapper {
    bytes: Vec<u8>,
    codec: String,
}

impl BytesWrapper {
    /// Bytes of a platform's serializer with the name of its codec.
    pub fn with_codec(codec: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), codec: codec.into() }
    }

    /// The name of the codec that made the bytes; empty where there is none.
    pub fn codec(&self) -> &str {
        &self.codec
    }

    /// The bytes alone.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for BytesWrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BytesWrapper({:?}, {} bytes)", self.codec, self.bytes.len())
    }
}

impl From<Vec<u8>> for BytesWrapper {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, codec: String::new() }
    }
}

impl Deref for BytesWrapper {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// CBOR tag 27: one object of a platform, `[codec, bytes]`.
type Embedded = ciborium::tag::Required<(String, ciborium::Value), 27>;

impl Serialize for BytesWrapper {
    /// Inside an event: a byte string, or an embedded object of its codec. JSON holds neither, so the event is `blazen/cbor`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Err(serde::ser::Error::custom("bytes of a platform's serializer are not JSON"));
        }
        let bytes = ciborium::Value::Bytes(self.bytes.clone());
        if self.codec.is_empty() {
            return bytes.serialize(serializer);
        }
        ciborium::tag::Required::<_, 27>((self.codec.clone(), bytes)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BytesWrapper {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || serde::de::Error::custom("neither a byte string nor an embedded object (tag 27)");
        match ciborium::Value::deserialize(deserializer)? {
            ciborium::Value::Bytes(bytes) => Ok(bytes.into()),
            tagged @ ciborium::Value::Tag(27, _) => {
                let embedded: Embedded = tagged.deserialized().map_err(|_| wrong())?;
                let (codec, bytes) = embedded.0;
                let bytes = bytes.into_bytes().map_err(|_| wrong())?;
                Ok(Self { bytes, codec })
            }
            _ => Err(wrong()),
        }
    }
}

/// How a live object is kept in a snapshot.
pub(crate) type Serialize_ = Box<dyn Fn(&(dyn Any + Send + Sync)) -> Result<Value, WorkflowError> + Send + Sync>;

/// What the library holds of an object of ours.
struct LiveObject {
    object: Arc<dyn Any + Send + Sync>,
    serialize: Option<Serialize_>,
}

/// Read from here alone, so that it has one address: by it the library knows our objects from those of other bindings.
static LIVE_DROP: sys::blazen_drop_fn = Some(drop_live);

unsafe extern "C" fn drop_live(object: *mut c_void) {
    guard::quietly(|| {
        // SAFETY: made by Value::make_live with Box::into_raw; the library calls this once.
        drop(unsafe { Box::from_raw(object.cast::<LiveObject>()) });
    });
}

unsafe extern "C" fn drop_bytes(bytes: *mut c_void) {
    // SAFETY: made by Value::adopt with Box::into_raw; the library calls this once.
    drop(unsafe { Box::from_raw(bytes.cast::<Vec<u8>>()) });
}

unsafe extern "C" fn serialize_live(
    object: *mut c_void,
    value: *mut *mut sys::blazen_value,
    error: *mut *mut sys::blazen_error,
) -> sys::blazen_status {
    // SAFETY: made by Value::make_live, and alive during the call; only shared.
    let live = unsafe { &*object.cast::<LiveObject>() };
    // SAFETY: `error` is the callback's.
    unsafe {
        guard::status(error, || {
            let serialize = live
                .serialize
                .as_ref()
                .ok_or_else(|| WorkflowError::new(Status::NotSerializable, "the object has no serialized form"))?;
            let kept = serialize(&*live.object)?;
            // SAFETY: the place that the library gives for the value, which is its own then.
            *value = kept.into_raw();
            Ok(sys::BLAZEN_OK)
        })
    }
}
