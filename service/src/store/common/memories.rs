//! Writing, reading, changing and deleting memories: the SQL that both databases understand.
//!
//! Compiled once for each of them: `super::Connection` is theirs.

use uuid::Uuid;

use super::dialect::{self, Connection};
use super::{keys, sealed, tiers};
use crate::memory::{Change, Memory, Moment, Tier, Version};
use crate::store::owner::Owner;
use crate::store::rows::{MemoryRow, VersionRow, columns};
use crate::store::written::{Compared, Written};
use crate::store::{Changed, Created, Deleted, Edit, NewMemories, Page, StoreError};
use crate::tenant::Tenant;

pub(super) async fn create(
    on: &mut Connection,
    tenant: &Owner,
    new: &NewMemories,
) -> Result<Created, StoreError> {
    let Some(now) = new.memories.first().map(|memory| memory.created_at) else {
        return Ok(Created::New { evicted: Vec::new() });
    };
    if let Some(idempotency) = &new.idempotency
        && let Some(earlier) = keys::claim(on, tenant, idempotency, now).await?
    {
        return Ok(earlier);
    }
    let long = new.memories.iter().filter(|memory| memory.tier == Tier::LongTerm).count();
    if long > 0 && !tiers::has_room(on, tenant, long, &new.capacity).await? {
        if let Some(idempotency) = &new.idempotency {
            keys::release(on, tenant, &idempotency.key).await?;
        }
        return Ok(Created::QuotaReached);
    }
    let key = sealed::current(on, tenant).await?;
    for (position, memory) in new.memories.iter().enumerate() {
        dialect::insert(on, tenant, &Written::new(tenant, memory, key.as_deref())?).await?;
        if let Some(idempotency) = &new.idempotency {
            keys::made(on, tenant, &idempotency.key, position, memory.id).await?;
        }
    }
    let evicted = tiers::evict(on, tenant, &new.memories, &new.capacity, now).await?;
    Ok(Created::New { evicted })
}

pub(super) async fn get(
    on: &mut Connection,
    tenant: &Owner,
    id: Uuid,
    now: Moment,
) -> Result<Option<Memory>, StoreError> {
    let row: Option<MemoryRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM memories WHERE tenant = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)"
    ))
    .bind(tenant.name())
    .bind(id)
    .bind(now.0)
    .fetch_optional(&mut *on)
    .await?;
    match row {
        Some(row) => sealed::memory(on, tenant, row).await.map(Some),
        None => Ok(None),
    }
}

/// The WHERE of a page, for each of its filters, so that every one can use its index.
macro_rules! page {
    ($columns:expr, $filter:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM memories WHERE tenant = $1 AND id < $2 AND valid_to IS NULL \
              AND (expires_at IS NULL OR expires_at > $3) ",
            $filter,
            " ORDER BY id DESC LIMIT $4"
        )
    };
}
pub(super) use page;

pub(super) async fn list(
    on: &mut Connection,
    tenant: &Owner,
    page: &Page,
) -> Result<Vec<Memory>, StoreError> {
    let sql = match (page.tier, &page.subject) {
        (None, None) => page!(columns!(), ""),
        (Some(_), None) => page!(columns!(), "AND tier = $5"),
        (None, Some(_)) => page!(columns!(), "AND subject = $5"),
        (Some(_), Some(_)) => page!(columns!(), "AND tier = $5 AND subject = $6"),
    };
    let mut query = sqlx::query_as(sql)
        .bind(tenant.name())
        .bind(page.before.unwrap_or(Uuid::max()))
        .bind(page.now.0)
        .bind(i64::from(page.limit));
    if let Some(tier) = page.tier {
        query = query.bind(tier.name());
    }
    if let Some(subject) = &page.subject {
        query = query.bind(subject);
    }
    let rows: Vec<MemoryRow> = query.fetch_all(&mut *on).await?;
    sealed::memories(on, tenant, rows).await
}

/// The row, locked where the database has row locks, and under which key it is.
async fn locked(
    on: &mut Connection,
    tenant: &Owner,
    id: Uuid,
    now: Moment,
) -> Result<Option<(Memory, i64)>, StoreError> {
    let row: Option<MemoryRow> = sqlx::query_as(dialect::LOCKED)
        .bind(tenant.name())
        .bind(id)
        .bind(now.0)
        .fetch_optional(&mut *on)
        .await?;
    match row {
        Some(row) => {
            let version = row.key_version();
            Ok(Some((sealed::memory(on, tenant, row).await?, version)))
        }
        None => Ok(None),
    }
}

