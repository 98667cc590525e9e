//! `/v1/memory/{tier}` and `/v1/stats`: what is in the tiers and how present it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admit::Caller;
use super::input::{self, Asked};
use super::{Problem, Shared};
use crate::memory::{Memory, Moment, Tier, check_subject};
use crate::store::Page;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TierQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only about this subject.
    #[schemars(length(min = 1, max = 256))]
    subject: Option<String>,
    /// Memories of a page.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// A memory and how present it is at this moment.
#[derive(Serialize, JsonSchema)]
pub(super) struct Present {
    memory: Memory,
    /// 0 to 1: fades, and grows with each access.
    strength: f64,
    /// The higher, the longer it stays in a full tier.
    worth: f64,
    /// Accesses since it was added.
    access_count: i64,
    /// Whether the next consolidation moves it up.
    promoted_next: bool,
}

/// A page of a tier, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct TierPage {
    items: Vec<Present>,
    /// To be given back as `cursor`; null on the last page.
    next_cursor: Option<String>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(tier): Path<String>,
    Asked(query): Asked<TierQuery>,
) -> Result<Json<TierPage>, Problem> {
    let tier = Tier::ALL
        .into_iter()
        .find(|one| one.name().replace('_', "-") == tier)
        .ok_or_else(Problem::no_such_tier)?;
    if let Some(subject) = &query.subject {
        check_subject(subject).map_err(|why| Problem::invalid(&why))?;
    }
    let limit = input::limit(query.limit, 50, 1000)?;
    let now = Moment::now();
    let page = Page {
        before: input::cursor(query.cursor.as_deref())?,
        tier: Some(tier),
        subject: query.subject,
        limit: limit + 1,
        now,
    };
    let mut found = shared.repository()?.tier(&caller.tenant, page).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| last.memory.id.to_string());
    let items = found
        .into_iter()
        .map(|one| Present {
            strength: one.activation.strength(now),
            worth: one.activation.worth(now),
            access_count: one.activation.access_count,
            promoted_next: tier != Tier::LongTerm
                && one.activation.is_worth_keeping(one.memory.pinned),
            memory: one.memory,
        })
        .collect();
    Ok(Json(TierPage { items, next_cursor }))
}

/// Memories of a tier, and how many it takes.
#[derive(Serialize, JsonSchema)]
pub(super) struct TierUse {
    tier: Tier,
    /// Memories of this tenant that are current; what has expired counts until it is removed.
    items: i64,
    /// Of a subject in working and short-term memory, of the tenant in long-term memory.
    capacity: u32,
}

/// How much is remembered.
#[derive(Serialize, JsonSchema)]
pub(super) struct Stats {
    tiers: Vec<TierUse>,
    /// All of them.
    items: i64,
    /// Tokens of the language model that were used on this day (UTC).
    llm_tokens_today: u64,
    /// How many a day has; null for no limit.
    llm_tokens_per_day: Option<u64>,
}

pub(super) async fn stats(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
) -> Result<Json<Stats>, Problem> {
    let repository = shared.repository()?;
    let counts = repository.counts(&caller.tenant).await?;
    let llm_tokens_today =
        shared.budget.spent(&**repository, &caller.tenant, Moment::now()).await?;
    let capacity = shared.capacity;
    let tiers = Tier::ALL
        .into_iter()
        .map(|tier| TierUse {
            tier,
            items: counts[tier as usize],
            capacity: capacity.of(tier).unwrap_or(capacity.long_term),
        })
        .collect();
    Ok(Json(Stats {
        tiers,
        items: counts.iter().sum(),
        llm_tokens_today,
        llm_tokens_per_day: shared.budget.per_day,
    }))
}
