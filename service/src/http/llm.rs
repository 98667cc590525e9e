//! `/v1/llm`: answers of a language model that rest on memories and say on which.
//!
//! Both routes do the same: find memories, put them before the model, hand its words on. A
//! conversation is remembered besides.

mod exchange;
mod telling;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use super::admit::Caller;
use super::input::Body;
use super::{Problem, Shared};
use crate::llm::{Message, Speaker};
use crate::memory::check_subject;

pub(super) use exchange::Answered;
use exchange::{Ask, Exchange};

const MAX_MESSAGE: usize = 32 * 1024;
const MAX_EARLIER: usize = 100;

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LlmQuery {
    /// What is to be answered.
    #[schemars(length(min = 1, max = 32768))]
    query: String,
    /// Only memories about this subject; its working memory comes along.
    #[schemars(length(min = 1, max = 256))]
    #[serde(default)]
    subject: Option<String>,
    /// Tokens of memories that the model is given, by estimate.
    #[schemars(range(min = 16, max = 200_000))]
    #[serde(default = "default_context")]
    context_tokens: u32,
    /// Whether the answer comes word by word, as server-sent events.
    #[serde(default)]
    stream: bool,
}

/// The next thing that is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Conversation {
    /// What the user says.
    #[schemars(length(min = 1, max = 32768), regex(pattern = r"^[^\u0000]*$"))]
    message: String,
    /// What was said before, oldest first. It may be left out: what was said a moment ago is in the
    /// subject's working memory.
    #[schemars(length(max = 100))]
    #[serde(default)]
    earlier: Vec<Message>,
    /// Whom the conversation is with: only memories about this subject; its working memory comes
    /// along.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\u0000]*$"))]
    #[serde(default)]
    subject: Option<String>,
    /// Tokens of memories that the model is given, by estimate.
    #[schemars(range(min = 16, max = 200_000))]
    #[serde(default = "default_context")]
    context_tokens: u32,
    /// Whether message and answer go to working memory.
    #[serde(default = "yes")]
    remember: bool,
    /// Whether the answer comes word by word, as server-sent events.
    #[serde(default = "yes")]
    stream: bool,
}

fn default_context() -> u32 {
    2048
}
fn yes() -> bool {
    true
}

fn check(text: &str, name: &str) -> Result<(), Problem> {
    let length = text.chars().count();
    if !(1..=MAX_MESSAGE).contains(&length) {
        return Err(Problem::invalid(&format!("{name} is not 1 to {MAX_MESSAGE} characters")));
    }
    if text.contains('\0') {
        return Err(Problem::invalid(&format!("{name} holds the character U+0000")));
    }
    Ok(())
}

pub(super) async fn query(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Body(query): Body<LlmQuery>,
) -> Result<Response, Problem> {
    check(&query.query, "query")?;
    let ask = Ask {
        message: query.query,
        earlier: Vec::new(),
        subject: query.subject,
        context_tokens: query.context_tokens,
        remember: false,
    };
    answer(shared, caller, ask, query.stream).await
}

pub(super) async fn conversation(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Body(next): Body<Conversation>,
) -> Result<Response, Problem> {
    check(&next.message, "message")?;
    if next.earlier.len() > MAX_EARLIER {
        return Err(Problem::invalid(&format!("earlier has more than {MAX_EARLIER} messages")));
    }
    for (number, message) in next.earlier.iter().enumerate() {
        check(&message.content, &format!("earlier[{number}].content"))?;
    }
    let ask = Ask {
        message: next.message,
        earlier: next.earlier,
        subject: next.subject,
        context_tokens: next.context_tokens,
        remember: next.remember,
    };
    answer(shared, caller, ask, next.stream).await
}

async fn answer(
    shared: Arc<Shared>,
    caller: crate::auth::Principal,
    ask: Ask,
    stream: bool,
) -> Result<Response, Problem> {
    if let Some(subject) = &ask.subject {
        check_subject(subject).map_err(|why| Problem::invalid(&why))?;
    }
    if !(16..=200_000).contains(&ask.context_tokens) {
        return Err(Problem::invalid("context_tokens is not from 16 to 200000"));
    }
    let mut end = telling::end_of_patience(&shared);
    let (exchange, answering) = Exchange::begin(shared, caller, ask, &mut end).await?;
    if stream {
        return Ok(telling::events(exchange, answering, end));
    }
    Ok(Json(telling::whole(exchange, answering, end).await?).into_response())
}

/// What was said, for a model: the last word is the user's.
fn said(earlier: Vec<Message>, message: String) -> Vec<Message> {
    let mut messages = earlier;
    messages.push(Message { role: Speaker::User, content: message });
    messages
}
