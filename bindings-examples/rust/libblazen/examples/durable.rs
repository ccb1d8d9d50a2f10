//! A run that outlives its process: it asks, its snapshot goes to a file, and the program ends. With an answer as its
//! argument, the program goes on from the file.
//!
//! ```text
//! cargo run --example durable
//! cargo run --example durable -- yes
//! ```

use blazen::prelude::*;
use blazen::{RunState, Snapshot};

#[step]
async fn order(event: StartEvent, ctx: Context) -> Result<StopEvent, WorkflowError> {
    let amount: f64 = event.to()?;
    let answer: String = ctx.ask(format!("order for {amount} euros?")).await?.to()?;
    Ok(StopEvent { result: serde_json::json!({ "amount": amount, "answer": answer }) })
}

fn workflow() -> Result<Workflow, WorkflowError> {
    Workflow::builder("order").step(order).build()
}

#[tokio::main]
async fn main() -> Result<(), WorkflowError> {
    let file = std::env::temp_dir().join("blazen-order.json");
    let Some(answer) = std::env::args().nth(1) else {
        let handler = workflow()?.run_with_handler(99.5)?;
        handler.wait(&[RunState::Asking]).await?;
        std::fs::write(&file, handler.pause().await?.to_json())?;
        println!("it asks: {:?}; its snapshot is in {}", handler.questions()?[0].prompt, file.display());
        return Ok(());
    };
    let snapshot = Snapshot::from_json(&std::fs::read_to_string(&file)?)?;
    let handler = workflow()?.resume(snapshot)?;
    handler.wait(&[RunState::Asking]).await?;
    handler.respond_to_input(&handler.questions()?[0].request_id, answer)?;
    println!("{}", handler.result().await?.to_json()?);
    Ok(())
}
