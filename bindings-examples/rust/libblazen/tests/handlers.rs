//! Runs beside their caller: streams, pauses, questions, and who drives them.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

use blazen::prelude::*;
use blazen::{BoxFuture, Idle, Parked, Question, RunState, Status, StepDef, StreamOptions};
use futures_executor::block_on;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
struct Progressed {
    at: u32,
}

#[derive(Debug, Serialize, Deserialize, Event)]
struct Go {
    on: u32,
}

fn publishes(count: u32) -> Workflow {
    Workflow::builder("publishes")
        .step(StepDef::new("publish", move |_: StartEvent, ctx: Context| async move {
            for at in 0..count {
                ctx.write_event_to_stream(Progressed { at });
                tokio::task::yield_now().await;
            }
            StopEvent { result: count.into() }
        }))
        .build()
        .unwrap()
}

#[tokio::test]
async fn nothing_is_lost_between_the_start_and_the_first_look() {
    let handler = publishes(100).run_with_handler(()).unwrap();
    assert_eq!(handler.result().await.unwrap().to::<u32>().unwrap(), 100);
    let items: Vec<_> = handler.stream_events().unwrap().collect().await;
    assert_eq!(items.len(), 100);
    for (at, item) in items.iter().enumerate() {
        assert_eq!(item.get::<Progressed>().unwrap().unwrap().at as usize, at);
        assert_eq!(item.sequence() as usize, at + 1);
        assert_eq!(item.source(), Some("publish"));
    }
}

