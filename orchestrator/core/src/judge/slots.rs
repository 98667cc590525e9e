//! From what became of the requests that were sent in each slot of time to windows.
//!
//! Windows end on a fixed grid of absolute time. What is known of a slot goes into the one window
//! in which it came to be known: for a latency bound some time after all of the slot is older than
//! the bound ([`known_after_us`]), whether it ended or not, so that what hangs is slower and not
//! missing; for errors when all of it has ended on both sides, or when waiting for the rest would
//! take too long. So the same slots give the same windows whenever they are asked for, and each
//! unit is counted exactly once.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::latency::known_after_us;
use super::window::{Counts, Sides, Slower, Window};

/// How long after a moment everything that happened before it has been noted.
pub const NOTED_MS: u64 = 250;

/// A window is told this long after its end, with what came to be known meanwhile. Most requests of its last
/// slot end in that time, and a whole window later is worse than that.
pub const LEEWAY_MS: u64 = 500;

/// From the end of a window until it is told.
pub const TOLD_AFTER_MS: u64 = NOTED_MS + LEEWAY_MS;

/// What the slots of all revisions have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grid {
    pub slot_ms: u64,
    /// What has not ended this long after its slot is not waited for.
    pub settle_ms: u64,
    /// Bounds of latency, rising.
    pub bounds_us: Vec<u64>,
}

/// What became of the units (requests, or clients that stick to a side) that were sent in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    pub sent: u64,
    /// Those whose outcome came before the slot was settled.
    pub ended: u64,
    /// Those among them that failed.
    pub errors: u64,
    /// Those that the client gave up before the slot was settled.
    pub aborted: u64,
    /// When the last of these two came, in milliseconds from the slot's beginning, if after its end.
    pub last_end_ms: u64,
    /// Units whose latency is asked for.
    pub timed: u64,
    /// By a bound's place: how many of `timed` were answered within it and no earlier one.
    pub within: Vec<(usize, i64)>,
    /// By a bound's place: how many of `timed` are none of its units, more than of the one before.
    pub out: Vec<(usize, i64)>,
}

/// One revision's slots, by number: the slot's beginning divided by its length.
pub type Timeline = BTreeMap<u64, Slot>;

/// The slots of two revisions of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timelines {
    pub canary: Timeline,
    pub stable: Timeline,
}

/// Which windows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub interval_ms: u64,
    /// Windows that ended later than this.
    pub after_ms: u64,
    /// When the slots were read.
    pub now_ms: u64,
    /// Slots before this one are not remembered.
    pub oldest: u64,
}

/// The windows that are final and can be told, oldest first, those without a request too.
pub fn windows(grid: &Grid, components: &BTreeMap<String, Timelines>, cut: &Cut) -> Vec<Window> {
    let interval_ms = cut.interval_ms.max(1);
    let longest_ms = grid.bounds_us.last().map_or(0, |us| known_after_us(*us).div_ceil(1_000));
    // What was known before the first window's beginning may be about slots that are forgotten.
    let complete = cut.oldest * grid.slot_ms + longest_ms.max(grid.settle_ms) + interval_ms;
    let first = (cut.after_ms + 1).max(complete).div_ceil(interval_ms);
    let last = cut.now_ms.saturating_sub(TOLD_AFTER_MS) / interval_ms;
    let mut windows: Vec<Window> = (first..=last)
        .map(|number| Window { end_ms: number * interval_ms, components: BTreeMap::new() })
        .collect();
    let none = Slot::default();
    for (name, lines) in components {
        let sides = vec![Sides::default(); windows.len()];
        let mut row = Row { first, interval_ms, sides };
        let numbers = lines.canary.keys().chain(lines.stable.keys());
        for number in numbers.collect::<BTreeSet<_>>() {
            let pair = [&lines.canary, &lines.stable].map(|line| line.get(number));
            row.add(grid, number * grid.slot_ms, pair.map(|slot| slot.unwrap_or(&none)));
        }
        for (window, sides) in windows.iter_mut().zip(row.sides) {
            window.components.insert(name.clone(), told(sides));
        }
    }
    windows
}

