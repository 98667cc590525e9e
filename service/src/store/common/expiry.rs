//! What the worker does to the rows of all tenants: removing what has expired, indexing what is not.

use std::sync::Arc;

use uuid::Uuid;

use super::dialect::{self, Connection};
use super::sealed;
use crate::memory::Moment;
use crate::sealing::Keyring;
use crate::store::owner::Owner;
use crate::store::rows::{MemoryRow, columns};
use crate::store::written::{Compared, Written};
use crate::store::{KEY_LIFE_MILLIS, Removed, StoreError};
use crate::tenant::Tenant;

pub(super) async fn remove_expired(
    on: &mut Connection,
    now: Moment,
    batch: u32,
) -> Result<Removed, StoreError> {
    let memories = sqlx::query(dialect::REMOVE_EXPIRED)
        .bind(now.0)
        .bind(i64::from(batch))
        .execute(&mut *on)
        .await?;
    let keys = sqlx::query(dialect::REMOVE_OLD_KEYS)
        .bind(now.0 - KEY_LIFE_MILLIS)
        .bind(i64::from(batch))
        .execute(on)
        .await?;
    Ok(Removed { memories: memories.rows_affected(), keys: keys.rows_affected() })
}

/// What nobody has looked at for so long that it may go.
pub(super) async fn remove_unseen(
    on: &mut Connection,
    before: Moment,
    batch: u32,
) -> Result<u64, StoreError> {
    let done = sqlx::query(dialect::REMOVE_UNSEEN)
        .bind(before.0)
        .bind(i64::from(batch))
        .execute(on)
        .await?;
    Ok(done.rows_affected())
}

/// Memories of an older schema, or of another way of indexing.
pub(super) async fn index_missing(
    on: &mut Connection,
    keyring: &Arc<Keyring>,
    batch: u32,
) -> Result<u64, StoreError> {
    let missing: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT tenant, id FROM memories WHERE terms IS NULL LIMIT $1")
            .bind(i64::from(batch))
            .fetch_all(&mut *on)
            .await?;
    for (name, id) in &missing {
        let tenant = Tenant::new(name)
            .ok_or_else(|| StoreError::Fault(format!("memory {id} has an invalid tenant")))?;
        let row: Option<MemoryRow> = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM memories WHERE tenant = $1 AND id = $2"
        ))
        .bind(name)
        .bind(id)
        .fetch_optional(&mut *on)
        .await?;
        let Some(row) = row else { continue };
        let owner = Owner::new(&tenant, keyring);
        let key = sealed::key(on, &owner, row.key_version()).await?;
        let memory = row.memory(&tenant, key.as_deref())?;
        let written = Written::new(&owner, &memory, key.as_deref())?;
        dialect::reindex(on, &tenant, &written, Compared::Anew).await?;
    }
    Ok(missing.len() as u64)
}
