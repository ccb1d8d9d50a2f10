//! What is said without being asked goes to the `log` crate.
#![allow(missing_docs)]

use std::sync::Mutex;

use blazen::prelude::*;
use blazen::StepDef;
use futures_executor::block_on;

static SAID: Mutex<Vec<(log::Level, String)>> = Mutex::new(Vec::new());

struct Keep;
impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "blazen" {
            SAID.lock().unwrap().push((record.level(), record.args().to_string()));
        }
    }
    fn flush(&self) {}
}

fn said(level: log::Level, what: &str) -> bool {
    SAID.lock().unwrap().iter().any(|(at, text)| *at == level && text.contains(what))
}

/// One test: the logger is the process's.
#[test]
fn what_nobody_asked_for_is_logged() {
    log::set_logger(&Keep).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let fails = |text: &'static str| {
        Workflow::builder(text)
            .step(StepDef::new("fails", move |_: StartEvent| async move {
                Err::<StopEvent, _>(WorkflowError::message(text))
            }))
            .build()
            .unwrap()
    };
    block_on(fails("seen").run(())).unwrap_err();
    assert!(said(log::Level::Info, "seen"), "the engine's own words");
    assert!(!said(log::Level::Error, "seen"));
    block_on(async {
        let handler = fails("unseen").run_with_handler(()).unwrap();
        handler.drive().await.unwrap();
    });
    assert!(said(log::Level::Error, "unseen"), "{:?}", SAID.lock().unwrap());

    let kept = std::sync::Arc::new(Mutex::new(None));
    let slot = std::sync::Arc::clone(&kept);
    let keeps = StepDef::new("keeps", move |_: StartEvent, ctx: Context| {
        *slot.lock().unwrap() = Some(ctx);
        async { StopEvent::default() }
    });
    block_on(Workflow::builder("keeps").step(keeps).build().unwrap().run(())).unwrap();
    kept.lock().unwrap().take().unwrap().set("k", 1);
    assert!(said(log::Level::Warn, "after its step"));
}
