//! What the words of a question find: full text by BM25, and what stands beside a good answer.

use std::collections::HashMap;

use uuid::Uuid;

use super::score::{MOST, Wanting, score};
use super::vocabularies::Translation;
use super::{Query, Statistics, Vocabularies};
use crate::store::{Candidate, Filter, Look, StoreError};

/// Answers of the full-text ranking that go on to the others.
pub(super) const SHORTLIST: usize = 100;
/// Of a score, to what stands beside it: an answer often follows its question.
const NEIGHBOUR_SHARE: f64 = 0.4;
/// Of the answers, those whose neighbours are looked at: as many as are wanted, within these.
const WITH_NEIGHBOURS: std::ops::RangeInclusive<usize> = 10..=30;
/// When so many have the rarest word and another one, nothing with the rarest alone is among the best.
const PLENTY: usize = 30;

/// What the words of a question find.
pub(super) struct ByWords {
    /// Best first, what stands beside a good answer among them.
    pub(super) scored: Vec<(f64, Uuid)>,
    pub(super) facts: Vec<Candidate>,
    /// Terms that nothing has.
    pub(super) missing: Vec<i32>,
}

/// A question, and what it is understood with.
pub(super) struct Asked<'a> {
    pub(super) query: &'a Query,
    pub(super) vocabularies: &'a Vocabularies,
    pub(super) translation: &'a Translation,
    pub(super) statistics: &'a Statistics,
    pub(super) filter: &'a Filter,
    /// How many answers are wanted.
    pub(super) limit: usize,
}

/// BM25 over those that have the rarest words, and what stands beside the best of them.
pub(super) async fn by_words(
    look: &mut dyn Look,
    asked: &Asked<'_>,
) -> Result<ByWords, StoreError> {
    let wanting = Wanting::new(asked.query, asked.statistics, asked.filter.subject.is_some());
    let candidates = candidates(look, asked, &wanting).await?;
    let (scores, missing) = score(asked.query, &candidates, asked.statistics, &wanting.terms);
    let mut found: Vec<(f64, Candidate)> = scores.into_iter().zip(candidates).collect();
    best_first(&mut found);
    found.truncate(SHORTLIST);
    let mut scored: Vec<(f64, Uuid)> =
        found.iter().map(|(score, candidate)| (*score, candidate.id)).collect();
    let best = asked.limit.clamp(*WITH_NEIGHBOURS.start(), *WITH_NEIGHBOURS.end());
    share_with_neighbours(look, &mut scored, best).await?;
    let facts = found.into_iter().map(|(_, candidate)| candidate).collect();
    Ok(ByWords { scored, facts, missing })
}

async fn candidates(
    look: &mut dyn Look,
    asked: &Asked<'_>,
    wanting: &Wanting,
) -> Result<Vec<Candidate>, StoreError> {
    if wanting.terms.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = wanting.translated(asked.translation);
    let mut found = look.with_terms(asked.filter, wanted.clone(), MOST as u32).await?;
    if !wanted.also.is_empty() && found.len() < PLENTY {
        wanted.also.clear();
        found = look.with_terms(asked.filter, wanted, MOST as u32).await?;
    }
    asked.translation.understand(&mut found);
    Ok(found)
}

/// Best first; of equals the newer.
pub(super) fn best_first(scored: &mut [(f64, Candidate)]) {
    scored.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(b.id.cmp(&a.id)));
}

/// Gives what stands beside one of the `best` answers a share of its score.
async fn share_with_neighbours(
    look: &mut dyn Look,
    by_words: &mut Vec<(f64, Uuid)>,
    best: usize,
) -> Result<(), StoreError> {
    let best: HashMap<Uuid, f64> =
        by_words.iter().take(best).map(|(score, id)| (*id, *score)).collect();
    if best.is_empty() {
        return Ok(());
    }
    let pairs = look.around(best.keys().copied().collect()).await?;
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
