//! What a step costs: nanoseconds per async step, beside a bare callback of the library in the same way to run.
//!
//! `cargo bench -p libblazen --bench steps`; the best of several rounds is printed. Words after `--` choose a line.
#![allow(missing_docs, clippy::print_stdout)]

use std::ffi::c_void;
use std::ptr;
use std::time::Instant;

use blazen::prelude::*;
use blazen::StepDef;
use futures_executor::block_on;
use libblazen_sys as sys;
use serde::{Deserialize, Serialize};

const STEPS: u32 = 20_000;
const ROUNDS: u32 = 9;

#[derive(Serialize, Deserialize, Event)]
struct Tick {
    left: u32,
}

#[step]
async fn begin(_event: StartEvent) -> Tick {
    Tick { left: STEPS }
}

#[step(emits(StopEvent))]
async fn next(event: Tick) -> (Option<Tick>, Option<StopEvent>) {
    match event.left {
        0 => (None, Some(StopEvent::default())),
        left => (Some(Tick { left: left - 1 }), None),
    }
}

#[step(emits(StopEvent))]
async fn deferred(event: Tick) -> (Option<Tick>, Option<StopEvent>) {
    tokio::task::yield_now().await;
    match event.left {
        0 => (None, Some(StopEvent::default())),
        left => (Some(Tick { left: left - 1 }), None),
    }
}

fn main() {
    let chain = |step: fn() -> StepDef| Workflow::builder("chain").step(begin).step(step).build().unwrap();
    let ready = chain(next);
    let waits = chain(deferred);
    report("bare callback of the library", bare_chain);
    report("async step, ready at once", || drop(block_on(ready.run(())).unwrap()));
    report("async step that yields once", || drop(block_on(waits.run(())).unwrap()));
    let sets = state(|ctx, n| ctx.set("k", n));
    report("ctx.set of an integer", || drop(block_on(sets.run(())).unwrap()));
    let gets = state(|ctx, n| assert!(n == STEPS || ctx.get("k").is_some()));
    report("ctx.get of an integer", || drop(block_on(gets.run(())).unwrap()));
    let run = Workflow::builder("run")
        .step(StepDef::new("one", |_: StartEvent| async { StopEvent::default() }))
        .build()
        .unwrap();
    report("a whole run of one step", || {
        for _ in 0..STEPS {
            drop(block_on(run.run(())).unwrap());
        }
    });
}

fn state(body: impl Fn(&Context, u32) + Copy + Send + Sync + 'static) -> Workflow {
    let step = StepDef::new("state", move |_: StartEvent, ctx: Context| async move {
        ctx.set("k", 7);
        for n in 0..STEPS {
            body(&ctx, n);
        }
        StopEvent::default()
    });
    Workflow::builder("state").step(step).build().unwrap()
}

fn report(what: &str, body: impl Fn()) {
    let wanted = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ");
    if !what.contains(&wanted) {
        return;
    }
    let best = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            body();
            begin.elapsed().as_nanos() / u128::from(STEPS)
        })
        .min();
    println!("{what:32} {:>6} ns", best.unwrap_or_default());
}

/// The same chain by a callback that does what the step does, and no more: reads the number, emits the next.
unsafe extern "C" fn bare(
    _: *mut c_void,
    context: *mut sys::blazen_context,
    event: *const sys::blazen_event,
    error: *mut *mut sys::blazen_error,
) -> sys::blazen_status {
    // SAFETY: context and event live during the call.
    unsafe {
        let mut view: sys::blazen_event_view = std::mem::zeroed();
        view.struct_size = size_of::<sys::blazen_event_view>();
        sys::blazen_event_read(event, &mut view);
        let json = std::slice::from_raw_parts(view.data.cast::<u8>(), view.data_length);
        let left = if json == b"null" { STEPS } else { serde_json::from_slice::<Tick>(json).unwrap().left };
        let (name, json) = match left {
            0 => ("blazen::StopEvent", b"null".to_vec()),
            left => ("Tick", serde_json::to_vec(&Tick { left: left - 1 }).unwrap()),
        };
        sys::blazen_context_emit_json(
            context,
            name.as_ptr().cast(),
            name.len(),
            json.as_ptr().cast(),
            json.len(),
            error,
        )
    }
}

fn bare_chain() {
    // SAFETY: handles are used while they live, and released once.
    unsafe {
        let none: *mut c_void = ptr::null_mut();
        let (mut builder, mut workflow, mut runtime, mut result) = (none.cast(), none.cast(), none.cast(), none.cast());
        assert_eq!(sys::blazen_workflow_builder_create("bare".as_ptr().cast(), 4, &mut builder, none.cast()), 0);
        for (name, accepts) in [("begin", "blazen::StartEvent"), ("next", "Tick")] {
            let (name, length) = (name.as_ptr().cast(), name.len());
            let added = sys::blazen_workflow_builder_add_step(
                builder,
                name,
                length,
                accepts.as_ptr().cast(),
                accepts.len(),
                Some(bare),
                none,
                None,
                none.cast(),
            );
            assert_eq!(added, 0);
        }
        assert_eq!(sys::blazen_workflow_builder_build(builder, &mut workflow, none.cast()), 0);
        let mut options: sys::blazen_runtime_options = std::mem::zeroed();
        options.struct_size = size_of::<sys::blazen_runtime_options>();
        options.mode = sys::BLAZEN_MODE_PUMP;
        assert_eq!(sys::blazen_runtime_create(&options, &mut runtime, none.cast()), 0);
        assert_eq!(sys::blazen_workflow_run(workflow, runtime, none.cast(), &mut result, none.cast()), 0);
        sys::blazen_value_release(result);
        sys::blazen_runtime_release(runtime);
        sys::blazen_workflow_release(workflow);
        sys::blazen_workflow_builder_release(builder);
    }
}
