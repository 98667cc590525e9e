//! Tiers in the database: who leaves a full one, what an access changes, how many there are.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::dialect::{self, Connection};
use super::memories::page;
use super::sealed;
use crate::config::Capacity;
use crate::memory::{Activation, Memory, Moment, Tier};
use crate::store::owner::Owner;
use crate::store::rows::{PresentRow, columns};
use crate::store::{Access, Evicted, Page, Present, StoreError};
use crate::tenant::Tenant;

/// Whether long-term memory takes `more`.
pub(super) async fn has_room(
    on: &mut Connection,
    tenant: &Tenant,
    more: usize,
    capacity: &Capacity,
) -> Result<bool, StoreError> {
    let there = counts(on, tenant).await?[Tier::LongTerm as usize];
    let more = i64::try_from(more).unwrap_or(i64::MAX);
    Ok(there.saturating_add(more) <= i64::from(capacity.long_term))
}

/// Makes room: the expired leave first, then who has not earned to stay, by worth; never the new.
pub(super) async fn evict(
    on: &mut Connection,
    tenant: &Tenant,
    new: &[Memory],
    capacity: &Capacity,
    now: Moment,
) -> Result<Vec<Evicted>, StoreError> {
    // In a fixed order, so that two writers do not wait for each other.
    let mut full: BTreeMap<(Tier, Option<&str>), u32> = BTreeMap::new();
    for memory in new {
        if let Some(most) = capacity.of(memory.tier) {
            full.insert((memory.tier, memory.subject.as_deref()), most);
        }
    }
    let mut evicted: Vec<Evicted> = Vec::new();
    for ((tier, subject), most) in full {
        let count = evict_from(on, tenant, tier, subject, most, new, now).await?;
        match evicted.iter_mut().find(|one| one.tier == tier) {
            Some(one) => one.count += count,
            None if count > 0 => evicted.push(Evicted { tier, count }),
            None => {}
        }
    }
    Ok(evicted)
}

/// Of one tier and subject. `tier <> 'long_term'` is there for the index that says so.
macro_rules! of_tier {
    ($what:literal, $subject:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM memories WHERE tenant = $1 AND tier = $2 AND tier <> 'long_term' \
              AND valid_to IS NULL AND ",
            $subject
        )
    };
}

#[derive(sqlx::FromRow)]
struct Seat {
    id: Uuid,
    importance: f64,
    pinned: bool,
    strength: f64,
    strength_at: i64,
    access_count: i64,
    expires_at: Option<i64>,
}

async fn evict_from(
    on: &mut Connection,
    tenant: &Tenant,
    tier: Tier,
    subject: Option<&str>,
    most: u32,
    new: &[Memory],
    now: Moment,
) -> Result<u64, StoreError> {
    let count = match subject {
        Some(_) => of_tier!("count(*)", "subject = $3"),
        None => of_tier!("count(*)", "subject IS NULL"),
    };
    let mut query = sqlx::query_as(count).bind(tenant.name()).bind(tier.name());
    if let Some(subject) = subject {
        query = query.bind(subject);
    }
    let (there,): (i64,) = query.fetch_one(&mut *on).await?;
    let too_many = usize::try_from(there - i64::from(most)).unwrap_or(0);
    if too_many == 0 {
        return Ok(0);
    }
    let seats = match subject {
        Some(_) => of_tier!(
            "id, importance, pinned, strength, strength_at, access_count, expires_at",
            "subject = $3"
        ),
        None => of_tier!(
            "id, importance, pinned, strength, strength_at, access_count, expires_at",
            "subject IS NULL"
        ),
    };
    let mut query = sqlx::query_as(seats).bind(tenant.name()).bind(tier.name());
    if let Some(subject) = subject {
        query = query.bind(subject);
    }
    let seats: Vec<Seat> = query.fetch_all(&mut *on).await?;
    let mut order: Vec<(bool, bool, f64, Uuid)> = seats
        .into_iter()
        .filter(|seat| !new.iter().any(|memory| memory.id == seat.id))
        .map(|seat| {
            let activation = Activation {
                tier,
                importance: seat.importance,
                strength: seat.strength,
                strength_at: Moment(seat.strength_at),
                access_count: seat.access_count,
            };
            let live = seat.expires_at.is_none_or(|end| end > now.0);
            (live, activation.is_worth_keeping(seat.pinned), activation.worth(now), seat.id)
        })
        .collect();
    order.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)).then(a.3.cmp(&b.3)));
    let mut gone = 0;
    for (_, _, _, id) in order.into_iter().take(too_many) {
        let done = sqlx::query("DELETE FROM memories WHERE tenant = $1 AND id = $2")
            .bind(tenant.name())
            .bind(id)
            .execute(&mut *on)
            .await?;
        gone += done.rows_affected();
    }
    Ok(gone)
}

