//! The workflow `travel`, which Python, JavaScript and C have as well: a run begins in one language and goes on in another.
//!
//! ```text
//! cargo run --example travel -- begin FILE
//! cargo run --example travel -- go-on FILE ANSWER [OUT]
//! ```

use std::time::Duration;

use blazen::context::BytesWrapper;
use blazen::prelude::*;
use blazen::{
    Idle, IntoValue, Join, Question, RetryPolicy, RunState, SessionOnPause, SessionPausePolicy, Unhandled, Value,
};
use ciborium::Value as Cbor;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value as Json};

/// The session policy. With one, something is in the session.
const POLICY: &str = "TRAVEL_POLICY";
/// There is no serializer of the platform: a codec of our own.
const CODEC: &str = "rust/pair";
const OWN: &[u8] = b"1 zwei";
const BYTES: &[u8] = &[0, 1, 127, 128, 255];
const BIG: i128 = 1 << 70;

/// 2026-11-26, 01:02:03 in UTC, in seconds.
const DATE: i64 = 1_795_654_923;
/// As an instant in text, which others may have made of it.
const DATE_TEXT: &str = "2026-11-26T01:02:03+00:00";
const TAG_INSTANT: u64 = 0;
const TAG_SECONDS: u64 = 1;
/// UTF-16, big endian: a text with a lone surrogate, which no `String` holds.
const TAG_UTF16: u64 = 65;
const TEXT: &[u8] = &[0xd8, 0, 0, b'x'];

/// What is beyond JSON, and stands as `blazen/cbor`.
#[derive(Clone, Serialize, Deserialize)]
struct Plain {
    b: BytesWrapper,
    n: (f64, f64, i128, i128, f64, f64),
    t: String,
}

#[derive(Serialize, Deserialize, Event)]
struct Part {
    n: u32,
}

/// Of a part, it has the first three; of the answer, the last.
#[derive(Default, Serialize, Deserialize, Event)]
#[serde(default)]
struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<BytesWrapper>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<BytesWrapper>,
}

#[derive(Serialize, Deserialize, Event)]
struct Carried {
    bytes: BytesWrapper,
    plain: Plain,
    own: BytesWrapper,
}

fn wrong(what: impl std::fmt::Display) -> WorkflowError {
    WorkflowError::message(what.to_string())
}

