//! Sealing rows anew, a batch at a time. Somebody else may write the same rows: what has changed meanwhile is
//! left to the next round.

use uuid::Uuid;

use super::dialect::{self, Connection};
use super::{memories, sealed, vectors};
use crate::sealing::{DataKey, Place};
use crate::store::owner::Owner;
use crate::store::rows::{MemoryRow, Sealed};
use crate::store::written::{CONTENT, Compared, FINGERPRINT, METADATA, VECTOR, Written};
use crate::store::{Behind, Part, StoreError};

pub(super) async fn batch(
    on: &mut Connection,
    owner: &Owner,
    part: Part,
    behind: Behind,
    size: u32,
) -> Result<(u64, Option<Behind>), StoreError> {
    let Some(key) = sealed::current(on, owner).await? else {
        return Err(StoreError::Fault("there is no key to seal with".into()));
    };
    let what = What { owner, key: &key, behind, size: size.into() };
    let (done, last) = match part {
        Part::Memories => what.memories(on).await?,
        Part::Versions => what.versions(on).await?,
        Part::Vectors => what.vectors(on).await?,
        Part::Requests => what.requests(on).await?,
    };
    Ok((done, last.filter(|_| done == u64::from(size))))
}

struct What<'a> {
    owner: &'a Owner,
    key: &'a DataKey,
    behind: Behind,
    size: i64,
}

type Done = (u64, Option<Behind>);

