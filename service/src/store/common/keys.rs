//! Idempotency keys: what a key made, for a day.

use uuid::Uuid;

use super::dialect::Connection;
use super::{memories, sealed};
use crate::memory::Moment;
use crate::sealing::Place;
use crate::store::owner::Owner;
use crate::store::written::FINGERPRINT;
use crate::store::{Created, Idempotency, KEY_LIFE_MILLIS, StoreError};
use crate::tenant::Tenant;

/// Takes the key, or says what it was used for. In PostgreSQL the insert waits for a transaction
/// that is taking the same key, so that only one of two gets it; SQLite has one writer.
pub(super) async fn claim(
    on: &mut Connection,
    tenant: &Owner,
    idempotency: &Idempotency,
    now: Moment,
) -> Result<Option<Created>, StoreError> {
    let current = sealed::current(on, tenant).await?;
    let place = Place { tenant, row: idempotency.key.as_bytes(), field: FINGERPRINT };
    let fingerprint = match &current {
        // Whoever guesses what was said could check it.
        Some(key) => key.seal_text(place, &idempotency.fingerprint)?,
        None => idempotency.fingerprint.clone(),
    };
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys AS old (tenant, key, fingerprint, created_at, key_version) \
         VALUES ($1, $2, $3, $4, $6) ON CONFLICT (tenant, key) DO UPDATE SET \
         fingerprint = excluded.fingerprint, created_at = excluded.created_at, \
         key_version = excluded.key_version WHERE old.created_at <= $5",
    )
    .bind(tenant.name())
    .bind(&idempotency.key)
    .bind(fingerprint)
    .bind(now.0)
    .bind(now.0 - KEY_LIFE_MILLIS)
    .bind(current.map_or(0, |key| key.version()))
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
    let used: Option<(String, i64)> = sqlx::query_as(
        "SELECT fingerprint, key_version FROM idempotency_keys WHERE tenant = $1 AND key = $2",
    )
    .bind(tenant.name())
    .bind(&idempotency.key)
    .fetch_optional(&mut *on)
    .await?;
    let Some((print, version)) = used else {
        return Err(StoreError::Unavailable("an idempotency key expired meanwhile".into()));
    };
    let print = match sealed::key(on, tenant, version).await? {
        Some(key) => key.open_text(place, &print)?,
        None => print,
    };
    if print != idempotency.fingerprint {
        return Ok(Some(Created::KeyReused));
    }
    replay(on, tenant, &idempotency.key, now).await.map(Some)
}

async fn replay(
    on: &mut Connection,
    tenant: &Owner,
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
