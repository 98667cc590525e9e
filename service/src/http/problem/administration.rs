//! What is wrong, or refused on purpose, by what administrators set.

use axum::http::StatusCode;

use super::Problem;
use crate::maintenance::{Mode, Notice};

impl Problem {
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
