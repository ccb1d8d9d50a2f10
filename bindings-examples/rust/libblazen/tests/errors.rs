//! How runs fail: the step's own error comes back, with its sources; panics, retries, time-outs.
#![allow(missing_docs)]

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use blazen::prelude::*;
use blazen::{RetryPolicy, Status, StepDef};
use futures_executor::block_on;

#[derive(Debug)]
struct DiskGone {
    device: String,
    reason: std::io::Error,
}

impl fmt::Display for DiskGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the disk {} is gone", self.device)
    }
}

impl Error for DiskGone {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.reason)
    }
}

fn disk_gone() -> DiskGone {
    DiskGone { device: "sda".into(), reason: std::io::Error::other("no power") }
}

fn fails(body: impl Fn() -> WorkflowError + Send + Sync + 'static) -> Workflow {
    let step = StepDef::new("read", move |_: StartEvent| {
        let error = body();
        async { Err::<StopEvent, _>(error) }
    });
    Workflow::builder("failing").step(step).build().unwrap()
}

#[test]
fn the_steps_own_error_comes_back_with_its_sources() {
    let error = block_on(fails(|| WorkflowError::step(disk_gone()).with_code(7)).run(())).unwrap_err();
    assert_eq!(error.status(), Status::StepFailed);
    assert_eq!((error.step_name(), error.attempt(), error.host_code()), (Some("read"), 1, 7));
    assert_eq!(error.downcast_ref::<DiskGone>().unwrap().device, "sda");
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().to_string(), "no power");
    assert!(error.downcast_ref::<fmt::Error>().is_none());
    let chain: Vec<_> =
        std::iter::successors(error.source(), |&error| error.source()).map(ToString::to_string).collect();
    assert_eq!(chain, ["the disk sda is gone", "no power"]);
    assert!(error.to_string().contains("DiskGone: the disk sda is gone"), "{error}");
}

#[test]
fn boxed_and_io_errors_and_texts_will_do() {
    let boxed: Box<dyn Error + Send + Sync> = Box::new(disk_gone());
    let boxed = std::sync::Mutex::new(Some(boxed));
    let error = block_on(fails(move || boxed.lock().unwrap().take().unwrap().into()).run(())).unwrap_err();
    assert!(error.downcast_ref::<DiskGone>().is_some());
    let error = block_on(fails(|| std::io::Error::other("io").into()).run(())).unwrap_err();
    assert!(error.downcast_ref::<std::io::Error>().is_some());
    let error = block_on(fails(|| "only a text".into()).run(())).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("only a text"));
}

#[test]
fn asked_again_it_is_the_same_object() {
    block_on(async {
        let handler = fails(|| WorkflowError::step(disk_gone())).run_with_handler(()).unwrap();
        let (first, second) = (handler.result().await.unwrap_err(), handler.result().await.unwrap_err());
        assert!(std::ptr::eq(first.downcast_ref::<DiskGone>().unwrap(), second.downcast_ref::<DiskGone>().unwrap()));
    });
}

#[test]
fn a_panic_fails_the_step_and_nothing_else() {
    let workflow = Workflow::builder("panics")
        .step(StepDef::new("now", |_: StartEvent| async {
            if true {
                panic!("at once");
            }
            StopEvent::default()
        }))
        .build()
        .unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    assert_eq!(error.status(), Status::StepFailed);
    assert!(error.source().unwrap().to_string().contains("panic: at once"));

    let later = Workflow::builder("panics")
        .step(StepDef::new("later", |_: StartEvent| async {
            tokio::task::yield_now().await;
            if true {
                panic!("after {}", "a while");
            }
            StopEvent::default()
        }))
        .build()
        .unwrap();
    let error = block_on(later.run(())).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("panic: after a while"));
}

#[test]
fn a_panic_in_the_drop_of_a_step_ends_its_context_too() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in the drop");
        }
    }
    let kept = Arc::new(std::sync::Mutex::new(None));
    let slot = Arc::clone(&kept);
    let workflow = Workflow::builder("panics")
        .step(StepDef::new("drops", move |_: StartEvent, ctx: Context| {
            *slot.lock().unwrap() = Some(ctx);
            let held = Panics;
            std::future::poll_fn(move |_| {
                let _held = &held; // goes with the future
                std::task::Poll::Ready(StopEvent::default())
            })
        }))
        .build()
        .unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("panic: in the drop"), "{error}");
    let ctx = kept.lock().unwrap().take().unwrap();
    assert_eq!(ctx.try_set("k", 1).unwrap_err().status(), Status::WrongState);
}

#[test]
fn an_error_of_the_library_is_passed_on_as_it_is() {
    let workflow = Workflow::builder("passes")
        .step(StepDef::new("sends", |_: StartEvent, ctx: Context| async move {
            ctx.try_send_event(RawEvent::new("x", 1)?.to_step("nobody"))
        }))
        .build()
        .unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    let cause = error.source().unwrap().downcast_ref::<WorkflowError>().unwrap();
    assert_eq!(cause.status(), Status::NotFound);
    assert!(cause.to_string().contains("nobody"), "{cause}");
}