fn json_value() -> Json {
    json!({
        "name": "Żółć 🜁 \u{0}\n\"\\",
        "nested": {"": [1, 2.5, -1e-7, true, null, {}], "__proto__": {"a": []}, "type": "x"},
        "big": [9007199254740993u64, u64::MAX, i64::MIN],
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show_bytes(bytes: &[u8]) -> Json {
    json!({ "bytes": hex(bytes) })
}

fn show_float(number: f64) -> Json {
    match number {
        _ if number.is_nan() => json!({ "float": "nan" }),
        _ if number.is_infinite() => json!({ "float": if number > 0.0 { "inf" } else { "-inf" } }),
        _ if number == 0.0 && number.is_sign_negative() => json!({ "float": "-0" }),
        _ => json!(number),
    }
}

fn show_plain(plain: &Plain) -> Json {
    let (a, b, c, d, e, f) = plain.n;
    let int = |number: i128| json!({ "int": number.to_string() });
    json!({
        "b": show_bytes(&plain.b),
        "n": [show_float(a), show_float(b), int(c), int(d), show_float(e), show_float(f)],
        "t": plain.t,
    })
}

fn show_date(date: &Cbor) -> Result<Json, WorkflowError> {
    match date {
        Cbor::Tag(TAG_SECONDS, seconds) => {
            Ok(json!({ "date": seconds.as_integer().and_then(|it| i64::try_from(it).ok()) }))
        }
        Cbor::Tag(TAG_INSTANT, text) if text.as_text() == Some(DATE_TEXT) => Ok(json!({ "date": DATE })),
        _ => Err(wrong(format!("the date is {date:?}"))),
    }
}

fn show_text(text: &Cbor) -> Result<Json, WorkflowError> {
    match text {
        Cbor::Tag(TAG_UTF16, units) => Ok(json!({ "utf16": units.as_bytes().map(|units| hex(units)) })),
        _ => Err(wrong(format!("the text is {text:?}"))),
    }
}

/// It is ours, or opaque and of the codec that the writer named.
fn check_own(ctx: &Context, own: &BytesWrapper) -> Result<(), WorkflowError> {
    let codec: String = required(ctx.get_as("codec")?)?;
    if own.codec() != codec || (codec == CODEC && **own != *OWN) {
        return Err(wrong(format!("`own` of codec {codec} came as {own:?}")));
    }
    Ok(())
}

fn required<T>(value: Option<T>) -> Result<T, WorkflowError> {
    value.ok_or_else(|| wrong("a key of the state, or a field, is missing"))
}

fn native(ctx: &Context, key: &str) -> Result<BytesWrapper, WorkflowError> {
    match ctx.try_get_value(key)? {
        Some(StateValue::Native(own)) => Ok(own),
        other => Err(wrong(format!("{key} is {other:?}"))),
    }
}

#[step]
async fn gather(_event: StartEvent, ctx: Context) -> Result<StepOutput, WorkflowError> {
    ctx.set("codec", CODEC);
    ctx.set("json", json_value());
    ctx.set_bytes("bytes", BYTES);
    ctx.set(
        "plain",
        Plain { b: vec![0, 255].into(), n: (f64::NAN, -0.0, BIG, -BIG, f64::INFINITY, 1.5), t: "ü".to_owned() },
    );
    ctx.set("date", Cbor::Tag(TAG_SECONDS, Box::new(DATE.into())));
    ctx.set("text", Cbor::Tag(TAG_UTF16, Box::new(TEXT.to_vec().into())));
    ctx.set_value("own", StateValue::Native(BytesWrapper::with_codec(CODEC, OWN)));
    if std::env::var_os(POLICY).is_some() {
        ctx.session().set_value("seat", &Value::new("12 A")?)?;
    }
    let question =
        InputRequestEvent { request_id: Some("first".into()), prompt: "first?".into(), ..Default::default() };
    StepOutput::new().with(Part { n: 1 })?.with(Part { n: 2 })?.with(Part { n: 3 })?.with(question)
}

#[step]
async fn part(event: Part, ctx: Context) -> Result<Done, WorkflowError> {
    if event.n == 2 && ctx.attempt() == 1 {
        return Err(wrong("not yet"));
    }
    let raw = vec![event.n as u8, 255].into();
    Ok(Done { n: Some(event.n), attempt: Some(ctx.attempt()), raw: Some(raw), own: None })
}

#[step]
async fn answered(event: InputResponseEvent, ctx: Context) -> Result<Done, WorkflowError> {
    ctx.set("answer", event.response);
    Ok(Done { own: Some(native(&ctx, "own")?), ..Done::default() })
}

#[step]
async fn finish(events: Vec<Done>, ctx: Context) -> Result<Carried, WorkflowError> {
    let mut parts = Vec::new();
    for event in events {
        match event.own {
            Some(own) => check_own(&ctx, &own)?,
            None => parts.push((event.n, event.attempt, hex(&required(event.raw)?))),
        }
    }
    parts.sort();
    ctx.set("parts", parts);
    let (bytes, own) = (required(ctx.get_bytes("bytes"))?, native(&ctx, "own")?);
    let plain: Plain = required(ctx.get_as("plain")?)?;
    check_own(&ctx, &own)?;
    ctx.set("json/again", required(ctx.try_get("json")?)?);
    ctx.set_bytes("bytes/again", bytes.clone());
    ctx.set("plain/again", &plain);
    for key in ["date", "text"] {
        ctx.set(&format!("{key}/again"), required(ctx.get_as::<Cbor>(key)?)?);
    }
    ctx.set_value("own/again", StateValue::Native(own.clone()));
    Ok(Carried { bytes: bytes.into(), plain, own })
}

#[step]
async fn report(event: Carried, ctx: Context) -> Result<StopEvent, WorkflowError> {
    let second = ctx.ask(Question::new("second?").id("second")).await?.to_json()?;
    let own = native(&ctx, "own/again")?;
    for each in [&own, &event.own, &native(&ctx, "own")?] {
        check_own(&ctx, each)?;
    }
    let text = |own: &[u8]| String::from_utf8_lossy(own).into_owned();
    Ok(StopEvent {
        result: json!({
            "state": {
                "json": required(ctx.try_get("json/again")?)?,
                "bytes": show_bytes(&required(ctx.get_bytes("bytes/again"))?),
                "plain": show_plain(&required(ctx.get_as("plain/again")?)?),
                "date": show_date(&required(ctx.get_as("date/again")?)?)?,
                "text": show_text(&required(ctx.get_as("text/again")?)?)?,
                "own": text(&own),
            },
            "carried": {
                "bytes": show_bytes(&event.bytes),
                "plain": show_plain(&event.plain),
                "own": text(&event.own),
            },
            "parts": required(ctx.try_get("parts")?)?,
            "answers": [required(ctx.try_get("answer")?)?, second],
            "seat": ctx.session().get_value("seat").map(|seat| seat.to_json()).transpose()?,
        }),
    })
}

fn policy() -> Result<SessionPausePolicy, WorkflowError> {
    match std::env::var(POLICY).as_deref() {
        Ok("pickle_or_error") => Ok(SessionPausePolicy::PickleOrError),
        Ok("pickle_or_serialize") => Ok(SessionPausePolicy::PickleOrSerialize),
        Ok("warn_drop") => Ok(SessionPausePolicy::WarnDrop),
        Ok("hard_error") | Err(_) => Ok(SessionPausePolicy::HardError),
        Ok(other) => Err(wrong(format!("{POLICY} is {other}"))),
    }
}

fn workflow() -> Result<Workflow, WorkflowError> {
    Workflow::builder("travel")
        .step(gather)
        .step(part().retry(RetryPolicy::attempts(2)))
        .step(answered)
        .step(finish().joins(Join::all("gather")))
        .step(report)
        .timeout(Duration::from_secs(60))
        .session_pause_policy(policy()?)
        .session_on_pause(SessionOnPause::Keep)
        .unhandled(Unhandled::Fail)
        .idle(Idle::Fail)
        .build()
}

async fn save(handler: WorkflowHandler, file: &str) -> Result<(), WorkflowError> {
    if handler.wait(&[RunState::Asking]).await? != RunState::Asking {
        handler.result().await?;
        return Err(wrong("the run has ended instead of asking"));
    }
    std::fs::write(file, handler.pause().await?.as_bytes()).map_err(WorkflowError::step)?;
    handler.abort()
}

async fn go_on(file: &str, answer: &str) -> Result<WorkflowHandler, WorkflowError> {
    let handler = workflow()?.resume(std::fs::read(file).map_err(WorkflowError::step)?)?;
    if handler.wait(&[RunState::Asking]).await? == RunState::Asking {
        handler.respond_to_input(&handler.questions()?[0].request_id, answer.into_value()?)?;
    }
    Ok(handler)
}

#[tokio::main]
async fn main() -> Result<(), WorkflowError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["begin", file] => save(workflow()?.run_with_handler(())?, file).await,
        ["go-on", file, answer, out] => save(go_on(file, answer).await?, out).await,
        ["go-on", file, answer] => {
            println!("{}", go_on(file, answer).await?.result().await?.to_json()?);
            Ok(())
        }
        _ => Err(wrong("usage: travel begin FILE | go-on FILE ANSWER [OUT]")),
    }
}
