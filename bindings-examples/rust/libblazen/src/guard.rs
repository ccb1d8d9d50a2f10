//! No panic crosses the boundary to C: it becomes an error of the step, or of the call.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use libblazen_sys as sys;

use crate::error::WorkflowError;

/// Runs the inside of a callback that answers a status.
///
/// # Safety
/// `error` is where the callback may leave an error: writable, or NULL.
pub(crate) unsafe fn status(
    error: *mut *mut sys::blazen_error,
    body: impl FnOnce() -> Result<sys::blazen_status, WorkflowError>,
) -> sys::blazen_status {
    match catch(body) {
        Ok(status) => status,
        // SAFETY: as the caller says.
        Err(failure) => unsafe { failure.report(error) },
    }
}

/// Runs the inside of a callback that answers nothing: a panic there is logged.
pub(crate) fn quietly(body: impl FnOnce()) {
    if let Err(error) = catch(|| {
        body();
        Ok(())
    }) {
        log::error!(target: "blazen", "in a callback: {error}");
    }
}

/// Runs code of the user. It is unwind safe in the sense that matters: what it may have left half done is its own, and the
/// step it belongs to has failed.
pub(crate) fn catch<T>(body: impl FnOnce() -> Result<T, WorkflowError>) -> Result<T, WorkflowError> {
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

fn panicked(payload: &(dyn Any + Send)) -> WorkflowError {
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    WorkflowError::message(format!("panic: {said}"))
}
