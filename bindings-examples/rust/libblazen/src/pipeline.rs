//! Pipelines: workflows one behind the other, each of which is given the result of the one before.

use std::time::Duration;

use libblazen_sys as sys;

use crate::child::{Branches, Mapper};
use crate::context::Context;
use crate::error::WorkflowError;
use crate::event::{millis, RawEvent};
use crate::ffi::{self, sized, text, PipelineBuilderRef, WorkflowRef};
use crate::pipeline_run::Pipeline;
use crate::retry::RetryPolicy;
use crate::value::IntoValue;
use crate::workflow::{nothing_made, policy_number, SessionPausePolicy, Workflow};

/// When a stage of several workflows is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinStrategy {
    /// All have to succeed: the result is an object by the names of the branches.
    #[default]
    WaitAll,
    /// The first success is enough: the result is that of its branch.
    FirstSuccess,
}

/// What is decided after a round of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopDecision {
    /// One more round.
    Again,
    /// The loop is done.
    Done,
    /// The stage fails.
    Fail,
}

impl LoopDecision {
    fn word(self) -> &'static str {
        match self {
            LoopDecision::Again => "again",
            LoopDecision::Done => "done",
            LoopDecision::Fail => "fail",
        }
    }
}

#[derive(Clone, Default)]
struct Options {
    condition: Mapper,
    input: Mapper,
    output: Mapper,
    until: Mapper,
    timeout: Duration,
    retry: Option<RetryPolicy>,
    first_success: bool,
    done_at_bound: bool,
}

macro_rules! stage_options {
    () => {
        /// Whether the stage is run, by the last result; where it is not, it is skipped, and the last result stays.
        #[must_use]
        pub fn condition(
            mut self,
            decide: impl Fn(RawEvent, Context) -> Result<bool, WorkflowError> + Send + Sync + 'static,
        ) -> Self {
            self.options.condition = Mapper::new(decide);
            self
        }

        /// What the stage is given, by the last result.
        #[must_use]
        pub fn input<F, V>(mut self, decide: F) -> Self
        where
            F: Fn(RawEvent, Context) -> Result<V, WorkflowError> + Send + Sync + 'static,
            V: IntoValue + 'static,
        {
            self.options.input = Mapper::new(decide);
            self
        }

        /// What the result of the stage is, by what it gave.
        #[must_use]
        pub fn output<F, V>(mut self, decide: F) -> Self
        where
            F: Fn(RawEvent, Context) -> Result<V, WorkflowError> + Send + Sync + 'static,
            V: IntoValue + 'static,
        {
            self.options.output = Mapper::new(decide);
            self
        }

        /// How long the stage may take, in place of what the pipeline says.
        #[must_use]
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.options.timeout = timeout;
            self
        }

        /// When each of its runs is tried again.
        #[must_use]
        pub fn retry(mut self, policy: RetryPolicy) -> Self {
            self.options.retry = Some(policy);
            self
        }
    };
}

/// A stage that is one workflow.
#[derive(Clone)]
pub struct Stage {
    name: String,
    workflow: Workflow,
    options: Options,
}

impl Stage {
    /// A stage of this name that runs this workflow.
    pub fn new(name: impl Into<String>, workflow: &Workflow) -> Self {
        Self { name: name.into(), workflow: workflow.clone(), options: Options::default() }
    }

    stage_options!();
}

/// A stage that is several workflows at once.
#[derive(Clone)]
pub struct ParallelStage {
    name: String,
    branches: Vec<(String, Workflow)>,
    options: Options,
}

impl ParallelStage {
    /// A stage of this name that runs these workflows at once.
    pub fn new<'a>(name: impl Into<String>, branches: impl IntoIterator<Item = (&'a str, &'a Workflow)>) -> Self {
        Self {
            name: name.into(),
            branches: branches.into_iter().map(|(name, each)| (name.to_owned(), each.clone())).collect(),
            options: Options::default(),
        }
    }

    /// When it is done.
    #[must_use]
    pub fn join_strategy(mut self, strategy: JoinStrategy) -> Self {
        self.options.first_success = strategy == JoinStrategy::FirstSuccess;
        self
    }

    stage_options!();
}

/// A stage that runs a workflow in rounds, each of which is given the result of the one before.
#[derive(Clone)]
pub struct LoopStage {
    name: String,
    max_iterations: u32,
    workflow: Workflow,
    options: Options,
}

impl LoopStage {
    /// A stage of this name that runs this workflow in so many rounds at most.
    pub fn new(name: impl Into<String>, max_iterations: u32, workflow: &Workflow) -> Self {
        Self { name: name.into(), max_iterations, workflow: workflow.clone(), options: Options::default() }
    }

    /// What is decided after each round, by its result.
    #[must_use]
    pub fn until(
        mut self,
        decide: impl Fn(RawEvent, Context) -> Result<LoopDecision, WorkflowError> + Send + Sync + 'static,
    ) -> Self {
        self.options.until = Mapper::new(move |event, ctx| Ok(decide(event, ctx)?.word()));
        self
    }

    /// When its bound is reached, it is done; without this, it fails.
    #[must_use]
    pub fn done_at_bound(mut self) -> Self {
        self.options.done_at_bound = true;
        self
    }

    stage_options!();
}

