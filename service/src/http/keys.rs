//! `/v1/admin/keys` and `/v1/admin/audit`: who may come in, and what administrators did.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::admit::Caller;
use super::input::{self, Asked, Body};
use super::{Problem, Shared};
use crate::audit::{Act, Entry};
use crate::auth::{ApiKey, KeySecret, Principal, Role};
use crate::memory::Moment;

const LONGEST_NAME: usize = 128;
/// How long a key goes on beside the one that takes its place.
const DEFAULT_GRACE: u32 = 3600;
const LONGEST_GRACE: u32 = 30 * 24 * 3600;

/// A key that is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// What people call it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\u0000]*$"))]
    name: String,
    /// What it allows: no more than whoever asks may.
    role: Role,
    /// From then on it opens nothing; never, if it is left out.
    #[serde(default)]
    expires_at: Option<Moment>,
}

/// A key, with what is shown once.
#[derive(Serialize, JsonSchema)]
pub(super) struct MadeKey {
    key: ApiKey,
    /// To be sent as `Authorization: Bearer`. It is not kept, and cannot be shown again.
    token: String,
}

/// All keys.
#[derive(Serialize, JsonSchema)]
pub(super) struct Keys {
    items: Vec<ApiKey>,
}

fn act(caller: &Principal, action: &'static str, id: Uuid, now: Moment) -> Act {
    Act { actor: caller.name.clone(), action, target: format!("key:{id}"), at: now }
}

async fn make(shared: &Shared, caller: &Principal, key: ApiKey) -> Result<MadeKey, Problem> {
    let secret = KeySecret::random().ok_or_else(Problem::internal)?;
    let act = act(caller, "key.create", key.id, key.created_at);
    shared.repository()?.add_key(&key, secret.hash(), act).await?;
    Ok(MadeKey { token: secret.token(&key), key })
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Body(new): Body<NewKey>,
) -> Result<Response, Problem> {
    if new.name.is_empty() || new.name.len() > LONGEST_NAME || new.name.contains('\0') {
        return Err(Problem::invalid("name is not 1 to 128 bytes without U+0000"));
    }
    if new.role > caller.role {
        return Err(Problem::forbidden(new.role.name()));
    }
    let now = Moment::now();
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::invalid("expires_at has passed"));
    }
    let key = ApiKey {
        id: Uuid::now_v7(),
        tenant: caller.tenant.clone(),
        name: new.name,
        role: new.role,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    Ok((StatusCode::CREATED, Json(make(&shared, &caller, key).await?)).into_response())
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
) -> Result<Json<Keys>, Problem> {
    Ok(Json(Keys { items: shared.repository()?.keys(&caller.tenant).await? }))
}

fn key_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(text).map_err(|_| Problem::no_such_key())
}

pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (id, now) = (key_id(&id)?, Moment::now());
    let act = act(&caller, "key.revoke", id, now);
    let done = shared.repository()?.end_key(&caller.tenant, id, now, act).await?;
    shared.authenticator.forget(&caller.tenant, id);
    if done { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::no_such_key()) }
}

/// How the old key ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// So long the old key goes on.
    #[schemars(range(min = 0, max = 2_592_000))]
    #[serde(default = "default_grace")]
    grace_seconds: u32,
}

fn default_grace() -> u32 {
    DEFAULT_GRACE
}

pub(super) async fn rotate(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Body(rotation): Body<Rotation>,
) -> Result<Response, Problem> {
    if rotation.grace_seconds > LONGEST_GRACE {
        return Err(Problem::invalid(&format!("grace_seconds is more than {LONGEST_GRACE}")));
    }
    let (id, now) = (key_id(&id)?, Moment::now());
    let repository = shared.repository()?;
    let found = repository.key(&caller.tenant, id).await?;
    let (old, _) = found.filter(|(key, _)| key.is_valid(now)).ok_or_else(Problem::no_such_key)?;
    if old.role > caller.role {
        return Err(Problem::forbidden(old.role.name()));
    }
    let key = ApiKey { id: Uuid::now_v7(), created_at: now, ..old };
    // First the new one: whoever is interrupted in between has two, not none.
    let made = make(&shared, &caller, key).await?;
    let end = now.plus(i64::from(rotation.grace_seconds) * 1000);
    repository.end_key(&caller.tenant, id, end, act(&caller, "key.rotate", id, now)).await?;
    shared.authenticator.forget(&caller.tenant, id);
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Only entries behind this one.
    #[schemars(range(min = 0))]
    after: Option<i64>,
    /// Entries of a page.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// A page of the log, oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditPage {
    items: Vec<Entry>,
}

pub(super) async fn audit(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = input::limit(query.limit, 100, 1000)?;
    let after = query.after.unwrap_or(0);
    let items = shared.repository()?.audit_log(&caller.tenant, after, limit).await?;
    Ok(Json(AuditPage { items }))
}
