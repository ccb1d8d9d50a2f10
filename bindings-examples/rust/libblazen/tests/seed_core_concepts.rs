//! The page "Core Concepts" has no code: each test quotes what it says, and shows it. The page stands in `data`.
#![allow(missing_docs)]

use blazen::prelude::*;
use blazen::{PipelineBuilder, Stage, StepDef};
use futures_executor::block_on;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

fn the_page_says(sentence: &str) {
    let page = include_str!("data/core-concepts.txt");
    assert!(page.contains(sentence), "the page does not say: {sentence}");
}

#[derive(Debug, Serialize, Deserialize, Event)]
struct Item {
    n: u32,
}

#[test]
fn events() {
    the_page_says("StartEvent triggers a workflow, StopEvent terminates it with a result, and InputRequestEvent/InputResponseEvent enable human-in-the-loop interactions.");
    the_page_says("routing events that control flow between steps, and stream events that are observed externally by consumers without affecting the workflow’s execution path.");
    #[step]
    async fn ask(_event: StartEvent, ctx: Context) -> InputRequestEvent {
        ctx.write_event_to_stream(Item { n: 1 });
        InputRequestEvent { prompt: "?".into(), ..InputRequestEvent::default() }
    }
    #[step]
    async fn end(event: InputResponseEvent) -> StopEvent {
        StopEvent { result: event.response }
    }
    let workflow =
        Workflow::builder("events").step(ask).step(end).input_handler(|_| async { Ok("yes") }).build().unwrap();
    assert_eq!(block_on(workflow.run(())).unwrap().to::<String>().unwrap(), "yes");
}

#[test]
fn steps() {
    the_page_says("Steps are async functions that receive an event and a context, then return one or more events.");
    the_page_says("A step can return a single event to continue the flow, a list of events to fan out to multiple downstream steps, or null/None to perform a side-effect without emitting further events.");
    #[step]
    async fn fan_out(_event: StartEvent, _ctx: Context) -> Vec<Item> {
        vec![Item { n: 1 }, Item { n: 2 }]
    }
    #[step]
    async fn side_effect(event: Item, ctx: Context) -> Result<Option<StopEvent>, WorkflowError> {
        let sum = ctx.get_as::<u32>("sum")?.unwrap_or(0) + event.n;
        ctx.set("sum", sum);
        Ok((sum == 3).then(|| StopEvent { result: sum.into() }))
    }
    let workflow = Workflow::builder("steps").step(fan_out).step(side_effect).build().unwrap();
    assert_eq!(block_on(workflow.run(())).unwrap().to::<u32>().unwrap(), 3);
}

fn passes_on() -> Workflow {
    Workflow::builder("passes on")
        .step(StepDef::new("one", |event: StartEvent, ctx: Context| async move {
            ctx.set("number", 1.5);
            ctx.set_bytes("bytes", vec![1, 2]);
            ctx.set_value("native", StateValue::Native(vec![3].into()));
            ctx.send_event(Item { n: event.to()? });
            Ok::<_, WorkflowError>(())
        }))
        .step(StepDef::new("two", |event: Item, ctx: Context| async move {
            for n in 0..event.n {
                ctx.write_event_to_stream(Item { n });
            }
            let kept = serde_json::json!([ctx.get("number"), ctx.get_bytes("bytes"), ctx.keys("").len()]);
            StopEvent { result: serde_json::json!([event.n + 1, kept]) }
        }))
        .build()
        .unwrap()
}

#[test]
fn workflows_are_snapshotted_and_resumed() {
    the_page_says("Every workflow begins with a StartEvent and completes when a StopEvent is produced.");
    the_page_says("meaning they can be paused at any point and resumed later from the saved state.");
    block_on(async {
        let handler = passes_on().run_with_handler(3).unwrap();
        let snapshot = handler.pause().await.unwrap();
        let resumed = passes_on().resume(snapshot).unwrap();
        let result = resumed.result().await.unwrap().to_json().unwrap();
        assert_eq!(result, serde_json::json!([4, [1.5, [1, 2], 3]]));
    });
}

#[test]
fn context_and_streaming() {
    the_page_says(
        "Use ctx.set(key, value) and ctx.get(key) to share state between steps without coupling them directly.",
    );
    the_page_says("The context also provides ctx.send_event() for manually routing events to other steps and ctx.write_event_to_stream() for publishing events to external consumers.");
    the_page_says("External consumers subscribe to this stream to receive updates in real time without interfering with the workflow’s internal event routing.");
    block_on(async {
        let handler = passes_on().run_with_handler(3).unwrap();
        let seen: Vec<u32> =
            handler.stream_events().unwrap().map(|item| item.get::<Item>().unwrap().unwrap().n).collect().await;
        assert_eq!(seen, [0, 1, 2]);
    });
}

#[test]
fn pipelines() {
    the_page_says("Pipelines compose multiple workflows into sequential or parallel stages, where each stage’s output feeds into the next stage’s input.");
    let add = |name: &str| {
        Workflow::builder(name)
            .step(StepDef::new("add", |event: StartEvent| async move {
                event.to::<u32>().map(|n| StopEvent { result: (n + 1).into() })
            }))
            .build()
            .unwrap()
    };
    let (one, two) = (add("one"), add("two"));
    let line = PipelineBuilder::new("line").stage(Stage::new("a", &one)).stage(Stage::new("b", &two)).build().unwrap();
    assert_eq!(block_on(line.run(1)).unwrap().final_output.to::<u32>().unwrap(), 3);
}
