//! What the compiler refuses, each with its code. Only documentation tests see this.

/// An event of one's own is not named like a built-in one.
/// ```compile_fail
/// #[derive(blazen::Event)]
/// struct StopEvent;
/// ```
/// ```
/// #[derive(blazen::Event)]
/// struct StoppedEvent;
/// ```
struct BuiltInName;

/// Nor by its attribute.
/// ```compile_fail
/// #[derive(blazen::Event)]
/// #[event(type = "StartEvent")]
/// struct Begin;
/// ```
struct BuiltInNameByAttribute;

/// An event is a struct.
/// ```compile_fail
/// #[derive(blazen::Event)]
/// enum Either { A, B }
/// ```
struct Enum;

/// An event with fields is read and written by serde.
/// ```compile_fail,E0277
/// #[derive(blazen::Event)]
/// struct Fields { n: u32 }
/// ```
struct WithoutSerde;

/// A step is a free function.
/// ```compile_fail
/// use blazen::prelude::*;
/// struct Shop;
/// impl Shop {
///     #[step]
///     async fn sell(&self, event: StartEvent) -> StopEvent { StopEvent::default() }
/// }
/// ```
struct Method;

/// What `#[step]` does not know is an error.
/// ```compile_fail
/// use blazen::prelude::*;
/// #[step(retrys = 3)]
/// async fn sell(_event: StartEvent) -> StopEvent { StopEvent::default() }
/// ```
/// ```
/// use blazen::prelude::*;
/// #[step(retries = 3)]
/// async fn sell(_event: StartEvent) -> StopEvent { StopEvent::default() }
/// ```
struct UnknownWord;

/// The future of a step is `Send`; `#[step(local)]` is for the others.
/// ```compile_fail
/// use blazen::prelude::*;
/// #[step]
/// async fn holds(_event: StartEvent) -> StopEvent {
///     let held = std::rc::Rc::new(());
///     std::future::ready(()).await;
///     drop(held);
///     StopEvent::default()
/// }
/// ```
/// ```
/// use blazen::prelude::*;
/// #[step(local)]
/// async fn holds(_event: StartEvent) -> StopEvent {
///     let held = std::rc::Rc::new(());
///     std::future::ready(()).await;
///     drop(held);
///     StopEvent::default()
/// }
/// ```
struct NotSend;

/// A local step goes into a local workflow alone.
/// ```compile_fail,E0277
/// use blazen::prelude::*;
/// #[step(local)]
/// async fn local(_event: StartEvent) -> StopEvent { StopEvent::default() }
/// let builder = Workflow::builder("w").step(local);
/// ```
struct LocalInSend;

/// The run of a local workflow stays in its thread, and so does the workflow.
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// fn check(workflow: &blazen::LocalWorkflow) { send(workflow.run(())) }
/// ```
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<blazen::LocalWorkflow>();
/// ```
/// ```
/// fn send<T: Send>(_: T) {}
/// fn check(workflow: &blazen::Workflow) { send(workflow.run(())) }
/// ```
struct LocalRunSent;

/// What is neither an event nor a context is no parameter of a step.
/// ```compile_fail,E0277
/// use blazen::prelude::*;
/// #[step]
/// async fn takes(_number: u32) -> StopEvent { StopEvent::default() }
/// ```
struct WrongParameter;

/// Objects of the session are shared by threads.
/// ```compile_fail,E0277
/// fn put(session: &blazen::Session) {
///     session.set("k", std::sync::Arc::new(std::cell::Cell::new(1)));
/// }
/// ```
struct CellInSession;

/// The quick start runs.
#[doc = include_str!("../README.md")]
struct QuickStart;
