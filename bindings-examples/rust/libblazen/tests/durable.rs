//! Snapshots: taken at any instant, resumed anywhere, exact.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use blazen::prelude::*;
use blazen::{Live, Parked, ResumeOptions, RunState, SessionPausePolicy, SessionRef, Snapshot, Status, StepDef};
use futures_executor::block_on;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Counted {
    n: u32,
}

fn counting(calls: &Arc<AtomicU32>) -> Workflow {
    let calls = Arc::clone(calls);
    Workflow::builder("counts")
        .step(StepDef::new("begin", |_: StartEvent, ctx: Context| async move {
            ctx.set_bytes("bytes", [1, 2, 3]);
            Counted { n: 0 }
        }))
        .step(
            StepDef::new("count", move |counted: Counted, ctx: Context| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    ctx.set("n", counted.n);
                    if counted.n == 20 {
                        return Some(StopEvent {
                            result: serde_json::json!([counted.n, ctx.get_bytes("bytes"), ctx.run_id()]),
                        });
                    }
                    ctx.send_event(Counted { n: counted.n + 1 });
                    None
                }
            })
            .emits("Counted"),
        )
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_run_that_was_paused_goes_on_elsewhere_with_nothing_lost() {
    let calls = Arc::new(AtomicU32::new(0));
    let handler = counting(&calls).run_with_handler(()).unwrap();
    tokio::time::sleep(Duration::from_millis(8)).await;
    let snapshot = handler.pause().await.unwrap();
    handler.abort().unwrap();
    let before = calls.load(Ordering::SeqCst);
    assert!((1..21).contains(&before), "{before}");

    let json = serde_json::to_string(&snapshot).unwrap();
    for form in [json.clone(), snapshot.to_json()] {
        let resumed = counting(&calls).resume(form).unwrap();
        let result = resumed.result().await.unwrap().to_json().unwrap();
        assert_eq!(result, serde_json::json!([20, [1, 2, 3], handler.run_id()]));
    }
    assert_eq!(calls.load(Ordering::SeqCst), before + 2 * (21 - before), "what was completed runs no second time");

    let again = counting(&calls).resume(serde_json::from_str::<serde_json::Value>(&json).unwrap()).unwrap();
    again.result().await.unwrap();
    counting(&calls).resume(snapshot.as_bytes()).unwrap().result().await.unwrap();
    let forked = counting(&calls).resume_with(&snapshot, ResumeOptions::new().fork()).unwrap();
    let result = forked.result().await.unwrap().to_json().unwrap();
    assert_eq!(result[2], forked.run_id());
    assert_ne!(forked.run_id(), handler.run_id());
}

#[tokio::test]
async fn a_resumed_run_stays_paused_where_that_is_asked() {
    let calls = Arc::new(AtomicU32::new(0));
    let handler = counting(&calls).run_with_handler(()).unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    let snapshot = handler.pause().await.unwrap();
    let resumed = counting(&calls).resume_with(&snapshot, ResumeOptions::new().keep_paused()).unwrap();
    assert_eq!(resumed.wait(&[RunState::Paused]).await.unwrap(), RunState::Paused);
    assert_eq!(resumed.snapshot().unwrap(), snapshot, "the same run at the same point is the same bytes");
    resumed.resume_in_place().unwrap();
    assert_eq!(resumed.result().await.unwrap().to_json().unwrap()[0], 20);
}

#[tokio::test]
async fn a_snapshot_while_it_runs_has_what_is_in_flight() {
    let calls = Arc::new(AtomicU32::new(0));
    let handler = counting(&calls).run_with_handler(()).unwrap();
    tokio::time::sleep(Duration::from_millis(4)).await;
    let snapshot = handler.snapshot().unwrap();
    assert_eq!(snapshot.info().unwrap()["in_flight"], 1);
    assert_eq!(handler.result().await.unwrap().to_json().unwrap()[0], 20);
    let resumed = counting(&calls).resume(snapshot).unwrap();
    assert_eq!(resumed.result().await.unwrap().to_json().unwrap()[0], 20);
}

#[test]
fn what_is_no_snapshot_of_it_is_refused() {
    let calls = Arc::new(AtomicU32::new(0));
    let status = |snapshot: Snapshot| counting(&calls).resume(snapshot).unwrap_err().status();
    assert_eq!(status(Snapshot::from_bytes([1, 2, 3])), Status::SnapshotInvalid);
    let other = Workflow::builder("other")
        .step(StepDef::new("asks", |_: StartEvent, ctx: Context| async move {
            ctx.ask("?").await.map(|_| StopEvent::default())
        }))
        .build()
        .unwrap();
    let handler = block_on(other.run(())).unwrap_err().into_handler().unwrap();
    assert_eq!(status(handler.snapshot().unwrap()), Status::SnapshotMismatch);
    assert_eq!(counting(&calls).resume("{}").unwrap_err().status(), Status::SnapshotInvalid);
}