#[test]
fn a_stream_drives_its_run_under_a_bare_executor() {
    block_on(async {
        let handler = publishes(100).run_with_handler(()).unwrap();
        assert_eq!(handler.state(), RunState::Running);
        let count = handler.stream_events().unwrap().count().await;
        assert_eq!((count, handler.state()), (100, RunState::Completed));
        assert_eq!(handler.result().await.unwrap().to::<u32>().unwrap(), 100);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_streams_and_a_result_in_three_tasks() {
    let handler = Arc::new(publishes(500).run_with_handler(()).unwrap());
    let first = handler.stream_events().unwrap();
    let only = handler.stream_with(&StreamOptions::new().from(1).only("Progressed")).unwrap();
    let tasks = [tokio::spawn(first.count()), tokio::spawn(only.count())];
    let result = Arc::clone(&handler);
    let result = tokio::spawn(async move { result.result().await.unwrap().to::<u32>().unwrap() });
    for task in tasks {
        assert_eq!(task.await.unwrap(), 500);
    }
    assert_eq!(result.await.unwrap(), 500);
}

#[tokio::test]
async fn lifecycle_and_routed_events_are_shown_on_demand() {
    let handler = publishes(1).run_with_handler(()).unwrap();
    let stream = handler.stream_with(&StreamOptions::new().from(1).lifecycle().routed()).unwrap();
    let types: Vec<_> = stream.map(|item| item.event_type().to_owned()).collect().await;
    assert!(types.contains(&"blazen::lifecycle".to_owned()), "{types:?}");
    assert!(types.contains(&"Progressed".to_owned()) && types.contains(&"blazen::StopEvent".to_owned()), "{types:?}");
    assert!(!types.contains(&"blazen::StreamEnd".to_owned()));
}

#[tokio::test]
async fn the_stream_of_a_run_that_fails_ends() {
    let workflow = Workflow::builder("fails")
        .step(StepDef::new("fails", |_: StartEvent, ctx: Context| async move {
            ctx.write_event_to_stream(Progressed { at: 0 });
            Err::<StopEvent, _>(WorkflowError::message("no"))
        }))
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    assert_eq!(handler.stream_events().unwrap().count().await, 1);
    assert_eq!(handler.result().await.unwrap_err().status(), Status::StepFailed);
}

#[step]
async fn confirm(_event: StartEvent) -> InputRequestEvent {
    InputRequestEvent { prompt: "really?".into(), ..InputRequestEvent::default() }
}

#[step]
async fn confirmed(event: InputResponseEvent) -> StopEvent {
    StopEvent { result: event.response }
}

fn asking() -> WorkflowBuilder {
    Workflow::builder("asks").step(confirm).step(confirmed)
}

#[tokio::test]
async fn a_run_that_asks_gives_its_handler_back_and_goes_on() {
    let error = asking().build().unwrap().run(()).await.unwrap_err();
    let Some(Parked::InputRequired(ids)) = error.parked().cloned() else { panic!("{error}") };
    let again = error.clone();
    let handler = error.into_handler().unwrap();
    assert!(again.into_handler().is_none(), "it is given once");
    let questions = handler.questions().unwrap();
    assert_eq!((questions[0].request_id.as_str(), questions[0].step.as_deref()), (ids[0].as_str(), Some("confirm")));
    assert_eq!(handler.respond_to_input("nobody", true).unwrap_err().status(), Status::NotFound);
    handler.respond_to_input(&ids[0], true).unwrap();
    assert!(handler.result().await.unwrap().to::<bool>().unwrap());
    assert!(handler.respond_to_input(&ids[0], true).is_err());
}

#[test]
fn an_input_handler_answers_and_may_take_its_time() {
    let workflow = asking()
        .input_handler(|request: InputRequestEvent| async move {
            tokio::task::yield_now().await;
            Ok(format!("{} yes", request.prompt))
        })
        .build()
        .unwrap();
    assert_eq!(block_on(workflow.run(())).unwrap().to::<String>().unwrap(), "really? yes");

    let fails =
        asking().input_handler(|_| async { Err::<(), _>(WorkflowError::message("gone home")) }).build().unwrap();
    let error = block_on(fails.run(())).unwrap_err();
    let all: Vec<_> = std::iter::successors(Some(&error as &dyn std::error::Error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    assert!(all.iter().any(|text| text.contains("gone home")), "{all:?}");
}

#[tokio::test]
async fn a_step_asks_and_waits_in_flight() {
    let workflow = Workflow::builder("asks")
        .step(StepDef::new("asks", |_: StartEvent, ctx: Context| async move {
            let first: u32 = ctx.ask("how many?").await?.to()?;
            let second = ctx.ask(Question::new("sure?").default_after(Duration::from_millis(5), true.into())).await?;
            Ok::<_, WorkflowError>(StopEvent { result: serde_json::json!([first, second.to_json()?]) })
        }))
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    assert_eq!(handler.wait(&[RunState::Asking]).await.unwrap(), RunState::Asking);
    let question = handler.questions().unwrap().remove(0);
    assert_eq!(question.prompt, Some("how many?".into()));
    handler.respond_to_input(&question.request_id, 3).unwrap();
    assert_eq!(handler.result().await.unwrap().to_json().unwrap(), serde_json::json!([3, true]));

    let handler = workflow.run_with_handler(()).unwrap();
    handler.wait(&[RunState::Asking]).await.unwrap();
    handler.withdraw_question(&handler.questions().unwrap()[0].request_id).unwrap();
    let error = handler.result().await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("withdrawn"), "{error}");
}

#[tokio::test]
async fn a_pause_lets_what_is_under_way_land_and_starts_nothing() {
    let going = Arc::new(AtomicBool::new(true));
    let workflow = Workflow::builder("goes")
        .step(StepDef::new("begin", |_: StartEvent| async { Go { on: 0 } }).emits_anything())
        .step(
            StepDef::new("on", move |go: Go, ctx: Context| {
                let going = Arc::clone(&going);
                async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    ctx.set("on", go.on);
                    if ctx.has("stop") || !going.load(Ordering::SeqCst) {
                        return Some(StopEvent { result: go.on.into() });
                    }
                    ctx.send_event(Go { on: go.on + 1 });
                    None
                }
            })
            .emits("Go"),
        )
        .step(StepDef::new("stop", |_: RawEvent, ctx: Context| async move { ctx.set("stop", true) }).accepts("Stop"))
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let snapshot = handler.pause().await.unwrap();
    assert_eq!(handler.state(), RunState::Paused);
    assert_eq!(snapshot.info().unwrap()["paused"], true);
    let on = handler.get_value("on").unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(handler.get_value("on").unwrap().unwrap(), on, "nothing starts");
    handler.resume_in_place().unwrap();
    handler.send_event(RawEvent::new("Stop", ()).unwrap()).unwrap();
    let end: u32 = handler.result().await.unwrap().to().unwrap();
    assert!(end > on.to::<u32>().unwrap());
    handler.resume_in_place().unwrap();
    assert!(handler.pause().await.is_err());
}

#[tokio::test]
async fn abort_is_prompt_and_says_so() {
    let handler = Workflow::builder("never")
        .step(StepDef::new("never", |_: StartEvent| std::future::pending::<StopEvent>()))
        .build()
        .unwrap()
        .run_with_handler(())
        .unwrap();
    tokio::task::yield_now().await;
    handler.abort().unwrap();
    handler.abort().unwrap();
    assert_eq!(handler.result().await.unwrap_err().status(), Status::Aborted);
    assert_eq!(handler.state(), RunState::Cancelled);
}

#[tokio::test]
async fn a_run_waits_for_events_from_outside() {
    let workflow = Workflow::builder("waits")
        .idle(Idle::Wait)
        .step(StepDef::new("begin", |_: StartEvent| async {}))
        .step(StepDef::new("go", |go: Go| async move { StopEvent { result: go.on.into() } }))
        .build()
        .unwrap();
    let error = workflow.run(()).await.unwrap_err();
    assert_eq!(error.parked(), Some(&Parked::Waiting));
    let handler = error.into_handler().unwrap();
    handler.send_event(Go { on: 4 }).unwrap();
    assert_eq!(handler.result().await.unwrap().to::<u32>().unwrap(), 4);
    assert!(handler.describe().unwrap()["run_id"].as_str() == Some(&handler.run_id()));
}

#[test]
fn a_given_spawner_drives_the_run_while_nobody_awaits_it() {
    let (futures, queue) = mpsc::channel::<BoxFuture>();
    let executor = std::thread::spawn(move || queue.into_iter().for_each(block_on));
    let (done, ended) = mpsc::channel();
    let futures = Mutex::new(futures);
    let workflow = Workflow::builder("spawned")
        .step(StepDef::new("tells", move |_: StartEvent| {
            done.send(()).unwrap();
            async { StopEvent::default() }
        }))
        .spawner(move |future| futures.lock().unwrap().send(future).unwrap())
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    ended.recv_timeout(Duration::from_secs(10)).expect("the spawner drives it");
    block_on(handler.result()).unwrap();
    drop((handler, workflow));
    executor.join().unwrap();
}

#[test]
fn drive_is_for_those_who_have_no_spawner() {
    block_on(async {
        let handler = publishes(3).run_with_handler(()).unwrap();
        let (driven, result) = futures_util::future::join(handler.drive(), handler.result()).await;
        driven.unwrap();
        result.unwrap();
    });
}

#[tokio::test]
async fn a_run_whose_handler_is_dropped_goes_on_unless_it_waits_for_it() {
    let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let tells = done.clone();
    let workflow = Workflow::builder("tells")
        .step(StepDef::new("tells", move |_: StartEvent| {
            let tells = tells.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                tells.send("ended").unwrap();
                StopEvent::default()
            }
        }))
        .build()
        .unwrap();
    drop(workflow.run_with_handler(()).unwrap());
    assert_eq!(ended.recv().await, Some("ended"));

    struct Tells(tokio::sync::mpsc::UnboundedSender<&'static str>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send("aborted");
        }
    }
    let workflow = Workflow::builder("asks")
        .step(StepDef::new("asks", move |_: StartEvent, ctx: Context| {
            let held = Tells(done.clone());
            async move {
                let answer = ctx.ask("?").await;
                drop(held);
                answer.map(|_| StopEvent::default())
            }
        }))
        .build()
        .unwrap();
    let handler = workflow.run_with_handler(()).unwrap();
    handler.wait(&[RunState::Asking]).await.unwrap();
    drop(handler);
    assert_eq!(ended.recv().await, Some("aborted"));
}

/// While another thread polls the run, whoever waits may look just when it does not ask: it still has to be told that it asks
/// again.
#[test]
fn a_run_that_asks_again_wakes_who_waits_for_that() {
    const ROUNDS: usize = 1000;
    const QUESTIONS: usize = 5;
    let asks = StepDef::new("asks", |_event: StartEvent, ctx: Context| async move {
        for number in 0..QUESTIONS {
            ctx.ask(number.to_string()).await?;
        }
        Ok::<_, WorkflowError>(StopEvent::default())
    });
    let workflow = Workflow::builder("again").step(asks).build().unwrap();
    let waits = async move {
        for _ in 0..ROUNDS {
            let handler = workflow.run_with_handler(()).unwrap();
            for number in 0..QUESTIONS {
                assert_eq!(handler.wait(&[RunState::Asking]).await.unwrap(), RunState::Asking);
                let question = &handler.questions().unwrap()[0];
                assert_eq!(question.prompt, Some(number.to_string().into()));
                handler.respond_to_input(&question.request_id, true).unwrap();
            }
            handler.result().await.unwrap();
        }
    };
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(waits);
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(20)).expect("nobody was woken");
}
