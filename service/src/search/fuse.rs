//! One ranking out of several: reciprocal rank fusion.
//!
//! Words lead. Recency and importance decide between answers that are about equally good; with more
//! weight they would put what is new above what was asked for.

use std::collections::HashMap;

use uuid::Uuid;

const K: f64 = 60.0;

/// A ranking, best first, and how much it counts.
pub(super) struct Ranking {
    pub weight: f64,
    pub ids: Vec<Uuid>,
}

/// The fused score of every id that occurs, best first.
pub(super) fn fuse(rankings: &[Ranking]) -> Vec<(Uuid, f64)> {
    let mut sums: HashMap<Uuid, f64> = HashMap::new();
    for ranking in rankings {
        for (place, id) in ranking.ids.iter().enumerate() {
            *sums.entry(*id).or_default() += ranking.weight / (K + 1.0 + place as f64);
        }
    }
    let mut fused: Vec<(Uuid, f64)> = sums.into_iter().collect();
    fused.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(b.cmp(a)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_good_places_beat_one_best() {
        let ids: Vec<Uuid> = (0..4).map(Uuid::from_u128).collect();
        let one = Ranking { weight: 1.0, ids: vec![ids[0], ids[1], ids[2]] };
        let two = Ranking { weight: 1.0, ids: vec![ids[3], ids[1], ids[2]] };
        assert_eq!(fuse(&[one, two]).first().map(|(id, _)| *id), Some(ids[1]));
    }
}
