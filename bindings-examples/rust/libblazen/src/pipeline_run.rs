//! Runs of pipelines: [`Pipeline`], [`PipelineHandler`], [`PipelineResult`].

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::Deserialize;

use crate::error::WorkflowError;
use crate::handler::WorkflowHandler;
use crate::resume::ResumeOptions;
use crate::snapshot::Snapshot;
use crate::value::{IntoValue, Value};
use crate::workflow::Workflow;

/// A pipeline: a workflow like any other, whose runs also tell their stages.
#[derive(Clone, Debug)]
pub struct Pipeline(Workflow);

impl Pipeline {
    pub(crate) fn new(workflow: Workflow) -> Self {
        Self(workflow)
    }

    /// The workflow that it is, for a stage or a step of something larger.
    pub fn as_workflow(&self) -> &Workflow {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Begins a run, and gives its handler.
    pub fn start(&self, input: impl IntoValue) -> Result<PipelineHandler, WorkflowError> {
        Ok(PipelineHandler { name: self.name().to_owned(), handler: self.0.run_with_handler(input)? })
    }

    /// Runs the pipeline once. Dropping the future aborts the run.
    pub async fn run(&self, input: impl IntoValue) -> Result<PipelineResult, WorkflowError> {
        struct AbortOnDrop(PipelineHandler);
        impl Drop for AbortOnDrop {
            fn drop(&mut self) {
                if let Err(error) = self.0.abort() {
                    log::error!(target: "blazen", "a run cannot be aborted: {error}");
                }
            }
        }
        let run = AbortOnDrop(self.start(input)?);
        run.0.result().await
    }

    /// Resumes a run from its snapshot, in the middle of any round of any stage.
    pub fn resume<S>(&self, snapshot: S) -> Result<PipelineHandler, WorkflowError>
    where
        S: TryInto<Snapshot>,
        S::Error: Into<WorkflowError>,
    {
        self.resume_with(snapshot, ResumeOptions::new())
    }

    /// Resumes a run with options.
    pub fn resume_with<S>(&self, snapshot: S, options: ResumeOptions) -> Result<PipelineHandler, WorkflowError>
    where
        S: TryInto<Snapshot>,
        S::Error: Into<WorkflowError>,
    {
        let handler = self.0.resume_with(snapshot, options)?;
        Ok(PipelineHandler { name: self.name().to_owned(), handler })
    }
}

/// How far a pipeline is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// How many stages are behind.
    pub current: u32,
    /// How many there are.
    pub total: u32,
    /// The same in percent.
    pub percent: f64,
}

/// What became of a stage.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StageResult {
    /// Its name.
    pub name: String,
    /// What it gave; None where it was skipped, or gave nothing.
    pub output: Option<Value>,
    /// Whether its condition was false.
    pub skipped: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// The result of a pipeline.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PipelineResult {
    /// The name of the pipeline.
    pub pipeline_name: String,
    /// The id of the run.
    pub run_id: String,
    /// The last result.
    pub final_output: Value,
    /// The stages, in their order.
    pub stage_results: Vec<StageResult>,
    /// What the decisions of the stages have written to the state that they share.
    pub shared_state: BTreeMap<String, Value>,
}

/// A run of a pipeline, beside its caller: a [`WorkflowHandler`] that also tells the stages.
#[derive(Debug)]
pub struct PipelineHandler {
    name: String,
    handler: WorkflowHandler,
}

impl Deref for PipelineHandler {
    type Target = WorkflowHandler;
    fn deref(&self) -> &WorkflowHandler {
        &self.handler
    }
}

#[derive(Deserialize)]
struct Told {
    name: String,
    status: String,
    #[serde(default)]
    took_ms: Option<f64>,
}

impl PipelineHandler {
    /// How far it is.
    pub fn progress(&self) -> Result<Progress, WorkflowError> {
        Ok(serde_json::from_value(self.handler.stages()?)?)
    }

    /// Waits for the end of the run.
    pub async fn result(&self) -> Result<PipelineResult, WorkflowError> {
        let result = self.handler.result().await?;
        Ok(PipelineResult {
            pipeline_name: self.name.clone(),
            run_id: self.handler.run_id(),
            final_output: result.value().clone(),
            stage_results: self.stage_results()?,
            shared_state: self.shared_state()?,
        })
    }

    /// What the decisions of the stages have written so far.
    pub fn shared_state(&self) -> Result<BTreeMap<String, Value>, WorkflowError> {
        let mut shared = BTreeMap::new();
        for key in self.handler.keys("")? {
            if key.starts_with("blazen/") {
                continue; // the engine's own
            }
            if let Some(value) = self.handler.get_value(&key)? {
                shared.insert(key, value);
            }
        }
        Ok(shared)
    }

    /// What became of the stages so far.
    pub fn stage_results(&self) -> Result<Vec<StageResult>, WorkflowError> {
        let mut told = self.handler.stages()?;
        let stages: Vec<Told> = serde_json::from_value(told["stages"].take())?;
        stages
            .into_iter()
            .map(|stage| {
                let key = format!("blazen/pipeline/{}", stage.name.replace('~', "~0").replace('/', "~1"));
                let skipped = stage.status == "skipped";
                Ok(StageResult {
                    output: if skipped { None } else { self.handler.get_value(&key)? },
                    skipped,
                    duration_ms: stage.took_ms.unwrap_or_default() as u64,
                    name: stage.name,
                })
            })
            .collect()
    }
}
