//! Workflows whose steps stay in one thread: [`LocalWorkflow`].

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use crate::error::WorkflowError;
use crate::step::IntoLocalStep;
use crate::value::IntoValue;
use crate::workflow::{run_local, Idle, Run, Unhandled, Workflow, WorkflowBuilder, WorkflowResult};

/// Keeps a type in its thread.
type Here = PhantomData<*const ()>;

/// Builds a [`LocalWorkflow`].
#[derive(Debug)]
#[must_use = "a workflow is made by LocalWorkflowBuilder::build"]
pub struct LocalWorkflowBuilder(WorkflowBuilder, Here);

impl LocalWorkflowBuilder {
    /// Begins a workflow of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(WorkflowBuilder::new(name), PhantomData)
    }

    /// Adds a step, of either kind.
    pub fn step(self, step: impl IntoLocalStep) -> Self {
        Self(self.0.step(step.into_local_step().0), PhantomData)
    }

    /// How long a run may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout), PhantomData)
    }

    /// What becomes of an event that no step accepts.
    pub fn unhandled(self, unhandled: Unhandled) -> Self {
        Self(self.0.unhandled(unhandled), PhantomData)
    }

    /// What becomes of a run that can make no progress by itself.
    pub fn idle(self, idle: Idle) -> Self {
        Self(self.0.idle(idle), PhantomData)
    }

    /// Checks what was added, and builds a workflow of it.
    pub fn build(&self) -> Result<LocalWorkflow, WorkflowError> {
        Ok(LocalWorkflow(self.0.build()?, PhantomData))
    }
}

/// A workflow whose steps need not be `Send`: its runs stay in the thread that awaits them.
#[derive(Clone, Debug)]
pub struct LocalWorkflow(Workflow, Here);

impl LocalWorkflow {
    /// Begins a workflow of this name.
    pub fn builder(name: impl Into<String>) -> LocalWorkflowBuilder {
        LocalWorkflowBuilder::new(name)
    }

    /// Runs the workflow once, as [`Workflow::run`] does. A run that can only go on from outside is over: there is no
    /// handler of it.
    pub fn run(&self, input: impl IntoValue) -> LocalRun {
        LocalRun(run_local(&self.0, input.into_value()), PhantomData)
    }
}

/// A run under way, in this thread: see [`LocalWorkflow::run`].
#[derive(Debug)]
#[must_use = "a run begins when it is awaited"]
pub struct LocalRun(Run, Here);

impl Future for LocalRun {
    type Output = Result<WorkflowResult, WorkflowError>;
    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(poller)
    }
}
