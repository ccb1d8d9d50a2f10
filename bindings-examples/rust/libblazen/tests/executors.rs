//! A run goes on under any executor, inside the poll of whoever awaits it; dropping it aborts it.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll, Wake, Waker};
use std::time::Duration;

use blazen::prelude::*;
use blazen::{LocalStepDef, LocalWorkflow, Parked, RetryPolicy, Runtime, Status, StepDef};
use futures_executor::block_on;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Tick {
    left: u32,
}

#[step]
async fn begin(event: StartEvent) -> Result<Tick, WorkflowError> {
    Ok(Tick { left: event.to()? })
}

#[step(emits(Tick))]
async fn sleep(event: Tick, ctx: Context) -> Result<Option<StopEvent>, WorkflowError> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    if event.left == 0 {
        return Ok(Some(StopEvent { result: "done".into() }));
    }
    ctx.send_event(Tick { left: event.left - 1 });
    Ok(None)
}

fn ticking() -> Workflow {
    Workflow::builder("ticks").step(begin).step(sleep).build().unwrap()
}

#[tokio::test]
async fn tokios_timers_work_in_a_step() {
    assert_eq!(ticking().run(5).await.unwrap().to::<String>().unwrap(), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_at_once_on_several_threads() {
    let workflow = ticking();
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let workflow = workflow.clone();
            tokio::spawn(async move { workflow.run(3).await.unwrap().to::<String>().unwrap() })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap(), "done");
    }
}

/// The least that an executor is: it polls when it was woken, and parks in between.
fn bare<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Poller::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Is ready when another thread says so.
fn by_a_thread() -> impl Future<Output = u32> + Send {
    #[derive(Default)]
    struct Shared(Mutex<(Option<u32>, Option<Waker>)>);
    struct Later(Arc<Shared>);
    impl Future for Later {
        type Output = u32;
        fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<u32> {
            let mut shared = self.0 .0.lock().unwrap();
            shared.1 = Some(poller.waker().clone());
            shared.0.map_or(Poll::Pending, Poll::Ready)
        }
    }
    let shared = Arc::<Shared>::default();
    let other = Arc::clone(&shared);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(3));
        let mut shared = other.0.lock().unwrap();
        shared.0 = Some(42);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    });
    Later(shared)
}

#[test]
fn a_bare_executor_is_enough() {
    let workflow = Workflow::builder("bare")
        .step(
            StepDef::new("waits", |_: StartEvent, ctx: Context| async move {
                let answer = by_a_thread().await;
                if ctx.attempt() == 1 {
                    return Err(WorkflowError::message("once more"));
                }
                Ok(StopEvent { result: answer.into() })
            })
            .retry(RetryPolicy::attempts(2).initial_delay(Duration::from_millis(2))),
        )
        .build()
        .unwrap();
    assert_eq!(bare(workflow.run(())).unwrap().to::<u32>().unwrap(), 42);
}

#[test]
fn a_long_chain_lets_the_executor_have_its_turn() {
    let polls = AtomicU32::new(0);
    let workflow = Workflow::builder("long")
        .step(begin)
        .step(
            StepDef::new("next", |tick: Tick, ctx: Context| async move {
                if tick.left == 0 {
                    return Some(StopEvent::default());
                }
                ctx.send_event(Tick { left: tick.left - 1 });
                None
            })
            .emits("Tick"),
        )
        .build()
        .unwrap();
    let mut run = pin!(workflow.run(10_000));
    bare(std::future::poll_fn(|poller| {
        polls.fetch_add(1, Ordering::SeqCst);
        run.as_mut().poll(poller)
    }))
    .unwrap();
    let polls = polls.load(Ordering::SeqCst);
    assert!((2..=100).contains(&polls), "{polls} polls");
}

struct Dropped(Arc<AtomicBool>);
impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn dropping_a_run_aborts_it_and_drops_its_steps() {
    let (dropped, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let (told, slot) = (Arc::clone(&dropped), Arc::clone(&kept));
    let workflow = Workflow::builder("never")
        .step(StepDef::new("never", move |_: StartEvent, ctx: Context| {
            let held = Dropped(Arc::clone(&told));
            *slot.lock().unwrap() = Some(ctx);
            async move {
                std::future::pending::<()>().await;
                drop(held);
                StopEvent::default()
            }
        }))
        .build()
        .unwrap();
    let mut run = Box::pin(workflow.run(()));
    let waker = futures_executor_noop();
    assert!(run.as_mut().poll(&mut Poller::from_waker(&waker)).is_pending());
    let ctx = kept.lock().unwrap().take().unwrap();
    assert!(!dropped.load(Ordering::SeqCst) && !ctx.is_cancelled());
    drop(run);
    assert!(dropped.load(Ordering::SeqCst) && ctx.is_cancelled());
    assert_eq!(ctx.try_set("k", 1).unwrap_err().status(), Status::WrongState);
}

fn futures_executor_noop() -> Waker {
    struct Noop;
    impl Wake for Noop {
        fn wake(self: Arc<Self>) {}
    }
    Waker::from(Arc::new(Noop))
}

#[tokio::test]
async fn tokios_timeout_cancels_a_run() {
    let never = Workflow::builder("never")
        .step(StepDef::new("never", |_: StartEvent| async {
            std::future::pending::<()>().await;
            StopEvent::default()
        }))
        .build()
        .unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(5), never.run(())).await.is_err());
}

