//! Objects of this process inside events: [`Live`].
//!
//! An event with such a field is one LIVE value, `blazen/event`: a CBOR tree in which each object is a number of a table
//! beside it. What a snapshot keeps is the tree with `[label, bytes]` in place of each.

use std::any::Any;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use ciborium::Value as Cbor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cbor;
use crate::codec::CBOR;
use crate::error::{Status, WorkflowError};
use crate::session::SessionRef;
use crate::value::Value;

/// The label of an event that has objects in it.
pub(crate) const LABEL: &str = "blazen/event";
/// The tag of a number of the table. It never leaves the process.
const PLACE: u64 = 0x626c_617a_656e;

/// An object of this process as a field of an event. The step that takes the event gets the very same object; in another
/// process, it is made again of what [`SessionRef::blazen_serialize`] gave.
///
/// ```
/// use std::sync::Arc;
/// use blazen::prelude::*;
/// use blazen::{Live, SessionRef};
/// use serde::{Deserialize, Serialize};
///
/// struct Connection;
/// impl SessionRef for Connection {
///     const LABEL: &'static str = "Connection";
/// }
///
/// #[derive(Serialize, Deserialize, Event)]
/// struct Connected {
///     name: String,
///     connection: Live<Connection>,
/// }
/// # let _ = Connected { name: String::new(), connection: Live(Arc::new(Connection)) };
/// ```
#[derive(Debug)]
pub struct Live<T>(pub Arc<T>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Live<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<Arc<T>> for Live<T> {
    fn from(object: Arc<T>) -> Self {
        Self(object)
    }
}

type Keep = fn(&(dyn Any + Send + Sync)) -> Result<Vec<u8>, WorkflowError>;

/// An object of the table.
#[derive(Clone)]
struct Entry {
    object: Arc<dyn Any + Send + Sync>,
    label: &'static str,
    keep: Keep,
}

thread_local! {
    /// The table of the event that is being written, or read, in this thread.
    static TABLE: RefCell<Option<Vec<Entry>>> = const { RefCell::new(None) };
}

/// With a table in place, and the one from before afterwards.
fn with_table<T>(table: Vec<Entry>, body: impl FnOnce() -> T) -> (T, Vec<Entry>) {
    struct Restore(Option<Vec<Entry>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            TABLE.with_borrow_mut(|table| *table = before);
        }
    }
    let restore = Restore(TABLE.replace(Some(table)));
    let answer = body();
    let table = TABLE.take().unwrap_or_default();
    drop(restore);
    (answer, table)
}

/// An event that has objects in it.
pub(crate) struct LiveEvent {
    tree: Cbor,
    table: Vec<Entry>,
}

/// What a snapshot kept of a LIVE value, handed on as it is: an event with objects, the error of a step. It is read as that,
/// and the next snapshot keeps the same again.
pub(crate) struct Kept(pub(crate) Value);

impl Kept {
    pub(crate) fn value(label: &str, kept: &Value) -> Result<Value, WorkflowError> {
        let keep = Box::new(|object: &(dyn Any + Send + Sync)| match object.downcast_ref::<Kept>() {
            Some(kept) => Ok(kept.0.clone()),
            None => Err(WorkflowError::message("the object is of another type")),
        });
        Value::live_with(label, Arc::new(Kept(kept.clone())), keep)
    }
}

/// Data as a tree, and the event it is where there are objects in it.
pub(crate) enum Written {
    Plain(Cbor),
    Live(Value),
}

pub(crate) fn write<T: Serialize + ?Sized>(data: &T) -> Result<Written, WorkflowError> {
    let (tree, table) = with_table(Vec::new(), || Cbor::serialized(data));
    let tree = tree.map_err(WorkflowError::step)?;
    if table.is_empty() {
        return Ok(Written::Plain(tree));
    }
    let event = Arc::new(LiveEvent { tree, table });
    let keep = Box::new(|object: &(dyn Any + Send + Sync)| match object.downcast_ref::<LiveEvent>() {
        Some(event) => event.kept(),
        None => Err(WorkflowError::message("the object is no event")),
    });
    Value::live_with(LABEL, event, keep).map(Written::Live)
}