impl What<'_> {
    fn place<'a>(&'a self, row: &'a [u8], field: &'static str) -> Place<'a> {
        Place { tenant: self.owner, row, field }
    }

    async fn memories(&self, on: &mut Connection) -> Result<Done, StoreError> {
        let rows: Vec<MemoryRow> = sqlx::query_as(dialect::TO_RESEAL)
            .bind(self.owner.name())
            .bind(self.key.version())
            .bind(self.behind.id)
            .bind(self.size)
            .fetch_all(&mut *on)
            .await?;
        let count = rows.len() as u64;
        let mut last = None;
        for row in rows {
            let memory = sealed::memory(on, self.owner, row).await?;
            let written = Written::new(self.owner, &memory, Some(self.key))?;
            // They say what they said, though the database takes the new hashes for new words and drops them.
            let kept = vectors_of(on, self.owner, memory.id).await?;
            memories::write(on, self.owner, &written).await?;
            dialect::reindex(on, self.owner, &written, Compared::Stays).await?;
            if memory.valid_to.is_none() {
                put_back(on, self.owner, memory.id, kept).await?;
            }
            last = Some(Behind { id: memory.id, ..Behind::default() });
        }
        Ok((count, last))
    }

    async fn versions(&self, on: &mut Connection) -> Result<Done, StoreError> {
        let rows: Vec<(Uuid, i64, String, String, i64)> = sqlx::query_as(
            "SELECT memory_id, version, content, metadata, key_version FROM memory_versions \
             WHERE tenant = $1 AND key_version <> $2 AND (memory_id, version) > ($3, $4) \
             ORDER BY memory_id, version LIMIT $5",
        )
        .bind(self.owner.name())
        .bind(self.key.version())
        .bind(self.behind.id)
        .bind(self.behind.number)
        .bind(self.size)
        .fetch_all(&mut *on)
        .await?;
        let count = rows.len() as u64;
        let mut last = None;
        for (id, version, content, metadata, before) in rows {
            let key = sealed::key(on, self.owner, before).await?;
            let sealed = Sealed { tenant: self.owner, id, key: key.as_deref() };
            let content = sealed.opened(CONTENT, content)?;
            let metadata = sealed.opened(METADATA, metadata)?;
            sqlx::query(
                "UPDATE memory_versions SET content = $4, metadata = $5, key_version = $6 \
                 WHERE tenant = $1 AND memory_id = $2 AND version = $3",
            )
            .bind(self.owner.name())
            .bind(id)
            .bind(version)
            .bind(self.key.seal_text(self.place(id.as_bytes(), CONTENT), &content)?)
            .bind(self.key.seal_text(self.place(id.as_bytes(), METADATA), &metadata)?)
            .bind(self.key.version())
            .execute(&mut *on)
            .await?;
            last = Some(Behind { id, number: version, ..Behind::default() });
        }
        Ok((count, last))
    }

    async fn vectors(&self, on: &mut Connection) -> Result<Done, StoreError> {
        let rows: Vec<(Uuid, String, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT memory_id, model, vector, key_version FROM memory_vectors \
             WHERE tenant = $1 AND key_version <> $2 AND (memory_id, model) > ($3, $4) \
             ORDER BY memory_id, model LIMIT $5",
        )
        .bind(self.owner.name())
        .bind(self.key.version())
        .bind(self.behind.id)
        .bind(&self.behind.text)
        .bind(self.size)
        .fetch_all(&mut *on)
        .await?;
        let count = rows.len() as u64;
        let mut last = None;
        for (id, model, vector, before) in rows {
            let row = vectors::row(id, &model);
            let place = self.place(&row, VECTOR);
            let vector = match sealed::key(on, self.owner, before).await? {
                Some(key) => key.open(place, &vector)?,
                None => vector,
            };
            sqlx::query(
                "UPDATE memory_vectors SET vector = $4, key_version = $5 \
                 WHERE tenant = $1 AND memory_id = $2 AND model = $3 AND key_version = $6",
            )
            .bind(self.owner.name())
            .bind(id)
            .bind(&model)
            .bind(self.key.seal(place, &vector)?)
            .bind(self.key.version())
            .bind(before)
            .execute(&mut *on)
            .await?;
            last = Some(Behind { id, text: model, ..Behind::default() });
        }
        Ok((count, last))
    }

    async fn requests(&self, on: &mut Connection) -> Result<Done, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT key, fingerprint, key_version FROM idempotency_keys \
             WHERE tenant = $1 AND key_version <> $2 AND key > $3 ORDER BY key LIMIT $4",
        )
        .bind(self.owner.name())
        .bind(self.key.version())
        .bind(&self.behind.text)
        .bind(self.size)
        .fetch_all(&mut *on)
        .await?;
        let count = rows.len() as u64;
        let mut last = None;
        for (name, print, before) in rows {
            let place = self.place(name.as_bytes(), FINGERPRINT);
            let print = match sealed::key(on, self.owner, before).await? {
                Some(key) => key.open_text(place, &print)?,
                None => print,
            };
            // Of another version, it was taken again meanwhile.
            sqlx::query(
                "UPDATE idempotency_keys SET fingerprint = $3, key_version = $4 \
                 WHERE tenant = $1 AND key = $2 AND key_version = $5",
            )
            .bind(self.owner.name())
            .bind(&name)
            .bind(self.key.seal_text(place, &print)?)
            .bind(self.key.version())
            .bind(before)
            .execute(&mut *on)
            .await?;
            last = Some(Behind { text: name, ..Behind::default() });
        }
        Ok((count, last))
    }
}

/// Model, moment, bytes and key of each vector of a memory, as they are.
type Kept = Vec<(String, i64, Vec<u8>, i64)>;

async fn vectors_of(on: &mut Connection, owner: &Owner, id: Uuid) -> Result<Kept, StoreError> {
    Ok(sqlx::query_as(
        "SELECT model, embedded_at, vector, key_version FROM memory_vectors \
         WHERE tenant = $1 AND memory_id = $2",
    )
    .bind(owner.name())
    .bind(id)
    .fetch_all(on)
    .await?)
}

async fn put_back(
    on: &mut Connection,
    owner: &Owner,
    id: Uuid,
    kept: Kept,
) -> Result<(), StoreError> {
    for (model, embedded_at, vector, key_version) in kept {
        sqlx::query(
            "INSERT INTO memory_vectors (tenant, memory_id, model, embedded_at, vector, key_version) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, memory_id, model) DO NOTHING",
        )
        .bind(owner.name())
        .bind(id)
        .bind(model)
        .bind(embedded_at)
        .bind(vector)
        .bind(key_version)
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}