#[tokio::test]
async fn a_step_may_await_another_run() {
    let inner = ticking();
    let outer = Workflow::builder("outer")
        .step(StepDef::new("nests", move |_: StartEvent| {
            let inner = inner.clone();
            async move { Ok::<_, WorkflowError>(StopEvent { result: inner.run(2).await?.to_json()? }) }
        }))
        .build()
        .unwrap();
    assert_eq!(outer.run(()).await.unwrap().to::<String>().unwrap(), "done");
}

#[test]
fn a_step_that_blocks_on_another_run_gets_an_error_and_does_not_hang() {
    let inner = Workflow::builder("inner")
        .step(StepDef::new("a", |_: StartEvent| async { StopEvent::default() }))
        .build()
        .unwrap();
    let outer = Workflow::builder("outer")
        .step(StepDef::new("blocks", move |_: StartEvent| {
            let status = bare(inner.run(())).unwrap_err().status();
            async move { StopEvent { result: format!("{status:?}").into() } }
        }))
        .build()
        .unwrap();
    assert_eq!(bare(outer.run(())).unwrap().to::<String>().unwrap(), "WrongPlace");
}

#[test]
fn a_local_workflow_takes_futures_that_stay_in_their_thread() {
    thread_local! {
        static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
    #[step(local)]
    async fn local(event: Tick) -> StopEvent {
        let held = Rc::new(event.left);
        tokio::task::yield_now().await;
        SEEN.with_borrow_mut(|seen| seen.push(*held));
        StopEvent { result: (*held).into() }
    }
    let workflow = LocalWorkflow::builder("local").step(begin).step(local).build().unwrap();
    assert_eq!(block_on(workflow.run(7)).unwrap().to::<u32>().unwrap(), 7);
    assert_eq!(SEEN.take(), [7]);

    let asks = LocalStepDef::new("asks", |_: StartEvent, ctx: Context| async move {
        let held = Rc::new(());
        let answer = ctx.ask("?").await;
        drop(held);
        answer.map(|answer| RawEvent::stop(answer).unwrap())
    });
    let workflow = LocalWorkflow::builder("asks").step(asks).build().unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    assert!(matches!(error.parked(), Some(Parked::InputRequired(_))));
    assert!(error.into_handler().is_none(), "a handler could go to another thread");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_shared_runtime_share_its_pools_and_poll_their_own_steps() {
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (load, peak) = (Arc::clone(&now), Arc::clone(&most));
    let step = StepDef::new("gpu", move |_: StartEvent| {
        let (load, peak) = (Arc::clone(&load), Arc::clone(&peak));
        async move {
            peak.fetch_max(load.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            load.fetch_sub(1, Ordering::SeqCst);
            StopEvent::default()
        }
    })
    .uses_pool("gpu");
    let workflow = Workflow::builder("pooled").step(step).build().unwrap();
    let unset = workflow.run(()).await.unwrap_err();
    assert_eq!(unset.status(), Status::NotFound, "no pool is set there");

    let runtime = Runtime::new().unwrap();
    runtime.set_pool("gpu", 2).unwrap();
    let workflow = workflow.on(&runtime);
    let runs: Vec<_> = (0..12)
        .map(|_| {
            let workflow = workflow.clone();
            tokio::spawn(async move { workflow.run(()).await })
        })
        .collect();
    for run in runs {
        run.await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn a_run_awaited_in_one_thread_may_be_moved_to_another() {
    let workflow = Workflow::builder("moves")
        .step(StepDef::new("waits", |_: StartEvent| async { StopEvent { result: by_a_thread().await.into() } }))
        .build()
        .unwrap();
    let mut run = Box::pin(workflow.run(()));
    assert!(run.as_mut().poll(&mut Poller::from_waker(&futures_executor_noop())).is_pending());
    let answer = std::thread::spawn(move || bare(run)).join().unwrap().unwrap();
    assert_eq!(answer.to::<u32>().unwrap(), 42);
}
