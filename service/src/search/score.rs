//! How well a candidate's words answer a question: BM25.

use super::vocabularies::Translation;
use super::{Query, Statistics};
use crate::store::{Candidate, Wanted};

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Candidates that a search looks at, at most.
pub(super) const MOST: f64 = 1500.0;
/// When the rarest words promise so many, the others are not looked up: whoever has only those is behind whoever
/// has these, and each candidate costs a page of the table. When even the rarest promises more, those are read that
/// have another word as well.
const ENOUGH: f64 = 100.0;
/// The index counts through all that have another word, and that costs this much less for each than reading one.
const COUNTED_FOR_ONE_READ: f64 = 20.0;

/// What of a question is looked up in the index.
pub(super) struct Wanting {
    /// One of these: the rarest words, until they promise enough candidates.
    pub(super) terms: Vec<i32>,
    /// One of these as well, first: the rarest of the others, if even the rarest of all is a common one.
    also: Vec<i32>,
}

impl Wanting {
    /// Of one subject there are fewer than the words promise.
    pub(super) fn new(query: &Query, statistics: &Statistics, of_subject: bool) -> Self {
        let enough = if of_subject { MOST } else { ENOUGH };
        let mut all: Vec<(f64, i32)> =
            query.words.iter().map(|word| (statistics.at_most(word.term), word.term)).collect();
        all.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut promised = 0.0;
        let mut terms = Vec::new();
        for (expected, term) in &all {
            if !terms.is_empty() && promised + expected > enough {
                break;
            }
            promised += expected;
            terms.push(*term);
        }
        let also = if promised > enough && !of_subject {
            together(promised, &all[terms.len()..], statistics)
        } else {
            Vec::new()
        };
        Self { terms, also }
    }

    /// In all vocabularies.
    pub(super) fn translated(&self, translation: &Translation) -> Wanted {
        Wanted { terms: translation.asked(&self.terms), also: translation.asked(&self.also) }
    }
}

/// The rarest of `others`, until as many as are enough promise to have one of them and what promises `promised`.
fn together(promised: f64, others: &[(f64, i32)], statistics: &Statistics) -> Vec<i32> {
    let share = promised / statistics.total().max(1.0);
    let mut counted = 0.0;
    let mut also = Vec::new();
    for (expected, term) in others {
        if counted * share > ENOUGH || counted + expected > promised * COUNTED_FOR_ONE_READ {
            break;
        }
        counted += expected;
        also.push(*term);
    }
    also
}

/// The score of every candidate, in their order; and which words none of them has.
pub(super) fn score(
    query: &Query,
    candidates: &[Candidate],
    statistics: &Statistics,
    looked_up: &[i32],
) -> (Vec<f64>, Vec<i32>) {
    let wanted: Vec<i32> = query.words.iter().map(|word| word.term).collect();
    let counts = counts(&wanted, candidates);
    let mut weights = Vec::with_capacity(wanted.len());
    let mut missing = Vec::new();
    for (number, term) in wanted.iter().enumerate() {
        let of_term = counts.iter().skip(number).step_by(wanted.len());
        let found = of_term.filter(|count| **count > 0).count() as f64;
        // Of a word that was looked up, all are here, unless there were too many.
        let with = if looked_up.contains(term) {
            found.max(if found < MOST { 0.0 } else { statistics.at_most(*term) })
        } else {
            statistics.documents_with(*term).unwrap_or(found).max(found)
        };
        if found == 0.0 && looked_up.contains(term) {
            missing.push(*term);
        }
        let total = statistics.total().max(candidates.len() as f64).max(with);
        weights.push((1.0 + (total - with + 0.5) / (with + 0.5)).ln());
    }
    let scores = candidates
        .iter()
        .zip(counts.chunks(wanted.len().max(1)))
        .map(|(candidate, counts)| {
            let length = candidate.terms.len() as f64 / statistics.average_length();
            weights.iter().zip(counts).fold(0.0, |sum, (weight, count)| {
                let times = f64::from(*count);
                sum + weight * times * (K1 + 1.0) / (times + K1 * (1.0 - B + B * length))
            })
        })
        .collect();
    (scores, missing)
}

/// How often each candidate has each of the words: a row a candidate, one after the other.
fn counts(wanted: &[i32], candidates: &[Candidate]) -> Vec<u32> {
    let mut counts = vec![0; wanted.len() * candidates.len()];
    for (row, candidate) in counts.chunks_mut(wanted.len().max(1)).zip(candidates) {
        for term in &candidate.terms {
            if let Some(number) = wanted.iter().position(|word| word == term) {
                row[number] += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Sample, Vocabulary};
    use crate::tenant::Tenant;

    fn wanting(documents: [usize; 3], of_subject: bool) -> (usize, usize) {
        let query = Query::new("amber birch cedar", &Vocabulary::new(&Tenant::default()));
        let texts = query.words.iter().zip(documents);
        let documents = texts.flat_map(|(word, times)| vec![vec![word.term]; times]).collect();
        let statistics = Statistics::new(&Sample { total: 0, documents });
        let wanting = Wanting::new(&query, &statistics, of_subject);
        (wanting.terms.len(), wanting.also.len())
    }

    #[test]
    fn the_rarest_words_are_looked_up_until_they_promise_enough() {
        assert_eq!(wanting([20, 30, 40], false), (3, 0));
        assert_eq!(wanting([20, 400, 80], false), (2, 0));
        assert_eq!(wanting([90, 400, 100], false), (1, 0));
    }

    #[test]
    fn a_common_word_is_looked_up_with_another_one() {
        assert_eq!(wanting([350, 400, 500], false), (1, 1), "that will do");
        assert_eq!(wanting([160, 200, 2900], false), (1, 2));
        assert_eq!(wanting([160, 200, 3100], false), (1, 1), "the last is too common to help");
        assert_eq!(wanting([160, 3300, 3400], false), (1, 0));
        assert_eq!(wanting([350, 400, 500], true), (3, 0), "of one subject there are fewer");
    }
}
