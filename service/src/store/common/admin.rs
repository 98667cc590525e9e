//! API keys and the audit log in the database.

use async_trait::async_trait;
use uuid::Uuid;

use super::Backend;
use super::dialect::{self, Connection};
use crate::audit::{Act, Entry};
use crate::auth::{ApiKey, Role};
use crate::memory::{Moment, hex};
use crate::store::{Admin, StoreError};
use crate::tenant::Tenant;

#[async_trait]
impl Admin for Backend {
    async fn add_key(&self, key: &ApiKey, hash: Vec<u8>, act: Act) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(&key.tenant.clone(), move |on| {
            Box::pin(async move { add_key(on, &key, hash, &act).await })
        })
        .await
    }

    async fn key(
        &self,
        tenant: &Tenant,
        id: Uuid,
    ) -> Result<Option<(ApiKey, Vec<u8>)>, StoreError> {
        let of = tenant.clone();
        self.read_latest(tenant, move |on| Box::pin(async move { key(on, &of, id).await })).await
    }

    async fn keys(&self, tenant: &Tenant) -> Result<Vec<ApiKey>, StoreError> {
        let of = tenant.clone();
        self.read_latest(tenant, move |on| Box::pin(async move { keys(on, &of).await })).await
    }

    async fn end_key(
        &self,
        tenant: &Tenant,
        id: Uuid,
        end: Moment,
        act: Act,
    ) -> Result<bool, StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| Box::pin(async move { end_key(on, &of, id, end, &act).await }))
            .await
    }

    async fn record(&self, tenant: &Tenant, act: Act) -> Result<(), StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| Box::pin(async move { append(on, &of, &act).await })).await
    }

    async fn audit_log(
        &self,
        tenant: &Tenant,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let of = tenant.clone();
        self.read_latest(tenant, move |on| {
            Box::pin(async move { log(on, &of, after, limit).await })
        })
        .await
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    name: String,
    role: String,
    hash: Vec<u8>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl KeyRow {
    fn key(self, tenant: &Tenant) -> Result<(ApiKey, Vec<u8>), StoreError> {
        let role = Role::from_name(&self.role)
            .ok_or_else(|| StoreError::Fault(format!("key {} has an invalid role", self.id)))?;
        let key = ApiKey {
            id: self.id,
            tenant: tenant.clone(),
            name: self.name,
            role,
            created_at: Moment(self.created_at),
            expires_at: self.expires_at.map(Moment),
            revoked_at: self.revoked_at.map(Moment),
        };
        Ok((key, self.hash))
    }
}

async fn add_key(
    on: &mut Connection,
    key: &ApiKey,
    hash: Vec<u8>,
    act: &Act,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO api_keys (tenant, id, name, role, hash, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(key.tenant.name())
    .bind(key.id)
    .bind(&key.name)
    .bind(key.role.name())
    .bind(hash)
    .bind(key.created_at.0)
    .bind(key.expires_at.map(|end| end.0))
    .execute(&mut *on)
    .await?;
    append(on, &key.tenant, act).await
}

async fn key(
    on: &mut Connection,
    tenant: &Tenant,
    id: Uuid,
) -> Result<Option<(ApiKey, Vec<u8>)>, StoreError> {
    let row: Option<KeyRow> = sqlx::query_as(
        "SELECT id, name, role, hash, created_at, expires_at, revoked_at FROM api_keys \
         WHERE tenant = $1 AND id = $2",
    )
    .bind(tenant.name())
    .bind(id)
    .fetch_optional(on)
    .await?;
    row.map(|row| row.key(tenant)).transpose()
}

async fn keys(on: &mut Connection, tenant: &Tenant) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<KeyRow> = sqlx::query_as(
        "SELECT id, name, role, hash, created_at, expires_at, revoked_at FROM api_keys \
         WHERE tenant = $1 ORDER BY id",
    )
    .bind(tenant.name())
    .fetch_all(on)
    .await?;
    rows.into_iter().map(|row| row.key(tenant).map(|(key, _)| key)).collect()
}

async fn end_key(
    on: &mut Connection,
    tenant: &Tenant,
    id: Uuid,
    end: Moment,
    act: &Act,
) -> Result<bool, StoreError> {
    let sql = if end <= act.at {
        "UPDATE api_keys SET revoked_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL"
    } else {
        "UPDATE api_keys SET expires_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at > $3)"
    };
    let done = sqlx::query(sql).bind(tenant.name()).bind(id).bind(end.0).execute(&mut *on).await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    append(on, tenant, act).await?;
    Ok(true)
}

/// Adds to the log; who comes at the same moment waits.
pub(super) async fn append(
    on: &mut Connection,
    tenant: &Tenant,
    act: &Act,
) -> Result<(), StoreError> {
    sqlx::query(dialect::LOCK_LOG).bind(tenant.name()).execute(&mut *on).await?;
    let last: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT seq, hash FROM audit_log WHERE tenant = $1 ORDER BY seq DESC LIMIT 1",
    )
    .bind(tenant.name())
    .fetch_optional(&mut *on)
    .await?;
    let previous = last.as_ref().map(|(_, hash)| hash.clone()).unwrap_or_default();
    let entry = Entry::following(last.map(|(seq, hash)| (seq, hex(&hash))), act);
    sqlx::query(
        "INSERT INTO audit_log (tenant, seq, at, actor, action, target, previous, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant.name())
    .bind(entry.seq)
    .bind(entry.at.0)
    .bind(&entry.actor)
    .bind(&entry.action)
    .bind(&entry.target)
    .bind(previous)
    .bind(entry.hash_bytes())
    .execute(on)
    .await?;
    Ok(())
}

async fn log(
    on: &mut Connection,
    tenant: &Tenant,
    after: i64,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<LogRow> = sqlx::query_as(
        "SELECT seq, at, actor, action, target, previous, hash FROM audit_log \
         WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(tenant.name())
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    let entry = |row: LogRow| Entry {
        seq: row.seq,
        at: Moment(row.at),
        actor: row.actor,
        action: row.action,
        target: row.target,
        previous: hex(&row.previous),
        hash: hex(&row.hash),
    };
    Ok(rows.into_iter().map(entry).collect())
}

#[derive(sqlx::FromRow)]
struct LogRow {
    seq: i64,
    at: i64,
    actor: String,
    action: String,
    target: String,
    previous: Vec<u8>,
    hash: Vec<u8>,
}
