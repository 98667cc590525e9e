//! Vectors in the database: components as floats of four bytes, little end first.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::Backend;
use super::dialect::{self, Connection};
use super::find::HappenedRow;
use super::sealed;
use crate::memory::{Memory, Moment};
use crate::sealing::Place;
use crate::store::owner::Owner;
use crate::store::rows::{MemoryRow, columns};
use crate::store::written::VECTOR;
use crate::store::{Candidate, Filter, NewVector, StoreError, StoredVector, Vectors};
use crate::tenant::Tenant;

#[async_trait]
impl Vectors for Backend {
    async fn without_vectors(&self, model: &str) -> Result<Vec<(Tenant, i64)>, StoreError> {
        let model = model.to_owned();
        self.write_all(move |on| Box::pin(async move { without(on, &model).await })).await
    }

    async fn to_embed(
        &self,
        tenant: &Tenant,
        model: &str,
        before: Option<Uuid>,
        batch: u32,
    ) -> Result<Vec<Memory>, StoreError> {
        let (of, model) = (self.owner(tenant), model.to_owned());
        self.read_latest(tenant, move |on| {
            Box::pin(async move { to_embed(on, &of, &model, before, batch).await })
        })
        .await
    }

    async fn save_vectors(
        &self,
        tenant: &Tenant,
        model: &str,
        vectors: Vec<NewVector>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let (of, model) = (self.writing_owner(tenant).await?, model.to_owned());
        self.write(tenant, move |on| {
            Box::pin(async move { save(on, &of, &model, vectors, now).await })
        })
        .await
    }

    async fn remove_other_vectors(&self, model: &str, batch: u32) -> Result<u64, StoreError> {
        let model = model.to_owned();
        self.write_all(move |on| Box::pin(async move { remove_others(on, &model, batch).await }))
            .await
    }

    async fn vectors(
        &self,
        tenant: &Tenant,
        model: &str,
        from: (Moment, Option<Uuid>),
        most: u32,
    ) -> Result<Vec<StoredVector>, StoreError> {
        let asked = Arc::new((self.owner(tenant), model.to_owned()));
        self.read(tenant, move |on| {
            let asked = asked.clone();
            Box::pin(async move { vectors(on, &asked.0, &asked.1, from, most).await })
        })
        .await
    }
}

/// Compares counts: reads an index of the vectors, and of the memories nothing.
async fn without(on: &mut Connection, model: &str) -> Result<Vec<(Tenant, i64)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT counted.tenant, CAST(counted.items - coalesce(embedded.items, 0) AS BIGINT) \
         FROM (SELECT tenant, sum(items) AS items FROM tier_counts GROUP BY tenant) counted \
         LEFT JOIN (SELECT tenant, count(*) AS items FROM memory_vectors WHERE model = $1 \
                    GROUP BY tenant) embedded ON embedded.tenant = counted.tenant \
         WHERE counted.items > coalesce(embedded.items, 0) ORDER BY counted.tenant",
    )
    .bind(model)
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|(name, items)| {
            let tenant = Tenant::new(&name)
                .ok_or_else(|| StoreError::Fault("a count has an invalid tenant".into()))?;
            Ok((tenant, items))
        })
        .collect()
}

async fn to_embed(
    on: &mut Connection,
    tenant: &Owner,
    model: &str,
    before: Option<Uuid>,
    batch: u32,
) -> Result<Vec<Memory>, StoreError> {
    let rows: Vec<MemoryRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM memories WHERE tenant = $1 AND id < $3 AND valid_to IS NULL AND NOT EXISTS \
         (SELECT 1 FROM memory_vectors v WHERE v.tenant = $1 AND v.memory_id = id AND v.model = $2) \
         ORDER BY id DESC LIMIT $4"
    ))
    .bind(tenant.name())
    .bind(model)
    .bind(before.unwrap_or(Uuid::max()))
    .bind(i64::from(batch))
    .fetch_all(&mut *on)
    .await?;
    sealed::memories(on, tenant, rows).await
}

