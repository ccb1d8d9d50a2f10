//! The few things every call of the C library needs: texts, option structs, counted handles, and the error at the end.

use std::ffi::c_char;
use std::ptr::{self, NonNull};

use libblazen_sys as sys;

use crate::error::WorkflowError;

/// A zeroed option struct that knows its size: the defaults of the library.
macro_rules! sized {
    ($type:ty) => {{
        // SAFETY: option structs and views are plain C data of numbers and nullable pointers; all zero is their default.
        let mut options: $type = unsafe { std::mem::zeroed() };
        options.struct_size = std::mem::size_of::<$type>();
        options
    }};
}
pub(crate) use sized;

/// A text as the pointer that a call takes; its length goes beside it.
pub(crate) fn text(text: &str) -> *const c_char {
    text.as_ptr().cast()
}

/// The bytes behind a pointer and a length that the library handed out; empty for NULL.
///
/// # Safety
/// Where `data` is not NULL, it has `length` bytes that live and stay as they are for `'a`.
pub(crate) unsafe fn bytes_of<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if data.is_null() {
        &[]
    } else {
        // SAFETY: the caller says so.
        unsafe { std::slice::from_raw_parts(data, length) }
    }
}

/// The text behind a pointer and a length that the library handed out; empty for NULL.
///
/// # Safety
/// As for `bytes_of`. The library hands out UTF-8 alone.
pub(crate) unsafe fn text_of<'a>(data: *const c_char, length: usize) -> &'a str {
    // SAFETY: the caller says so.
    std::str::from_utf8(unsafe { bytes_of(data.cast(), length) }).unwrap_or_default()
}

/// Calls the library with a place for its error, and turns the outcome into a Result.
pub(crate) fn call(body: impl FnOnce(*mut *mut sys::blazen_error) -> sys::blazen_status) -> Result<(), WorkflowError> {
    let mut error = ptr::null_mut();
    let status = body(&mut error);
    if status == sys::BLAZEN_OK {
        return Ok(());
    }
    // SAFETY: on failure the library set the error, or left it NULL; it is the caller's now.
    Err(unsafe { WorkflowError::from_library(status, error) })
}

/// The same for a call with one handle as its output.
pub(crate) fn make<T>(
    body: impl FnOnce(*mut *mut T, *mut *mut sys::blazen_error) -> sys::blazen_status,
) -> Result<*mut T, WorkflowError> {
    let mut made = ptr::null_mut();
    call(|error| body(&mut made, error))?;
    Ok(made)
}

/// A counted handle of the library: Clone retains, Drop releases.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $retain:ident, $release:ident) => {
        $(#[$doc])*
        pub(crate) struct $name(NonNull<sys::$raw>);

        // SAFETY: the header tags retain and release of this handle, and every call this crate makes through a shared
        // reference to it, as `thread: any`; or the caller serializes those that are not (see where they are made).
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}

        impl $name {
            /// Takes over a reference that the library handed out.
            ///
            /// # Safety
            /// `raw` is NULL, or a handle of this kind with one reference that belongs to the caller.
            #[allow(dead_code)]
            pub(crate) unsafe fn own(raw: *mut sys::$raw) -> Option<Self> {
                NonNull::new(raw).map(Self)
            }

            /// Adds a reference to a handle that the library lends.
            ///
            /// # Safety
            /// `raw` is NULL, or a handle of this kind that lives during the call.
            #[allow(dead_code)]
            pub(crate) unsafe fn borrow(raw: *const sys::$raw) -> Option<Self> {
                // SAFETY: the caller says so; NULL gives NULL.
                unsafe { Self::own(sys::$retain(raw)) }
            }

            #[allow(dead_code)]
            pub(crate) fn raw(&self) -> *mut sys::$raw {
                self.0.as_ptr()
            }

            /// Gives the reference away.
            #[allow(dead_code)]
            pub(crate) fn into_raw(self) -> *mut sys::$raw {
                let raw = self.0.as_ptr();
                std::mem::forget(self);
                raw
            }
        }

        impl Clone for $name {
            fn clone(&self) -> Self {
                // SAFETY: the handle lives, since we hold a reference.
                unsafe { sys::$retain(self.raw()) };
                Self(self.0)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: our reference, given back once.
                unsafe { sys::$release(self.raw()) }
            }
        }
    };
}

handle!(ErrorHandle, blazen_error, blazen_error_retain, blazen_error_release);
handle!(ValueHandle, blazen_value, blazen_value_retain, blazen_value_release);
handle!(EventHandle, blazen_event, blazen_event_retain, blazen_event_release);
handle!(WorkflowRef, blazen_workflow, blazen_workflow_retain, blazen_workflow_release);
handle!(WorkflowBuilderRef, blazen_workflow_builder, blazen_workflow_builder_retain, blazen_workflow_builder_release);
handle!(PipelineBuilderRef, blazen_pipeline_builder, blazen_pipeline_builder_retain, blazen_pipeline_builder_release);
handle!(RuntimeRef, blazen_runtime, blazen_runtime_retain, blazen_runtime_release);
handle!(RunRef, blazen_run, blazen_run_retain, blazen_run_release);
handle!(InvocationRef, blazen_invocation, blazen_invocation_retain, blazen_invocation_release);
handle!(StreamRef, blazen_stream, blazen_stream_retain, blazen_stream_release);
handle!(SnapshotRef, blazen_snapshot, blazen_snapshot_retain, blazen_snapshot_release);
handle!(KeysRef, blazen_keys, blazen_keys_retain, blazen_keys_release);

impl KeysRef {
    /// The keys as texts. A key that is no UTF-8 cannot be: the library refuses it.
    pub(crate) fn to_vec(&self) -> Vec<String> {
        // SAFETY: a live handle; the texts live as long as it does.
        unsafe {
            (0..sys::blazen_keys_count(self.raw()))
                .map(|index| {
                    let mut length = 0;
                    let key = sys::blazen_keys_at(self.raw(), index, &mut length);
                    text_of(key, length).to_owned()
                })
                .collect()
        }
    }
}
