//! What a request says: JSON bodies, queries, conditions, keys. Every mistake gets its problem here,
//! so that handlers see only what is well-formed.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Problem;
use crate::memory::Memory;
use crate::store::Idempotency;

const MAX_KEY: usize = 255;

/// The bytes of a body that is JSON by its own account.
async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let is_json = kind.is_some_and(|kind| {
        kind.eq_ignore_ascii_case("application/json")
            || kind.eq_ignore_ascii_case("application/merge-patch+json")
    });
    if !is_json {
        return Err(Problem::wrong_media_type());
    }
    Bytes::from_request(request, state).await.map_err(|rejection| {
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the limit is 2 MiB"),
            _ => Problem::malformed("the body could not be read to its end"),
        }
    })
}

/// A body of JSON for somebody else to read: they get it only if it is JSON.
pub(super) async fn json_bytes(request: Request) -> Result<Bytes, Problem> {
    let body = bytes(request, &()).await?;
    match serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        Ok(_) => Ok(body),
        Err(error) => Err(Problem::malformed(&format!("the body: {error}"))),
    }
}

/// A body that is JSON by its own account and in fact.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = bytes(request, state).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let text = format!("the body: {error}");
            // Well-formed JSON that says something else is another mistake than broken JSON.
            if error.is_data() { Problem::invalid(&text) } else { Problem::malformed(&text) }
        })
    }
}

/// A query with nothing in it that is not known.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                Err(Problem::malformed(&format!("the query: {}", rejection.body_text())))
            }
        }
    }
}

/// The key under which a request may be repeated, together with what it asks for.
pub(super) fn idempotency(
    headers: &HeaderMap,
    fingerprint: String,
) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => {
            Ok(Some(Idempotency { key: key.to_owned(), fingerprint }))
        }
        _ => Err(Problem::malformed("Idempotency-Key is not 1 to 255 visible ASCII characters")),
    }
}

/// A text that is no id is an id that does not exist.
pub(super) fn id(text: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(text).map_err(|_| Problem::no_such_memory())
}

/// A place to go on from, as it was given out.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<Uuid>, Problem> {
    text.map(Uuid::parse_str)
        .transpose()
        .map_err(|_| Problem::malformed("cursor is not one that this service gave out"))
}

/// `limit` between 1 and `most`.
pub(super) fn limit(given: Option<u32>, default: u32, most: u32) -> Result<u32, Problem> {
    let limit = given.unwrap_or(default);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::invalid(&format!("limit is not from 1 to {most}")))
    }
}

/// The tag of a version.
pub(super) fn tag(memory: &Memory) -> (HeaderName, HeaderValue) {
    let text = format!("\"{}\"", memory.version);
    (ETAG, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"0\"")))
}

/// The version that `If-Match` asks for; `*` and none ask for any.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    if value == "*" {
        return Ok(None);
    }
    let strong = value.to_str().ok().filter(|tag| !tag.starts_with("W/"));
    match strong.and_then(version_of) {
        Some(version) => Ok(Some(version)),
        // A tag that this service did not give out matches nothing.
        None => Err(Problem::stale()),
    }
}

/// Whether the client has this version already.
pub(super) fn has_it(headers: &HeaderMap, memory: &Memory) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .any(|one| one.trim() == "*" || version_of(one.trim()) == Some(memory.version))
}

fn version_of(tag: &str) -> Option<i64> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}
