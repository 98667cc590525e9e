//! Between answers that are about equally good: what is important, and what was seen lately.
//!
//! A share of the score and not a ranking of its own: where all are equally important, a ranking would
//! have to put one of them first, and what has no place in it last.

use std::collections::HashMap;

use uuid::Uuid;

use crate::memory::Moment;
use crate::store::Candidate;

/// Of its score, to what could not be more important.
const IMPORTANCE: f64 = 0.05;
/// Of its score, to what was seen just now; half of it after `HALF_LIFE_MILLIS`.
const RECENCY: f64 = 0.05;
const HALF_LIFE_MILLIS: f64 = 7.0 * 24.0 * 60.0 * 60.0 * 1000.0;

/// Orders `scored` anew, best first; of equals the newer.
pub(super) fn prefer(scored: &mut [(f64, Uuid)], facts: &[Candidate], now: Moment) {
    let shares: HashMap<Uuid, f64> = facts.iter().map(|fact| (fact.id, share(fact, now))).collect();
    // Of what nothing is known of, neither good nor bad is assumed.
    let usual = shares.values().sum::<f64>() / shares.len().max(1) as f64;
    for (score, id) in scored.iter_mut() {
        *score *= 1.0 + shares.get(id).copied().unwrap_or(usual);
    }
    scored.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(b.cmp(a)));
}

fn share(fact: &Candidate, now: Moment) -> f64 {
    let age = (now.0 - fact.seen_at.0).max(0) as f64;
    IMPORTANCE * fact.importance + RECENCY * (-age / HALF_LIFE_MILLIS).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn fact(number: u128, importance: f64, seen: i64) -> Candidate {
        Candidate {
            id: Uuid::from_u128(number),
            terms: Vec::new(),
            subject: None,
            importance,
            occurred_at: Moment(0),
            seen_at: Moment(seen * DAY),
        }
    }

    fn order(scores: &[(f64, u128)], facts: &[Candidate]) -> Vec<u128> {
        let mut scored: Vec<(f64, Uuid)> =
            scores.iter().map(|(score, number)| (*score, Uuid::from_u128(*number))).collect();
        prefer(&mut scored, facts, Moment(100 * DAY));
        scored.into_iter().map(|(_, id)| id.as_u128()).collect()
    }

    #[test]
    fn of_equals_what_is_important_or_was_seen_lately_comes_first() {
        let scores = [(2.0, 1), (2.0, 2), (2.0, 3)];
        let facts = [fact(1, 0.9, 50), fact(2, 0.5, 50), fact(3, 0.1, 50)];
        assert_eq!(order(&scores, &facts), [1, 2, 3]);
        let facts = [fact(1, 0.5, 99), fact(2, 0.5, 90), fact(3, 0.5, 10)];
        assert_eq!(order(&scores, &facts), [1, 2, 3]);
    }

    #[test]
    fn a_better_answer_stays_the_better_one() {
        let facts = [fact(1, 0.0, 1), fact(2, 1.0, 100)];
        assert_eq!(order(&[(2.0, 1), (1.8, 2)], &facts), [1, 2]);
    }

    #[test]
    fn where_all_are_alike_and_where_nothing_is_known_the_scores_decide() {
        let facts = [fact(1, 0.5, 100), fact(3, 0.5, 100)];
        assert_eq!(order(&[(2.0, 1), (1.99, 2), (1.98, 3)], &facts), [1, 2, 3]);
    }
}
