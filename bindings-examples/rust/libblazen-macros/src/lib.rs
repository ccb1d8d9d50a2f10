//! The macros of `libblazen`: `#[step]` and `#[derive(Event)]`. Use them by the crate `libblazen`, which re-exports them.

mod event;
mod step;

use proc_macro::TokenStream;

/// Makes an event of a struct: its fields by serde's `Serialize` and `Deserialize`, its type name the name of the struct, or
/// `#[event(type = "...")]`. A struct without fields needs neither of the two.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    event::derive(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a step of a function. In its place stands a function of that name that gives the step (a `StepDef`):
/// `WorkflowBuilder::step` takes either, as `.step(count)` or as `.step(count().timeout(second))`.
///
/// Its parameters, of up to four, are told apart by their types: an event, a `Context`, a `RawEvent`, a `Vec` of events (of a
/// join). It gives nothing, an event, an `Option`, a `Vec` or a tuple of events, a `StepOutput`, or a `Result` of these.
///
/// `#[step(...)]` takes, separated by commas:
///
/// - `name = "..."`: another name than the function's
/// - `accepts(A, "B")`: event types that start it, beside those of its parameters
/// - `emits(A, "B")`: event types that it emits or sends, beside those of its return type
/// - `emits_anything`: it declares nothing. A workflow all of whose steps declare what they emit is checked when it is built:
///   a step that only events from outside reach (`WorkflowHandler::send_event`) is refused there, unless one says this
/// - `max_concurrency = 2`: how many invocations run at once in one run
/// - `timeout_ms = 500`: how long one attempt may take
/// - `retries = 3`: how often it is tried again after a failure, at once
/// - `atomic`: its writes and sends are held back until it completes
/// - `pool = "..."`: the pool whose permit it needs
/// - `local`: its future need not be `Send`; for a `LocalWorkflow`
#[proc_macro_attribute]
pub fn step(arguments: TokenStream, function: TokenStream) -> TokenStream {
    step::expand(arguments.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
