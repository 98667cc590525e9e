//! How well a candidate's words answer a question: BM25.

use std::collections::HashMap;

use super::{Query, Statistics};
use crate::store::Candidate;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Candidates that a search looks at: more cost time and change few answers.
pub(super) const BUDGET: f64 = 1500.0;

/// The words that are looked up in the index: the rarest, until they promise enough candidates.
pub(super) fn looked_up(query: &Query, statistics: &Statistics) -> Vec<i32> {
    let mut terms: Vec<(f64, i32)> =
        query.words.iter().map(|word| (statistics.at_most(word.term), word.term)).collect();
    terms.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut promised = 0.0;
    let mut chosen = Vec::new();
    for (expected, term) in terms {
        if !chosen.is_empty() && promised + expected > BUDGET {
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
    let counts: Vec<HashMap<i32, u32>> = candidates
        .iter()
        .map(|candidate| {
            let mut counts = HashMap::new();
            for term in &candidate.terms {
                if query.words.iter().any(|word| word.term == *term) {
                    *counts.entry(*term).or_default() += 1;
                }
            }
            counts
        })
        .collect();
    let mut weights = Vec::new();
    let mut missing = Vec::new();
    for word in &query.words {
        let found = counts.iter().filter(|counts| counts.contains_key(&word.term)).count() as f64;
        // Of a word that was looked up, all are here, unless there were too many.
        let with = if looked_up.contains(&word.term) {
            found.max(if found < BUDGET { 0.0 } else { statistics.at_most(word.term) })
        } else {
            statistics.documents_with(word.term).unwrap_or(found).max(found)
        };
        if found == 0.0 && looked_up.contains(&word.term) {
            missing.push(word.term);
        }
        let total = statistics.total().max(candidates.len() as f64).max(with);
        weights.push((word.term, (1.0 + (total - with + 0.5) / (with + 0.5)).ln()));
    }
    let scores = candidates
        .iter()
        .zip(&counts)
        .map(|(candidate, counts)| {
            let length = candidate.terms.len() as f64 / statistics.average_length();
            weights.iter().fold(0.0, |sum, (term, weight)| {
                let times = f64::from(counts.get(term).copied().unwrap_or(0));
                sum + weight * times * (K1 + 1.0) / (times + K1 * (1.0 - B + B * length))
            })
        })
        .collect();
    (scores, missing)
}
