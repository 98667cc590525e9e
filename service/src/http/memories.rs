//! `/v1/memories`: add, read, page, delete.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Problem, Shared};
use crate::memory::{Draft, Memory, Moment, Tier};
use crate::store::{Created, Idempotency, NewMemory, Page};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;
const MAX_KEY: usize = 255;

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let repository = shared.repository()?;
    let draft = read_draft(&headers, body)?;
    let idempotency =
        read_key(&headers)?.map(|key| Idempotency { key, fingerprint: draft.fingerprint() });
    let capacity = shared.capacity.of(draft.tier);
    let memory = draft.into_memory(Uuid::now_v7(), Moment::now());
    let new = NewMemory { memory: memory.clone(), idempotency, capacity };
    match repository.create(new).await? {
        Created::New { evicted } => {
            shared.metrics.created(memory.tier, evicted);
            shared.events.memory_created(&memory);
            Ok(created(&memory, false))
        }
        Created::Replayed(first) => Ok(created(&first, true)),
        Created::ReplayedGone => Err(Problem::key_gone()),
        Created::KeyReused => Err(Problem::key_reused()),
    }
}

fn created(memory: &Memory, replayed: bool) -> Response {
    let location = (LOCATION, format!("/v1/memories/{}", memory.id));
    if replayed {
        let mark = [("idempotency-replayed", "true")];
        (StatusCode::CREATED, [location], mark, Json(memory)).into_response()
    } else {
        (StatusCode::CREATED, [location], Json(memory)).into_response()
    }
}

fn read_draft(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Draft, Problem> {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .is_some_and(|kind| kind == "application/json");
    if !is_json {
        return Err(Problem::wrong_media_type());
    }
    let body = body.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the limit is 2 MiB"),
        _ => Problem::malformed("the body could not be read to its end"),
    })?;
    let draft: Draft = serde_json::from_slice(&body).map_err(|error| {
        let text = format!("the body: {error}");
        // Well-formed JSON that says something else is another mistake than broken JSON.
        if error.is_data() { Problem::invalid(&text) } else { Problem::malformed(&text) }
    })?;
    draft.check().map_err(|why| Problem::invalid(&why))?;
    Ok(draft)
}

fn read_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(Some(key.to_owned())),
        _ => Err(Problem::malformed("Idempotency-Key is not 1 to 255 visible ASCII characters")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    cursor: Option<String>,
    tier: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Listing {
    items: Vec<Memory>,
    /// To be given back as `cursor`; null on the last page.
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let repository = shared.repository()?;
    let Query(query) = query.map_err(|_| {
        Problem::malformed("the query takes cursor, tier and limit (a whole number)")
    })?;
    let before = match query.cursor.as_deref() {
        Some(cursor) => Some(
            Uuid::parse_str(cursor)
                .map_err(|_| Problem::malformed("cursor is not one that this service gave out"))?,
        ),
        None => None,
    };
    let tier =
        match query.tier.as_deref() {
            Some(name) => Some(Tier::from_name(name).ok_or_else(|| {
                Problem::invalid("tier is none of working, short_term, long_term")
            })?),
            None => None,
        };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid("limit is not from 1 to 1000"));
    }
    // One more than asked for tells whether there is another page.
    let page = Page { before, tier, limit: limit + 1 };
    let mut items = repository.list(page, Moment::now()).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|memory| memory.id.to_string());
    Ok(Json(Listing { items, next_cursor }).into_response())
}

/// A text that is no id is an id that does not exist.
fn parse_id(id: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(id).map_err(|_| Problem::no_such_memory())
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = shared.repository()?.get(parse_id(&id)?, Moment::now()).await?;
    found.map(|memory| Json(memory).into_response()).ok_or_else(Problem::no_such_memory)
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if shared.repository()?.delete(parse_id(&id)?, Moment::now()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::no_such_memory())
    }
}
