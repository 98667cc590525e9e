//! Which model, where, and how patiently.

use std::time::Duration;

use crate::config::Secret;

/// Who serves the model: decides the wire format and what is needed to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI itself.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Ollama, on this machine unless said otherwise.
    Ollama,
    /// vLLM.
    Vllm,
    /// Anything else that speaks OpenAI's chat completions.
    Compatible,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::OpenAi, Self::Anthropic, Self::Ollama, Self::Vllm, Self::Compatible];

    /// The name in the configuration, in `/health` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::Compatible => "openai-compatible",
        }
    }

    /// Where it is, if that is known without being told.
    pub fn home(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Ollama => Some("http://127.0.0.1:11434/v1"),
            Self::Vllm | Self::Compatible => None,
        }
    }

    /// Whether nobody is let in without a key.
    pub fn needs_key(self) -> bool {
        matches!(self, Self::OpenAi | Self::Anthropic)
    }
}

/// A model that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmSettings {
    /// Who serves it.
    pub provider: Provider,
    /// Which one; it is not asked before it has a name.
    pub model: Option<String>,
    /// What stands before `/chat/completions` or `/messages`.
    pub base_url: hyper::Uri,
    /// How to get in.
    pub api_key: Option<Secret>,
    /// Longest silence: until an answer begins, and between two pieces of it.
    pub timeout: Duration,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
    /// What a tenant may use on a day of UTC; no limit without it.
    pub tokens_per_day: Option<u64>,
}