#[tokio::test]
async fn a_question_outlives_its_process() {
    let workflow = Workflow::builder("asks")
        .step(StepDef::new("asks", |_: StartEvent, ctx: Context| async move {
            let answer = ctx.ask("name?").await?;
            RawEvent::stop(answer)
        }))
        .build()
        .unwrap();
    let handler = workflow.run(()).await.unwrap_err().into_handler().unwrap();
    let id = handler.questions().unwrap()[0].request_id.clone();
    let snapshot = handler.snapshot().unwrap();
    drop(handler);
    let resumed = workflow.resume(snapshot).unwrap();
    resumed.wait(&[RunState::Asking]).await.unwrap();
    assert_eq!(resumed.questions().unwrap()[0].request_id, id);
    resumed.respond_to_input(&id, "Ada").unwrap();
    assert_eq!(resumed.result().await.unwrap().to::<String>().unwrap(), "Ada");
}

#[derive(Debug, PartialEq)]
struct Account(u64);

impl SessionRef for Account {
    const LABEL: &'static str = "Account";
    fn blazen_serialize(&self) -> Result<Vec<u8>, WorkflowError> {
        Ok(self.0.to_le_bytes().to_vec())
    }
    fn blazen_deserialize(kept: &[u8]) -> Result<Self, WorkflowError> {
        let bytes = kept.try_into().map_err(|_| WorkflowError::message("eight bytes are an account"))?;
        Ok(Account(u64::from_le_bytes(bytes)))
    }
}

fn with_a_session(policy: SessionPausePolicy, keeps: bool) -> Workflow {
    Workflow::builder("session")
        .session_pause_policy(policy)
        .step(StepDef::new("asks", move |_: StartEvent, ctx: Context| async move {
            let session = ctx.session();
            if !session.has("account") && ctx.attempt() == 1 && !ctx.has("been") {
                if keeps {
                    session.set_ref("account", Arc::new(Account(7)))?;
                } else {
                    session.set("account", Arc::new(Account(7)))?;
                }
                ctx.set("been", true);
            }
            ctx.ask("go on?").await?;
            Ok::<_, WorkflowError>(StopEvent {
                result: session.get::<Account>("account").map(|account| account.0).into(),
            })
        }))
        .build()
        .unwrap()
}

async fn asking(workflow: &Workflow) -> WorkflowHandler {
    workflow.run(()).await.unwrap_err().into_handler().unwrap()
}

async fn answered(handler: WorkflowHandler) -> serde_json::Value {
    handler.wait(&[RunState::Asking]).await.unwrap();
    handler.respond_to_input(&handler.questions().unwrap()[0].request_id, true).unwrap();
    handler.result().await.unwrap().to_json().unwrap()
}

#[tokio::test]
async fn objects_of_the_session_are_made_again_by_their_label() {
    let workflow = with_a_session(SessionPausePolicy::PickleOrError, true);
    let snapshot = asking(&workflow).await.snapshot().unwrap();
    let unknown = workflow.resume(&snapshot).unwrap_err();
    assert_eq!(unknown.status(), Status::NotSerializable);
    assert!(unknown.to_string().contains("Account"), "{unknown}");
    let resumed = workflow.resume_with(&snapshot, ResumeOptions::new().with_ref::<Account>()).unwrap();
    assert_eq!(answered(resumed).await, 7);
    let skipped = workflow.resume_with(&snapshot, ResumeOptions::new().skip_unknown_labels()).unwrap();
    assert!(skipped.dropped().unwrap()[0].contains("account"));
    assert_eq!(answered(skipped).await, serde_json::Value::Null);
}

#[tokio::test]
async fn the_policy_decides_what_a_snapshot_does_with_the_rest() {
    let refused = asking(&with_a_session(SessionPausePolicy::PickleOrError, false)).await;
    let error = refused.pause().await.unwrap_err();
    assert_eq!(error.status(), Status::NotSerializable);
    assert!(error.to_string().contains("account"), "{error}");
    assert_eq!(refused.state(), RunState::Paused);
    refused.resume_in_place().unwrap();
    assert_eq!(answered(refused).await, 7, "the run is as it was");

    let workflow = with_a_session(SessionPausePolicy::WarnDrop, false);
    let resumed = workflow.resume(asking(&workflow).await.snapshot().unwrap()).unwrap();
    assert!(resumed.dropped().unwrap()[0].contains("account"));
    assert_eq!(answered(resumed).await, serde_json::Value::Null);
}

