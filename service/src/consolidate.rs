//! Consolidation: what has earned it goes up a tier, and of several long-term memories that say the
//! same, one stays current. Nothing is overwritten: the others are superseded, and stay readable.
//!
//! Knows the repository's ports and no database. What it did is written at once, so that a worker
//! that dies leaves nothing half done: the next one goes on.

use uuid::Uuid;

use crate::config::Capacity;
use crate::memory::{Change, Memory, Moment, Tier};
use crate::search::{Searcher, alike};
use crate::store::{Access, Changed, Edit, Promotable, Repository, StoreError};
use crate::tenant::Tenant;

const BATCH: u32 = 50;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consolidated {
    /// Memories that went up a tier.
    pub promoted: i64,
    /// Memories that another one says as well or better.
    pub superseded: i64,
}

/// Moves what has earned it up, of one tenant or of all.
pub async fn promote(
    repository: &dyn Repository,
    of: Option<&Tenant>,
    capacity: Capacity,
    now: Moment,
) -> Result<i64, StoreError> {
    let mut promoted = 0;
    let mut after: Option<Promotable> = None;
    loop {
        let some = repository.promotable(of, after.as_ref(), now, BATCH).await?;
        for one in &some {
            let tier = match one.tier {
                Tier::Working => Tier::ShortTerm,
                Tier::ShortTerm | Tier::LongTerm => Tier::LongTerm,
            };
            let edit = Edit {
                id: one.id,
                version: None,
                change: Change::default(),
                tier: Some(tier),
                cause: "promoted",
                now,
                capacity,
            };
            // Gone or full: the next run sees.
            if let Changed::Done { .. } = repository.edit(&one.tenant, edit).await? {
                promoted += 1;
            }
        }
        match some.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(promoted),
        }
    }
}

/// Compares a batch of long-term memories with the others: how many it looked at and how many of
/// them, or of the others, were superseded.
pub async fn compare(
    repository: &dyn Repository,
    searcher: &Searcher,
    of: Option<&Tenant>,
    capacity: Capacity,
    now: Moment,
) -> Result<(usize, i64), StoreError> {
    let batch = repository.to_compare(of, BATCH).await?;
    let mut superseded = 0;
    for (tenant, memory) in &batch {
        superseded += settle(repository, searcher, tenant, memory, (capacity, now)).await?;
        repository.compared(tenant, memory.id, memory.version, now).await?;
    }
    Ok((batch.len(), superseded))
}

/// Ends all that says the same as `memory`, or `memory` itself: how many ended. To end one only would leave the
/// others for good, since what was compared is not compared again.
async fn settle(
    repository: &dyn Repository,
    searcher: &Searcher,
    tenant: &Tenant,
    memory: &Memory,
    (capacity, now): (Capacity, Moment),
) -> Result<i64, StoreError> {
    let mut memory = memory.clone();
    let mut ended = 0;
    while let Some(twin) = repository.same_words(tenant, &memory).await? {
        match end_one(repository, tenant, &mut memory, &twin, (capacity, now)).await? {
            End::Twin => ended += 1,
            End::Memory => return Ok(ended + 1),
            End::Neither => return Ok(ended),
        }
    }
    for twin in says_the_same(repository, searcher, tenant, &memory, now).await? {
        match end_one(repository, tenant, &mut memory, &twin, (capacity, now)).await? {
            End::Twin => ended += 1,
            End::Memory => return Ok(ended + 1),
            End::Neither => {}
        }
    }
    Ok(ended)
}

async fn says_the_same(
    repository: &dyn Repository,
    searcher: &Searcher,
    tenant: &Tenant,
    memory: &Memory,
    now: Moment,
) -> Result<Vec<Memory>, StoreError> {
    let likely = searcher.like(repository, tenant, memory, now).await?;
    Ok(likely.into_iter().filter(|other| alike(&memory.content, &other.content)).collect())
}

/// Which of two was superseded.
enum End {
    Memory,
    Twin,
    /// Another worker or a client was there before.
    Neither,
}

/// The longer text stays: it has at least as much in it. Of equals the older one stays, whose id
/// others know. What stays takes over what made the other one important.
async fn end_one(
    repository: &dyn Repository,
    tenant: &Tenant,
    memory: &mut Memory,
    twin: &Memory,
    (capacity, now): (Capacity, Moment),
) -> Result<End, StoreError> {
    let rank = |one: &Memory| (one.content.split_whitespace().count(), std::cmp::Reverse(one.id));
    let twin_goes = rank(memory) >= rank(twin);
    let (stays, goes) = if twin_goes { (&*memory, twin) } else { (twin, &*memory) };
    if !repository.supersede(tenant, goes.id, stays.id, now).await? {
        return Ok(End::Neither);
    }
    let stays_id = stays.id;
    let importance = goes.importance.max(stays.importance);
    let pinned = goes.pinned || stays.pinned;
    if importance != stays.importance || pinned != stays.pinned {
        let change =
            Change { importance: Some(importance), pinned: Some(pinned), ..Change::default() };
        let edit = Edit {
            id: stays_id,
            version: None,
            change,
            tier: None,
            cause: "merged",
            now,
            capacity,
        };
        let changed = repository.edit(tenant, edit).await?;
        if let (true, Changed::Done { memory: new, .. }) = (twin_goes, changed) {
            *memory = *new;
        }
    }
    // To be told again is to be remembered.
    let told: [(Uuid, i64); 1] = [(stays_id, 1)];
    let accesses = told.map(|(id, times)| Access { id, times, at: now });
    repository.touch(tenant, accesses.to_vec()).await?;
    Ok(if twin_goes { End::Twin } else { End::Memory })
}

/// All that there is to do for one tenant.
pub async fn consolidate(
    repository: &dyn Repository,
    searcher: &Searcher,
    of: &Tenant,
    capacity: Capacity,
    now: Moment,
) -> Result<Consolidated, StoreError> {
    let mut done = Consolidated {
        promoted: promote(repository, Some(of), capacity, now).await?,
        superseded: 0,
    };
    loop {
        let (looked_at, superseded) =
            compare(repository, searcher, Some(of), capacity, now).await?;
        done.superseded += superseded;
        if looked_at == 0 {
            return Ok(done);
        }
    }
}
