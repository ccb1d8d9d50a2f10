//! What goes in comes out: tiers, foreign values, numbers, and the context after its step.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use blazen::context::BytesWrapper;
use blazen::prelude::*;
use blazen::{Status, StepDef, Tag, Value};
use futures_executor::block_on;
use serde::{Deserialize, Serialize};

/// Runs one step, and gives what it answers.
fn in_a_step<T: Send + 'static>(body: impl Fn(Context) -> T + Send + Sync + 'static) -> Result<T, WorkflowError> {
    let answer = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&answer);
    let step = StepDef::new("step", move |_: StartEvent, ctx: Context| {
        *slot.lock().unwrap() = Some(body(ctx));
        async { StopEvent::default() }
    });
    block_on(Workflow::builder("one").step(step).build()?.run(()))?;
    let answer = answer.lock().unwrap().take();
    Ok(answer.expect("the step was called"))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
struct Mixed {
    #[serde(with = "serde_bytes")]
    blob: Vec<u8>,
    big: i128,
    not_a_number: f64,
    pickled: BytesWrapper,
    by_number: BTreeMap<u8, String>,
}

fn mixed() -> Mixed {
    Mixed {
        blob: vec![0, 255],
        big: i128::MIN,
        not_a_number: f64::NEG_INFINITY,
        pickled: BytesWrapper::with_codec("python/pickle", vec![0x80, 4]),
        by_number: [(7, "seven".to_owned())].into(),
    }
}

#[test]
fn what_json_does_not_hold_travels_as_cbor() {
    #[step]
    async fn send(_event: StartEvent) -> Mixed {
        mixed()
    }
    #[step]
    async fn take(event: Mixed, ctx: Context) -> Result<StopEvent, WorkflowError> {
        let raw = ctx.events()?.remove(0);
        let tag = (raw.value().tag() == Tag::Native, raw.value().codec().to_owned());
        Ok(StopEvent { result: serde_json::json!([event == mixed(), tag]) })
    }
    let workflow = Workflow::builder("cbor").step(send).step(take).build().unwrap();
    let result = block_on(workflow.run(())).unwrap();
    assert_eq!(result.to_json().unwrap(), serde_json::json!([true, [true, "blazen/cbor"]]));
}

#[test]
fn a_platforms_object_inside_an_event_is_tag_27() {
    let value = Value::new(&BytesWrapper::with_codec("python/pickle", vec![0x80, 4])).unwrap();
    assert_eq!(value.codec(), "blazen/cbor");
    assert_eq!(value.data(), b"\xd8\x1b\x82\x6dpython/pickle\x42\x80\x04");
    assert!(serde_json::to_string(&BytesWrapper::with_codec("python/pickle", vec![1])).is_err());
}

#[test]
fn a_foreign_value_passes_bit_for_bit() {
    let same = in_a_step(|ctx| {
        let foreign = BytesWrapper::with_codec("js/structured", vec![1, 2, 3]);
        ctx.set_value("in", StateValue::Native(foreign.clone()));
        let out = ctx.get_value("in");
        if let Some(value) = out.clone() {
            ctx.set_value("again", value);
        }
        (out == Some(StateValue::Native(foreign)), ctx.get_value("again") == out, ctx.get("in"))
    });
    assert_eq!(same.unwrap(), (true, true, None));
}

#[test]
fn get_tells_tags_apart_where_it_is_asked_to() {
    let seen = in_a_step(|ctx| {
        ctx.set_bytes("bytes", [1, 2]);
        ctx.set("null", ());
        ctx.set("infinite", f64::INFINITY);
        let wrong = ctx.try_get("bytes").unwrap_err();
        assert_eq!(wrong.status(), Status::WrongTag);
        assert!(wrong.to_string().contains("\"bytes\""), "{wrong}");
        assert_eq!(ctx.get("bytes"), None);
        assert_eq!(ctx.get_bytes("null"), None);
        assert_eq!(ctx.get("null"), Some(serde_json::Value::Null));
        assert_eq!(ctx.get("nothing"), None);
        assert!(ctx.has("null") && !ctx.has("nothing"));
        assert_eq!(ctx.get("infinite"), None);
        assert_eq!(ctx.get_as::<f64>("infinite").unwrap(), Some(f64::INFINITY));
        assert_eq!(ctx.get_as::<f64>("nothing").unwrap(), None);
        assert!(ctx.remove("null") && !ctx.remove("null"));
        let before = ctx.keys("");
        ctx.clear();
        (before, ctx.keys(""))
    });
    assert_eq!(seen.unwrap(), (vec!["bytes".to_owned(), "infinite".to_owned()], vec![]));
}

#[test]
fn a_number_that_would_be_rounded_names_its_key_and_its_text_is_there() {
    in_a_step(|ctx| {
        for number in ["123456789012345678901234567890", "-9223372036854775809", "1e400"] {
            let json = format!("{{\"n\":{number}}}");
            ctx.set_json("big", &json);
            let error = ctx.try_get("big").unwrap_err();
            assert!(error.to_string().contains("\"big\""), "{error}");
            assert_eq!(ctx.get_json("big"), Some(json));
        }
        ctx.set_json("kept", "[18446744073709551615, -9223372036854775808, 0.1]");
        assert_eq!(ctx.get("kept"), Some(serde_json::json!([u64::MAX, i64::MIN, 0.1])));
        assert!(ctx.try_set_json("k", "{").unwrap_err().offset().is_some());
    })
    .unwrap();
    let read = |number: &str| RawEvent::new("n", Value::json_text(number).unwrap()).unwrap().to_json();
    assert!(read("18446744073709551616").unwrap_err().to_string().contains("18446744073709551616"));
}