#[test]
fn a_run_of_which_nothing_is_left_is_stalled() {
    #[derive(Debug, Event)]
    struct Lost;
    let workflow = Workflow::builder("stalls")
        .step(StepDef::new("loses", |_: StartEvent, ctx: Context| async move { ctx.send_event(Lost) }))
        .build()
        .unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    assert_eq!(error.status(), Status::Stalled);
    assert!(error.to_string().contains("Lost"), "{error}");
    assert!(error.detail().is_some());
}

fn flaky(failures: u32, policy: RetryPolicy) -> (Workflow, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let step = StepDef::new("flaky", move |_: StartEvent, ctx: Context| {
        let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if call <= failures {
                return Err(WorkflowError::step(disk_gone()).with_code(i64::from(call)));
            }
            Ok(StopEvent { result: ctx.attempt().into() })
        }
    });
    (Workflow::builder("flaky").step(step.retry(policy)).build().unwrap(), calls)
}

#[test]
fn a_failed_step_is_tried_again_under_a_bare_executor() {
    let (workflow, calls) = flaky(2, RetryPolicy::attempts(3).initial_delay(Duration::from_millis(5)));
    let begin = std::time::Instant::now();
    assert_eq!(block_on(workflow.run(())).unwrap().to::<u32>().unwrap(), 3);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert!(begin.elapsed() >= Duration::from_millis(15), "5 ms, then 10");
}

#[test]
fn codes_decide_what_is_tried_again() {
    let (workflow, calls) = flaky(5, RetryPolicy::attempts(5).never([2]));
    assert_eq!(block_on(workflow.run(())).unwrap_err().attempt(), 2);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let (workflow, _) = flaky(5, RetryPolicy::attempts(5).only([1, 2]));
    assert_eq!(block_on(workflow.run(())).unwrap_err().attempt(), 3);
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicU32>);
impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn never_ends(dropped: &Arc<AtomicU32>) -> StepDef {
    let dropped = Arc::clone(dropped);
    StepDef::new("never", move |_: StartEvent| {
        let held = Dropped(Arc::clone(&dropped));
        async move {
            std::future::pending::<()>().await;
            drop(held);
            StopEvent::default()
        }
    })
}

#[test]
fn a_step_past_its_time_is_dropped() {
    let dropped = Arc::new(AtomicU32::new(0));
    let step = never_ends(&dropped).timeout(Duration::from_millis(5)).retry(RetryPolicy::attempts(2));
    let workflow = Workflow::builder("slow").step(step).build().unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    let statuses: Vec<_> = std::iter::successors(Some(&error as &dyn Error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<WorkflowError>().map(WorkflowError::status))
        .collect();
    assert!(statuses.contains(&Status::StepTimeout), "{statuses:?}");
    assert_eq!(error.attempt(), 2);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[test]
fn a_run_past_its_time_fails_and_its_steps_are_dropped() {
    let dropped = Arc::new(AtomicU32::new(0));
    let workflow =
        Workflow::builder("slow").step(never_ends(&dropped)).timeout(Duration::from_millis(5)).build().unwrap();
    assert_eq!(block_on(workflow.run(())).unwrap_err().status(), Status::RunTimeout);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn an_attempt_past_its_time_is_dropped_while_the_run_goes_on() {
    let dropped = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&dropped);
    let step = StepDef::new("second", move |_: StartEvent, ctx: Context| {
        let (held, counted) = (Dropped(Arc::clone(&counted)), Arc::clone(&counted));
        async move {
            if ctx.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            let before = counted.load(Ordering::SeqCst);
            drop(held);
            StopEvent { result: before.into() }
        }
    });
    let step =
        step.timeout(Duration::from_millis(5)).retry(RetryPolicy::attempts(2).initial_delay(Duration::from_millis(1)));
    let workflow = Workflow::builder("second").step(step).build().unwrap();
    assert_eq!(block_on(workflow.run(())).unwrap().to::<u32>().unwrap(), 1, "the first was dropped before");
}

#[test]
fn the_steps_under_way_are_dropped_when_the_run_ends() {
    let dropped = Arc::new(AtomicU32::new(0));
    let workflow = Workflow::builder("ends")
        .step(never_ends(&dropped))
        .step(StepDef::new("ends", |_: StartEvent| async {
            tokio::task::yield_now().await;
            StopEvent::default()
        }))
        .build()
        .unwrap();
    block_on(async {
        let handler = workflow.run_with_handler(()).unwrap();
        handler.result().await.unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "also while its handler is kept");
    });
}

#[test]
fn a_step_that_accepts_failures_goes_on() {
    let workflow = Workflow::builder("caught")
        .step(StepDef::new("fails", |_: StartEvent| async { Err::<StopEvent, _>(WorkflowError::step(disk_gone())) }))
        .step(StepDef::new("catches", |failed: blazen::StepFailedEvent| async move {
            StopEvent { result: serde_json::json!([failed.step, failed.message.contains("sda")]) }
        }))
        .build()
        .unwrap();
    assert_eq!(block_on(workflow.run(())).unwrap().to_json().unwrap(), serde_json::json!(["fails", true]));
}

#[test]
fn errors_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<WorkflowError>();
    check::<Context>();
    check::<WorkflowHandler>();
    check::<blazen::Value>();
    check::<Workflow>();
    fn send<T: Send>() {}
    send::<blazen::Run>();
    send::<blazen::EventStream>();
}
