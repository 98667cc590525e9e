//! Consolidation in the database: who goes up, what was not compared yet, what ends for another.

use std::sync::Arc;

use uuid::Uuid;

use super::dialect::Connection;
use super::sealed;
use crate::memory::{Memory, Moment};
use crate::sealing::Keyring;
use crate::store::owner::Owner;
use crate::store::rows::{self, MemoryRow, columns};
use crate::store::{Promotable, StoreError, Task, TaskState};
use crate::tenant::Tenant;

fn tenant(name: &str) -> Result<Tenant, StoreError> {
    Tenant::new(name).ok_or_else(|| StoreError::Fault("a row has an invalid tenant".into()))
}

pub(super) async fn promotable(
    on: &mut Connection,
    of: Option<&Tenant>,
    after: Option<&Promotable>,
    now: Moment,
    batch: u32,
) -> Result<Vec<Promotable>, StoreError> {
    // `Activation::is_worth_keeping`, in SQL. `tier <> 'long_term'` is there for the index.
    let rows: Vec<(String, Uuid, String)> = sqlx::query_as(
        "SELECT tenant, id, tier FROM memories WHERE valid_to IS NULL AND tier <> 'long_term' \
         AND expires_at > $1 AND (pinned OR (access_count >= 3 AND importance >= 0.6)) \
         AND (tenant, id) > ($2, $3) AND tenant >= $4 AND tenant <= $5 \
         ORDER BY tenant, id LIMIT $6",
    )
    .bind(now.0)
    .bind(after.map_or("", |after| after.tenant.name()))
    .bind(after.map_or(Uuid::nil(), |after| after.id))
    .bind(of.map_or("", Tenant::name))
    // Behind every name.
    .bind(of.map_or("~", Tenant::name))
    .bind(i64::from(batch))
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|(name, id, tier)| {
            Ok(Promotable { tenant: tenant(&name)?, id, tier: rows::tier(&tier, id)? })
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    tenant: String,
    #[sqlx(flatten)]
    memory: MemoryRow,
}

pub(super) async fn to_compare(
    on: &mut Connection,
    of: Option<&Tenant>,
    keyring: &Arc<Keyring>,
    batch: u32,
) -> Result<Vec<(Tenant, Memory)>, StoreError> {
    let rows: Vec<TenantRow> = sqlx::query_as(concat!(
        "SELECT tenant, ",
        columns!(),
        " FROM memories WHERE compared_at IS NULL AND valid_to IS NULL AND tier = 'long_term' \
          AND tenant >= $1 AND tenant <= $2 ORDER BY tenant, id LIMIT $3"
    ))
    .bind(of.map_or("", Tenant::name))
    .bind(of.map_or("~", Tenant::name))
    .bind(i64::from(batch))
    .fetch_all(&mut *on)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for TenantRow { tenant: name, memory } in rows {
        let owner = Owner::new(&tenant(&name)?, keyring);
        let memory = sealed::memory(on, &owner, memory).await?;
        all.push((owner.tenant(), memory));
    }
    Ok(all)
}

pub(super) async fn same_words(
    on: &mut Connection,
    tenant: &Owner,
    memory: &Memory,
) -> Result<Option<Memory>, StoreError> {
    for words in sealed::vocabularies(on, tenant).await? {
        let hash = words.content_hash(&memory.content);
        if let Some(same) = with_hash(on, tenant, memory, hash).await? {
            return Ok(Some(same));
        }
    }
    Ok(None)
}

async fn with_hash(
    on: &mut Connection,
    tenant: &Owner,
    memory: &Memory,
    hash: Vec<u8>,
) -> Result<Option<Memory>, StoreError> {
    let rows: Vec<MemoryRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM memories WHERE tenant = $1 AND content_hash = $2 AND valid_to IS NULL \
          AND tier = 'long_term' AND id <> $3 ORDER BY id LIMIT 100"
    ))
    .bind(tenant.name())
    .bind(hash)
    .bind(memory.id)
    .fetch_all(&mut *on)
    .await?;
    for row in rows {
        let other = sealed::memory(on, tenant, row).await?;
        if other.subject == memory.subject {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

pub(super) async fn supersede(
    on: &mut Connection,
    tenant: &Tenant,
    id: Uuid,
    by: Uuid,
    now: Moment,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE memories SET valid_to = $4, superseded_by = $3, version = version + 1 \
         WHERE tenant = $1 AND id = $2 AND valid_to IS NULL AND EXISTS \
         (SELECT 1 FROM memories WHERE tenant = $1 AND id = $3 AND valid_to IS NULL)",
    )
    .bind(tenant.name())
    .bind(id)
    .bind(by)
    .bind(now.0)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn compared(
    on: &mut Connection,
    tenant: &Tenant,
    id: Uuid,
    version: i64,
    now: Moment,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE memories SET compared_at = $4 WHERE tenant = $1 AND id = $2 AND version = $3",
    )
    .bind(tenant.name())
    .bind(id)
    .bind(version)
    .bind(now.0)
    .execute(on)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct TaskRow {
    tenant: String,
    id: Uuid,
    state: String,
    created_at: i64,
    finished_at: Option<i64>,
    promoted: i64,
    superseded: i64,
}

impl TaskRow {
    fn task(self) -> Result<Task, StoreError> {
        let state = TaskState::from_name(&self.state)
            .ok_or_else(|| StoreError::Fault(format!("task {} has an invalid state", self.id)))?;
        Ok(Task {
            id: self.id,
            tenant: tenant(&self.tenant)?,
            state,
            created_at: Moment(self.created_at),
            finished_at: self.finished_at.map(Moment),
            promoted: self.promoted,
            superseded: self.superseded,
        })
    }
}

pub(super) async fn add_task(on: &mut Connection, task: &Task) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO tasks (tenant, id, state, created_at) VALUES ($1, $2, $3, $4)")
        .bind(task.tenant.name())
        .bind(task.id)
        .bind(task.state.name())
        .bind(task.created_at.0)
        .execute(on)
        .await?;
    Ok(())
}

pub(super) async fn task(
    on: &mut Connection,
    tenant: &Tenant,
    id: Uuid,
) -> Result<Option<Task>, StoreError> {
    let row: Option<TaskRow> = sqlx::query_as(
        "SELECT tenant, id, state, created_at, finished_at, promoted, superseded FROM tasks \
         WHERE tenant = $1 AND id = $2",
    )
    .bind(tenant.name())
    .bind(id)
    .fetch_optional(on)
    .await?;
    row.map(TaskRow::task).transpose()
}

pub(super) async fn next_task(on: &mut Connection) -> Result<Option<Task>, StoreError> {
    let row: Option<TaskRow> = sqlx::query_as(
        "SELECT tenant, id, state, created_at, finished_at, promoted, superseded FROM tasks \
         WHERE state IN ('pending', 'running') ORDER BY created_at LIMIT 1",
    )
    .fetch_optional(on)
    .await?;
    row.map(TaskRow::task).transpose()
}

pub(super) async fn save_task(on: &mut Connection, task: &Task) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tasks SET state = $3, finished_at = $4, promoted = $5, superseded = $6 \
         WHERE tenant = $1 AND id = $2",
    )
    .bind(task.tenant.name())
    .bind(task.id)
    .bind(task.state.name())
    .bind(task.finished_at.map(|moment| moment.0))
    .bind(task.promoted)
    .bind(task.superseded)
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn remove_tasks(on: &mut Connection, before: Moment) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM tasks WHERE finished_at < $1").bind(before.0).execute(on).await?;
    Ok(())
}