#[tokio::test]
async fn steps_elsewhere_take_the_run_where_they_are() {
    let begin = || StepDef::new("begin", |event: StartEvent| async move { event.to().map(|n| Counted { n }) });
    let end = || StepDef::new("end", |counted: Counted| async move { StopEvent { result: (counted.n * 2).into() } });
    let here = Workflow::builder("travels").step(begin()).elsewhere("end", ["Counted"]).build().unwrap();
    let there = Workflow::builder("travels").elsewhere("begin", ["blazen::StartEvent"]).step(end()).build().unwrap();
    let error = here.run(21).await.unwrap_err();
    assert_eq!(error.parked(), Some(&Parked::Elsewhere(vec!["end".into()])));
    let handler = error.into_handler().unwrap();
    assert_eq!(handler.elsewhere().unwrap(), ["end"]);
    let resumed = there.resume(handler.snapshot().unwrap()).unwrap();
    assert_eq!(resumed.result().await.unwrap().to::<u32>().unwrap(), 42);
}

struct Socket;
impl SessionRef for Socket {
    const LABEL: &'static str = "Socket";
}

#[derive(Serialize, Deserialize, Event)]
struct Opened {
    account: Live<Account>,
    more: Vec<Live<Account>>,
    note: String,
}

#[derive(Serialize, Deserialize, Event)]
struct Plugged {
    socket: Live<Socket>,
}

#[tokio::test]
async fn an_object_in_an_event_is_the_very_object_and_is_made_again_elsewhere() {
    let account = Arc::new(Account(9));
    let given = Arc::clone(&account);
    let open = || {
        let given = Arc::clone(&given);
        StepDef::new("open", move |_: StartEvent| {
            let account = Live(Arc::clone(&given));
            async move { Opened { more: vec![account.clone()], account, note: "new".into() } }
        })
    };
    let close = |same: Option<Arc<Account>>| {
        StepDef::new("close", move |opened: Opened| {
            let same =
                same.as_ref().map(|same| Arc::ptr_eq(same, &opened.account.0) && Arc::ptr_eq(same, &opened.more[0].0));
            async move { StopEvent { result: serde_json::json!([opened.account.0 .0, opened.note, same]) } }
        })
    };
    let here = Workflow::builder("w").step(open()).step(close(Some(Arc::clone(&account)))).build().unwrap();
    assert_eq!(here.run(()).await.unwrap().to_json().unwrap(), serde_json::json!([9, "new", true]));

    let begins = Workflow::builder("w").step(open()).elsewhere("close", ["Opened"]).build().unwrap();
    let snapshot = begins.run(()).await.unwrap_err().into_handler().unwrap().snapshot().unwrap();
    let ends = Workflow::builder("w").elsewhere("open", ["blazen::StartEvent"]).step(close(None)).build().unwrap();
    let passes = begins.resume(&snapshot).unwrap();
    passes.wait(&[RunState::Elsewhere]).await.unwrap();
    assert_eq!(passes.snapshot().unwrap(), snapshot, "who does not read it keeps it as it is");
    let resumed = ends.resume(snapshot).unwrap();
    assert_eq!(resumed.result().await.unwrap().to_json().unwrap(), serde_json::json!([9, "new", null]));
}

#[tokio::test]
async fn an_object_that_cannot_be_kept_is_named_by_its_field() {
    let workflow = Workflow::builder("w")
        .step(StepDef::new("plug", |_: StartEvent| async { Plugged { socket: Live(Arc::new(Socket)) } }))
        .elsewhere("unplug", ["Plugged"])
        .build()
        .unwrap();
    let error = workflow.run(()).await.unwrap_err().into_handler().unwrap().snapshot().unwrap_err();
    assert_eq!(error.status(), Status::NotSerializable);
    let all: Vec<_> = std::iter::successors(Some(&error as &dyn std::error::Error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    assert!(all.iter().any(|text| text.contains("socket") && text.contains("Socket")), "{all:?}");
}

#[tokio::test]
async fn the_error_of_a_step_is_told_in_another_process() {
    let fails = || {
        Workflow::builder("fails")
            .step(StepDef::new("fails", |_: StartEvent| async {
                Err::<StopEvent, _>(WorkflowError::step("x".parse::<u32>().unwrap_err()).with_code(7))
            }))
            .build()
            .unwrap()
    };
    let handler = fails().run_with_handler(()).unwrap();
    let here = handler.result().await.unwrap_err();
    assert!(here.downcast_ref::<std::num::ParseIntError>().is_some() && here.remote().is_none());
    let there = fails().resume(handler.snapshot().unwrap()).unwrap().result().await.unwrap_err();
    assert!(there.downcast_ref::<std::num::ParseIntError>().is_none());
    let remote = there.remote().unwrap();
    assert_eq!((remote.language.as_str(), remote.error_type.as_str()), ("rust", "ParseIntError"));
    assert_eq!((remote.message.as_str(), there.host_code()), ("invalid digit found in string", 7));
    assert_eq!((there.status(), there.step_name()), (Status::StepFailed, Some("fails")));
}