/// One component's part of each window.
struct Row {
    /// The number of the first window: its end divided by the interval.
    first: u64,
    interval_ms: u64,
    sides: Vec<Sides>,
}

impl Row {
    /// The window in which something came to be known at that time, if it is wanted.
    fn at(&mut self, us: u64) -> Option<[&mut Counts; 2]> {
        let us = us.saturating_sub(LEEWAY_MS * 1_000);
        let place = us.div_ceil(self.interval_ms * 1_000).checked_sub(self.first)?;
        let sides = self.sides.get_mut(place as usize)?;
        Some([&mut sides.canary, &mut sides.stable])
    }

    fn add(&mut self, grid: &Grid, start_ms: u64, slots: [&Slot; 2]) {
        let settled = slots.map(|slot| slot.settled(grid));
        let settled_ms = start_ms + settled[0].max(settled[1]);
        for (counts, slot) in self.at(settled_ms * 1_000).into_iter().flatten().zip(slots) {
            counts.requests += slot.ended;
            counts.errors += slot.errors.min(slot.ended);
        }
        let by_bound = slots.map(|slot| slot.slower(grid));
        for (place, bound_us) in grid.bounds_us.iter().enumerate() {
            let ripe_us = (start_ms + grid.slot_ms) * 1_000 + known_after_us(*bound_us);
            for (counts, of) in self.at(ripe_us).into_iter().flatten().zip(&by_bound) {
                if counts.latency.is_empty() {
                    let none = |&bound_us| Slower { bound_us, of: 0, slower: 0 };
                    counts.latency = grid.bounds_us.iter().map(none).collect();
                }
                counts.latency[place].of += of[place].0;
                counts.latency[place].slower += of[place].1;
            }
        }
    }
}

/// Bounds at which nobody was are told of neither side.
fn told(mut sides: Sides) -> Sides {
    let both = sides.canary.latency.iter().zip(&sides.stable.latency);
    let some: Vec<bool> = both.map(|(canary, stable)| canary.of + stable.of > 0).collect();
    for counts in [&mut sides.canary, &mut sides.stable] {
        let mut some = some.iter();
        counts.latency.retain(|_| some.next() == Some(&true));
    }
    sides
}

impl Slot {
    /// Adds what another edge saw of the same revision and time.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ended += other.ended;
        self.errors += other.errors;
        self.aborted += other.aborted;
        self.last_end_ms = self.last_end_ms.max(other.last_end_ms);
        self.timed += other.timed;
        self.within.extend_from_slice(&other.within);
        self.out.extend_from_slice(&other.out);
    }

    /// When its errors are known, in milliseconds from its beginning.
    fn settled(&self, grid: &Grid) -> u64 {
        if self.ended + self.aborted >= self.sent {
            self.last_end_ms.clamp(grid.slot_ms, grid.slot_ms + grid.settle_ms)
        } else {
            grid.slot_ms + grid.settle_ms
        }
    }

    /// For each bound its units, and how many of them were slower.
    fn slower(&self, grid: &Grid) -> Vec<(u64, u64)> {
        let added = |all: &[(usize, i64)]| {
            let mut sums = vec![0; grid.bounds_us.len()];
            for (place, n) in all {
                if let Some(sum) = sums.get_mut(*place) {
                    *sum += n;
                }
            }
            sums
        };
        let (mut within, mut out) = (0, 0);
        added(&self.within)
            .into_iter()
            .zip(added(&self.out))
            .map(|(more_within, more_out)| {
                (within, out) = (within + more_within, out + more_out);
                let of = self.timed.saturating_add_signed(-out);
                (of, of.saturating_add_signed(-within).min(of))
            })
            .collect()
    }
}
