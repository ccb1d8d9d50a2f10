//! The session of a run: objects of this process, beside the state.

use std::any::Any;
use std::ptr;
use std::sync::Arc;

use libblazen_sys as sys;

use crate::context::Context;
use crate::error::{Status, WorkflowError};
use crate::ffi::text;
use crate::value::Value;

/// An object of the session that a snapshot can keep. Another process makes it again by
/// [`ResumeOptions::with_ref`](crate::ResumeOptions::with_ref).
pub trait SessionRef: Any + Send + Sync + Sized {
    /// The name of the type, as every language that resumes the run writes it in its deserializers.
    const LABEL: &'static str;

    /// What a snapshot keeps. Without it, no snapshot can keep the object.
    fn blazen_serialize(&self) -> Result<Vec<u8>, WorkflowError> {
        Err(WorkflowError::new(Status::NotSerializable, format!("a {} has no serialized form", Self::LABEL)))
    }

    /// Makes the object again of what a snapshot has kept.
    fn blazen_deserialize(kept: &[u8]) -> Result<Self, WorkflowError> {
        let _ = kept;
        Err(WorkflowError::new(Status::NotSerializable, format!("a {} cannot be made again", Self::LABEL)))
    }

    #[doc(hidden)]
    fn to_live(object: Arc<Self>) -> Result<Value, WorkflowError> {
        let serialize = Box::new(|object: &(dyn Any + Send + Sync)| match object.downcast_ref::<Self>() {
            Some(object) => Value::bytes(object.blazen_serialize()?),
            None => Err(WorkflowError::message("the object is of another type")),
        });
        Value::live_with(Self::LABEL, object, serialize)
    }
}

/// The session of a run: any object of this process, shared by the steps. Identity is kept: `get` gives the very `Arc` that
/// was set. What a snapshot does with it says the workflow's [`SessionPausePolicy`](crate::SessionPausePolicy).
#[derive(Clone, Debug)]
pub struct Session(Context);

impl Session {
    pub(crate) fn of(context: Context) -> Self {
        Self(context)
    }

    /// Puts an object there that no snapshot can keep, such as a connection.
    pub fn set<T: Any + Send + Sync>(&self, key: &str, object: Arc<T>) -> Result<(), WorkflowError> {
        self.put(key, &Value::live(object)?)
    }

    /// Puts an object there that snapshots keep.
    pub fn set_ref<T: SessionRef>(&self, key: &str, object: Arc<T>) -> Result<(), WorkflowError> {
        self.put(key, &T::to_live(object)?)
    }

    /// Puts a value of any tag there.
    pub fn set_value(&self, key: &str, value: &Value) -> Result<(), WorkflowError> {
        self.put(key, value)
    }

    fn put(&self, key: &str, value: &Value) -> Result<(), WorkflowError> {
        self.0.call(|raw, error| {
            // SAFETY: the context lives; key and value live during the call.
            unsafe { sys::blazen_context_set_session(raw, text(key), key.len(), value.raw(), error) }
        })
    }

    /// The object under this key: None where there is none, or it is no `T`.
    pub fn get<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.get_value(key)?.object()
    }

    /// The value under this key, of any tag.
    pub fn get_value(&self, key: &str) -> Option<Value> {
        let mut value = ptr::null_mut();
        self.0
            .call(|raw, error| {
                // SAFETY: as above.
                unsafe { sys::blazen_context_get_session(raw, text(key), key.len(), &mut value, error) }
            })
            .ok()?;
        // SAFETY: given by the call, and ours.
        unsafe { Value::own(value) }
    }

    /// Whether there is something under this key.
    pub fn has(&self, key: &str) -> bool {
        let mut found = 0;
        let answered = self.0.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_has_session(raw, text(key), key.len(), &mut found, error) }
        });
        answered.is_ok() && found == 1
    }

    /// Takes it away; true where it was there.
    pub fn remove(&self, key: &str) -> Result<bool, WorkflowError> {
        let mut removed = 0;
        self.0.call(|raw, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_remove_session(raw, text(key), key.len(), &mut removed, error) }
        })?;
        Ok(removed == 1)
    }

    /// The keys that begin with a prefix (empty: all).
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.0.list(|raw, keys, error| {
            // SAFETY: as above.
            unsafe { sys::blazen_context_session_keys(raw, text(prefix), prefix.len(), keys, error) }
        })
    }
}
