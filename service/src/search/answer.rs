//! One search: from a question to the memories that answer it.
//!
//! Full text by BM25, trigrams for words that nothing has as they are written, what stands beside a
//! good answer, recency and importance; fused by rank.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::fuse::{Ranking, fuse};
use super::period::timed;
use super::score::{BUDGET, looked_up, score};
use super::text::{likeness, words};
use super::{Query, Statistics, Vocabulary, timely};
use crate::memory::{Memory, Moment, Tier};
use crate::store::{Candidate, Filter, Repository, StoreError};
use crate::tenant::Tenant;

/// Answers of the full-text ranking that go on to the others.
const SHORTLIST: usize = 100;
/// Answers whose neighbours are looked at.
const WITH_NEIGHBOURS: usize = 30;
/// Of a score, to what stands beside it: an answer often follows its question.
const NEIGHBOUR_SHARE: f64 = 0.4;
/// Two words that share less are not the same word misspelt.
const ALIKE: f64 = 0.5;
/// Memories that may have a word misspelt: each of them is read.
const SPELT: u32 = 120;
const SAMPLE: u32 = 2000;
const SAMPLE_LIFE: Duration = Duration::from_secs(60);
const SMALL_SAMPLE_LIFE: Duration = Duration::from_secs(1);
const MOST_TENANTS: usize = 256;

const WORDS: f64 = 1.0;
const SPELLING: f64 = 0.5;
/// Enough to lift what has the words and the time above what has better words alone; not so much that
/// the time alone would do.
const TIME: f64 = 0.5;
const RECENCY: f64 = 0.05;
const IMPORTANCE: f64 = 0.05;

/// What somebody wants to find.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The question.
    pub text: String,
    /// Only about this subject.
    pub subject: Option<String>,
    /// Only in this tier.
    pub tier: Option<Tier>,
    /// At most so many.
    pub limit: usize,
    /// The present.
    pub now: Moment,
}

/// How a memory was found; ranks count from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Why {
    /// Its place by the words of the question.
    pub words: Option<usize>,
    /// Its place by words that are spelt like those of the question.
    pub spelling: Option<usize>,
    /// Its place among those of the time that the question names ("last week", "in May 2023").
    pub time: Option<usize>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The memory.
    pub memory: Memory,
    /// Comparable within one answer only.
    pub score: f64,
    /// How it was found.
    pub why: Why,
}

/// Why a search failed.
pub type SearchError = StoreError;

/// Searches, and remembers how common words are.
#[derive(Default)]
pub struct Searcher {
    statistics: Mutex<HashMap<Tenant, (Instant, Arc<Statistics>)>>,
}

impl Searcher {
    /// The best answers, best first.
    pub async fn search(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        wish: &Wish,
    ) -> Result<Vec<Hit>, SearchError> {
        let vocabulary = Vocabulary::new(tenant);
        let timed = timed(&wish.text, wish.now);
        let query = match &timed {
            Some(timed) => Query::telling(&timed.rest, &vocabulary),
            None => Query::new(&wish.text, &vocabulary),
        };
        if query.words.is_empty() && timed.is_none() {
            return Ok(Vec::new());
        }
        let statistics = self.statistics(repository, tenant).await?;
        let filter = Filter { subject: wish.subject.clone(), tier: wish.tier, now: wish.now };
        let terms = looked_up(&query, &statistics);
        let candidates = if terms.is_empty() {
            Vec::new()
        } else {
            repository.with_terms(tenant, filter.clone(), terms.clone(), BUDGET as u32).await?
        };
        let (scores, missing) = score(&query, &candidates, &statistics, &terms);
        let mut scored: Vec<(f64, Candidate)> = scores.into_iter().zip(candidates).collect();
        sort(&mut scored);
        scored.truncate(SHORTLIST);
        let mut by_words: Vec<(f64, Uuid)> =
            scored.iter().map(|(score, candidate)| (*score, candidate.id)).collect();
        share_with_neighbours(repository, tenant, &mut by_words).await?;

        let mut facts: Vec<Candidate> =
            scored.into_iter().map(|(_, candidate)| candidate).collect();
        let by_spelling = if missing.is_empty() {
            Vec::new()
        } else {
            let misspelt: Vec<&str> = query
                .words
                .iter()
                .filter(|word| missing.contains(&word.term))
                .map(|word| word.text.as_str())
                .collect();
            let found = spelt_alike(repository, tenant, &vocabulary, &filter, &misspelt).await?;
            for (_, candidate) in &found {
                if !facts.iter().any(|known| known.id == candidate.id) {
                    facts.push(candidate.clone());
                }
            }
            found.into_iter().map(|(_, candidate)| candidate.id).collect()
        };
        let by_words: Vec<Uuid> = by_words.into_iter().map(|(_, id)| id).collect();
        let by_time = match &timed {
            Some(timed) => {
                let at = timely::At { period: timed.period, filter: &filter };
                timely::ranked(repository, tenant, at, &by_words, &mut facts).await?
            }
            None => Vec::new(),
        };
        let fused = fuse(&rankings(&by_words, &by_spelling, &by_time, facts));
        // Some may be gone meanwhile, or be neighbours that the filter keeps out.
        let wanted: Vec<Uuid> =
            fused.iter().take(wish.limit + wish.limit / 2 + 4).map(|(id, _)| *id).collect();
        let mut memories: HashMap<Uuid, Memory> = repository
            .by_ids(tenant, wanted, wish.now)
            .await?
            .into_iter()
            .filter(|memory| wish.tier.is_none_or(|tier| tier == memory.tier))
            .map(|memory| (memory.id, memory))
            .collect();
        let place =
            |ids: &[Uuid], id: Uuid| ids.iter().position(|other| *other == id).map(|n| n + 1);
        Ok(fused
            .into_iter()
            .filter_map(|(id, score)| {
                let why = Why {
                    words: place(&by_words, id),
                    spelling: place(&by_spelling, id),
                    time: place(&by_time, id),
                };
                memories.remove(&id).map(|memory| Hit { memory, score, why })
            })
            .take(wish.limit)
            .collect())
    }