#[test]
fn json_is_read_as_deep_as_the_library_takes_it() {
    in_a_step(|ctx| {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        ctx.set_json("deep", &deep(512));
        let mut read = ctx.get("deep").unwrap();
        let mut levels = 1;
        while let Some(inner) = read.as_array_mut().unwrap().pop() {
            read = inner;
            levels += 1;
        }
        assert_eq!(levels, 512);
        assert_eq!(ctx.try_set_json("deeper", &deep(513)).unwrap_err().status(), Status::Limit);
    })
    .unwrap();
}

#[test]
fn a_quiet_read_that_would_round_fails_the_step() {
    let error = in_a_step(|ctx| {
        ctx.set_json("big", "123456789012345678901234567890");
        assert_eq!(ctx.get("big"), None);
    })
    .unwrap_err();
    assert!(error.to_string().contains("123456789012345678901234567890"), "{error}");
}

#[test]
fn json_keeps_the_order_of_keys_and_the_shortest_numbers() {
    let text = in_a_step(|ctx| {
        ctx.set("k", serde_json::json!({ "z": 0.1, "a": 1e21, "m": "é\n" }));
        ctx.get_json("k")
    });
    assert_eq!(text.unwrap().unwrap(), "{\"z\":0.1,\"a\":1e+21,\"m\":\"é\\n\"}");
}

#[test]
fn the_result_may_be_bytes_or_an_object() {
    struct Connection(u8);
    let connection = Arc::new(Connection(3));
    let given = Arc::clone(&connection);
    let live = StepDef::new("live", move |_: StartEvent| {
        let given = Arc::clone(&given);
        async move { RawEvent::stop(Value::live(given)?) }
    });
    let result = block_on(Workflow::builder("live").step(live).build().unwrap().run(())).unwrap();
    let back: Arc<Connection> = result.value().object().unwrap();
    assert!(Arc::ptr_eq(&back, &connection) && back.0 == 3);
    assert!(result.value().object::<String>().is_none());

    let big = vec![7_u8; 100_000];
    let expected = big.clone();
    let bytes = StepDef::new("bytes", move |_: StartEvent| {
        let big = big.clone();
        async move { RawEvent::stop(Value::bytes(big)?) }
    });
    let result = block_on(Workflow::builder("bytes").step(bytes).build().unwrap().run(())).unwrap();
    assert_eq!(result.value().as_bytes(), Some(&expected[..]));
    assert_eq!(result.event_type(), "blazen::StopEvent");
}

#[test]
fn versions_guard_a_write() {
    in_a_step(|ctx| {
        let first = ctx.compare_and_set("k", 0, Some(StateValue::Json(1.into()))).unwrap();
        assert_eq!(ctx.version("k").unwrap(), first);
        let late = ctx.compare_and_set("k", 0, None).unwrap_err();
        assert_eq!(late.status(), Status::Conflict);
        assert_eq!(ctx.compare_and_set("k", first, None).unwrap(), 0);
        assert!(!ctx.has("k"));
    })
    .unwrap();
}

#[test]
fn a_context_after_its_step_answers_with_an_error() {
    let (ctx, run_id) = in_a_step(|ctx| (ctx.clone(), ctx.run_id())).unwrap();
    assert_eq!(ctx.try_set("k", 1).unwrap_err().status(), Status::WrongState);
    assert_eq!(ctx.try_get("k").unwrap_err().status(), Status::WrongState);
    assert!(ctx.get("k").is_none() && ctx.get_bytes("k").is_none() && ctx.keys("").is_empty() && !ctx.has("k"));
    ctx.set("k", 1);
    assert!(ctx.is_cancelled());
    assert_eq!((ctx.run_id(), ctx.step_name().as_str()), (run_id, "step"));
    std::thread::spawn(move || drop(ctx)).join().unwrap();
}

#[test]
fn a_failure_of_a_quiet_call_fails_the_step_when_it_returns() {
    let error = in_a_step(|ctx| {
        ctx.set("", 1); // a key is never empty
        ctx.set("after", 2);
        assert_eq!(ctx.get("after"), Some(2.into()));
    })
    .unwrap_err();
    assert_eq!(error.status(), Status::StepFailed);
    let source = std::error::Error::source(&error).unwrap();
    let cause = source.downcast_ref::<WorkflowError>().unwrap();
    assert_eq!(cause.status(), Status::InvalidArgument);
    assert!(cause.to_string().contains("key"), "{cause}");
}

#[test]
fn the_session_keeps_the_very_object() {
    let held = Arc::new(Mutex::new(5));
    let given = Arc::clone(&held);
    in_a_step(move |ctx| {
        let session = ctx.session();
        session.set("lock", Arc::clone(&given)).unwrap();
        let back: Arc<Mutex<i32>> = session.get("lock").unwrap();
        assert!(Arc::ptr_eq(&back, &given));
        assert!(session.get::<String>("lock").is_none());
        assert_eq!(session.keys(""), ["lock"]);
        assert!(session.has("lock") && !ctx.has("lock"));
        assert!(session.remove("lock").unwrap() && !session.has("lock"));
        session.set("lock", Arc::clone(&given)).unwrap();
    })
    .unwrap();
    assert_eq!(Arc::strong_count(&held), 1, "the run has ended, and what it held is dropped");
}

#[test]
fn a_drop_in_the_session_may_use_the_context() {
    struct Tells(Context);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.set("dropped", true);
        }
    }
    let dropped = in_a_step(|ctx| {
        ctx.session().set("k", Arc::new(Tells(ctx.clone()))).unwrap();
        ctx.session().remove("k").unwrap();
        ctx.get("dropped")
    });
    assert_eq!(dropped.unwrap(), Some(true.into()));
}
