//! How well a candidate's words answer a question: BM25.

use super::{Query, Statistics};
use crate::store::Candidate;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Candidates that a search looks at, at most.
pub(super) const MOST: f64 = 1500.0;
/// When the rarest words promise so many, the others are not looked up: whoever has only those is behind whoever
/// has these, and each candidate costs a page of the table.
const ENOUGH: f64 = 150.0;

/// The words that are looked up in the index: the rarest, until they promise enough candidates. Of one
/// subject there are fewer than the words promise.
pub(super) fn looked_up(query: &Query, statistics: &Statistics, of_subject: bool) -> Vec<i32> {
    let enough = if of_subject { MOST } else { ENOUGH };
    let mut terms: Vec<(f64, i32)> =
        query.words.iter().map(|word| (statistics.at_most(word.term), word.term)).collect();
    terms.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut promised = 0.0;
    let mut chosen = Vec::new();
    for (expected, term) in terms {
        if !chosen.is_empty() && promised + expected > enough {
            break;
        }
        promised += expected;
        chosen.push(term);
    }
    chosen
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
