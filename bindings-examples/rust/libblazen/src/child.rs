//! Steps that are workflows: [`ChildOptions`], and the decisions around them.

use std::sync::Arc;
use std::time::Duration;

use libblazen_sys as sys;

use crate::context::Context;
use crate::error::WorkflowError;
use crate::event::{millis, RawEvent};
use crate::ffi::{self, sized, text, WorkflowBuilderRef};
use crate::retry::RetryPolicy;
use crate::step::{self, EventType, StepBody};
use crate::value::IntoValue;
use crate::workflow::{accept_more, Workflow};

/// The workflows that a step is.
pub(crate) enum Branches {
    One(Workflow),
    Several(Vec<(String, Workflow)>),
}

impl Branches {
    /// The C form; the names are borrowed from `self`.
    pub(crate) fn raw(&self) -> Vec<sys::blazen_branch> {
        let branch = |name: &str, workflow: &Workflow| sys::blazen_branch {
            name: text(name),
            name_length: name.len(),
            child: workflow.handle.raw(),
            elsewhere: 0,
        };
        match self {
            Branches::One(workflow) => vec![branch("", workflow)],
            Branches::Several(several) => several.iter().map(|(name, workflow)| branch(name, workflow)).collect(),
        }
    }
}

/// A decision of the host's: a step of its own, that answers with one value.
#[derive(Clone, Default)]
pub(crate) struct Mapper(Option<Arc<StepBody>>);

impl Mapper {
    pub(crate) fn new<F, V>(decide: F) -> Self
    where
        F: Fn(RawEvent, Context) -> Result<V, WorkflowError> + Send + Sync + 'static,
        V: IntoValue + 'static,
    {
        Self(Some(Arc::new(StepBody::new(Box::new(move |call| {
            let answer = decide(call.raw_event()?, call.context.clone())?.into_value()?;
            call.context.answer(&answer)?;
            Ok(Box::pin(std::future::ready(Ok(()))))
        })))))
    }

    /// The C form, which the call it is given to takes over.
    pub(crate) fn raw(&self) -> sys::blazen_mapper {
        match &self.0 {
            Some(body) => sys::blazen_mapper {
                body: Some(step::body),
                user_data: Arc::into_raw(Arc::clone(body)).cast_mut().cast(),
                drop: Some(step::drop_step),
                elsewhere: 0,
            },
            None => sys::blazen_mapper { body: None, user_data: std::ptr::null_mut(), drop: None, elsewhere: 0 },
        }
    }
}

/// What a step that is a workflow is given beside that.
#[derive(Clone, Default)]
pub struct ChildOptions {
    output_type: Option<EventType>,
    input: Mapper,
    output: Mapper,
    first_success: bool,
    retry: Option<RetryPolicy>,
    timeout: Duration,
    max_concurrency: u32,
    accepts: Vec<EventType>,
}

impl ChildOptions {
    /// The child is given the value of the event; its result is the value of an event of the type `<step>::output`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The type of the event whose value the result is.
    #[must_use]
    pub fn emits(mut self, event_type: impl Into<EventType>) -> Self {
        self.output_type = Some(event_type.into());
        self
    }

    /// One more event type that starts it.
    #[must_use]
    pub fn accepts(mut self, event_type: impl Into<EventType>) -> Self {
        self.accepts.push(event_type.into());
        self
    }

    /// Makes the input of the child of the event.
    #[must_use]
    pub fn input<F, V>(mut self, decide: F) -> Self
    where
        F: Fn(RawEvent, Context) -> Result<V, WorkflowError> + Send + Sync + 'static,
        V: IntoValue + 'static,
    {
        self.input = Mapper::new(decide);
        self
    }

    /// Makes the value of the output event of an event whose value is the result. Of several workflows,
    /// [`Context::events`] has one for each branch, whose name is its source.
    #[must_use]
    pub fn output<F, V>(mut self, decide: F) -> Self
    where
        F: Fn(RawEvent, Context) -> Result<V, WorkflowError> + Send + Sync + 'static,
        V: IntoValue + 'static,
    {
        self.output = Mapper::new(decide);
        self
    }

    /// Of several at once: the first that succeeds is enough, and the others are cancelled.
    #[must_use]
    pub fn first_success(mut self) -> Self {
        self.first_success = true;
        self
    }

    /// When it is tried again; each time with another child.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// How long an attempt may take, by the clock of the child.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many run at once in one run.
    #[must_use]
    pub fn max_concurrency(mut self, concurrency_max: u32) -> Self {
        self.max_concurrency = concurrency_max;
        self
    }

    pub(crate) fn add(
        &self,
        builder: &WorkflowBuilderRef,
        name: &str,
        accepts: &[EventType],
        branches: &Branches,
    ) -> Result<(), WorkflowError> {
        let (first, more) = accepts
            .split_first()
            .ok_or_else(|| WorkflowError::invalid(format!("the step {name:?} accepts no event")))?;
        let raw_branches = branches.raw();
        let mut options = sized!(sys::blazen_child_options);
        if let Some(output_type) = &self.output_type {
            (options.output_type, options.output_type_length) = (text(&output_type.name), output_type.name.len());
        }
        options.first_success = i32::from(self.first_success);
        let (raw, event_type) = (builder.raw(), &first.name);
        ffi::call(|error| {
            (options.input, options.output) = (self.input.raw(), self.output.raw());
            // SAFETY: live handles; what the options borrow lives during the call, and the mappers are taken over.
            unsafe {
                match branches {
                    Branches::One(child) => sys::blazen_workflow_builder_add_workflow(
                        raw,
                        text(name),
                        name.len(),
                        text(event_type),
                        event_type.len(),
                        child.handle.raw(),
                        &options,
                        error,
                    ),
                    Branches::Several(_) => sys::blazen_workflow_builder_add_workflows(
                        raw,
                        text(name),
                        name.len(),
                        text(event_type),
                        event_type.len(),
                        raw_branches.as_ptr(),
                        raw_branches.len(),
                        &options,
                        error,
                    ),
                }
            }
        })?;
        more.iter().chain(&self.accepts).try_for_each(|each| accept_more(builder, name, &each.name))?;
        // SAFETY: as above.
        unsafe {
            if let Some(retry) = &self.retry {
                let retry = retry.options();
                ffi::call(|error| sys::blazen_workflow_builder_step_retry(raw, text(name), name.len(), &retry, error))?;
            }
            if !self.timeout.is_zero() {
                let timeout_ms = millis(self.timeout);
                ffi::call(|error| {
                    sys::blazen_workflow_builder_step_timeout(raw, text(name), name.len(), timeout_ms, error)
                })?;
            }
            if self.max_concurrency > 0 {
                ffi::call(|error| {
                    sys::blazen_workflow_builder_step_max_concurrency(
                        raw,
                        text(name),
                        name.len(),
                        self.max_concurrency,
                        error,
                    )
                })?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for ChildOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildOptions").field("output_type", &self.output_type).finish_non_exhaustive()
    }
}
