//! What is said to a provider and what its stream says back: values in, values out.

mod anthropic;
mod openai;

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, LlmSettings, Provider};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// By whom.
    pub role: Speaker,
    /// The words.
    #[schemars(length(min = 1, max = 32768), regex(pattern = r"^[^\u0000]*$"))]
    pub content: String,
}

/// All that a model is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What it is to do.
    pub system: String,
    /// What was said so far; the last word is the user's.
    pub messages: Vec<Message>,
    /// Longest answer.
    pub max_tokens: u32,
}

/// Tokens of one question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Usage {
    /// Of what it was given.
    pub prompt_tokens: u64,
    /// Of what it answered.
    pub answer_tokens: u64,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More of it.
    Text(String),
    /// All of it was said; or it would have been longer than allowed.
    End {
        /// What it took, if the provider says so.
        usage: Option<Usage>,
        /// Whether the longest answer was reached.
        truncated: bool,
    },
}

/// What one event of a provider's stream says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    text: String,
    prompt_tokens: Option<u64>,
    answer_tokens: Option<u64>,
    /// Why it stopped: whether the longest answer was reached.
    stopped: Option<bool>,
    /// Nothing comes any more.
    done: bool,
}

/// Puts the events of one answer together.
pub(super) struct Wire {
    provider: Provider,
    usage: Option<Usage>,
    stopped: Option<bool>,
}

impl Wire {
    pub(super) fn new(provider: Provider) -> Self {
        Self { provider, usage: None, stopped: None }
    }

    /// What the data of an event adds to the answer, if it adds something.
    pub(super) fn hear(&mut self, data: &str) -> Result<Option<Piece>, Failure> {
        let heard = match self.provider {
            Provider::Anthropic => anthropic::heard(data)?,
            _ => openai::heard(data)?,
        };
        if heard.prompt_tokens.is_some() || heard.answer_tokens.is_some() {
            let usage = self.usage.get_or_insert_default();
            usage.prompt_tokens = heard.prompt_tokens.unwrap_or(usage.prompt_tokens);
            usage.answer_tokens = heard.answer_tokens.unwrap_or(usage.answer_tokens);
        }
        self.stopped = heard.stopped.or(self.stopped);
        if heard.done {
            return Ok(Some(self.end()));
        }
        Ok((!heard.text.is_empty()).then_some(Piece::Text(heard.text)))
    }

    /// The connection ended. Some servers end without saying that they are done, but not without
    /// saying why they stopped.
    pub(super) fn hung_up(&self) -> Result<Piece, Failure> {
        if self.stopped.is_some() { Ok(self.end()) } else { Err(Failure::Cut) }
    }

    fn end(&self) -> Piece {
        Piece::End { usage: self.usage, truncated: self.stopped.unwrap_or(false) }
    }
}

/// Where the request goes, behind the base URL.
pub(super) fn path(provider: Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "/messages",
        _ => "/chat/completions",
    }
}

/// Its body.
pub(super) fn body(provider: Provider, model: &str, prompt: &Prompt) -> Value {
    match provider {
        Provider::Anthropic => anthropic::body(model, prompt),
        provider => openai::body(provider, model, prompt),
    }
}

/// How it gets in.
pub(super) fn headers(settings: &LlmSettings) -> Vec<(HeaderName, HeaderValue)> {
    let secret = |text: String| {
        // What is no header is refused by the configuration.
        HeaderValue::from_str(&text).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        })
    };
    let key = settings.api_key.as_ref().map(|key| key.expose());
    let mut headers = Vec::new();
    if settings.provider == Provider::Anthropic {
        let version = HeaderValue::from_static(anthropic::VERSION);
        headers.push((HeaderName::from_static("anthropic-version"), version));
        let key = key.and_then(|key| secret(key.to_owned()));
        headers.extend(key.map(|key| (HeaderName::from_static("x-api-key"), key)));
    } else {
        let key = key.and_then(|key| secret(format!("Bearer {key}")));
        headers.extend(key.map(|key| (AUTHORIZATION, key)));
    }
    headers
}

/// The code of a refusal, which both formats put into `error`; in words of letters only, since it
/// goes to the log.
pub(super) fn refusal(body: &[u8]) -> String {
    let error = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let code = ["code", "type"].iter().find_map(|name| error["error"][*name].as_str());
    let plain = |code: &&str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_graphic());
    code.filter(plain).unwrap_or("no code").to_owned()
}
