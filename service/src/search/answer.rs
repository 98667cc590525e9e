//! One search: from a question to the memories that answer it.
//!
//! Full text by BM25, what stands beside a good answer, meaning where there are embeddings, importance and
//! recency between what is about as good; fused by rank with trigrams for words that nothing has as they
//! are written, and with the time that is named.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::counts::Counts;
use super::fuse::fuse;
use super::meaning::Asked as Meant;
use super::period::timed;
use super::prefer::prefer;
use super::spelling::spelt_alike;
use super::wording::{Asked, ByWords, SHORTLIST, by_words};
use super::{Meaning, Query, Vocabularies, timely};
use crate::memory::{Memory, Moment, Tier};
use crate::store::{Candidate, Filter, Look, Repository, StoreError};
use crate::tenant::Tenant;

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
    pub(super) counts: Counts,
    meaning: Option<Meaning>,
}

impl Searcher {
    /// Searches by words, and by meaning with `meaning`.
    pub fn new(meaning: Option<Meaning>) -> Self {
        Self { counts: Counts::default(), meaning }
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
        let mut look = repository.look(tenant);
        let look = &mut *look;
        let vocabularies = Vocabularies::of(look, tenant).await?;
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
        let statistics = self.counts.of(look, tenant, vocabulary.version()).await?;
        let translation = vocabularies.translation(&query);
        let statistics = statistics.translated(&translation);
        let asked = Asked {
            query: &query,
            vocabularies: &vocabularies,
            translation: &translation,
            statistics: &statistics,
            filter: &filter,
            limit: wish.limit,
        };
        let (by_words, meant) =
            tokio::join!(self.by_words(look, &asked), self.ask_for_meaning(tenant, wish));
        let ByWords { mut scored, mut facts, missing } = by_words?;
        let degraded = matches!(meant, Some(None));
        let by_meaning = match meant.flatten() {
            Some(meant) => meant.help(look, &filter, &mut scored, &mut facts).await?,
            None => Vec::new(),
        };
        prefer(&mut scored, &facts, wish.now);
        let by_spelling = by_spelling(look, &asked, &missing, &mut facts).await?;
        let by_words: Vec<Uuid> = scored.into_iter().map(|(_, id)| id).collect();
        let by_time = match &timed {
            Some(timed) => {
                let at = timely::At { period: timed.period, filter: &filter };
                timely::ranked(look, at, &by_words, &mut facts).await?
            }
            None => Vec::new(),
        };
        let fused = fuse([(WORDS, &by_words), (SPELLING, &by_spelling), (TIME, &by_time)]);
        let rankings = Rankings { by_words, by_meaning, by_spelling, by_time };
        Ok(Found { hits: hits(look, wish, fused, &rankings).await?, degraded })
    }

    async fn by_words(
        &self,
        look: &mut dyn Look,
        asked: &Asked<'_>,
    ) -> Result<ByWords, StoreError> {
        let found = by_words(look, asked).await;
        if self.meaning.is_some() {
            // The model may take longer.
            look.rest();
        }
        found
    }

    /// What the question means, if it can be had; nothing where there are no embeddings.
    async fn ask_for_meaning(&self, tenant: &Tenant, wish: &Wish) -> Option<Option<Meant>> {
        match &self.meaning {
            Some(meaning) => Some(meaning.ask(tenant, &wish.text).await),
            None => None,
        }
    }
}

/// Each best first.
struct Rankings {
    by_words: Vec<Uuid>,
    by_meaning: Vec<Uuid>,
    by_spelling: Vec<Uuid>,
    by_time: Vec<Uuid>,
}

impl Rankings {
    fn why(&self, id: Uuid) -> Why {
        let place = |ids: &[Uuid]| ids.iter().position(|other| *other == id).map(|place| place + 1);
        Why {
            words: place(&self.by_words),
            meaning: place(&self.by_meaning),
            spelling: place(&self.by_spelling),
            time: place(&self.by_time),
        }
    }
}

/// What is spelt like the words that nothing has; `facts` get what was not known yet.
async fn by_spelling(
    look: &mut dyn Look,
    asked: &Asked<'_>,
    missing: &[i32],
    facts: &mut Vec<Candidate>,
) -> Result<Vec<Uuid>, StoreError> {
    let of_missing = asked.query.words.iter().filter(|word| missing.contains(&word.term));
    let misspelt: Vec<&str> = of_missing.map(|word| word.text.as_str()).collect();
    if misspelt.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = spelt_alike(look, asked.vocabularies, asked.filter, &misspelt).await?;
    found.truncate(SHORTLIST);
    for (_, candidate) in &found {
        if !facts.iter().any(|known| known.id == candidate.id) {
            facts.push(candidate.clone());
        }
    }
    Ok(found.into_iter().map(|(_, candidate)| candidate.id).collect())
}

/// The memories of the best places.
async fn hits(
    look: &mut dyn Look,
    wish: &Wish,
    fused: Vec<(Uuid, f64)>,
    rankings: &Rankings,
) -> Result<Vec<Hit>, StoreError> {
    // Some may be gone meanwhile, or be neighbours of another tier than the wanted one.
    let spare = 4 + if wish.tier.is_some() { wish.limit / 2 } else { 0 };
    let wanted: Vec<Uuid> = fused.iter().take(wish.limit + spare).map(|(id, _)| *id).collect();
    let mut memories: HashMap<Uuid, Memory> = look
        .by_ids(wanted, wish.now)
        .await?
        .into_iter()
        .filter(|memory| wish.tier.is_none_or(|tier| tier == memory.tier))
        .map(|memory| (memory.id, memory))
        .collect();
    Ok(fused
        .into_iter()
        .filter_map(|(id, score)| {
            memories.remove(&id).map(|memory| Hit { memory, score, why: rankings.why(id) })
        })
        .take(wish.limit)
        .collect())
}
