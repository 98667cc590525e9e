//! One search: from a question to the memories that answer it.
//!
//! Full text by BM25, what stands beside a good answer, meaning where there are embeddings, importance and
//! recency between what is about as good; fused by rank with trigrams for words that nothing has as they
//! are written, and with the time that is named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::fuse::fuse;
use super::period::timed;
use super::prefer::prefer;
use super::score::{BUDGET, looked_up, score};
use super::spelling::spelt_alike;
use super::{Meaning, Query, Statistics, Vocabularies, timely};
use crate::memory::{Memory, Moment, Tier};
use crate::store::{Candidate, Filter, Repository, StoreError};
use crate::tenant::Tenant;

/// Answers of the full-text ranking that go on to the others.
const SHORTLIST: usize = 100;
/// Answers whose neighbours are looked at.
const WITH_NEIGHBOURS: usize = 30;
/// Of a score, to what stands beside it: an answer often follows its question.
const NEIGHBOUR_SHARE: f64 = 0.4;
const SAMPLE: u32 = 2000;
const SAMPLE_LIFE: Duration = Duration::from_secs(60);
const SMALL_SAMPLE_LIFE: Duration = Duration::from_secs(1);
const MOST_TENANTS: usize = 256;

const WORDS: f64 = 1.0;
const SPELLING: f64 = 0.5;
/// Enough to lift what has the words and the time above what has better words alone; not so much that
/// the time alone would do.
const TIME: f64 = 0.5;

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
    /// Its place by the words of the question; with embeddings, by words and meaning together.
    pub words: Option<usize>,
    /// Its place by what the question means, where embeddings are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<usize>,
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

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Whether meaning was to help and could not: these are the answers by words.
    pub degraded: bool,
}

/// Searches, and remembers how common words are.
#[derive(Default)]
pub struct Searcher {
    statistics: Mutex<HashMap<Tenant, Counted>>,
    meaning: Option<Meaning>,
}

#[derive(Clone)]
struct Counted {
    made: Instant,
    /// Of the vocabulary that was the current one then: another one has other hashes.
    version: i64,
    statistics: Arc<Statistics>,
}

/// What the words of a question find.
struct ByWords {
    /// Best first, what stands beside a good answer among them.
    scored: Vec<(f64, Uuid)>,
    facts: Vec<Candidate>,
    /// Terms that nothing has.
    missing: Vec<i32>,
}

impl Searcher {
    /// Searches by words, and by meaning with `meaning`.
    pub fn new(meaning: Option<Meaning>) -> Self {
        Self { statistics: Mutex::default(), meaning }
    }

    /// What helps by meaning, if anything does.
    pub fn meaning(&self) -> Option<&Meaning> {
        self.meaning.as_ref()
    }

    /// The best answers, best first.
    pub async fn search(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        wish: &Wish,
    ) -> Result<Found, SearchError> {
        let vocabularies = Vocabularies::of(repository, tenant).await?;
        let vocabulary = vocabularies.current();
        let timed = timed(&wish.text, wish.now);
        let query = match &timed {
            Some(timed) => Query::telling(&timed.rest, vocabulary),
            None => Query::new(&wish.text, vocabulary),
        };
        if query.words.is_empty() && timed.is_none() && self.meaning.is_none() {
            return Ok(Found::default());
        }
        let filter = Filter { subject: wish.subject.clone(), tier: wish.tier, now: wish.now };
        let asked = async {
            match &self.meaning {
                Some(meaning) => Some(meaning.ask(tenant, &wish.text).await),
                None => None,
            }
        };
        let (by_words, asked) = tokio::join!(
            self.by_words(repository, tenant, (&query, &vocabularies), &filter),
            asked
        );
        let ByWords { mut scored, mut facts, missing } = by_words?;
        let degraded = matches!(asked, Some(None));
        let by_meaning = match asked.flatten() {
            Some(asked) => asked.help(repository, tenant, &filter, &mut scored, &mut facts).await?,
            None => Vec::new(),
        };
        prefer(&mut scored, &facts, wish.now);
        let by_spelling = if missing.is_empty() {
            Vec::new()
        } else {
            let misspelt: Vec<&str> = query
                .words
                .iter()
                .filter(|word| missing.contains(&word.term))
                .map(|word| word.text.as_str())
                .collect();
            let mut found =
                spelt_alike(repository, tenant, &vocabularies, &filter, &misspelt).await?;
            found.truncate(SHORTLIST);
            for (_, candidate) in &found {
                if !facts.iter().any(|known| known.id == candidate.id) {
                    facts.push(candidate.clone());
                }
            }
            found.into_iter().map(|(_, candidate)| candidate.id).collect()
        };
        let by_words: Vec<Uuid> = scored.into_iter().map(|(_, id)| id).collect();
        let by_time = match &timed {
            Some(timed) => {
                let at = timely::At { period: timed.period, filter: &filter };
                timely::ranked(repository, tenant, at, &by_words, &mut facts).await?
            }
            None => Vec::new(),
        };
        let fused = fuse([(WORDS, &by_words), (SPELLING, &by_spelling), (TIME, &by_time)]);
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
        let hits = fused
            .into_iter()
            .filter_map(|(id, score)| {
                let why = Why {
                    words: place(&by_words, id),
                    meaning: place(&by_meaning, id),
                    spelling: place(&by_spelling, id),
                    time: place(&by_time, id),
                };
                memories.remove(&id).map(|memory| Hit { memory, score, why })
            })
            .take(wish.limit)
            .collect();
        Ok(Found { hits, degraded })
    }

    /// BM25 over those that have the rarest words, and what stands beside the best of them.
    async fn by_words(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        (query, vocabularies): (&Query, &Vocabularies),
        filter: &Filter,
    ) -> Result<ByWords, StoreError> {
        let translation = vocabularies.translation(query);
        let version = vocabularies.current().version();
        let statistics = self.statistics(repository, tenant, version).await?;
        let statistics = statistics.translated(&translation);
        let terms = looked_up(query, &statistics);
        let mut candidates = if terms.is_empty() {
            Vec::new()
        } else {
            let asked = translation.asked(&terms);
            repository.with_terms(tenant, filter.clone(), asked, BUDGET as u32).await?
        };
        translation.understand(&mut candidates);
        let (scores, missing) = score(query, &candidates, &statistics, &terms);
        let mut found: Vec<(f64, Candidate)> = scores.into_iter().zip(candidates).collect();
        best_first(&mut found);
        found.truncate(SHORTLIST);
        let mut scored: Vec<(f64, Uuid)> =
            found.iter().map(|(score, candidate)| (*score, candidate.id)).collect();
        share_with_neighbours(repository, tenant, &mut scored).await?;
        let facts = found.into_iter().map(|(_, candidate)| candidate).collect();
        Ok(ByWords { scored, facts, missing })
    }

    pub(super) async fn statistics(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        version: i64,
    ) -> Result<Arc<Statistics>, StoreError> {
        let known = {
            let all = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(tenant).cloned()
        };
        if let Some(Counted { made, statistics, .. }) =
            known.filter(|known| known.version == version)
        {
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
                all.iter().min_by_key(|(_, known)| known.made).map(|(tenant, _)| tenant.clone())
        {
            all.remove(&oldest);
        }
        let counted = Counted { made: Instant::now(), version, statistics: statistics.clone() };
        all.insert(tenant.clone(), counted);
        Ok(statistics)
    }
}

/// Best first; of equals the newer.
pub(super) fn best_first(scored: &mut [(f64, Candidate)]) {
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
