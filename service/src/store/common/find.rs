//! Searching: the part of it that needs nothing special of a database.

use uuid::Uuid;

use super::dialect::{self, Connection};
use super::{sealed, tiers};
use crate::memory::{Memory, Moment};
use crate::search::Sample;
use crate::store::owner::Owner;
use crate::store::rows::MemoryRow;
use crate::store::{Candidate, Filter, StoreError};
use crate::tenant::Tenant;

/// Half of the sample is the newest, half begins at a random id: UUIDs of version 7 begin with a
/// time, so that this is a random day of the past.
pub(super) async fn sample(
    on: &mut Connection,
    tenant: &Owner,
    size: u32,
) -> Result<Sample, StoreError> {
    sealed::can_search(on, tenant).await?;
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
    if documents.len() < size as usize / 2 {
        // That were all.
        return Ok(Sample { total, documents });
    }
    documents
        .extend(dialect::terms_before(on, tenant, Uuid::from_u128(from << 80), size / 2).await?);
    Ok(Sample { total, documents })
}

/// What ranking needs to know, without the terms.
#[derive(sqlx::FromRow)]
pub(super) struct HappenedRow {
    id: Uuid,
    subject: Option<String>,
    importance: f64,
    occurred_at: i64,
    strength_at: i64,
}

impl From<HappenedRow> for Candidate {
    fn from(row: HappenedRow) -> Self {
        Self {
            id: row.id,
            terms: Vec::new(),
            subject: row.subject,
            importance: row.importance,
            occurred_at: Moment(row.occurred_at),
            seen_at: Moment(row.strength_at),
        }
    }
}

/// The WHERE for each of the filters, so that the index on time is the one that is used.
macro_rules! during {
    ($filter:literal) => {
        concat!(
            "SELECT id, subject, importance, occurred_at, strength_at FROM memories \
             WHERE tenant = $1 AND occurred_at >= $2 AND occurred_at < $3 AND valid_to IS NULL \
             AND (expires_at IS NULL OR expires_at > $4) ",
            $filter,
            " ORDER BY occurred_at DESC LIMIT $5"
        )
    };
}

pub(super) async fn during(
    on: &mut Connection,
    tenant: &Tenant,
    filter: &Filter,
    from: Moment,
    to: Moment,
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let sql = match (&filter.subject, filter.tier) {
        (None, None) => during!(""),
        (Some(_), None) => during!("AND subject = $6"),
        (None, Some(_)) => during!("AND tier = $6"),
        (Some(_), Some(_)) => during!("AND subject = $6 AND tier = $7"),
    };
    let mut query = sqlx::query_as(sql)
        .bind(tenant.name())
        .bind(from.0)
        .bind(to.0)
        .bind(filter.now.0)
        .bind(i64::from(most));
    if let Some(subject) = &filter.subject {
        query = query.bind(subject);
    }
    if let Some(tier) = filter.tier {
        query = query.bind(tier.name());
    }
    let rows: Vec<HappenedRow> = query.fetch_all(on).await?;
    Ok(rows.into_iter().map(Candidate::from).collect())
}

pub(super) async fn by_ids(
    on: &mut Connection,
    tenant: &Owner,
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
        .fetch_all(&mut *on)
        .await?;
    sealed::memories(on, tenant, rows).await
}
