//! `/v1/memories`: add, read, page, change, move, delete.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::admit::Caller;
use super::input::{self, Asked, Body};
use super::{Problem, Shared};
use crate::auth::Principal;
use crate::memory::{Change, Draft, Memory, Moment, Tier, Version, check_subject, fingerprint};
use crate::store::{Changed, Created, Deleted, Edit, NewMemories, Page};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;
const MAX_BATCH: usize = 100;

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Body(mut draft): Body<Draft>,
) -> Result<Response, Problem> {
    draft.check().map_err(|why| Problem::invalid(&why))?;
    let print = draft.fingerprint();
    shared.masking.draft(&mut draft);
    let (mut made, replayed) = add(&shared, &caller, &headers, vec![draft], print).await?;
    let memory = made.pop().ok_or_else(Problem::internal)?;
    let location = [(LOCATION, format!("/v1/memories/{}", memory.id))];
    let tag = [input::tag(&memory)];
    Ok((StatusCode::CREATED, location, tag, replay_mark(replayed), Json(memory)).into_response())
}

fn replay_mark(replayed: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if replayed {
        headers.insert("idempotency-replayed", axum::http::HeaderValue::from_static("true"));
    }
    headers
}

/// Writes all drafts or none; says what there is, and whether it was there before.
pub(super) async fn add(
    shared: &Shared,
    caller: &Principal,
    headers: &HeaderMap,
    drafts: Vec<Draft>,
    fingerprint: String,
) -> Result<(Vec<Memory>, bool), Problem> {
    let repository = shared.repository()?;
    let idempotency = input::idempotency(headers, fingerprint)?;
    let now = Moment::now();
    let memories: Vec<Memory> =
        drafts.into_iter().map(|draft| draft.into_memory(Uuid::now_v7(), now)).collect();
    let new = NewMemories { memories: memories.clone(), idempotency, capacity: shared.capacity };
    match repository.create(&caller.tenant, new).await? {
        Created::New { evicted } => {
            shared.metrics.evicted(&evicted);
            for memory in &memories {
                shared.metrics.created(memory.tier);
                shared.events.memory_created(&caller.tenant, memory);
            }
            Ok((memories, false))
        }
        Created::Replayed(first) => Ok((first, true)),
        Created::ReplayedGone => Err(Problem::key_gone()),
        Created::KeyReused => Err(Problem::key_reused()),
        Created::QuotaReached => {
            shared.metrics.operated("create", Tier::LongTerm.name(), "quota");
            Err(Problem::quota_reached(shared.capacity.long_term))
        }
    }
}

/// Several at once.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// All are added, or none.
    #[schemars(length(min = 1, max = 100))]
    items: Vec<Draft>,
}

/// What was added.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Added {
    /// In the order of the request.
    items: Vec<Memory>,
}

pub(super) async fn create_batch(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Body(mut batch): Body<Batch>,
) -> Result<Response, Problem> {
    if !(1..=MAX_BATCH).contains(&batch.items.len()) {
        return Err(Problem::invalid(&format!("items are not 1 to {MAX_BATCH}")));
    }
    for (number, draft) in batch.items.iter().enumerate() {
        draft.check().map_err(|why| Problem::invalid(&format!("items[{number}]: {why}")))?;
    }
    let print = fingerprint(&batch);
    batch.items.iter_mut().for_each(|draft| shared.masking.draft(draft));
    let (items, replayed) = add(&shared, &caller, &headers, batch.items, print).await?;
    Ok((StatusCode::CREATED, replay_mark(replayed), Json(Added { items })).into_response())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only this tier.
    tier: Option<String>,
    /// Only about this subject.
    #[schemars(length(min = 1, max = 256))]
    subject: Option<String>,
    /// Memories of a page.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// A page, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Listing {
    items: Vec<Memory>,
    /// To be given back as `cursor`; null on the last page.
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Listing>, Problem> {
    let tier =
        match query.tier.as_deref() {
            Some(name) => Some(Tier::from_name(name).ok_or_else(|| {
                Problem::invalid("tier is none of working, short_term, long_term")
            })?),
            None => None,
        };
    if let Some(subject) = &query.subject {
        check_subject(subject).map_err(|why| Problem::invalid(&why))?;
    }
    let limit = input::limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let page = Page {
        before: input::cursor(query.cursor.as_deref())?,
        tier,
        subject: query.subject,
        // One more than asked for tells whether there is another page.
        limit: limit + 1,
        now: Moment::now(),
    };
    let mut items = shared.repository()?.list(&caller.tenant, page).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|memory| memory.id.to_string());
    Ok(Json(Listing { items, next_cursor }))
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = Moment::now();
    let found = shared.repository()?.get(&caller.tenant, input::id(&id)?, now).await?;
    let memory = found.ok_or_else(Problem::no_such_memory)?;
    shared.accesses.note(&caller.tenant, [memory.id], now);
    let tag = [input::tag(&memory)];
    if input::has_it(&headers, &memory) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(memory)).into_response())
}

pub(super) async fn change(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(mut change): Body<Change>,
) -> Result<Response, Problem> {
    change.check().map_err(|why| Problem::invalid(&why))?;
    shared.masking.change(&mut change);
    let edit = Edit {
        id: input::id(&id)?,
        version: input::if_match(&headers)?,
        change,
        tier: None,
        cause: "changed",
        now: Moment::now(),
        capacity: shared.capacity,
    };
    edited(&shared, &caller, edit).await
}

/// Where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// The tier, in which its time begins anew.
    tier: Tier,
}

pub(super) async fn transfer(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(transfer): Body<Transfer>,
) -> Result<Response, Problem> {
    let edit = Edit {
        id: input::id(&id)?,
        version: input::if_match(&headers)?,
        change: Change::default(),
        tier: Some(transfer.tier),
        cause: "transferred",
        now: Moment::now(),
        capacity: shared.capacity,
    };
    edited(&shared, &caller, edit).await
}

async fn edited(shared: &Shared, caller: &Principal, edit: Edit) -> Result<Response, Problem> {
    let operation = if edit.tier.is_some() { "transfer" } else { "change" };
    match shared.repository()?.edit(&caller.tenant, edit).await? {
        Changed::Done { memory, evicted } => {
            shared.metrics.evicted(&evicted);
            shared.metrics.operated(operation, memory.tier.name(), "done");
            Ok(([input::tag(&memory)], Json(*memory)).into_response())
        }
        Changed::Missing => Err(Problem::no_such_memory()),
        Changed::Stale => Err(Problem::stale()),
        Changed::Superseded => Err(Problem::superseded()),
        Changed::QuotaReached => Err(Problem::quota_reached(shared.capacity.long_term)),
    }
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (id, version) = (input::id(&id)?, input::if_match(&headers)?);
    match shared.repository()?.delete(&caller.tenant, id, version, Moment::now()).await? {
        Deleted::Done => {
            shared.metrics.operated("delete", "any", "done");
            Ok(StatusCode::NO_CONTENT)
        }
        Deleted::Missing => Err(Problem::no_such_memory()),
        Deleted::Stale => Err(Problem::stale()),
    }
}

/// What a memory was and is.
#[derive(Serialize, JsonSchema)]
pub(super) struct History {
    /// Oldest first; the last one is current.
    versions: Vec<Version>,
}

pub(super) async fn history(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<History>, Problem> {
    let repository = shared.repository()?;
    let versions = repository.history(&caller.tenant, input::id(&id)?, Moment::now()).await?;
    if versions.is_empty() {
        return Err(Problem::no_such_memory());
    }
    Ok(Json(History { versions }))
}
