//! One workflow of two steps, under tokio.

use blazen::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Counted {
    words: usize,
}

#[step]
async fn count(event: StartEvent, ctx: Context) -> Result<Counted, WorkflowError> {
    let text: String = event.to()?;
    ctx.set("text", &text);
    Ok(Counted { words: text.split_whitespace().count() })
}

#[step]
async fn report(event: Counted, ctx: Context) -> Result<StopEvent, WorkflowError> {
    let text: Option<String> = ctx.get_as("text")?;
    Ok(StopEvent { result: serde_json::json!({ "text": text, "words": event.words }) })
}

#[tokio::main]
async fn main() -> Result<(), WorkflowError> {
    let workflow = Workflow::builder("words").step(count).step(report).build()?;
    let result = workflow.run("to be or not to be").await?;
    println!("{}", result.to_json()?);
    Ok(())
}