pub(super) async fn present(
    on: &mut Connection,
    tenant: &Owner,
    page: &Page,
) -> Result<Vec<Present>, StoreError> {
    macro_rules! all {
        () => {
            concat!(columns!(), ", strength, strength_at, access_count")
        };
    }
    let sql = match &page.subject {
        None => page!(all!(), "AND tier = $5"),
        Some(_) => page!(all!(), "AND tier = $5 AND subject = $6"),
    };
    let mut query = sqlx::query_as(sql)
        .bind(tenant.name())
        .bind(page.before.unwrap_or(Uuid::max()))
        .bind(page.now.0)
        .bind(i64::from(page.limit))
        .bind(page.tier.unwrap_or(Tier::Working).name());
    if let Some(subject) = &page.subject {
        query = query.bind(subject);
    }
    let rows: Vec<PresentRow> = query.fetch_all(&mut *on).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let key = sealed::key(on, tenant, row.memory.key_version()).await?;
        all.push(row.present(tenant, key.as_deref())?);
    }
    Ok(all)
}

pub(super) async fn counts(
    on: &mut Connection,
    tenant: &Tenant,
) -> Result<[i64; Tier::ALL.len()], StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT tier, CAST(sum(items) AS BIGINT) FROM tier_counts WHERE tenant = $1 GROUP BY tier",
    )
    .bind(tenant.name())
    .fetch_all(on)
    .await?;
    Ok(by_tier(rows))
}

/// In the order of `Tier::ALL`.
pub(super) fn by_tier(rows: Vec<(String, i64)>) -> [i64; Tier::ALL.len()] {
    let mut counts = [0; Tier::ALL.len()];
    for (name, items) in rows {
        if let Some(tier) = Tier::from_name(&name) {
            counts[tier as usize] = items;
        }
    }
    counts
}

#[derive(sqlx::FromRow)]
struct Touched {
    tier: String,
    importance: f64,
    strength: f64,
    strength_at: i64,
    access_count: i64,
}

/// Counts accesses. In the order of the ids, so that two processes do not wait for each other.
pub(super) async fn touch(
    on: &mut Connection,
    tenant: &Tenant,
    accesses: &[Access],
) -> Result<(), StoreError> {
    let mut accesses = accesses.to_vec();
    accesses.sort_by_key(|access| access.id);
    for access in accesses {
        let row: Option<Touched> = sqlx::query_as(dialect::TOUCHED)
            .bind(tenant.name())
            .bind(access.id)
            .fetch_optional(&mut *on)
            .await?;
        let Some(row) = row else { continue };
        let tier = crate::store::rows::tier(&row.tier, access.id)?;
        let before = Activation {
            tier,
            importance: row.importance,
            strength: row.strength,
            strength_at: Moment(row.strength_at),
            access_count: row.access_count,
        };
        let after = before.accessed(access.times, access.at);
        let slides = tier.time_to_live().filter(|_| tier.slides());
        let update = match slides {
            Some(_) => {
                "UPDATE memories SET strength = $3, strength_at = $4, access_count = $5, \
                 expires_at = $6 WHERE tenant = $1 AND id = $2"
            }
            None => {
                "UPDATE memories SET strength = $3, strength_at = $4, access_count = $5 \
                 WHERE tenant = $1 AND id = $2"
            }
        };
        let mut query = sqlx::query(update)
            .bind(tenant.name())
            .bind(access.id)
            .bind(after.strength)
            .bind(after.strength_at.0)
            .bind(after.access_count);
        if let Some(life) = slides {
            query = query.bind(after.strength_at.plus(life).0);
        }
        query.execute(&mut *on).await?;
    }
    Ok(())
}
