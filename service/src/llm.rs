//! A language model behind HTTP: asked, waited for, retried, and left alone while it fails.
//!
//! Speaks the wire formats of OpenAI, which many servers speak, and of Anthropic. Knows nothing of
//! routes; of memories only how they are put before a model (`prompt`).

mod breaker;
mod budget;
mod client;
mod failure;
mod meter;
mod prompt;
mod retry;
mod settings;
mod sse;
mod wire;

pub(crate) use breaker::Breaker;
pub use budget::{Budget, Claim, Overspent};
pub use client::{Answering, Llm};
pub use failure::Failure;
pub use prompt::{Cited, cited, grounded};
pub use settings::{LlmSettings, Provider};
pub use wire::{Message, Piece, Prompt, Speaker, Usage};
