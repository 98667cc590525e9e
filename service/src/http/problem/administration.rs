//! What is wrong, or refused on purpose, by what administrators set.

use axum::http::StatusCode;

use super::Problem;
use crate::maintenance::{Mode, Notice};

impl Problem {
    /// The client has not shown a certificate.
    pub fn not_certified() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:neuroca:problem:client-certificate",
            "Not without a client certificate",
            "connect with a certificate of the authority that this server trusts",
        )
    }

    /// There is no such flag.
    pub fn no_such_flag() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-flag",
            "There is no such flag",
            "it was deleted, or it never was",
        )
    }

    /// There is no such experiment.
    pub fn no_such_experiment() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-experiment",
            "There is no such experiment",
            "it was deleted, or it never was",
        )
    }

    /// It is refused for a while, on purpose.
    pub fn maintenance(notice: &Notice) -> Self {
        let what = match notice.mode {
            Mode::Full => "everything is refused for a while",
            _ => "what changes something is refused for a while; reading goes on",
        };
        let detail = match notice.reason.as_str() {
            "" => what.to_owned(),
            reason => format!("{what}: {reason}"),
        };
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:neuroca:problem:maintenance",
            "Under maintenance",
            &detail,
        );
        Self { retry_after: Some(notice.retry_after_seconds.into()), ..problem }
    }
}
