//! Memories of the time that a question names: those that have its words first, then what else
//! happened then. A preference, not a filter: people are wrong about times.

use std::collections::HashMap;

use uuid::Uuid;

use super::period::Period;
use crate::store::{Candidate, Filter, Look, StoreError};

/// What happened then, at most: the newest of it.
const MOST: u32 = 200;

/// Which memories, of when.
pub(super) struct At<'a> {
    pub(super) period: Period,
    pub(super) filter: &'a Filter,
}

/// Their order; what `facts` did not hold of them is added.
pub(super) async fn ranked(
    look: &mut dyn Look,
    at: At<'_>,
    by_words: &[Uuid],
    facts: &mut Vec<Candidate>,
) -> Result<Vec<Uuid>, StoreError> {
    let Period { from, to } = at.period;
    let during = look.during(at.filter, from, to, MOST).await?;
    for candidate in during {
        if !facts.iter().any(|known| known.id == candidate.id) {
            facts.push(candidate);
        }
    }
    let places: HashMap<Uuid, usize> =
        by_words.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    Ok(order(at.period, &places, facts))
}

fn order(period: Period, places: &HashMap<Uuid, usize>, facts: &[Candidate]) -> Vec<Uuid> {
    let mut found: Vec<(usize, usize, i64, Uuid)> = facts
        .iter()
        .filter_map(|fact| {
            let place = places.get(&fact.id).copied();
            let outside = period.distance(fact.occurred_at);
            let class = match place {
                Some(_) if outside == 0 => 0,
                // Near it, and it has the words.
                Some(_) if outside <= period.margin() => 1,
                None if outside == 0 => 2,
                _ => return None,
            };
            Some((class, place.unwrap_or(usize::MAX), -fact.occurred_at.0, fact.id))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, _, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Moment;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn words_and_time_come_before_either_alone() {
        let fact = |number: u128, day: i64| Candidate {
            id: Uuid::from_u128(number),
            terms: Vec::new(),
            subject: None,
            importance: 0.5,
            occurred_at: Moment(day * DAY),
            seen_at: Moment(0),
        };
        // A week from day 100 on.
        let period = Period { from: Moment(100 * DAY), to: Moment(107 * DAY) };
        let facts = [fact(1, 50), fact(2, 101), fact(3, 104), fact(4, 107), fact(5, 103)];
        let places = [1, 2, 4, 5].map(Uuid::from_u128);
        let places = places.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
        let found = order(period, &places, &facts);
        assert_eq!(found, [2, 5, 4, 3].map(Uuid::from_u128));
    }
}
