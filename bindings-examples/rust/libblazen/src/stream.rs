//! What a run publishes, as a [`futures_core::Stream`].

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use futures_core::Stream;
use futures_util::task::AtomicWaker;
use libblazen_sys as sys;

use crate::drive::Driven;
use crate::error::{Status, WorkflowError};
use crate::event::{types, RawEvent};
use crate::ffi::{self, sized, text, EventHandle, StreamRef};
use crate::guard;

/// How many items are taken at once.
const ITEMS_AT_ONCE: usize = 32;

/// What a stream shows.
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    from: u64,
    types: Vec<String>,
    lifecycle: bool,
    routed: bool,
    own_level: bool,
    hold: Option<u64>,
}

impl StreamOptions {
    /// Everything that steps publish, from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// From item n on, as far as it is kept.
    #[must_use]
    pub fn from(mut self, sequence: u64) -> Self {
        self.from = sequence;
        self
    }

    /// These event types alone; may be called again.
    #[must_use]
    pub fn only(mut self, event_type: impl Into<String>) -> Self {
        self.types.push(event_type.into());
        self
    }

    /// What happens to the run itself too, and progress.
    #[must_use]
    pub fn lifecycle(mut self) -> Self {
        self.lifecycle = true;
        self
    }

    /// Every event that is routed too.
    #[must_use]
    pub fn routed(mut self) -> Self {
        self.routed = true;
        self
    }

    /// Nothing of the runs inside the run.
    #[must_use]
    pub fn own_level(mut self) -> Self {
        self.own_level = true;
        self
    }

    /// The run waits for this stream while it has so many items or more to take; without this, a slow stream loses the
    /// oldest, and has one gap in their place.
    #[must_use]
    pub fn hold(mut self, capacity: u64) -> Self {
        self.hold = Some(capacity);
        self
    }
}

/// An item of a stream: the event, and its number.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    event: RawEvent,
    sequence: u64,
}

impl StreamEvent {
    /// Its number in the run's stream, from 1. Lifecycle and routed items have that of the item before them.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The event alone.
    pub fn into_event(self) -> RawEvent {
        self.event
    }
}

impl Deref for StreamEvent {
    type Target = RawEvent;
    fn deref(&self) -> &RawEvent {
        &self.event
    }
}

/// What a run publishes. It ends when the run has ended, on every path; whoever awaits it also lets the run go on.
#[must_use = "a stream is taken from by futures::StreamExt::next"]
pub struct EventStream {
    driven: Arc<Driven>,
    stream: StreamRef,
    ready: Arc<Ready>,
    taken: VecDeque<StreamEvent>,
    over: bool,
    id: u64,
}

#[derive(Default)]
struct Ready {
    waker: AtomicWaker,
    asked: AtomicBool,
}

impl EventStream {
    pub(crate) fn subscribe(run: *mut sys::blazen_run, options: &StreamOptions) -> Result<StreamRef, WorkflowError> {
        let names: Vec<_> = options.types.iter().map(|name| text(name)).collect();
        let lengths: Vec<_> = options.types.iter().map(String::len).collect();
        let mut raw = sized!(sys::blazen_stream_options);
        raw.from = options.from;
        if !names.is_empty() {
            (raw.types, raw.type_lengths, raw.type_count) = (names.as_ptr(), lengths.as_ptr(), names.len());
        }
        raw.lifecycle = i32::from(options.lifecycle);
        raw.routed = i32::from(options.routed);
        raw.own_level = i32::from(options.own_level);
        if let Some(capacity) = options.hold {
            (raw.overflow, raw.capacity) = (sys::BLAZEN_OVERFLOW_HOLD, capacity);
        }
        let made = ffi::make(|stream, error| {
            // SAFETY: a live run; the options live during the call.
            unsafe { sys::blazen_run_subscribe_with(run, &raw, stream, error) }
        })?;
        // SAFETY: made above, and ours.
        unsafe { StreamRef::own(made) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "the library made no stream"))
    }

    pub(crate) fn new(driven: Arc<Driven>, stream: StreamRef) -> Self {
        driven.holders.fetch_add(1, Ordering::SeqCst);
        Self { id: driven.wakes.new_id(), driven, stream, ready: Arc::default(), taken: VecDeque::new(), over: false }
    }

    /// Takes what there is.
    fn take(&mut self) {
        let mut items = [ptr::null_mut::<sys::blazen_event>(); ITEMS_AT_ONCE];
        let mut sequences = [0; ITEMS_AT_ONCE];
        let mut count = 0;
        // SAFETY: room for ITEMS_AT_ONCE of both; this thread is in no callback.
        let status = unsafe {
            sys::blazen_stream_take(
                self.stream.raw(),
                0,
                items.as_mut_ptr(),
                sequences.as_mut_ptr(),
                ITEMS_AT_ONCE,
                &mut count,
                ptr::null_mut(),
            )
        };
        if status != sys::BLAZEN_OK {
            if status != sys::BLAZEN_ERROR_TIMEOUT {
                log::error!(target: "blazen", "a stream cannot be taken from: {:?}", Status::of(status));
                self.over = true;
            }
            return;
        }
        for (item, sequence) in items.into_iter().zip(sequences).take(count) {
            // SAFETY: each of them is ours.
            let event = unsafe {
                let owned = EventHandle::own(item);
                owned.and_then(|event| RawEvent::read(event.raw()))
            };
            match event {
                Some(event) if event.event_type() == types::STREAM_END => self.over = true,
                Some(event) => self.taken.push_back(StreamEvent { event, sequence }),
                None => {}
            }
        }
    }

    /// Asks to be told when there is an item.
    fn ask(&self) {
        if self.ready.asked.swap(true, Ordering::SeqCst) {
            return;
        }
        let ready = Arc::into_raw(Arc::clone(&self.ready)).cast_mut().cast();
        let asked = ffi::call(|error| {
            // SAFETY: an Arc<Ready>, as the callbacks expect; drop_ready takes it back.
            unsafe { sys::blazen_stream_on_ready(self.stream.raw(), Some(tell_ready), ready, Some(drop_ready), error) }
        });
        if let Err(error) = asked {
            log::error!(target: "blazen", "a stream cannot be waited for: {error}");
        }
    }
}

impl Stream for EventStream {
    type Item = StreamEvent;

    fn poll_next(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Option<StreamEvent>> {
        if let Some(event) = self.taken.pop_front() {
            return Poll::Ready(Some(event));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.ready.waker.register(poller.waker());
        match self.driven.poll(self.id, poller) {
            Ok(true) => {}
            Ok(false) => return Poll::Pending,
            Err(error) => {
                log::error!(target: "blazen", "a run cannot be polled: {error}");
                self.over = true;
                return Poll::Ready(None);
            }
        }
        self.take();
        if let Some(event) = self.taken.pop_front() {
            return Poll::Ready(Some(event));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.ask();
        Poll::Pending
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.driven.wakes.forget(self.id);
        crate::handler::let_go(&self.driven);
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("over", &self.over).finish_non_exhaustive()
    }
}

unsafe extern "C" fn tell_ready(ready: *mut c_void) {
    guard::quietly(|| {
        // SAFETY: given as Arc<Ready>, and not dropped yet.
        let ready = unsafe { &*ready.cast::<Ready>() };
        ready.asked.store(false, Ordering::SeqCst);
        ready.waker.wake();
    });
}

unsafe extern "C" fn drop_ready(ready: *mut c_void) {
    // SAFETY: given by Arc::into_raw; the library calls this once.
    drop(unsafe { Arc::from_raw(ready.cast::<Ready>()) });
}
