//! Joins, collects, steps that are workflows, pipelines.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use blazen::prelude::*;
use blazen::{
    ChildOptions, Join, JoinReason, JoinStrategy, LoopDecision, LoopStage, ParallelStage, PipelineBuilder, RetryPolicy,
    RunState, Stage, Status, StepDef,
};
use futures_executor::block_on;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Part {
    n: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Doubled {
    n: u32,
}

#[step]
async fn split(event: StartEvent) -> Result<Vec<Part>, WorkflowError> {
    Ok((0..event.to()?).map(|n| Part { n }).collect())
}

#[step]
async fn double(event: Part) -> Doubled {
    for _ in 0..10 - event.n {
        tokio::task::yield_now().await; // the later ones are ready first
    }
    Doubled { n: event.n * 2 }
}

fn joined(join: Join) -> serde_json::Value {
    let gather = StepDef::new("gather", |parts: Vec<Doubled>, ctx: Context| async move {
        let info = ctx.join_info().unwrap();
        let parts: Vec<_> = parts.into_iter().map(|part| part.n).collect();
        StopEvent { result: serde_json::json!([parts, info.arrived, format!("{:?}", info.reason)]) }
    });
    let workflow = Workflow::builder("joins").step(split).step(double).step(gather.joins(join)).build().unwrap();
    block_on(workflow.run(4)).unwrap().to_json().unwrap()
}

#[test]
fn a_join_takes_all_that_has_come() {
    let all = joined(Join::all("split"));
    assert_eq!((&all[1], &all[2]), (&4.into(), &"Complete".into()));
    assert_eq!(joined(Join::all("split").ordered())[0], serde_json::json!([0, 2, 4, 6]));
    let first = joined(Join::first("split", 2).cancel_rest());
    assert_eq!((first[0].as_array().unwrap().len(), &first[2]), (2, &"Condition".into()));
    assert_eq!(joined(Join::any("split"))[0].as_array().unwrap().len(), 1);
    let short = joined(Join::first("split", 9));
    assert_eq!((&short[1], &short[2]), (&4.into(), &"Short".into()));
    assert_ne!(JoinReason::Short, JoinReason::Deadline);
}

#[test]
fn a_join_that_has_a_deadline_takes_what_has_come() {
    let workflow = Workflow::builder("late")
        .step(split)
        .step(StepDef::new("some", |part: Part| async move {
            if part.n == 0 {
                std::future::pending::<()>().await;
            }
            Doubled { n: part.n }
        }))
        .step(
            StepDef::new("gather", |parts: Vec<Doubled>| async move { StopEvent { result: parts.len().into() } })
                .joins(Join::all("split").deadline(Duration::from_millis(10)).cancel_rest()),
        )
        .build()
        .unwrap();
    assert_eq!(block_on(workflow.run(3)).unwrap().to::<u32>().unwrap(), 2);
}

#[test]
fn a_step_collects_until_there_are_enough() {
    let workflow = Workflow::builder("collects")
        .step(split)
        .step(double)
        .step(StepDef::new("three", |_: Doubled, ctx: Context| async move {
            let Some(events) = ctx.collect("", &[("Doubled", 3)])? else { return Ok(None) };
            Ok::<_, WorkflowError>(Some(StopEvent { result: events.len().into() }))
        }))
        .build()
        .unwrap();
    assert_eq!(block_on(workflow.run(3)).unwrap().to::<u32>().unwrap(), 3);
    assert_eq!(block_on(workflow.run(2)).unwrap_err().status(), Status::Stalled);
}

/// Adds to what it is given, after a while.
fn adding(name: &str, more: u32) -> Workflow {
    Workflow::builder(name)
        .step(StepDef::new("add", move |event: StartEvent, ctx: Context| async move {
            ctx.write_event_to_stream(Part { n: more });
            tokio::task::yield_now().await;
            Ok::<_, WorkflowError>(StopEvent { result: (event.to::<u32>()? + more).into() })
        }))
        .build()
        .unwrap()
}

fn failing() -> Workflow {
    Workflow::builder("fails")
        .step(StepDef::new("fails", |_: StartEvent| async { Err::<StopEvent, _>(WorkflowError::message("no")) }))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_step_may_be_a_workflow() {
    let options = ChildOptions::new()
        .emits(blazen::EventType::of::<Doubled>())
        .input(|event, _| Ok(event.to_json()?["n"].clone()))
        .output(|event, ctx| {
            ctx.set("mapped", true);
            Ok(serde_json::json!({ "n": event.value().to::<u32>()? * 2 }))
        });
    let workflow = Workflow::builder("parent")
        .step(StepDef::new("begin", |_: StartEvent| async { Part { n: 5 } }))
        .workflow("child", blazen::EventType::of::<Part>(), &adding("adds", 1), options)
        .step(StepDef::new("end", |event: Doubled, ctx: Context| async move {
            StopEvent { result: serde_json::json!([event.n, ctx.get("mapped")]) }
        }))
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    assert_eq!(handler.result().await.unwrap().to_json().unwrap(), serde_json::json!([12, true]));
    let items: Vec<_> = handler.stream_events().unwrap().collect().await;
    assert_eq!(items.len(), 1, "the child's stream is the run's");
    assert!(items[0].path().unwrap().contains("child") && items[0].child_run_id().is_some());
}

#[tokio::test]
async fn several_workflows_at_once() {
    let (one, two) = (adding("one", 1), adding("two", 2));
    let all = Workflow::builder("all")
        .workflows("both", "blazen::StartEvent", [("a", &one), ("b", &two)], ChildOptions::new().emits("Both"))
        .step(
            StepDef::new("end", |event: RawEvent| async move { RawEvent::stop(event.value().clone()) }).accepts("Both"),
        )
        .build()
        .unwrap();
    assert_eq!(all.run(10).await.unwrap().to_json().unwrap(), serde_json::json!({ "a": 11, "b": 12 }));

    let no = failing();
    let first = Workflow::builder("first")
        .workflows(
            "one",
            "blazen::StartEvent",
            [("no", &no), ("yes", &two)],
            ChildOptions::new().emits("One").first_success(),
        )
        .step(
            StepDef::new("end", |event: RawEvent| async move { RawEvent::stop(event.value().clone()) }).accepts("One"),
        )
        .build()
        .unwrap();
    assert_eq!(first.run(10).await.unwrap().to::<u32>().unwrap(), 12);
}

#[tokio::test]
async fn the_failure_of_a_child_is_its_steps() {
    let workflow = Workflow::builder("parent")
        .workflow(
            "child",
            "blazen::StartEvent",
            &failing(),
            ChildOptions::new()
                .emits("blazen::StopEvent")
                .retry(RetryPolicy::attempts(2))
                .timeout(Duration::from_secs(9)),
        )
        .build()
        .unwrap();
    let error = workflow.run(()).await.unwrap_err();
    assert_eq!((error.status(), error.step_name(), error.attempt()), (Status::StepFailed, Some("child"), 2));
    let all: Vec<_> = std::iter::successors(Some(&error as &dyn std::error::Error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    assert!(all.iter().any(|text| text.contains("no")), "{all:?}");
}

#[tokio::test]
async fn a_question_inside_a_child_is_the_runs() {
    let asks = Workflow::builder("asks")
        .step(StepDef::new(
            "asks",
            |_: StartEvent, ctx: Context| async move { ctx.ask("?").await.and_then(RawEvent::stop) },
        ))
        .build()
        .unwrap();
    let workflow = Workflow::builder("parent")
        .workflow("child", "blazen::StartEvent", &asks, ChildOptions::new().emits("blazen::StopEvent"))
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    handler.wait(&[RunState::Asking]).await.unwrap();
    handler.respond_to_input(&handler.questions().unwrap()[0].request_id, 5).unwrap();
    assert_eq!(handler.result().await.unwrap().to::<u32>().unwrap(), 5);
}

fn pipeline(rounds: &Arc<AtomicU32>) -> PipelineBuilder {
    let rounds = Arc::clone(rounds);
    let (one, two) = (adding("one", 1), adding("two", 2));
    PipelineBuilder::new("line")
        .stage(Stage::new("first", &one))
        .stage(Stage::new("never", &failing()).condition(|event, _| Ok(event.value().to::<u32>()? > 1000)))
        .parallel(
            ParallelStage::new("both", [("a", &one), ("b", &two)])
                .output(|_, ctx| ctx.events()?.iter().map(|event| event.value().to::<u32>()).sum::<Result<u32, _>>()),
        )
        .loop_stage(LoopStage::new("rounds", 10, &two).until(move |event, _| {
            rounds.fetch_add(1, Ordering::SeqCst);
            Ok(if event.value().to::<u32>()? >= 30 { LoopDecision::Done } else { LoopDecision::Again })
        }))
        .stage(Stage::new("last", &one).input(|event, ctx| {
            ctx.set("seen", true);
            Ok(event.value().to::<u32>()? * 100)
        }))
}

#[tokio::test]
async fn a_pipeline_runs_its_stages_one_behind_the_other() {
    let rounds = Arc::new(AtomicU32::new(0));
    let line = pipeline(&rounds)
        .timeout_per_stage(Duration::from_secs(10))
        .total_timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    // 10 -> 11 -> skipped -> 12 + 13 = 25 -> 27, 29, 31 -> 3101
    let result = line.run(10).await.unwrap();
    assert_eq!(result.final_output.to::<u32>().unwrap(), 3101);
    assert_eq!((result.pipeline_name.as_str(), result.run_id.len()), ("line", 36));
    let stages: Vec<_> = result
        .stage_results
        .iter()
        .map(|stage| {
            (stage.name.as_str(), stage.skipped, stage.output.as_ref().map(|output| output.to::<u32>().unwrap()))
        })
        .collect();
    assert_eq!(
        stages,
        [
            ("first", false, Some(11)),
            ("never", true, None),
            ("both", false, Some(25)),
            ("rounds", false, Some(31)),
            ("last", false, Some(3101))
        ]
    );
    assert_eq!(rounds.load(Ordering::SeqCst), 3);
    let shared: Vec<_> =
        result.shared_state.iter().map(|(key, value)| (key.as_str(), value.to::<bool>().unwrap())).collect();
    assert_eq!(shared, [("seen", true)]);
}

#[tokio::test]
async fn a_pipeline_goes_on_in_the_middle_of_a_stage() {
    let asks = Workflow::builder("asks")
        .step(StepDef::new("asks", |event: StartEvent, ctx: Context| async move {
            let more: u32 = ctx.ask("how much more?").await?.to()?;
            Ok::<_, WorkflowError>(StopEvent { result: (event.to::<u32>()? + more).into() })
        }))
        .build()
        .unwrap();
    let line = PipelineBuilder::new("line")
        .stage(Stage::new("first", &adding("one", 1)))
        .stage(Stage::new("asks", &asks))
        .build()
        .unwrap();
    let handler = line.start(1).unwrap();
    handler.wait(&[RunState::Asking]).await.unwrap();
    let progress = handler.progress().unwrap();
    assert_eq!((progress.current, progress.total), (1, 2));
    let snapshot = handler.snapshot().unwrap();
    handler.abort().unwrap();
    let resumed = line.resume(snapshot).unwrap();
    resumed.wait(&[RunState::Asking]).await.unwrap();
    resumed.respond_to_input(&resumed.questions().unwrap()[0].request_id, 40).unwrap();
    assert_eq!(resumed.result().await.unwrap().final_output.to::<u32>().unwrap(), 42);
}

#[tokio::test]
async fn the_first_success_of_a_stage_is_enough() {
    let (no, yes) = (failing(), adding("yes", 1));
    let line = PipelineBuilder::new("line")
        .parallel(ParallelStage::new("one", [("no", &no), ("yes", &yes)]).join_strategy(JoinStrategy::FirstSuccess))
        .build()
        .unwrap();
    assert_eq!(line.run(1).await.unwrap().final_output.to::<u32>().unwrap(), 2);
    let line = PipelineBuilder::new("line").stage(Stage::new("no", &no)).build().unwrap();
    assert_eq!(line.run(1).await.unwrap_err().status(), Status::StepFailed);
}
