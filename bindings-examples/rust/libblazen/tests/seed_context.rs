//! The examples of the page "Context" (Rust), letter for letter, each run as a workflow. The page stands in `data`.
#![allow(unused_variables, missing_docs, clippy::print_stdout)]

use std::collections::HashMap;

use blazen::prelude::*;
use serde::{Deserialize, Serialize};

/// Runs a workflow, under a bare executor.
fn run(workflow: &Workflow, input: serde_json::Value) -> serde_json::Value {
    futures_executor::block_on(workflow.run(input)).unwrap().to_json().unwrap()
}

#[derive(Debug, PartialEq, Event)]
pub struct NextEvent {/* ... */}

mod setting_and_getting_values {
    use super::NextEvent;

    // seed begins
    use blazen::prelude::*;

    #[step]
    async fn store_data(event: StartEvent, ctx: Context) -> Result<NextEvent, WorkflowError> {
        ctx.set("user_id", serde_json::json!("user_123"));
        ctx.set("doc_count", serde_json::json!(5));
        Ok(NextEvent { /* ... */ })
    }

    #[step]
    async fn use_data(event: NextEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
        let user_id: String = serde_json::from_value(ctx.get("user_id").unwrap()).unwrap();
        let doc_count: i64 = serde_json::from_value(ctx.get("doc_count").unwrap()).unwrap();
        Ok(StopEvent { result: serde_json::json!({"user": user_id, "docs": doc_count}) })
    }
    // seed ends

    #[test]
    fn what_one_step_sets_the_next_one_gets() {
        let workflow = WorkflowBuilder::new("data").step(store_data).step(use_data).build().unwrap();
        let result = super::run(&workflow, serde_json::Value::Null);
        assert_eq!(result, serde_json::json!({"user": "user_123", "docs": 5}));
    }
}

mod run_id {
    use super::*;

    // seed begins
    #[step]
    async fn log_run(event: StartEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
        println!("Executing run: {}", ctx.run_id());
        Ok(StopEvent { result: serde_json::json!({"run": ctx.run_id()}) })
    }
    // seed ends

    #[test]
    fn each_run_has_an_id_of_its_own() {
        let workflow = WorkflowBuilder::new("id").step(log_run).build().unwrap();
        let ids = [(); 2].map(|()| super::run(&workflow, serde_json::Value::Null)["run"].clone());
        assert_ne!(ids[0], ids[1]);
        assert!(ids.iter().all(|id| id.as_str().unwrap().len() == 36), "{ids:?}");
    }
}

mod binary_storage {
    use super::*;

    // seed begins
    #[step]
    async fn store_model(event: StartEvent, ctx: Context) -> Result<NextEvent, WorkflowError> {
        let weights: Vec<u8> = vec![0x01, 0x02, 0x03, 0x04];
        ctx.set_bytes("model-weights", weights);
        Ok(NextEvent { /* ... */ })
    }

    #[step]
    async fn use_model(event: NextEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
        let weights = ctx.get_bytes("model-weights").expect("weights should exist");
        Ok(StopEvent { result: serde_json::json!({"weight_count": weights.len()}) })
    }
    // seed ends

    #[test]
    fn bytes_are_bytes() {
        let workflow = WorkflowBuilder::new("model").step(store_model).step(use_model).build().unwrap();
        assert_eq!(super::run(&workflow, serde_json::Value::Null), serde_json::json!({"weight_count": 4}));
    }
}

mod state_value_is_this {
    use blazen::context::{BytesWrapper, StateValue};

    /// The enum of the page: exactly these variants, matched without a wildcard.
    #[test]
    fn it_has_three_variants() {
        let name = |value: StateValue| match value {
            StateValue::Json(value) => {
                let _: serde_json::Value = value;
                "json"
            }
            StateValue::Bytes(bytes) => {
                let _: BytesWrapper = bytes;
                "bytes"
            }
            StateValue::Native(bytes) => {
                let _: BytesWrapper = bytes;
                "native"
            }
        };
        assert_eq!(name(StateValue::Json(serde_json::Value::Null)), "json");
        assert_eq!(name(StateValue::Bytes(vec![].into())), "bytes");
        assert_eq!(name(StateValue::Native(vec![].into())), "native");
    }
}

