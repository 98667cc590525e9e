//! Re-keying in the database: which step runs in which kind of transaction.
//!
//! A new key is added when no write is under way, and every write asks for the newest key: after that, no row of
//! an older key comes into being, but for what an edit leaves in the history (see `Part::ALL`).

use std::sync::Arc;

use async_trait::async_trait;

use super::dialect::Connection;
use super::{Backend, reseal, sealed};
use crate::memory::Moment;
use crate::schema::SCHEMA_MAX;
use crate::sealing::Wrapped;
use crate::store::{Behind, Lock, Part, Rekeying, StoreError};
use crate::tenant::Tenant;

/// The first schema whose binaries can open what is sealed.
const SEALED_SINCE: i64 = 11;
const _: () = assert!(SEALED_SINCE <= SCHEMA_MAX);

#[async_trait]
impl Rekeying for Backend {
    async fn lock(&self) -> Result<Option<Lock>, StoreError> {
        self.read_all(|on| Box::pin(lock(on))).await
    }

    async fn seal_from_now_on(&self) -> Result<(), StoreError> {
        let proof = self.keyring.proof().await?;
        self.write_alone(move |on| Box::pin(async move { seal(on, &proof, None).await })).await
    }

    async fn begin_rekeying(&self, now: Moment) -> Result<Moment, StoreError> {
        let proof = self.keyring.proof().await?;
        self.write_alone(move |on| {
            Box::pin(async move {
                seal(on, &proof, Some(now)).await?;
                let (since,): (i64,) =
                    sqlx::query_as("SELECT rekeying FROM sealing").fetch_one(on).await?;
                Ok(Moment(since))
            })
        })
        .await
    }

    async fn owners(&self) -> Result<Vec<Tenant>, StoreError> {
        self.read_all(|on| Box::pin(owners(on))).await
    }

    async fn renew_key(&self, tenant: &Tenant, since: Moment) -> Result<i64, StoreError> {
        let of = tenant.clone();
        let newest =
            self.read_all(move |on| Box::pin(async move { newest_of(on, &of).await })).await?;
        if let Some((version, created_at)) = newest
            && created_at >= since.0
        {
            return Ok(version);
        }
        let version = newest.map_or(1, |(version, _)| version + 1);
        let by = self.keyring.current().unwrap_or_default().to_owned();
        let wrapped = self.keyring.make(tenant, version, &by).await?;
        let of = tenant.clone();
        self.write_alone(move |on| {
            Box::pin(
                async move { sealed::add_key(on, &of, version, &wrapped, Moment::now()).await },
            )
        })
        .await?;
        Ok(version)
    }

    async fn rewrap_keys(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        let of = tenant.clone();
        let all =
            self.read_all(move |on| Box::pin(async move { wrapped_keys(on, &of).await })).await?;
        let count = all.len() as u64;
        let mut again = Vec::with_capacity(all.len());
        for (version, wrapped) in all {
            again.push((version, self.keyring.rewrap(tenant, version, &wrapped).await?));
        }
        let of = tenant.clone();
        self.write_all(move |on| Box::pin(async move { rewrap(on, &of, &again).await })).await?;
        Ok(count)
    }

    async fn reseal(
        &self,
        tenant: &Tenant,
        part: Part,
        behind: Behind,
        batch: u32,
    ) -> Result<(u64, Option<Behind>), StoreError> {
        let owner = Arc::new(self.owner(tenant));
        self.write_all(move |on| {
            Box::pin(async move { reseal::batch(on, &owner, part, behind, batch).await })
        })
        .await
    }

    async fn retire_keys(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        let of = tenant.clone();
        self.write_all(move |on| Box::pin(async move { retire(on, &of).await })).await
    }

    async fn end_rekeying(&self) -> Result<(), StoreError> {
        self.write_all(|on| {
            Box::pin(async move {
                sqlx::query("UPDATE sealing SET rekeying = NULL").execute(on).await?;
                Ok(())
            })
        })
        .await?;
        self.scrub().await
    }
}

async fn lock(on: &mut Connection) -> Result<Option<Lock>, StoreError> {
    let row: Option<(String, Vec<u8>)> =
        sqlx::query_as("SELECT wrapped_by, proof FROM sealing").fetch_optional(&mut *on).await?;
    let Some((by, bytes)) = row else { return Ok(None) };
    let all: Vec<(String,)> =
        sqlx::query_as("SELECT DISTINCT wrapped_by FROM data_keys WHERE version > 0")
            .fetch_all(on)
            .await?;
    let wrapped_by = all.into_iter().map(|(by,)| by).collect();
    Ok(Some(Lock { proof: Wrapped { by, bytes }, wrapped_by }))
}