    pub(super) async fn statistics(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
    ) -> Result<Arc<Statistics>, StoreError> {
        let known = {
            let all = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(tenant).cloned()
        };
        if let Some((made, statistics)) = known {
            // A few memories are soon twice as many.
            let few = statistics.total() < f64::from(SAMPLE);
            if made.elapsed() < if few { SMALL_SAMPLE_LIFE } else { SAMPLE_LIFE } {
                return Ok(statistics);
            }
        }
        let sample = repository.sample(tenant, SAMPLE).await?;
        let statistics = Arc::new(Statistics::new(&sample));
        let mut all = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_TENANTS
            && let Some(oldest) =
                all.iter().min_by_key(|(_, (made, _))| *made).map(|(tenant, _)| tenant.clone())
        {
            all.remove(&oldest);
        }
        all.insert(tenant.clone(), (Instant::now(), statistics.clone()));
        Ok(statistics)
    }
}

/// Best first; of equals the newer.
fn sort(scored: &mut [(f64, Candidate)]) {
    scored.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(b.id.cmp(&a.id)));
}

/// Gives what stands beside a good answer a share of its score.
async fn share_with_neighbours(
    repository: &dyn Repository,
    tenant: &Tenant,
    by_words: &mut Vec<(f64, Uuid)>,
) -> Result<(), StoreError> {
    let best: HashMap<Uuid, f64> =
        by_words.iter().take(WITH_NEIGHBOURS).map(|(score, id)| (*id, *score)).collect();
    if best.is_empty() {
        return Ok(());
    }
    let pairs = repository.around(tenant, best.keys().copied().collect()).await?;
    let mut shares: HashMap<Uuid, f64> = HashMap::new();
    for (id, other) in pairs {
        let share = NEIGHBOUR_SHARE * best.get(&id).copied().unwrap_or(0.0);
        let most = shares.entry(other).or_default();
        *most = most.max(share);
    }
    for (score, id) in by_words.iter_mut() {
        *score += shares.remove(id).unwrap_or(0.0);
    }
    by_words.extend(shares.into_iter().map(|(id, share)| (share, id)));
    by_words.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(b.cmp(a)));
    Ok(())
}

/// Memories with words that are spelt like `misspelt`.
async fn spelt_alike(
    repository: &dyn Repository,
    tenant: &Tenant,
    vocabulary: &Vocabulary,
    filter: &Filter,
    misspelt: &[&str],
) -> Result<Vec<(f64, Candidate)>, StoreError> {
    let mut pairs: Vec<[i32; 2]> = Vec::new();
    for word in misspelt {
        // One mistake leaves most pairs of grams three apart whole, at least one of them.
        let grams = vocabulary.grams(word);
        for (first, second) in grams.iter().zip(grams.iter().skip(2)) {
            pairs.push([*first, *second]);
        }
        for (first, second) in grams.iter().zip(grams.iter().skip(1)) {
            pairs.push([*first, *second]);
        }
    }
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    pairs.truncate(48);
    let candidates = repository.with_grams(tenant, filter.clone(), pairs, SPELT).await?;
    let ids = candidates.iter().map(|candidate| candidate.id).collect();
    let texts: HashMap<Uuid, String> = repository
        .by_ids(tenant, ids, filter.now)
        .await?
        .into_iter()
        .map(|memory| (memory.id, memory.content))
        .collect();
    let mut alike: Vec<(f64, Candidate)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let there: Vec<String> = words(texts.get(&candidate.id)?).collect();
            let total: f64 = misspelt
                .iter()
                .map(|word| there.iter().map(|other| likeness(word, other)).fold(0.0, f64::max))
                .filter(|best| *best >= ALIKE)
                .sum();
            (total > 0.0).then_some((total, candidate))
        })
        .collect();
    sort(&mut alike);
    alike.truncate(SHORTLIST);
    Ok(alike)
}

fn rankings(
    by_words: &[Uuid],
    by_spelling: &[Uuid],
    by_time: &[Uuid],
    mut facts: Vec<Candidate>,
) -> Vec<Ranking> {
    let ids = |facts: &[Candidate]| facts.iter().map(|candidate| candidate.id).collect();
    facts.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then(b.id.cmp(&a.id)));
    let by_recency = ids(&facts);
    facts.sort_by(|a, b| b.importance.total_cmp(&a.importance).then(b.id.cmp(&a.id)));
    let by_importance = ids(&facts);
    vec![
        Ranking { weight: WORDS, ids: by_words.to_vec() },
        Ranking { weight: SPELLING, ids: by_spelling.to_vec() },
        Ranking { weight: TIME, ids: by_time.to_vec() },
        Ranking { weight: RECENCY, ids: by_recency },
        Ranking { weight: IMPORTANCE, ids: by_importance },
    ]
}
