//! How a run is resumed: [`ResumeOptions`].

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use libblazen_sys as sys;

use crate::error::{Status, WorkflowError};
use crate::ffi::{self, sized, text, RunRef, SnapshotRef};
use crate::guard;
use crate::input::{self, InputHandler};
use crate::live::{self, Kept};
use crate::runtime::Runtime;
use crate::session::SessionRef;
use crate::value::Value;
use crate::workflow::{nothing_made, Workflow};

type Make = Box<dyn Fn(&Value) -> Result<Value, WorkflowError> + Send + Sync>;

/// Labels whose kept form is handed on as it is: events with live fields of other languages, and errors of steps.
const OPAQUE_LABELS: [&str; 2] = [live::LABEL, "blazen/error"];

/// How a run is resumed.
#[derive(Default)]
pub struct ResumeOptions {
    makers: Vec<(String, Make)>,
    skip_unknown: bool,
    keep_paused: bool,
    fork: bool,
    time_has_passed: bool,
    allow_changed_workflow: bool,
}

impl ResumeOptions {
    /// The run goes on, with its id; its time stood still; a label without a deserializer is an error.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes objects of this type again, which stand in the session under its label.
    #[must_use]
    pub fn with_ref<T: SessionRef>(self) -> Self {
        self.with_deserializer(T::LABEL, |kept| {
            let bytes = kept.as_bytes().ok_or_else(|| {
                WorkflowError::new(Status::WrongTag, format!("the kept form of {:?} is no bytes", T::LABEL))
            })?;
            T::to_live(Arc::new(T::blazen_deserialize(bytes)?))
        })
    }

    /// Makes objects of this label again, of what the snapshot kept.
    #[must_use]
    pub fn with_deserializer(
        mut self,
        label: impl Into<String>,
        make: impl Fn(&Value) -> Result<Value, WorkflowError> + Send + Sync + 'static,
    ) -> Self {
        self.makers.push((label.into(), Box::new(make)));
        self
    }

    /// Objects whose label has no deserializer are left out; [`WorkflowHandler::dropped`](crate::WorkflowHandler::dropped)
    /// names them.
    #[must_use]
    pub fn skip_unknown_labels(mut self) -> Self {
        self.skip_unknown = true;
        self
    }

    /// A run that was paused in its snapshot stays so.
    #[must_use]
    pub fn keep_paused(mut self) -> Self {
        self.keep_paused = true;
        self
    }

    /// A new run from there, with another id.
    #[must_use]
    pub fn fork(mut self) -> Self {
        self.fork = true;
        self
    }

    /// Delays, back-offs and deadlines count by the date, as if the run had not stood still.
    #[must_use]
    pub fn time_has_passed(mut self) -> Self {
        self.time_has_passed = true;
        self
    }

    /// Also where the fingerprint of the workflow differs; its steps are still checked.
    #[must_use]
    pub fn allow_changed_workflow(mut self) -> Self {
        self.allow_changed_workflow = true;
        self
    }

    pub(crate) fn resume(
        mut self,
        runtime: &Runtime,
        workflow: &Workflow,
        snapshot: &SnapshotRef,
        input: Option<&Arc<InputHandler>>,
    ) -> Result<RunRef, WorkflowError> {
        for label in OPAQUE_LABELS {
            if self.makers.iter().all(|(known, _)| known != label) {
                self = self.with_deserializer(label, move |kept| Kept::value(label, kept));
            }
        }
        let deserializers: Vec<_> = self
            .makers
            .iter()
            .map(|(label, make)| sys::blazen_deserializer {
                label: text(label),
                label_length: label.len(),
                deserialize: Some(deserialize),
                user_data: ptr_to(make),
                drop: None,
            })
            .collect();
        let mut options = sized!(sys::blazen_run_options);
        options.deserializers = deserializers.as_ptr();
        options.deserializer_count = deserializers.len();
        options.unknown_label = i32::from(self.skip_unknown);
        options.keep_paused = i32::from(self.keep_paused);
        options.fork = i32::from(self.fork);
        options.time_has_passed = i32::from(self.time_has_passed);
        options.allow_changed_workflow = i32::from(self.allow_changed_workflow);
        let made = ffi::make(|run, error| {
            input::say(input, &mut options);
            // SAFETY: live handles; the deserializers live during the call, which is how long they are used.
            unsafe {
                sys::blazen_run_resume(runtime.raw(), workflow.handle.raw(), snapshot.raw(), &options, run, error)
            }
        })?;
        // SAFETY: made above, and ours.
        unsafe { RunRef::own(made) }.ok_or_else(nothing_made)
    }
}

fn ptr_to(make: &Make) -> *mut c_void {
    std::ptr::from_ref(make).cast_mut().cast()
}

impl std::fmt::Debug for ResumeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<_> = self.makers.iter().map(|(label, _)| label).collect();
        f.debug_struct("ResumeOptions").field("labels", &labels).finish_non_exhaustive()
    }
}

unsafe extern "C" fn deserialize(
    make: *mut c_void,
    _label: *const c_char,
    _label_length: usize,
    kept: *mut sys::blazen_value,
    live: *mut *mut sys::blazen_value,
    error: *mut *mut sys::blazen_error,
) -> sys::blazen_status {
    // SAFETY: `make` is a Make that lives during the resume; the rest lives during the call.
    unsafe {
        guard::status(error, || {
            let make = &*make.cast::<Make>();
            let kept = Value::borrow(kept).ok_or_else(|| WorkflowError::new(Status::Internal, "nothing was kept"))?;
            *live = make(&kept)?.into_raw();
            Ok(sys::BLAZEN_OK)
        })
    }
}
