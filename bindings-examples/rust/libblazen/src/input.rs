//! The input handler of a workflow: answers the questions of its runs, where they come up.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use libblazen_sys as sys;

use crate::drive::Frame;
use crate::error::{Status, WorkflowError};
use crate::event::{fields, types, InputRequestEvent, RawEvent};
use crate::ffi::{self, text, RunRef};
use crate::guard;
use crate::task::Task;
use crate::value::{IntoValue, Value};

type Answer = Pin<Box<dyn Future<Output = Result<Value, WorkflowError>> + Send>>;

/// What the library knows as user_data of a run's input.
pub(crate) struct InputHandler(Box<dyn Fn(InputRequestEvent) -> Answer + Send + Sync>);

pub(crate) fn handler<F, Fut, V>(handler: F) -> Arc<InputHandler>
where
    F: Fn(InputRequestEvent) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<V, WorkflowError>> + Send + 'static,
    V: IntoValue,
{
    Arc::new(InputHandler(Box::new(move |request| {
        let answer = handler(request);
        Box::pin(async move { answer.await?.into_value() })
    })))
}

/// Puts the handler into the options of a run, which takes it over.
pub(crate) fn say(handler: Option<&Arc<InputHandler>>, options: &mut sys::blazen_run_options) {
    let Some(handler) = handler else { return };
    options.input = Some(ask);
    options.user_data = Arc::into_raw(Arc::clone(handler)).cast_mut().cast();
    options.drop = Some(drop_handler);
}

unsafe extern "C" fn ask(
    handler: *mut c_void,
    run: *mut sys::blazen_run,
    request: *const sys::blazen_event,
    _answer: *mut *mut sys::blazen_value,
    error: *mut *mut sys::blazen_error,
) -> sys::blazen_status {
    // SAFETY: `handler` is an Arc<InputHandler> that the run keeps; run, request and error live during the call.
    unsafe {
        guard::status(error, || {
            let handler = &*handler.cast::<InputHandler>();
            let event = RawEvent::read(request)
                .ok_or_else(|| WorkflowError::new(Status::Internal, "a question without an event"))?;
            let run =
                RunRef::borrow(run).ok_or_else(|| WorkflowError::new(Status::Internal, "a question without a run"))?;
            let mut asked: InputRequestEvent = fields(event.value().view(), types::INPUT_REQUEST)?;
            let id = event.correlation().unwrap_or_default().to_owned();
            asked.request_id = Some(id.clone());
            let answer = (handler.0)(asked);
            Frame::with(|frame| match frame {
                Some(frame) => frame.put(Task::Input(Box::pin(respond(run, id, answer)))),
                None => log::warn!(target: "blazen", "a question came up outside the poll of its run: it stays open"),
            });
            Ok(sys::BLAZEN_PENDING)
        })
    }
}

async fn respond(run: RunRef, id: String, answer: Answer) {
    let responded = match answer.await {
        Ok(answer) => ffi::call(|error| {
            // SAFETY: live handles; the texts live during the call.
            unsafe { sys::blazen_run_respond(run.raw(), text(&id), id.len(), answer.raw(), error) }
        }),
        Err(failure) => {
            let cause = failure.to_handle();
            let raw = cause.as_ref().map_or(std::ptr::null_mut(), ffi::ErrorHandle::raw);
            // SAFETY: as above.
            ffi::call(|error| unsafe { sys::blazen_run_fail_question(run.raw(), text(&id), id.len(), raw, error) })
        }
    };
    if let Err(error) = responded {
        log::debug!(target: "blazen", "the answer to {id:?} came too late: {error}");
    }
}

unsafe extern "C" fn drop_handler(handler: *mut c_void) {
    guard::quietly(|| {
        // SAFETY: given by Arc::into_raw; the library calls this once.
        drop(unsafe { Arc::from_raw(handler.cast::<InputHandler>()) });
    });
}