impl LiveEvent {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, WorkflowError> {
        let (read, _) = with_table(self.table.clone(), || self.tree.deserialized());
        read.map_err(WorkflowError::step)
    }

    fn kept(&self) -> Result<Value, WorkflowError> {
        let mut tree = self.tree.clone();
        self.keep_in(&mut tree, "")?;
        let bytes = cbor::write(&tree).ok_or_else(|| WorkflowError::message("there is no CBOR for this event"))?;
        Value::native(CBOR, bytes)
    }

    /// Puts what is kept of each object in its place. `field` is the path to `tree`.
    fn keep_in(&self, tree: &mut Cbor, field: &str) -> Result<(), WorkflowError> {
        match tree {
            Cbor::Tag(PLACE, number) => {
                let entry = number.as_integer().and_then(|number| self.table.get(usize::try_from(number).ok()?));
                let entry = entry.ok_or_else(|| WorkflowError::message("an object of the event is not there"))?;
                let bytes = (entry.keep)(&*entry.object).map_err(|error| {
                    WorkflowError::new(
                        Status::NotSerializable,
                        format!("the field {field:?}, a {}, cannot be kept: {error}", entry.label),
                    )
                })?;
                *tree = Cbor::Array(vec![Cbor::Text(entry.label.to_owned()), Cbor::Bytes(bytes)]);
                Ok(())
            }
            Cbor::Map(entries) => entries.iter_mut().try_for_each(|(key, value)| {
                let key = key.as_text().unwrap_or("?");
                let path = if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
                self.keep_in(value, &path)
            }),
            Cbor::Array(items) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, item)| self.keep_in(item, &format!("{field}[{index}]"))),
            Cbor::Tag(_, inner) => self.keep_in(inner, field),
            _ => Ok(()),
        }
    }
}

impl<T: SessionRef> Serialize for Live<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        if serializer.is_human_readable() {
            return Err(S::Error::custom("an object of this process is not JSON"));
        }
        let entry = Entry {
            object: Arc::clone(&self.0) as Arc<dyn Any + Send + Sync>,
            label: T::LABEL,
            keep: |object| match object.downcast_ref::<T>() {
                Some(object) => object.blazen_serialize(),
                None => Err(WorkflowError::message("the object is of another type")),
            },
        };
        let number = TABLE.with_borrow_mut(|table| {
            let table = table.as_mut()?;
            table.push(entry);
            Some(table.len() as u64 - 1)
        });
        let number = number.ok_or_else(|| S::Error::custom("an object of this process goes in an event alone"))?;
        ciborium::tag::Required::<_, PLACE>(number).serialize(serializer)
    }
}

impl<'de, T: SessionRef> Deserialize<'de> for Live<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let wrong = |what: &str| D::Error::custom(format!("{what}: a {} is wanted", T::LABEL));
        match Cbor::deserialize(deserializer)? {
            Cbor::Tag(PLACE, number) => {
                let number = number.as_integer().and_then(|number| usize::try_from(number).ok());
                let object = TABLE.with_borrow(|table| Some(Arc::clone(&table.as_ref()?.get(number?)?.object)));
                let object = object.ok_or_else(|| wrong("an object that is not there"))?;
                object.downcast().map(Live).map_err(|_| wrong("an object of another type"))
            }
            Cbor::Array(kept) => match &kept[..] {
                [Cbor::Text(label), Cbor::Bytes(bytes)] if label == T::LABEL => {
                    T::blazen_deserialize(bytes).map(|object| Live(Arc::new(object))).map_err(D::Error::custom)
                }
                [Cbor::Text(label), Cbor::Bytes(_)] => Err(wrong(&format!("an object with the label {label:?}"))),
                _ => Err(wrong("an array")),
            },
            _ => Err(wrong("something else")),
        }
    }
}