async fn save(
    on: &mut Connection,
    tenant: &Owner,
    model: &str,
    vectors: Vec<NewVector>,
    now: Moment,
) -> Result<(), StoreError> {
    let key = sealed::current(on, tenant).await?;
    for vector in vectors {
        let bytes = packed(&vector.components);
        let bytes = match &key {
            Some(key) => {
                let row = row(vector.memory, model);
                key.seal(Place { tenant, row: &row, field: VECTOR }, &bytes)?
            }
            None => bytes,
        };
        sqlx::query(
            "INSERT INTO memory_vectors (tenant, memory_id, model, embedded_at, vector, key_version) \
             SELECT tenant, id, $4, $5, $6, $7 FROM memories \
             WHERE tenant = $1 AND id = $2 AND version = $3 AND valid_to IS NULL \
             ON CONFLICT (tenant, memory_id, model) DO NOTHING",
        )
        .bind(tenant.name())
        .bind(vector.memory)
        .bind(vector.version)
        .bind(model)
        .bind(now.0)
        .bind(bytes)
        .bind(key.as_ref().map_or(0, |key| key.version()))
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

async fn remove_others(on: &mut Connection, model: &str, batch: u32) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM memory_vectors WHERE (tenant, memory_id, model) IN \
         (SELECT tenant, memory_id, model FROM memory_vectors WHERE model <> $1 LIMIT $2)",
    )
    .bind(model)
    .bind(i64::from(batch))
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

#[derive(sqlx::FromRow)]
struct VectorRow {
    memory_id: Uuid,
    subject: Option<String>,
    embedded_at: i64,
    vector: Vec<u8>,
    key_version: i64,
}

async fn vectors(
    on: &mut Connection,
    tenant: &Owner,
    model: &str,
    from: (Moment, Option<Uuid>),
    most: u32,
) -> Result<Vec<StoredVector>, StoreError> {
    let rows: Vec<VectorRow> = sqlx::query_as(
        "SELECT v.memory_id, m.subject, v.embedded_at, v.vector, v.key_version FROM memory_vectors v \
         JOIN memories m ON m.tenant = v.tenant AND m.id = v.memory_id \
         WHERE v.tenant = $1 AND v.model = $2 AND (v.embedded_at, v.memory_id) > ($3, $4) \
         ORDER BY v.embedded_at, v.memory_id LIMIT $5",
    )
    .bind(tenant.name())
    .bind(model)
    .bind(from.0.0)
    .bind(from.1.unwrap_or_default())
    .bind(i64::from(most))
    .fetch_all(&mut *on)
    .await?;
    let mut vectors = Vec::with_capacity(rows.len());
    for VectorRow { memory_id: memory, subject, embedded_at, vector: bytes, key_version } in rows {
        let bytes = match sealed::key(on, tenant, key_version).await? {
            Some(key) => {
                let row = row(memory, model);
                key.open(Place { tenant, row: &row, field: VECTOR }, &bytes)?
            }
            None => bytes,
        };
        let components = unpacked(&bytes);
        vectors.push(StoredVector {
            memory,
            subject,
            embedded_at: Moment(embedded_at),
            components,
        });
    }
    Ok(vectors)
}

/// A memory has a vector of each model.
pub(super) fn row(memory: Uuid, model: &str) -> Vec<u8> {
    [memory.as_bytes(), model.as_bytes()].concat()
}

pub(super) async fn facts(
    on: &mut Connection,
    tenant: &Tenant,
    filter: &Filter,
    ids: Vec<Uuid>,
) -> Result<Vec<Candidate>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<HappenedRow> = sqlx::query_as(dialect::FACTS)
        .bind(tenant.name())
        .bind(filter.now.0)
        .bind(dialect::all_of(ids))
        .bind(&filter.subject)
        .bind(filter.tier.map(|tier| tier.name()))
        .fetch_all(on)
        .await?;
    Ok(rows.into_iter().map(Candidate::from).collect())
}

fn packed(components: &[f32]) -> Vec<u8> {
    components.iter().flat_map(|component| component.to_le_bytes()).collect()
}

fn unpacked(bytes: &[u8]) -> Vec<f32> {
    let (whole, _) = bytes.as_chunks::<4>();
    whole.iter().map(|four| f32::from_le_bytes(*four)).collect()
}
