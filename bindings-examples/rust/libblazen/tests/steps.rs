//! What a step may take, give and say.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use blazen::prelude::*;
use blazen::{EventType, StepDef};
use futures_executor::block_on;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
struct Number {
    n: i64,
}

#[derive(Debug, PartialEq, Event)]
struct Done;

#[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(type = "shop.Priced")]
struct Priced(f64);

fn result_of(workflow: &Workflow, input: serde_json::Value) -> serde_json::Value {
    block_on(workflow.run(input)).unwrap().to_json().unwrap()
}

/// Sums the numbers that come, until `wanted` have.
fn summing(wanted: u64) -> StepDef {
    StepDef::new("sum", move |number: Number, ctx: Context| async move {
        let sum = ctx.get_as::<i64>("sum")?.unwrap_or(0) + number.n;
        let count = ctx.get_as::<u64>("count")?.unwrap_or(0) + 1;
        ctx.set("sum", sum);
        ctx.set("count", count);
        Ok::<_, WorkflowError>((count == wanted).then(|| StopEvent { result: sum.into() }))
    })
}

#[test]
fn a_step_gives_nothing_one_or_many_events() {
    #[step]
    async fn many(_event: StartEvent) -> Vec<Number> {
        (1..=4).map(|n| Number { n }).collect()
    }
    let workflow = Workflow::builder("many").step(many).step(summing(4)).build().unwrap();
    assert_eq!(result_of(&workflow, serde_json::Value::Null), 10);
}

#[test]
fn tuples_options_and_outputs_are_emitted_in_order() {
    #[step]
    async fn tuple(_event: StartEvent) -> Result<(Number, Option<Number>, Priced), WorkflowError> {
        Ok((Number { n: 1 }, None, Priced(2.5)))
    }
    #[step]
    async fn output(_event: Priced) -> Result<StepOutput, WorkflowError> {
        StepOutput::new().with(Number { n: 2 })?.with(RawEvent::new("Number", serde_json::json!({ "n": 3 }))?)
    }
    let workflow = Workflow::builder("tuple").step(tuple).step(output).step(summing(3)).build().unwrap();
    assert_eq!(result_of(&workflow, serde_json::Value::Null), 6);
}

#[test]
fn parameters_are_told_apart_by_their_types() {
    #[step]
    async fn context_first(ctx: Context, event: StartEvent) -> Result<Done, WorkflowError> {
        ctx.set("input", event.data);
        Ok(Done)
    }
    #[step(accepts(Done))]
    async fn context_alone(ctx: Context) -> Result<StopEvent, WorkflowError> {
        Ok(StopEvent {
            result: serde_json::json!([ctx.get("input"), ctx.step_name(), ctx.workflow_name(), ctx.attempt()]),
        })
    }
    let workflow = Workflow::builder("both").step(context_first).step(context_alone).build().unwrap();
    assert_eq!(result_of(&workflow, serde_json::json!(7)), serde_json::json!([7, "context_alone", "both", 1]));
}

#[test]
fn a_step_need_not_be_async_nor_fallible() {
    #[step]
    fn plain(event: StartEvent) -> StopEvent {
        StopEvent { result: event.data }
    }
    let workflow = Workflow::builder("plain").step(plain).build().unwrap();
    assert_eq!(result_of(&workflow, serde_json::json!("x")), "x");
}

#[test]
fn any_error_that_becomes_a_workflow_error_will_do() {
    #[derive(Debug)]
    struct Mine;
    impl std::fmt::Display for Mine {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("mine")
        }
    }
    impl std::error::Error for Mine {}
    impl From<Mine> for WorkflowError {
        fn from(error: Mine) -> Self {
            WorkflowError::step(error)
        }
    }
    #[step]
    async fn fails(_event: StartEvent) -> Result<StopEvent, Mine> {
        Err(Mine)
    }
    let workflow = Workflow::builder("mine").step(fails).build().unwrap();
    assert!(block_on(workflow.run(())).unwrap_err().downcast_ref::<Mine>().is_some());
}