async fn seal(
    on: &mut Connection,
    proof: &Wrapped,
    rekeying: Option<Moment>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sealing AS old (only_row, wrapped_by, proof, rekeying) VALUES (1, $1, $2, $3) \
         ON CONFLICT (only_row) DO UPDATE SET wrapped_by = excluded.wrapped_by, \
         proof = excluded.proof, rekeying = coalesce(old.rekeying, excluded.rekeying)",
    )
    .bind(&proof.by)
    .bind(&proof.bytes)
    .bind(rekeying.map(|moment| moment.0))
    .execute(&mut *on)
    .await?;
    sqlx::query("UPDATE schema_state SET compatible_from = $1 WHERE compatible_from < $1")
        .bind(SEALED_SINCE)
        .execute(on)
        .await?;
    Ok(())
}

async fn owners(on: &mut Connection) -> Result<Vec<Tenant>, StoreError> {
    let names: Vec<(String,)> = sqlx::query_as(
        "SELECT tenant FROM tier_counts UNION SELECT tenant FROM idempotency_keys \
         UNION SELECT tenant FROM data_keys ORDER BY 1",
    )
    .fetch_all(on)
    .await?;
    names
        .into_iter()
        .map(|(name,)| {
            Tenant::new(&name)
                .ok_or_else(|| StoreError::Fault("a row has an invalid tenant".into()))
        })
        .collect()
}

async fn newest_of(on: &mut Connection, tenant: &Tenant) -> Result<Option<(i64, i64)>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT version, created_at FROM data_keys WHERE tenant = $1 AND version > 0 \
         ORDER BY version DESC LIMIT 1",
    )
    .bind(tenant.name())
    .fetch_optional(on)
    .await?)
}

async fn wrapped_keys(
    on: &mut Connection,
    tenant: &Tenant,
) -> Result<Vec<(i64, Wrapped)>, StoreError> {
    let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
        "SELECT version, wrapped_by, wrapped FROM data_keys WHERE tenant = $1 AND version > 0",
    )
    .bind(tenant.name())
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(|(version, by, bytes)| (version, Wrapped { by, bytes })).collect())
}

async fn rewrap(
    on: &mut Connection,
    tenant: &Tenant,
    keys: &[(i64, Wrapped)],
) -> Result<(), StoreError> {
    for (version, wrapped) in keys {
        sqlx::query(
            "UPDATE data_keys SET wrapped_by = $3, wrapped = $4 WHERE tenant = $1 AND version = $2",
        )
        .bind(tenant.name())
        .bind(version)
        .bind(&wrapped.by)
        .bind(&wrapped.bytes)
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// Looks in the order of `Part::ALL`, a statement each, so that nothing slips from a part that was not looked at
/// yet into one that was.
async fn retire(on: &mut Connection, tenant: &Tenant) -> Result<bool, StoreError> {
    const LEFT: [&str; 4] = [
        "SELECT DISTINCT key_version FROM memories WHERE tenant = $1",
        "SELECT DISTINCT key_version FROM memory_versions WHERE tenant = $1",
        "SELECT DISTINCT key_version FROM memory_vectors WHERE tenant = $1",
        "SELECT DISTINCT key_version FROM idempotency_keys WHERE tenant = $1",
    ];
    let newest = newest_of(on, tenant).await?.map_or(0, |(version, _)| version);
    let mut needed = Vec::new();
    for sql in LEFT {
        let some: Vec<(i64,)> = sqlx::query_as(sql).bind(tenant.name()).fetch_all(&mut *on).await?;
        needed.extend(some.into_iter().map(|(version,)| version));
    }
    let all: Vec<(i64,)> = sqlx::query_as("SELECT version FROM data_keys WHERE tenant = $1")
        .bind(tenant.name())
        .fetch_all(&mut *on)
        .await?;
    for (version,) in all.iter().filter(|(version,)| *version < newest) {
        if !needed.contains(version) {
            sqlx::query("DELETE FROM data_keys WHERE tenant = $1 AND version = $2")
                .bind(tenant.name())
                .bind(version)
                .execute(&mut *on)
                .await?;
        }
    }
    Ok(needed.iter().all(|version| *version == newest))
}