pub(super) async fn edit(
    on: &mut Connection,
    tenant: &Owner,
    edit: &Edit,
) -> Result<Changed, StoreError> {
    let Some((mut memory, key_version)) = locked(on, tenant, edit.id, edit.now).await? else {
        return Ok(Changed::Missing);
    };
    if memory.valid_to.is_some() {
        return Ok(Changed::Superseded);
    }
    if edit.version.is_some_and(|version| version != memory.version) {
        return Ok(Changed::Stale);
    }
    let moved = edit.tier.filter(|tier| *tier != memory.tier);
    if edit.change == Change::default() && moved.is_none() {
        return Ok(Changed::Done { memory: Box::new(memory), evicted: Vec::new() });
    }
    if moved == Some(Tier::LongTerm) && !tiers::has_room(on, tenant, 1, &edit.capacity).await? {
        return Ok(Changed::QuotaReached);
    }
    archive(on, tenant, memory.id, edit.now, edit.cause).await?;
    let rewritten = edit.change.content.is_some();
    edit.change.clone().apply(&mut memory);
    if let Some(tier) = moved {
        memory.move_to(tier, edit.now);
    }
    memory.version += 1;
    memory.updated_at = edit.now;
    let key = sealed::current(on, tenant).await?;
    let written = Written::new(tenant, &memory, key.as_deref())?;
    write(on, tenant, &written).await?;
    if rewritten {
        dialect::reindex(on, tenant, &written, Compared::Anew).await?;
    } else if written.key_version != key_version {
        // The words of another key.
        dialect::reindex(on, tenant, &written, Compared::Stays).await?;
    }
    let evicted = match moved {
        Some(_) => {
            let only = std::slice::from_ref(&memory);
            tiers::evict(on, tenant, only, &edit.capacity, edit.now).await?
        }
        None => Vec::new(),
    };
    Ok(Changed::Done { memory: Box::new(memory), evicted })
}

/// Copies the current version to the history.
pub(super) async fn archive(
    on: &mut Connection,
    tenant: &Tenant,
    id: Uuid,
    now: Moment,
    cause: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO memory_versions (tenant, memory_id, version, content, tier, importance, pinned, \
         metadata, valid_from, valid_to, cause, key_version) \
         SELECT tenant, id, version, content, tier, importance, pinned, metadata, updated_at, $3, $4, \
         key_version \
         FROM memories WHERE tenant = $1 AND id = $2",
    )
    .bind(tenant.name())
    .bind(id)
    .bind(now.0)
    .bind(cause)
    .execute(on)
    .await?;
    Ok(())
}

/// Sealed or not, it is for this memory and not for one of its versions: the history takes it over as it is.
pub(super) async fn write(
    on: &mut Connection,
    tenant: &Tenant,
    written: &Written<'_>,
) -> Result<(), StoreError> {
    let memory = written.memory;
    sqlx::query(
        "UPDATE memories SET content = $3, tier = $4, importance = $5, pinned = $6, metadata = $7, \
         version = $8, updated_at = $9, expires_at = $10, key_version = $11 WHERE tenant = $1 AND id = $2",
    )
    .bind(tenant.name())
    .bind(memory.id)
    .bind(written.content.as_ref())
    .bind(memory.tier.name())
    .bind(memory.importance)
    .bind(memory.pinned)
    .bind(&written.metadata)
    .bind(memory.version)
    .bind(memory.updated_at.0)
    .bind(memory.expires_at.map(|moment| moment.0))
    .bind(written.key_version)
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    on: &mut Connection,
    tenant: &Owner,
    id: Uuid,
    version: Option<i64>,
    now: Moment,
) -> Result<Deleted, StoreError> {
    if let Some(version) = version {
        match locked(on, tenant, id, now).await? {
            None => return Ok(Deleted::Missing),
            Some((memory, _)) if memory.version != version => return Ok(Deleted::Stale),
            Some(_) => {}
        }
    }
    let done = sqlx::query(
        "DELETE FROM memories WHERE tenant = $1 AND id = $2 \
         AND (expires_at IS NULL OR expires_at > $3)",
    )
    .bind(tenant.name())
    .bind(id)
    .bind(now.0)
    .execute(on)
    .await?;
    Ok(if done.rows_affected() > 0 { Deleted::Done } else { Deleted::Missing })
}

pub(super) async fn history(
    on: &mut Connection,
    tenant: &Owner,
    id: Uuid,
    now: Moment,
) -> Result<Vec<Version>, StoreError> {
    let Some(memory) = get(on, tenant, id, now).await? else { return Ok(Vec::new()) };
    let mut versions = earlier(on, tenant, id).await?;
    versions.push(Version {
        version: memory.version,
        content: memory.content,
        tier: memory.tier,
        importance: memory.importance,
        pinned: memory.pinned,
        metadata: memory.metadata,
        valid_from: memory.updated_at,
        valid_to: memory.valid_to,
        cause: memory.superseded_by.map(|_| "superseded".to_owned()),
    });
    Ok(versions)
}

/// The versions before the current one.
pub(super) async fn earlier(
    on: &mut Connection,
    tenant: &Owner,
    id: Uuid,
) -> Result<Vec<Version>, StoreError> {
    let rows: Vec<VersionRow> = sqlx::query_as(
        "SELECT memory_id, version, content, tier, importance, pinned, metadata, valid_from, valid_to, \
         cause, key_version FROM memory_versions WHERE tenant = $1 AND memory_id = $2 ORDER BY version",
    )
    .bind(tenant.name())
    .bind(id)
    .fetch_all(&mut *on)
    .await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let key = sealed::key(on, tenant, row.key_version).await?;
        versions.push(row.version(tenant, key.as_deref())?);
    }
    Ok(versions)
}
