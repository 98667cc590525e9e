//! RFC 9457: the one shape of every error answer.
//!
//! `type` is stable: clients may match on it. The detail never holds SQL, a path of this
//! machine or a stack; those go to the log.

mod administration;
mod llm;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::StoreError;
use crate::telemetry::trace_id;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Stable: match on this.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// This case of it.
    detail: String,
    /// Where to look for what happened, if traces are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: &str) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.to_owned(),
            trace_id: trace_id(),
            retry_after: None,
        }
    }

    /// The request cannot be understood.
    pub fn malformed(detail: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "urn:neuroca:problem:malformed",
            "The request cannot be understood",
            detail,
        )
    }

    /// The request is understood and asks for something that is not allowed.
    pub fn invalid(detail: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:neuroca:problem:invalid",
            "The request is not valid",
            detail,
        )
    }

    /// The body is too large.
    pub fn too_large(detail: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "urn:neuroca:problem:too-large",
            "The body is too large",
            detail,
        )
    }

    /// The body is not JSON by its own account.
    pub fn wrong_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "urn:neuroca:problem:media-type",
            "The body has another media type",
            "send Content-Type: application/json",
        )
    }

    /// There is no such memory, or not any more.
    pub fn no_such_memory() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-memory",
            "There is no such memory",
            "it was deleted, it expired, or it never was",
        )
    }

    /// There is no such tier.
    pub fn no_such_tier() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-tier",
            "There is no such tier",
            "there are working, short-term and long-term",
        )
    }

    /// There is no such consolidation.
    pub fn no_such_task() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-task",
            "There is no such consolidation",
            "it ended more than a week ago, or it never was",
        )
    }

    /// There is nothing about this subject.
    pub fn no_such_subject() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-subject",
            "There is nothing about this subject",
            "it was deleted, all of it expired, or it never was",
        )
    }

    /// Nobody, or somebody who cannot show it.
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "urn:neuroca:problem:unauthorized",
            "It is not known who asks",
            detail,
        )
    }

    /// They asked too much.
    pub fn too_many(seconds: u64) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:neuroca:problem:rate-limit",
            "Too many requests",
            "wait for the seconds of Retry-After",
        );
        Self { retry_after: Some(seconds), ..problem }
    }

    /// There is no such key.
    pub fn no_such_key() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:neuroca:problem:no-such-key",
            "There is no such key",
            "it has ended, or it never was",
        )
    }

    /// Whoever asks may not.
    pub fn forbidden(needed: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:neuroca:problem:forbidden",
            "Not with this role",
            &format!("this needs the role {needed}"),
        )
    }

    /// `If-Match` names another version.
    pub fn stale() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "urn:neuroca:problem:stale",
            "It has changed meanwhile",
            "If-Match names another version; read it again and decide anew",
        )
    }

    /// Something else took the memory's place.
    pub fn superseded() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "urn:neuroca:problem:superseded",
            "Something else took its place",
            "only what is current can change; `superseded_by` of this memory says what that is",
        )
    }

    /// Long-term memory is full.
    pub fn quota_reached(most: u32) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "urn:neuroca:problem:quota-reached",
            "Long-term memory is full",
            &format!("this tenant may keep {most} memories; delete some, or have the limit raised"),
        )
    }

    /// The idempotency key was used for another draft.
    pub fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:neuroca:problem:idempotency-key-reused",
            "The idempotency key was used for something else",
            "one Idempotency-Key goes with one request for a day; choose a new key",
        )
    }

    /// The idempotency key made a memory that is not there any more.
    pub fn key_gone() -> Self {
        Self::new(
            StatusCode::GONE,
            "urn:neuroca:problem:memory-gone",
            "The memory that this key made is gone",
            "it was created under this Idempotency-Key and has been deleted or has expired since",
        )
    }

    /// A page of another site asks.
    pub fn foreign_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:neuroca:problem:foreign-origin",
            "Not from a page of another site",
            "as long as nobody is asked who they are, pages of this machine alone may ask; set \
             NEUROCA_AUTH=required",
        )
    }

    /// The client does not take what there is.
    pub fn not_acceptable() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "urn:neuroca:problem:not-acceptable",
            "The client does not take such an answer",
            "send Accept: application/json, text/event-stream",
        )
    }

    /// It may work in a moment.
    pub fn unavailable(detail: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:neuroca:problem:unavailable",
            "Not available at the moment",
            detail,
        )
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "urn:neuroca:problem:internal",
            "The service failed",
            "the log has the reason under this answer's X-Request-Id",
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "database");
        match error {
            StoreError::Unavailable(_) => Self::unavailable("the database does not answer"),
            StoreError::Keys(_) => {
                Self::unavailable("the key to these memories cannot be had at the moment")
            }
            StoreError::Fault(_) => Self::internal(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge =
                HeaderValue::from_static("Bearer realm=\"neuroca\", error=\"invalid_token\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

pub(super) async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "urn:neuroca:problem:no-such-route",
        "There is nothing here",
        &format!("{} is not a route of this service", uri.path()),
    )
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "urn:neuroca:problem:method",
        "Not with this method",
        &format!("{} does not take {method}", uri.path()),
    )
}
