//! One ranking out of several: reciprocal rank fusion.

use std::collections::HashMap;

use uuid::Uuid;

const K: f64 = 60.0;

/// The fused score of every id that occurs, best first. A ranking is how much it counts, and ids, best
/// first.
pub(super) fn fuse<'a>(
    rankings: impl IntoIterator<Item = (f64, &'a Vec<Uuid>)>,
) -> Vec<(Uuid, f64)> {
    let mut sums: HashMap<Uuid, f64> = HashMap::new();
    for (weight, ids) in rankings {
        for (place, id) in ids.iter().enumerate() {
            *sums.entry(*id).or_default() += weight / (K + 1.0 + place as f64);
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
        let one = vec![ids[0], ids[1], ids[2]];
        let two = vec![ids[3], ids[1], ids[2]];
        assert_eq!(fuse([(1.0, &one), (1.0, &two)]).first().map(|(id, _)| *id), Some(ids[1]));
    }
}
