//! Searching: the part of it that needs nothing special of a database.

use uuid::Uuid;

use super::dialect::{self, Connection};
use super::tiers;
use crate::memory::{Memory, Moment};
use crate::search::Sample;
use crate::store::StoreError;
use crate::store::rows::MemoryRow;
use crate::tenant::Tenant;

/// Half of the sample is the newest, half begins at a random id: UUIDs of version 7 begin with a
/// time, so that this is a random day of the past.
pub(super) async fn sample(
    on: &mut Connection,
    tenant: &Tenant,
    size: u32,
) -> Result<Sample, StoreError> {
    let total = tiers::counts(on, tenant).await?.iter().sum();
    let ends: Option<(Uuid,)> =
        sqlx::query_as("SELECT id FROM memories WHERE tenant = $1 ORDER BY id LIMIT 1")
            .bind(tenant.name())
            .fetch_optional(&mut *on)
            .await?;
    let Some((first,)) = ends else { return Ok(Sample::default()) };
    let newest = Uuid::now_v7();
    let (low, high) = (first.as_u128() >> 80, newest.as_u128() >> 80);
    let spread = newest.as_u128() as u32 as f64 / f64::from(u32::MAX);
    let from = low + ((high.saturating_sub(low)) as f64 * spread) as u128;
    let mut documents = dialect::terms_before(on, tenant, Uuid::max(), size / 2).await?;
    documents
        .extend(dialect::terms_before(on, tenant, Uuid::from_u128(from << 80), size / 2).await?);
    Ok(Sample { total, documents })
}

pub(super) async fn by_ids(
    on: &mut Connection,
    tenant: &Tenant,
    ids: Vec<Uuid>,
    now: Moment,
) -> Result<Vec<Memory>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // One statement, however many: a statement an id would be a round trip each.
    let rows: Vec<MemoryRow> = sqlx::query_as(dialect::BY_IDS)
        .bind(tenant.name())
        .bind(now.0)
        .bind(dialect::all_of(ids))
        .fetch_all(on)
        .await?;
    rows.into_iter().map(MemoryRow::memory).collect()
}
