//! Snapshots: a run at one instant, as bytes.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use libblazen_sys as sys;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Status, WorkflowError};
use crate::ffi::{self, SnapshotRef};
use crate::value::Value;

const FORMAT: &str = "blazen/snapshot";
const VERSION: u32 = 1;

/// A run at one instant: deterministic CBOR, that any process and any language resumes.
///
/// By serde it has a JSON form, `{"format": "blazen/snapshot", "version": 1, "cbor": "<base64>"}`, exact both ways.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(Vec<u8>);

impl Snapshot {
    /// A snapshot of its bytes. They are checked when the run is resumed, or by [`info`](Self::info).
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Its JSON form as text.
    pub fn to_json(&self) -> String {
        let json = JsonForm { format: FORMAT.into(), version: VERSION, cbor: STANDARD.encode(&self.0) };
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// A snapshot of the text of its JSON form.
    pub fn from_json(json: &str) -> Result<Self, WorkflowError> {
        serde_json::from_str::<JsonForm>(json)
            .map_err(|error| error.to_string())
            .and_then(Self::of_form)
            .map_err(invalid)
    }

    fn of_form(form: JsonForm) -> Result<Self, String> {
        if form.format != FORMAT {
            return Err(format!("its format is {:?}, and not {FORMAT:?}", form.format));
        }
        if form.version != VERSION {
            return Err(format!("its version is {}, and this crate reads {VERSION}", form.version));
        }
        STANDARD.decode(&form.cbor).map(Self).map_err(|error| format!("its cbor is no base64: {error}"))
    }

    /// What is in the snapshot: workflow, run id, state, counts, the steps that have work, what was dropped.
    pub fn info(&self) -> Result<serde_json::Value, WorkflowError> {
        let snapshot = self.parse()?;
        // SAFETY: a live snapshot.
        let made = ffi::make(|info, error| unsafe { sys::blazen_snapshot_info(snapshot.raw(), info, error) })?;
        // SAFETY: made above, and ours.
        unsafe { Value::own(made) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "the library told nothing"))?
            .to_json()
    }

    pub(crate) fn parse(&self) -> Result<SnapshotRef, WorkflowError> {
        let made = ffi::make(|snapshot, error| {
            // SAFETY: the bytes are copied.
            unsafe { sys::blazen_snapshot_parse(self.0.as_ptr().cast(), self.0.len(), snapshot, error) }
        })?;
        // SAFETY: made above, and ours.
        unsafe { SnapshotRef::own(made) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "the library made no snapshot"))
    }

    /// # Safety
    /// `run` lives.
    pub(crate) unsafe fn take(run: *const sys::blazen_run) -> Result<Self, WorkflowError> {
        // SAFETY: as the caller says.
        let made = ffi::make(|snapshot, error| unsafe { sys::blazen_run_snapshot(run, snapshot, error) })?;
        // SAFETY: made above, and ours; its bytes live as long as it does.
        unsafe {
            let snapshot = SnapshotRef::own(made)
                .ok_or_else(|| WorkflowError::new(Status::Internal, "the library made no snapshot"))?;
            let mut length = 0;
            let data = sys::blazen_snapshot_data(snapshot.raw(), &mut length);
            Ok(Self(ffi::bytes_of(data.cast(), length).to_vec()))
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} bytes)", self.0.len())
    }
}

#[derive(Serialize, Deserialize)]
struct JsonForm {
    format: String,
    version: u32,
    cbor: String,
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonForm { format: FORMAT.into(), version: VERSION, cbor: STANDARD.encode(&self.0) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_form(JsonForm::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn invalid(why: impl std::fmt::Display) -> WorkflowError {
    WorkflowError::new(Status::SnapshotInvalid, format!("this is no snapshot: {why}"))
}

impl From<&Snapshot> for Snapshot {
    fn from(snapshot: &Snapshot) -> Self {
        snapshot.clone()
    }
}

impl From<Vec<u8>> for Snapshot {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Snapshot {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl TryFrom<&str> for Snapshot {
    type Error = WorkflowError;
    fn try_from(json: &str) -> Result<Self, WorkflowError> {
        Self::from_json(json)
    }
}

impl TryFrom<String> for Snapshot {
    type Error = WorkflowError;
    fn try_from(json: String) -> Result<Self, WorkflowError> {
        Self::from_json(&json)
    }
}

impl TryFrom<serde_json::Value> for Snapshot {
    type Error = WorkflowError;
    fn try_from(json: serde_json::Value) -> Result<Self, WorkflowError> {
        serde_json::from_value(json).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_is_exact_both_ways() {
        let snapshot = Snapshot::from_bytes((0..=255).collect::<Vec<u8>>());
        assert_eq!(Snapshot::from_json(&snapshot.to_json()).unwrap(), snapshot);
        let tree = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(tree["format"], "blazen/snapshot");
        assert_eq!(Snapshot::try_from(tree).unwrap(), snapshot);
    }

    #[test]
    fn other_members_are_ignored_and_other_formats_refused() {
        let more = r#"{"format":"blazen/snapshot","version":1,"cbor":"AQI=","note":1}"#;
        assert_eq!(Snapshot::from_json(more).unwrap().as_bytes(), [1, 2]);
        for wrong in [
            r#"{"format":"other","version":1,"cbor":""}"#,
            r#"{"format":"blazen/snapshot","version":2,"cbor":""}"#,
            r#"{"format":"blazen/snapshot","version":1,"cbor":"?"}"#,
            "[]",
        ] {
            assert_eq!(Snapshot::from_json(wrong).unwrap_err().status(), Status::SnapshotInvalid);
        }
    }
}
