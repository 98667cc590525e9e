//! The real thing: PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use uuid::Uuid;

use super::{
    Created, Idempotency, KEY_LIFE_MILLIS, NewMemory, Page, PoolState, Removed, Repository, Row,
    StoreError, memory_from, metadata_text,
};
use crate::memory::{Memory, Moment};
use crate::schema::SchemaState;

const CONNECTIONS: u32 = 8;

pub(super) struct PostgresRepository {
    pool: PgPool,
}

impl PostgresRepository {
    pub(super) async fn open(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options.clone().options([("statement_timeout", "10s")]))
            .await?;
        Ok(Self { pool })
    }
}

#[async_trait]
impl Repository for PostgresRepository {
    async fn create(&self, new: NewMemory) -> Result<Created, StoreError> {
        let memory = &new.memory;
        let mut transaction = self.pool.begin().await?;
        if let Some(idempotency) = &new.idempotency
            && let Some(earlier) = claim_key(&mut transaction, idempotency, memory).await?
        {
            transaction.rollback().await?;
            return Ok(earlier);
        }
        sqlx::query(
            "INSERT INTO memories (id, content, tier, importance, subject, metadata, created_at, expires_at) \
             VALUES ($1::uuid, $2, $3, $4, $5, $6::json, $7, $8)",
        )
        .bind(memory.id.to_string())
        .bind(&memory.content)
        .bind(memory.tier.name())
        .bind(memory.importance)
        .bind(&memory.subject)
        .bind(metadata_text(memory))
        .bind(memory.created_at.0)
        .bind(memory.expires_at.map(|moment| moment.0))
        .execute(&mut *transaction)
        .await?;
        let evicted = match new.capacity {
            Some(capacity) => evict(&mut transaction, memory, capacity).await?,
            None => 0,
        };
        transaction.commit().await?;
        Ok(Created::New { evicted })
    }

    async fn get(&self, id: Uuid, now: Moment) -> Result<Option<Memory>, StoreError> {
        by_id(&mut *self.pool.acquire().await?, id.to_string(), now).await
    }

    async fn list(&self, page: Page, now: Moment) -> Result<Vec<Memory>, StoreError> {
        let before = page.before.unwrap_or(Uuid::max()).to_string();
        let everywhere = "SELECT id::text, content, tier, importance, subject, metadata::text, created_at, expires_at \
             FROM memories WHERE id < $1::uuid AND (expires_at IS NULL OR expires_at > $2) \
             ORDER BY id DESC LIMIT $3";
        let in_tier = "SELECT id::text, content, tier, importance, subject, metadata::text, created_at, expires_at \
             FROM memories WHERE id < $1::uuid AND (expires_at IS NULL OR expires_at > $2) AND tier = $4 \
             ORDER BY id DESC LIMIT $3";
        let sql = if page.tier.is_some() { in_tier } else { everywhere };
        let mut query = sqlx::query_as(sql).bind(before).bind(now.0).bind(i64::from(page.limit));
        if let Some(tier) = page.tier {
            query = query.bind(tier.name());
        }
        let rows: Vec<Row> = query.fetch_all(&self.pool).await?;
        rows.into_iter().map(memory_from).collect()
    }

    async fn delete(&self, id: Uuid, now: Moment) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "DELETE FROM memories WHERE id = $1::uuid AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(id.to_string())
        .bind(now.0)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn remove_expired(&self, now: Moment, batch: u32) -> Result<Removed, StoreError> {
        // SKIP LOCKED: another worker, or a client that deletes, is not waited for.
        let memories = sqlx::query(
            "DELETE FROM memories WHERE id IN (SELECT id FROM memories WHERE expires_at <= $1 \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now.0)
        .bind(i64::from(batch))
        .execute(&self.pool)
        .await?;
        let keys = sqlx::query(
            "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys \
             WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now.0 - KEY_LIFE_MILLIS)
        .bind(i64::from(batch))
        .execute(&self.pool)
        .await?;
        Ok(Removed { memories: memories.rows_affected(), keys: keys.rows_affected() })
    }

    async fn schema(&self) -> Result<Option<SchemaState>, StoreError> {
        schema_of(&mut *self.pool.acquire().await?).await
    }

    fn pool(&self) -> PoolState {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        PoolState { idle, used: self.pool.size().saturating_sub(idle) }
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

async fn by_id(
    on: &mut PgConnection,
    id: String,
    now: Moment,
) -> Result<Option<Memory>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id::text, content, tier, importance, subject, metadata::text, created_at, expires_at \
         FROM memories WHERE id = $1::uuid AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(id)
    .bind(now.0)
    .fetch_optional(on)
    .await?;
    row.map(memory_from).transpose()
}

/// Takes the key for this memory, or says what it was used for. The insert waits for a
/// transaction that is taking the same key, so that only one of two gets it.
async fn claim_key(
    on: &mut PgConnection,
    idempotency: &Idempotency,
    memory: &Memory,
) -> Result<Option<Created>, StoreError> {
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys AS old (key, fingerprint, memory_id, created_at) \
         VALUES ($1, $2, $3::uuid, $4) ON CONFLICT (key) DO UPDATE SET \
         fingerprint = excluded.fingerprint, memory_id = excluded.memory_id, \
         created_at = excluded.created_at WHERE old.created_at <= $5",
    )
    .bind(&idempotency.key)
    .bind(&idempotency.fingerprint)
    .bind(memory.id.to_string())
    .bind(memory.created_at.0)
    .bind(memory.created_at.0 - KEY_LIFE_MILLIS)
    .execute(&mut *on)
    .await?;
    if taken.rows_affected() > 0 {
        return Ok(None);
    }
    let used: Option<(String, String)> =
        sqlx::query_as("SELECT fingerprint, memory_id::text FROM idempotency_keys WHERE key = $1")
            .bind(&idempotency.key)
            .fetch_optional(&mut *on)
            .await?;
    Ok(Some(match used {
        Some((fingerprint, _)) if fingerprint != idempotency.fingerprint => Created::KeyReused,
        Some((_, id)) => match by_id(on, id, memory.created_at).await? {
            Some(made) => Created::Replayed(Box::new(made)),
            None => Created::ReplayedGone,
        },
        None => {
            return Err(StoreError::Unavailable("an idempotency key expired meanwhile".into()));
        }
    }))
}

/// The expired leave first, then the least important, then the oldest; never the new one.
async fn evict(on: &mut PgConnection, memory: &Memory, capacity: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM memories WHERE id IN (SELECT id FROM memories \
         WHERE tier = $1 AND subject IS NOT DISTINCT FROM $2 AND id <> $3::uuid \
         ORDER BY (expires_at > $4) DESC, importance DESC, id DESC OFFSET $5)",
    )
    .bind(memory.tier.name())
    .bind(&memory.subject)
    .bind(memory.id.to_string())
    .bind(memory.created_at.0)
    .bind(i64::from(capacity.saturating_sub(1)))
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn schema_of(on: &mut PgConnection) -> Result<Option<SchemaState>, StoreError> {
    let table: (bool,) = sqlx::query_as("SELECT to_regclass('schema_state') IS NOT NULL")
        .fetch_one(&mut *on)
        .await?;
    if !table.0 {
        return Ok(None);
    }
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT version, compatible_from FROM schema_state")
            .fetch_optional(on)
            .await?;
    Ok(row.map(|(version, compatible_from)| SchemaState { version, compatible_from }))
}
