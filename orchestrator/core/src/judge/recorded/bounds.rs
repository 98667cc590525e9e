//! Which latency changes the bounds of a recording can show.

use std::collections::BTreeMap;

use super::fields::bound;
use crate::judge::window::{Sides, Slower};

/// How far apart bounds may be beyond the tolerance before it is worth a word.
const SLACK: f64 = 1.05;

/// The bounds that were seen, and between which of them the old release's latencies lie.
#[derive(Debug, Default)]
pub(super) struct Seen {
    by_component: BTreeMap<String, BTreeMap<u64, Slower>>,
}

impl Seen {
    pub fn add(&mut self, component: &str, sides: &Sides) {
        let bounds = self.by_component.entry(component.into()).or_default();
        for s in sides.stable.latency.iter().chain(&sides.canary.latency) {
            let none = Slower { bound_us: s.bound_us, of: 0, slower: 0 };
            let sum = bounds.entry(s.bound_us).or_insert(none);
            sum.of = sum.of.saturating_add(s.of);
            sum.slower = sum.slower.saturating_add(s.slower);
        }
    }

    /// A sentence for each component whose bounds cannot show a change as small as is tolerated.
    pub fn notes(&self, tolerance: f64) -> Vec<String> {
        let notes = self.by_component.iter().filter_map(|(name, bounds)| {
            let bounds: Vec<&Slower> = bounds.values().collect();
            note(&bounds, tolerance).map(|note| format!("{name}: {note}"))
        });
        notes.collect()
    }
}

/// The judge holds requests of the new release that were slower than a bound `tolerance` times as
/// large, or the next one that exists, against those of the old that were slower than the bound.
fn note(bounds: &[&Slower], tolerance: f64) -> Option<String> {
    if bounds.is_empty() {
        return Some("no latency was recorded (`slower_than`), so only errors are judged".into());
    }
    let apart = |from: u64| {
        let least = from as f64 * tolerance * 0.99;
        let next = bounds.iter().find(|to| to.bound_us > from && to.bound_us as f64 >= least)?;
        Some((from, next.bound_us, next.bound_us as f64 / from as f64))
    };
    let telling = |s: &Slower| {
        let share = s.slower as f64 / s.of.max(1) as f64;
        (0.005..=0.995).contains(&share)
    };
    let pairs: Vec<_> =
        bounds.iter().filter(|s| telling(s)).filter_map(|s| apart(s.bound_us)).collect();
    let Some((from, to, least)) = pairs.iter().min_by(|a, b| a.2.total_cmp(&b.2)) else {
        return Some(format!(
            "the latencies lie between none of these bounds ({} to {} s), so no change of latency can \
             be seen; record bounds near the latencies, {tolerance} times apart",
            bound(bounds[0].bound_us),
            bound(bounds[bounds.len() - 1].bound_us),
        ));
    };
    if *least <= tolerance * SLACK {
        return None;
    }
    Some(format!(
        "the tolerance is {tolerance}x, but with these bounds latency is held against the next bound \
         that exists: only changes of more than about {least:.2}x can be seen ({} s to {} s); record \
         bounds {tolerance} times apart to see smaller ones",
        bound(*from),
        bound(*to),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(bounds: &[(u64, u64)]) -> Option<String> {
        let bounds: Vec<Slower> = bounds
            .iter()
            .map(|(bound_us, slower)| Slower { bound_us: *bound_us, of: 1000, slower: *slower })
            .collect();
        note(&bounds.iter().collect::<Vec<_>>(), 1.15)
    }

    #[test]
    fn bounds_that_are_close_enough_need_no_word() {
        assert_eq!(noted(&[(100_000, 500), (115_000, 300), (132_000, 100)]), None);
    }

    #[test]
    fn coarse_bounds_say_what_they_can_show() {
        let note = noted(&[(5_000, 1000), (10_000, 700), (25_000, 40), (50_000, 0)]);
        insta::assert_snapshot!(note.expect("coarse"), @"the tolerance is 1.15x, but with these bounds latency is held against the next bound that exists: only changes of more than about 2.00x can be seen (0.025 s to 0.05 s); record bounds 1.15 times apart to see smaller ones");
    }

    #[test]
    fn bounds_far_from_the_latencies_show_nothing() {
        let far = noted(&[(5_000, 0), (10_000, 0)]).expect("nothing");
        assert!(far.contains("none of these bounds (0.005 to 0.01 s)"), "{far}");
        let none = noted(&[]).expect("nothing");
        assert!(none.contains("only errors are judged"), "{none}");
    }
}