#[rustfmt::skip] // the page's own order of imports
mod state_value_and_direct_access {
    use super::NextEvent;

    // seed begins
    use blazen::prelude::*;
    use blazen::context::StateValue;

    #[step]
    async fn store_raw(event: StartEvent, ctx: Context) -> Result<NextEvent, WorkflowError> {
        // Store a JSON StateValue directly
        ctx.set_value("config", StateValue::Json(serde_json::json!({"retries": 3})));

        // Store raw bytes as a Native value (e.g., forwarded from a Python step)
        let opaque: Vec<u8> = vec![0x80, 0x04, 0x95]; // pickle header bytes
        ctx.set_value("py_obj", StateValue::Native(opaque.into()));

        Ok(NextEvent { /* ... */ })
    }

    #[step]
    async fn read_raw(event: NextEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
        match ctx.get_value("config") {
            Some(StateValue::Json(v)) => println!("retries = {}", v["retries"]),
            Some(StateValue::Bytes(b)) => println!("got {} raw bytes", b.len()),
            Some(StateValue::Native(b)) => println!("got {} native bytes", b.len()),
            None => println!("key not found"),
        }
        Ok(StopEvent { result: serde_json::json!("done") })
    }
    // seed ends

    #[test]
    fn values_of_each_tag_are_there() {
        let workflow = WorkflowBuilder::new("raw").step(store_raw).step(read_raw).build().unwrap();
        let (result, native) = futures_executor::block_on(async {
            let handler = workflow.run_with_handler(()).unwrap();
            let result = handler.result().await.unwrap();
            (result, handler.get_value("py_obj").unwrap().unwrap())
        });
        assert_eq!(result.to::<String>().unwrap(), "done");
        assert_eq!(native.tag(), blazen::Tag::Native);
        assert_eq!(native.data(), [0x80, 0x04, 0x95]);
    }
}

mod manual_event_routing {
    use super::*;

    #[derive(Debug, Serialize, Deserialize, Event)]
    struct HighScoreEvent {
        score: f64,
    }

    #[derive(Debug, Serialize, Deserialize, Event)]
    struct LowScoreEvent {
        score: f64,
    }

    /// Steps that accept the same event start in the order in which they were added: the score is there before `branch` is.
    #[step]
    async fn put_score(event: StartEvent, ctx: Context) -> Result<(), WorkflowError> {
        ctx.set("score", event.data);
        Ok(())
    }

    // seed begins
    #[step]
    async fn branch(event: StartEvent, ctx: Context) -> Result<(), WorkflowError> {
        let score: f64 = serde_json::from_value(ctx.get("score").unwrap()).unwrap();
        if score > 0.8 {
            ctx.send_event(HighScoreEvent { score });
        } else {
            ctx.send_event(LowScoreEvent { score });
        }
        Ok(())
    }
    // seed ends

    #[step]
    async fn high(event: HighScoreEvent) -> StopEvent {
        StopEvent { result: serde_json::json!({"high": event.score}) }
    }

    #[step]
    async fn low(event: LowScoreEvent) -> StopEvent {
        StopEvent { result: serde_json::json!({"low": event.score}) }
    }

    #[test]
    fn the_step_decides_where_it_goes() {
        let workflow =
            WorkflowBuilder::new("branch").step(put_score).step(branch).step(high).step(low).build().unwrap();
        assert_eq!(super::run(&workflow, serde_json::json!(0.9)), serde_json::json!({"high": 0.9}));
        assert_eq!(super::run(&workflow, serde_json::json!(0.5)), serde_json::json!({"low": 0.5}));
    }
}

#[rustfmt::skip] // the page's own order of imports
mod per_field_storage {
    // seed begins
    use blazen::prelude::*;
    use blazen::context::StateValue;

    /// A struct whose fields are stored individually in the context.
    struct PipelineState {
        config: serde_json::Value,
        embeddings: Vec<u8>,
    }