#[test]
fn a_raw_event_takes_any_type_that_the_step_accepts() {
    #[step(name = "router", accepts(Number, "other"))]
    async fn route(event: RawEvent) -> Result<StopEvent, WorkflowError> {
        let number = event.get::<Number>().transpose()?.map(|number| number.n);
        Ok(StopEvent { result: serde_json::json!([event.event_type(), number, event.source(), event.to_json()?]) })
    }
    #[step(emits(Number, "other"))]
    async fn begin(event: StartEvent) -> Result<StepOutput, WorkflowError> {
        let other: bool = event.to()?;
        if other {
            StepOutput::new().with(RawEvent::new("other", "bare")?)
        } else {
            StepOutput::new().with(Number { n: 1 })
        }
    }
    let workflow = Workflow::builder("raw").step(begin).step(route).build().unwrap();
    assert_eq!(result_of(&workflow, true.into()), serde_json::json!(["other", null, "begin", "bare"]));
    assert_eq!(result_of(&workflow, false.into()), serde_json::json!(["Number", 1, "begin", { "n": 1 }]));
    assert_eq!(workflow.describe().unwrap()["steps"][1]["name"], "router");
}

#[test]
fn what_is_declared_is_what_the_types_say() {
    #[step]
    async fn first(_event: StartEvent) -> Result<Option<Number>, WorkflowError> {
        Ok(None)
    }
    #[step]
    async fn second(_event: Number) -> Result<(StopEvent, Vec<Number>), WorkflowError> {
        Ok((StopEvent::default(), vec![]))
    }
    #[step(emits(StopEvent))]
    async fn unknown(_event: StartEvent, _ctx: Context) {}
    #[step(max_concurrency = 2, timeout_ms = 250, retries = 3, atomic)]
    async fn careful(_event: Number) {}
    let workflow = Workflow::builder("declared").step(first).step(second).step(unknown).step(careful).build().unwrap();
    let steps = workflow.describe().unwrap()["steps"].take();
    assert_eq!(steps[0]["emits"], serde_json::json!(["Number"]));
    assert_eq!(steps[1]["emits"], serde_json::json!(["blazen::StopEvent", "Number"]));
    assert_eq!(steps[2]["emits"], serde_json::json!(["blazen::StopEvent"]));
    assert_eq!(steps[3]["emits"], serde_json::Value::Null);
    assert_eq!(steps[3]["max_concurrency"], 2);
    assert_eq!(steps[3]["timeout_ms"], 250);
    assert_eq!(steps[3]["retry"]["max_attempts"], 4);
    assert_eq!(steps[3]["atomic"], true);
    assert!(workflow.draw_mermaid().unwrap().contains("careful"));
}

#[test]
fn the_defaults_are_those_of_all_faces() {
    #[step]
    async fn only(_event: StartEvent) -> StopEvent {
        StopEvent::default()
    }
    let policies = Workflow::builder("defaults").step(only).build().unwrap().describe().unwrap()["policies"].take();
    assert_eq!(
        policies,
        serde_json::json!({
            "unhandled": "stream", "idle": "fail", "session": "pickle_or_error",
            "session_on_pause": "keep", "timeout_ms": 300_000
        })
    );
}

#[test]
fn a_workflow_that_cannot_work_is_refused_with_its_reason() {
    let refused = |builder: WorkflowBuilder| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.status(), blazen::Status::InvalidWorkflow, "{error}");
        error.to_string()
    };
    let start = || StepDef::new("a", |_: StartEvent| async { StopEvent::default() });
    assert!(refused(Workflow::builder("empty")).contains("empty"));
    assert!(refused(Workflow::builder("twice").step(start()).step(start())).contains('a'));
    assert!(refused(Workflow::builder("none").step(StepDef::new("none", |_: Context| async {})))
        .contains("accepts no event"));
    let slip = refused(Workflow::builder("slip").step(start().accepts("StartEvent")));
    assert!(slip.contains("did you mean \"blazen::StartEvent\""), "{slip}");
}