enum Part {
    Stage(Stage),
    Parallel(ParallelStage),
    Loop(LoopStage),
}

/// Builds a [`Pipeline`].
#[must_use = "a pipeline is made by PipelineBuilder::build"]
pub struct PipelineBuilder {
    name: String,
    parts: Vec<Part>,
    timeout_per_stage: Duration,
    total_timeout: Duration,
    session_policy: SessionPausePolicy,
}

impl PipelineBuilder {
    /// Begins a pipeline of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parts: Vec::new(),
            timeout_per_stage: Duration::ZERO,
            total_timeout: Duration::ZERO,
            session_policy: SessionPausePolicy::default(),
        }
    }

    /// Adds a stage that is one workflow.
    pub fn stage(mut self, stage: Stage) -> Self {
        self.parts.push(Part::Stage(stage));
        self
    }

    /// Adds a stage that is several workflows at once.
    pub fn parallel(mut self, stage: ParallelStage) -> Self {
        self.parts.push(Part::Parallel(stage));
        self
    }

    /// Adds a stage that runs in rounds.
    pub fn loop_stage(mut self, stage: LoopStage) -> Self {
        self.parts.push(Part::Loop(stage));
        self
    }

    /// How long each stage may take that says nothing else.
    pub fn timeout_per_stage(mut self, timeout: Duration) -> Self {
        self.timeout_per_stage = timeout;
        self
    }

    /// How long a run of the pipeline may take; for ever where it is not said.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = timeout;
        self
    }

    /// What a snapshot does with live objects.
    pub fn session_pause_policy(mut self, policy: SessionPausePolicy) -> Self {
        self.session_policy = policy;
        self
    }

    /// Checks what was added, and builds a pipeline of it. The builder may go on and build another.
    pub fn build(&self) -> Result<Pipeline, WorkflowError> {
        let made = ffi::make(|builder, error| {
            // SAFETY: the name lives during the call.
            unsafe { sys::blazen_pipeline_builder_create(text(&self.name), self.name.len(), builder, error) }
        })?;
        // SAFETY: made above, and ours.
        let builder = unsafe { PipelineBuilderRef::own(made) }.ok_or_else(nothing_made)?;
        self.parts.iter().try_for_each(|part| part.add(&builder))?;
        // SAFETY: a live builder.
        let made = unsafe {
            ffi::call(|error| {
                sys::blazen_pipeline_builder_set_stage_timeout(builder.raw(), millis(self.timeout_per_stage), error)
            })?;
            ffi::call(|error| {
                sys::blazen_pipeline_builder_set_timeout(builder.raw(), millis(self.total_timeout), error)
            })?;
            ffi::call(|error| {
                sys::blazen_pipeline_builder_set_session_policy(
                    builder.raw(),
                    policy_number(self.session_policy),
                    error,
                )
            })?;
            ffi::make(|workflow, error| sys::blazen_pipeline_builder_build(builder.raw(), workflow, error))?
        };
        // SAFETY: made above, and ours.
        let handle = unsafe { WorkflowRef::own(made) }.ok_or_else(nothing_made)?;
        Ok(Pipeline::new(Workflow::of(handle)))
    }
}

impl Part {
    fn add(&self, builder: &PipelineBuilderRef) -> Result<(), WorkflowError> {
        let (name, said) = match self {
            Part::Stage(stage) => (&stage.name, &stage.options),
            Part::Parallel(stage) => (&stage.name, &stage.options),
            Part::Loop(stage) => (&stage.name, &stage.options),
        };
        let retry = said.retry.as_ref().map(RetryPolicy::options);
        let several = match self {
            Part::Parallel(stage) => stage.branches.clone(),
            _ => Vec::new(),
        };
        let several = Branches::Several(several);
        let branches = several.raw();
        ffi::call(|error| {
            let mut options = sized!(sys::blazen_stage_options);
            options.condition = said.condition.raw();
            options.input = said.input.raw();
            options.output = said.output.raw();
            options.until = said.until.raw();
            options.timeout_ms = millis(said.timeout);
            options.retry = retry.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            options.first_success = i32::from(said.first_success);
            options.done_at_bound = i32::from(said.done_at_bound);
            let (raw, stage, length) = (builder.raw(), text(name), name.len());
            // SAFETY: live handles; what the options borrow lives during the call, and the mappers are taken over.
            unsafe {
                match self {
                    Part::Stage(part) => sys::blazen_pipeline_builder_add_stage(
                        raw,
                        stage,
                        length,
                        part.workflow.handle.raw(),
                        &options,
                        error,
                    ),
                    Part::Parallel(_) => sys::blazen_pipeline_builder_add_parallel(
                        raw,
                        stage,
                        length,
                        branches.as_ptr(),
                        branches.len(),
                        &options,
                        error,
                    ),
                    Part::Loop(part) => sys::blazen_pipeline_builder_add_loop(
                        raw,
                        stage,
                        length,
                        part.workflow.handle.raw(),
                        part.max_iterations,
                        &options,
                        error,
                    ),
                }
            }
        })
    }
}

macro_rules! debug_by_name {
    ($($type:ident),*) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).field("name", &self.name).finish_non_exhaustive()
            }
        })*
    };
}
debug_by_name!(Stage, ParallelStage, LoopStage, PipelineBuilder);
