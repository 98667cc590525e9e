//! Idempotency keys: what a key made, for a day.

use uuid::Uuid;

use super::dialect::Connection;
use super::memories;
use crate::memory::Moment;
use crate::store::{Created, Idempotency, KEY_LIFE_MILLIS, StoreError};
use crate::tenant::Tenant;

/// Takes the key, or says what it was used for. In PostgreSQL the insert waits for a transaction
/// that is taking the same key, so that only one of two gets it; SQLite has one writer.
pub(super) async fn claim(
    on: &mut Connection,
    tenant: &Tenant,
    idempotency: &Idempotency,
    now: Moment,
) -> Result<Option<Created>, StoreError> {
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys AS old (tenant, key, fingerprint, created_at) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, key) DO UPDATE SET \
         fingerprint = excluded.fingerprint, created_at = excluded.created_at \
         WHERE old.created_at <= $5",
    )
    .bind(tenant.name())
    .bind(&idempotency.key)
    .bind(&idempotency.fingerprint)
    .bind(now.0)
    .bind(now.0 - KEY_LIFE_MILLIS)
    .execute(&mut *on)
    .await?;
    if taken.rows_affected() > 0 {
        // Of an earlier day.
        sqlx::query("DELETE FROM idempotency_results WHERE tenant = $1 AND key = $2")
            .bind(tenant.name())
            .bind(&idempotency.key)
            .execute(on)
            .await?;
        return Ok(None);
    }
    let used: Option<(String,)> =
        sqlx::query_as("SELECT fingerprint FROM idempotency_keys WHERE tenant = $1 AND key = $2")
            .bind(tenant.name())
            .bind(&idempotency.key)
            .fetch_optional(&mut *on)
            .await?;
    match used {
        None => Err(StoreError::Unavailable("an idempotency key expired meanwhile".into())),
        Some((print,)) if print != idempotency.fingerprint => Ok(Some(Created::KeyReused)),
        Some(_) => replay(on, tenant, &idempotency.key, now).await.map(Some),
    }
}

async fn replay(
    on: &mut Connection,
    tenant: &Tenant,
    key: &str,
    now: Moment,
) -> Result<Created, StoreError> {
    let ids: Vec<(Uuid,)> = sqlx::query_as(
        "SELECT memory_id FROM idempotency_results WHERE tenant = $1 AND key = $2 ORDER BY position",
    )
    .bind(tenant.name())
    .bind(key)
    .fetch_all(&mut *on)
    .await?;
    let mut left = Vec::with_capacity(ids.len());
    for (id,) in ids {
        left.extend(memories::get(on, tenant, id, now).await?);
    }
    Ok(if left.is_empty() { Created::ReplayedGone } else { Created::Replayed(left) })
}

/// Gives a key back that made nothing after all.
pub(super) async fn release(
    on: &mut Connection,
    tenant: &Tenant,
    key: &str,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM idempotency_keys WHERE tenant = $1 AND key = $2")
        .bind(tenant.name())
        .bind(key)
        .execute(on)
        .await?;
    Ok(())
}

/// Notes what the key made.
pub(super) async fn made(
    on: &mut Connection,
    tenant: &Tenant,
    key: &str,
    position: usize,
    memory: Uuid,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO idempotency_results (tenant, key, position, memory_id) VALUES ($1, $2, $3, $4)",
    )
    .bind(tenant.name())
    .bind(key)
    .bind(i64::try_from(position).unwrap_or(i64::MAX))
    .bind(memory)
    .execute(on)
    .await?;
    Ok(())
}