#[test]
fn two_types_of_one_name_are_refused() {
    mod other {
        #[derive(Debug, blazen::Event)]
        pub(super) struct Done;
    }
    #[step]
    async fn first(_event: StartEvent) -> Done {
        Done
    }
    #[step]
    async fn second(_event: other::Done) -> StopEvent {
        StopEvent::default()
    }
    let error = Workflow::builder("names").step(first).step(second).build().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"Done\"") && text.contains("other::Done") && text.contains("event(type"), "{text}");
}

#[test]
fn the_builder_stays_usable() {
    let builder = Workflow::builder("again").step(StepDef::new("a", |_: StartEvent| async { StopEvent::default() }));
    let first = builder.build().unwrap();
    let second = builder.step(StepDef::new("b", |_: Done| async {})).build();
    assert_eq!(result_of(&first, serde_json::Value::Null), serde_json::Value::Null);
    assert!(second.is_err(), "no event can reach b, since a declares what it emits");
}

#[test]
fn no_fields_are_an_empty_object_and_null_is_read_as_one() {
    #[derive(Debug, Event)]
    struct Braces {}
    use blazen::Event as _;
    for event in [Done.to_raw_json(), Braces {}.to_raw_json()] {
        assert_eq!(event, serde_json::json!({}));
    }
    for json in ["{}", "null", r#"{"more":1}"#] {
        let raw = RawEvent::new("Done", blazen::Value::json_text(json).unwrap()).unwrap();
        assert_eq!(raw.get::<Done>().unwrap().unwrap(), Done);
    }
    let wrong = RawEvent::new("Done", 7).unwrap().get::<Done>().unwrap().unwrap_err();
    assert!(wrong.to_string().contains("Done"), "{wrong}");
    assert_eq!(Priced::TYPE, "shop.Priced");
    assert_eq!(Priced(1.5).to_raw_json(), 1.5);

    trait ToRawJson {
        fn to_raw_json(self) -> serde_json::Value;
    }
    impl<E: blazen::Event> ToRawJson for E {
        fn to_raw_json(self) -> serde_json::Value {
            blazen::event::ToEvent::to_raw(self).unwrap().to_json().unwrap()
        }
    }
}

#[test]
fn an_event_that_cannot_be_read_fails_its_step_by_name() {
    #[step(emits("Number"))]
    async fn sends(_event: StartEvent) -> Result<RawEvent, WorkflowError> {
        RawEvent::new("Number", serde_json::json!({ "m": 1 }))
    }
    let workflow = Workflow::builder("unreadable").step(sends).step(summing(1)).build().unwrap();
    let error = block_on(workflow.run(())).unwrap_err();
    assert_eq!(error.step_name(), Some("sum"));
    assert!(error.detail().is_none());
    let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    assert!(text.contains("Number") && text.contains("missing field"), "{text}");
}

#[test]
fn max_concurrency_bounds_the_bodies_under_way() {
    #[derive(Clone, Default)]
    struct Load {
        now: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }
    let load = Load::default();
    let seen = load.clone();
    let work = StepDef::new("work", move |number: Number, ctx: Context| {
        let load = load.clone();
        async move {
            load.most.fetch_max(load.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            load.now.fetch_sub(1, Ordering::SeqCst);
            let sum = ctx.get_as::<i64>("sum")?.unwrap_or(0) + number.n;
            ctx.set("sum", sum);
            Ok::<_, WorkflowError>((sum == 8).then(|| StopEvent { result: sum.into() }))
        }
    })
    .max_concurrency(3);
    let spread = StepDef::new("spread", |_: StartEvent| async { vec![Number { n: 1 }; 8] });
    let workflow = Workflow::builder("load").step(spread).step(work).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(workflow.run(())).unwrap();
    assert_eq!(seen.most.load(Ordering::SeqCst), 3);
}

#[test]
fn event_types_compare_by_name() {
    assert_eq!(EventType::from("x"), EventType::from("x".to_owned()));
    assert_ne!(EventType::of::<Done>(), EventType::from("Done"), "one knows the Rust type");
}
