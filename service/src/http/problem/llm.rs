//! What is said when a language model does not answer. What it said itself stays here: it may quote
//! a prompt, or a key.

use axum::http::StatusCode;

use super::Problem;
use crate::llm::{Failure, Overspent};

impl Problem {
    /// There is no language model.
    pub fn no_llm() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "urn:neuroca:problem:llm-not-configured",
            "There is no language model",
            "the operator sets NEUROCA_LLM_PROVIDER, NEUROCA_LLM_MODEL and, for openai and \
             anthropic, NEUROCA_LLM_API_KEY; search and context need none",
        )
    }

    fn later(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let (status, kind, title) = match failure {
            Failure::LeftAlone(_) | Failure::Unreachable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:neuroca:problem:llm-unavailable",
                "The language model is not available",
            ),
            Failure::Busy(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:neuroca:problem:llm-busy",
                "The language model is asked too much",
            ),
            Failure::Silent(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "urn:neuroca:problem:llm-timeout",
                "The language model did not answer in time",
            ),
            Failure::Refused(..) => (
                StatusCode::BAD_GATEWAY,
                "urn:neuroca:problem:llm-refused",
                "The language model's provider refused",
            ),
            Failure::Failed(_) | Failure::Garbled(_) | Failure::Cut => (
                StatusCode::BAD_GATEWAY,
                "urn:neuroca:problem:llm-failed",
                "The language model failed",
            ),
        };
        let problem = Self::new(status, kind, title, &failure.to_string());
        match failure {
            Failure::LeftAlone(wait) | Failure::Busy(Some(wait)) => problem.later(wait.as_secs()),
            _ => problem,
        }
    }
}

impl From<Overspent> for Problem {
    fn from(overspent: Overspent) -> Self {
        match overspent {
            Overspent::Store(error) => error.into(),
            Overspent::Until(seconds) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "urn:neuroca:problem:llm-budget",
                "The tokens of this day are used up",
                "this tenant's NEUROCA_LLM_TOKENS_PER_DAY does not allow another question before \
                 the next day (UTC); a shorter question with fewer memories may fit",
            )
            .later(seconds),
        }
    }
}
