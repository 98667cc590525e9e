//! One query's counters through time.

use std::collections::BTreeMap;

use crate::answer::Series;
use crate::counters::{Counts, Kind, Sample, add, added, check};
use crate::grid::Ends;
use crate::trouble::Trouble;

/// How far back the last count of a process is looked for that was away for a while.
pub const MEMORY_MS: u64 = 600_000;
/// Samples in a row after which whatever is scraped has been scraped once.
const SETTLED: u64 = 2;

/// Samples by time; where there is none, the query gave nothing.
#[derive(Debug, Default)]
pub struct Timeline {
    samples: BTreeMap<u64, Result<Sample, String>>,
}

impl Timeline {
    /// Sorts the series of an answer in. Their times may not overlap those that are in already.
    pub fn extend(&mut self, kind: Kind, series: &[Series]) {
        let mut new: BTreeMap<u64, Result<Sample, String>> = BTreeMap::new();
        for one in series {
            for (at_ms, value) in &one.values {
                let entry = new.entry(*at_ms).or_insert_with(|| Ok(Sample::new()));
                if let Ok(sample) = entry
                    && let Err(why) = add(sample, kind, &one.labels, value)
                {
                    *entry = Err(why);
                }
            }
        }
        for entry in new.values_mut() {
            if let Ok(sample) = entry
                && let Err(why) = check(sample)
            {
                *entry = Err(why);
            }
        }
        self.samples.extend(new);
    }

    /// Whether a process appears in it whose past is not in it.
    pub fn lacks_past(&self, ends: Ends) -> bool {
        ends.each().any(|end| match (self.at(ends.start_of(end)), self.at(end)) {
            (Ok(before), Ok(now)) => now.keys().any(|process| !before.contains_key(process)),
            _ => false,
        })
    }

    /// What each process added between two samples. One that is new began from 0, unless all that
    /// is asked for is: a server that was just started meets old processes one after the other.
    pub fn added(&self, start_ms: u64, end_ms: u64) -> Result<Vec<Counts>, Trouble> {
        self.at(start_ms)?;
        let now = self.at(end_ms)?;
        let past = self.samples.range(end_ms.saturating_sub(MEMORY_MS)..=start_ms);
        let past: Vec<&Sample> = past.rev().filter_map(|(_, s)| s.as_ref().ok()).collect();
        let step_ms = end_ms - start_ms;
        let settled = (1..=SETTLED).all(|n| self.at(start_ms.saturating_sub(n * step_ms)).is_ok());
        let one = |(process, counts)| {
            let before = past.iter().find_map(|sample| sample.get(process));
            match before {
                None if !settled => added(Some(counts), counts),
                _ => added(before, counts),
            }
        };
        Ok(now.iter().map(one).collect())
    }

    fn at(&self, at_ms: u64) -> Result<&Sample, Trouble> {
        match self.samples.get(&at_ms) {
            None => Err(Trouble::NoData { at_ms }),
            Some(Ok(sample)) if sample.is_empty() => Err(Trouble::NoData { at_ms }),
            Some(Ok(sample)) => Ok(sample),
            Some(Err(why)) => Err(Trouble::NotCounts { why: why.clone(), at_ms }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Labels;
    use crate::counters::total;

    /// Each process with its values, one a second from 1 s on; `-` is none.
    fn timeline(processes: &[(&str, &str)]) -> Timeline {
        let series = processes.iter().map(|(name, values)| Series {
            labels: Labels::from([("instance".into(), (*name).into())]),
            values: (1..)
                .zip(values.split_whitespace())
                .filter(|(_, value)| *value != "-")
                .map(|(second, value)| (second * 1000, value.into()))
                .collect(),
            native: false,
        });
        let mut timeline = Timeline::default();
        timeline.extend(Kind::Plain, &series.collect::<Vec<_>>());
        timeline
    }

    fn grown(timeline: &Timeline, end_s: u64) -> Result<u64, Trouble> {
        timeline.added((end_s - 1) * 1000, end_s * 1000).map(|all| total(&all))
    }

    #[test]
    fn a_restart_of_one_process_does_not_count_the_others_again() {
        let timeline = timeline(&[("a", "1000 5 6"), ("b", "1000 1010 1020")]);
        assert_eq!(grown(&timeline, 2), Ok(15));
        assert_eq!(grown(&timeline, 3), Ok(11));
    }

    #[test]
    fn a_process_that_was_away_counts_from_where_it_was() {
        let timeline = timeline(&[("a", "1000 - - 1004"), ("b", "10 20 30 40")]);
        let ends = Ends { first_ms: 4000, last_ms: 4000, step_ms: 1000 };
        assert!(timeline.lacks_past(ends));
        let all: Vec<u64> = (2..=4).filter_map(|end| grown(&timeline, end).ok()).collect();
        assert_eq!(all, [10, 10, 14]);
    }

    #[test]
    fn a_new_process_counts_from_zero_and_a_gone_one_not_at_all() {
        let timeline = timeline(&[("a", "1000 1001 1002 1003 -"), ("b", "- - - 3 7")]);
        assert_eq!(grown(&timeline, 4), Ok(4));
        assert_eq!(grown(&timeline, 5), Ok(4));
        let ends = Ends { first_ms: 5000, last_ms: 5000, step_ms: 1000 };
        assert!(!timeline.lacks_past(ends));
    }

    #[test]
    fn a_server_that_was_just_started_takes_no_old_process_for_a_new_one() {
        let timeline = timeline(&[("a", "1000 1001 1002 1003"), ("b", "- 9000 9001 9002")]);
        assert_eq!([2, 3, 4].map(|end| grown(&timeline, end)), [Ok(1), Ok(2), Ok(2)]);
    }

    #[test]
    fn no_sample_is_no_data_and_not_zero() {
        let timeline = timeline(&[("a", "5 - 7 NaN")]);
        assert_eq!(grown(&timeline, 2), Err(Trouble::NoData { at_ms: 2000 }));
        assert_eq!(grown(&timeline, 3), Err(Trouble::NoData { at_ms: 2000 }));
        assert!(matches!(grown(&timeline, 4), Err(Trouble::NotCounts { at_ms: 4000, .. })));
    }
}