    impl PipelineState {
        fn save(&self, ctx: &Context) {
            ctx.set_value("pipeline:config", StateValue::Json(self.config.clone()));
            ctx.set_value("pipeline:embeddings", StateValue::Bytes(self.embeddings.clone().into()));
        }

        fn load(ctx: &Context) -> Option<Self> {
            let config = match ctx.get_value("pipeline:config")? {
                StateValue::Json(v) => v,
                _ => return None,
            };
            let embeddings = match ctx.get_value("pipeline:embeddings")? {
                StateValue::Bytes(b) => b.to_vec(),
                _ => return None,
            };
            Some(Self { config, embeddings })
        }
    }
    // seed ends

    #[step]
    async fn save_and_load(_event: StartEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
        assert!(PipelineState::load(&ctx).is_none());
        PipelineState { config: serde_json::json!({"k": [1, 2]}), embeddings: vec![0, 255] }.save(&ctx);
        let loaded = PipelineState::load(&ctx).unwrap();
        Ok(StopEvent { result: serde_json::json!([loaded.config, loaded.embeddings, ctx.keys("pipeline:")]) })
    }

    #[test]
    fn each_field_is_an_entry() {
        let workflow = WorkflowBuilder::new("fields").step(save_and_load).build().unwrap();
        assert_eq!(
            super::run(&workflow, serde_json::Value::Null),
            serde_json::json!([{"k": [1, 2]}, [0, 255], ["pipeline:config", "pipeline:embeddings"]])
        );
    }
}

mod binding_authors {
    use blazen::prelude::*;

    // seed begins
    use blazen::context::StateValue;

    // In a binding layer: serialize a Python/Node object to bytes and store it
    fn store_platform_object(ctx: &Context, key: &str, serialized: Vec<u8>) {
        ctx.set_value(key, StateValue::Native(serialized.into()));
    }

    // A Rust step can forward the value without interpreting its contents
    fn forward_native(ctx: &Context, src_key: &str, dst_key: &str) {
        if let Some(val @ StateValue::Native(_)) = ctx.get_value(src_key) {
            ctx.set_value(dst_key, val);
        }
    }
    // seed ends

    #[step]
    async fn forward(_event: StartEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
        store_platform_object(&ctx, "made", vec![0x80, 0x04]);
        forward_native(&ctx, "made", "forwarded");
        forward_native(&ctx, "nothing", "nowhere");
        let same = ctx.get_value("made") == ctx.get_value("forwarded");
        Ok(StopEvent { result: serde_json::json!([same, ctx.keys("")]) })
    }

    #[test]
    fn native_values_are_forwarded() {
        let workflow = WorkflowBuilder::new("forward").step(forward).build().unwrap();
        assert_eq!(super::run(&workflow, serde_json::Value::Null), serde_json::json!([true, ["forwarded", "made"]]));
    }
}

/// The examples above are those of the page: every line of them, in order, and all of them.
#[test]
fn the_examples_are_the_pages_letter_for_letter() {
    let squeezed = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let page = squeezed(include_str!("data/context-rust.txt"));
    let mut lines_seen = HashMap::new();
    let mut blocks = 0;
    for block in include_str!("seed_context.rs").split("// seed begins\n").skip(1) {
        let (code, _) = block.split_once("// seed ends").expect("each block ends");
        let code = squeezed(code);
        let at = page.windows(code.len()).position(|window| window == code);
        let at = at.unwrap_or_else(|| panic!("this is not on the page:\n{}", code.join("\n")));
        lines_seen.extend((at..at + code.len()).map(|line| (line, ())));
        blocks += 1;
    }
    assert_eq!(blocks, 7);
    let looks_like_code = |line: &str| line.ends_with([';', '{', '}']) || line.starts_with("#[");
    let unseen: Vec<_> = (0..page.len())
        .filter(|line| !lines_seen.contains_key(line))
        .map(|line| page[line].as_str())
        .filter(|line| looks_like_code(line))
        .collect();
    assert_eq!(unseen, ["pub enum StateValue {", "}"], "see state_value_is_this");
}
