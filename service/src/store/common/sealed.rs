//! Keys in the database, and rows that they open.
//!
//! A key is looked up by the version that a row names. Which version new rows get, the transaction that
//! writes them asks, so that no row is written under a key that is being retired.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::Backend;
use super::dialect::Connection;
use crate::memory::{Memory, Moment};
use crate::sealing::{DataKey, Wrapped};
use crate::search::Vocabulary;
use crate::store::StoreError;
use crate::store::owner::Owner;
use crate::store::rows::MemoryRow;
use crate::tenant::Tenant;

/// What opens rows of this version; nothing for those that are not sealed.
pub(super) async fn key(
    on: &mut Connection,
    owner: &Owner,
    version: i64,
) -> Result<Option<Arc<DataKey>>, StoreError> {
    if version == 0 {
        return Ok(None);
    }
    if let Some(known) = owner.keyring.known(owner, version) {
        return Ok(Some(known));
    }
    let row: Option<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT wrapped_by, wrapped FROM data_keys WHERE tenant = $1 AND version = $2",
    )
    .bind(owner.name())
    .bind(version)
    .fetch_optional(on)
    .await?;
    let (by, bytes) = row.ok_or_else(|| {
        StoreError::Fault(format!("key {version} of tenant {} is missing", owner.name()))
    })?;
    Ok(Some(owner.keyring.unwrap(owner, version, &Wrapped { by, bytes }).await?))
}

/// The newest key of a tenant, and with what new ones are to be wrapped, if this database is encrypted.
pub(super) async fn newest(
    on: &mut Connection,
    tenant: &Tenant,
) -> Result<(Option<i64>, Option<String>), StoreError> {
    Ok(sqlx::query_as(
        "SELECT (SELECT max(version) FROM data_keys WHERE tenant = $1), \
         (SELECT wrapped_by FROM sealing)",
    )
    .bind(tenant.name())
    .fetch_one(on)
    .await?)
}

/// What seals new rows; nothing while this database is not encrypted.
pub(super) async fn current(
    on: &mut Connection,
    owner: &Owner,
) -> Result<Option<Arc<DataKey>>, StoreError> {
    match newest(on, owner).await? {
        (Some(version), _) => key(on, owner, version).await,
        (None, None) => Ok(None),
        // It was encrypted a moment ago.
        (None, Some(_)) => Err(StoreError::Keys("this tenant has no key yet".into())),
    }
}

/// The vocabularies in which the tenant's rows are indexed, the newest first.
pub(super) async fn vocabularies(
    on: &mut Connection,
    owner: &Owner,
) -> Result<Vec<Vocabulary>, StoreError> {
    let versions: Vec<(i64,)> =
        sqlx::query_as("SELECT version FROM data_keys WHERE tenant = $1 ORDER BY version DESC")
            .bind(owner.name())
            .fetch_all(&mut *on)
            .await?;
    if versions.is_empty() {
        return Ok(vec![owner.vocabulary(None)]);
    }
    let mut all = Vec::with_capacity(versions.len());
    for (version,) in versions {
        all.push(owner.vocabulary(key(on, owner, version).await?.as_deref()));
    }
    Ok(all)
}

/// A process that was started without a key finds nothing in what was sealed since: it must say so.
pub(super) async fn can_search(on: &mut Connection, owner: &Owner) -> Result<(), StoreError> {
    match newest(on, owner).await? {
        (Some(_), _) if owner.keyring.current().is_none() => {
            Err(StoreError::Keys("this database is encrypted, and no key is given".into()))
        }
        _ => Ok(()),
    }
}

/// A row, opened.
pub(super) async fn memory(
    on: &mut Connection,
    owner: &Owner,
    row: MemoryRow,
) -> Result<Memory, StoreError> {
    let key = key(on, owner, row.key_version()).await?;
    row.memory(owner, key.as_deref())
}

/// Rows, opened.
pub(super) async fn memories(
    on: &mut Connection,
    owner: &Owner,
    rows: Vec<MemoryRow>,
) -> Result<Vec<Memory>, StoreError> {
    let mut keys = BTreeMap::new();
    for version in rows.iter().map(MemoryRow::key_version) {
        if let Entry::Vacant(vacant) = keys.entry(version) {
            vacant.insert(key(on, owner, version).await?);
        }
    }
    let open = |row: MemoryRow| {
        let key = keys.get(&row.key_version()).and_then(|key| key.as_deref());
        row.memory(owner, key)
    };
    rows.into_iter().map(open).collect()
}

/// Adds a key; whether it was the first of this version. What was told before the first key stays readable: as
/// version 0.
pub(super) async fn add_key(
    on: &mut Connection,
    tenant: &Tenant,
    version: i64,
    wrapped: &Wrapped,
    now: Moment,
) -> Result<bool, StoreError> {
    const ADD: &str = "INSERT INTO data_keys (tenant, version, wrapped_by, wrapped, created_at) \
                       VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, version) DO NOTHING";
    let added = sqlx::query(ADD)
        .bind(tenant.name())
        .bind(version)
        .bind(&wrapped.by)
        .bind(&wrapped.bytes)
        .bind(now.0)
        .execute(&mut *on)
        .await?;
    if version == 1 && added.rows_affected() > 0 {
        sqlx::query(
            "INSERT INTO data_keys (tenant, version, wrapped_by, wrapped, created_at) \
             SELECT $1, 0, '', $2, $3 WHERE EXISTS (SELECT 1 FROM memories WHERE tenant = $1) \
             OR EXISTS (SELECT 1 FROM idempotency_keys WHERE tenant = $1)",
        )
        .bind(tenant.name())
        .bind(Vec::<u8>::new())
        .bind(now.0)
        .execute(on)
        .await?;
    }
    Ok(added.rows_affected() > 0)
}

impl Backend {
    /// Whose rows are to be read.
    pub(super) fn owner(&self, tenant: &Tenant) -> Owner {
        Owner::new(tenant, &self.keyring)
    }

    /// Whose rows are to be written. The first key of a tenant is made before the transaction that needs it:
    /// while whoever wraps it is silent, no other tenant waits.
    pub(super) async fn writing_owner(&self, tenant: &Tenant) -> Result<Owner, StoreError> {
        let owner = self.owner(tenant);
        if self.keyring.current().is_none() || self.keyring.knows(tenant) {
            return Ok(owner);
        }
        let of = owner.clone();
        let found = self
            .read_latest(tenant, move |on| {
                Box::pin(async move {
                    let (version, by) = newest(on, &of).await?;
                    if let Some(version) = version {
                        key(on, &of, version).await?;
                    }
                    Ok((version, by))
                })
            })
            .await?;
        if let (None, Some(by)) = found {
            let wrapped = self.keyring.make(tenant, 1, &by).await?;
            let of = tenant.clone();
            self.write(tenant, move |on| {
                Box::pin(async move { add_key(on, &of, 1, &wrapped, Moment::now()).await })
            })
            .await?;
        }
        Ok(owner)
    }
}
