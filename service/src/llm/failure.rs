//! Why a model gave no answer, or not all of it.

use std::time::Duration;

/// Never holds what the provider wrote in words: that may quote the prompt or the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It failed too often a moment ago and is left alone.
    #[error("it has failed repeatedly and is left alone for {} s", .0.as_secs().max(1))]
    LeftAlone(Duration),
    /// There is no connection to it.
    #[error("it cannot be reached")]
    Unreachable,
    /// It was silent for too long.
    #[error("it was silent for {} ms", .0.as_millis())]
    Silent(Duration),
    /// 429: so long it wants to be left alone, if it says so.
    #[error("it answers that it is asked too much")]
    Busy(Option<Duration>),
    /// It failed by its own account, with this status.
    #[error("it failed with status {0}")]
    Failed(u16),
    /// It refused the request or the key, with this status and code.
    #[error("it refused the request with status {0} ({1})")]
    Refused(u16, String),
    /// It does not speak as this provider does.
    #[error("its answer is not what this provider's interface says: {0}")]
    Garbled(&'static str),
    /// The connection ended in the middle of the answer.
    #[error("the connection ended in the middle of its answer")]
    Cut,
}

impl Failure {
    /// For a metric's label.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::LeftAlone(_) => "left_alone",
            Self::Unreachable => "unreachable",
            Self::Silent(_) => "silent",
            Self::Busy(_) => "busy",
            Self::Failed(_) => "failed",
            Self::Refused(..) => "refused",
            Self::Garbled(_) => "garbled",
            Self::Cut => "cut",
        }
    }

    /// Whether it says something about the provider's health. One that says no, or later, works.
    pub(crate) fn is_sickness(&self) -> bool {
        !matches!(self, Self::LeftAlone(_) | Self::Busy(_) | Self::Refused(..))
    }
}
