//! Counters of single processes, and what was added to them.
//!
//! Differences are taken series by series and summed afterwards: in a sum, a process that cannot
//! be scraped for a moment looks like a restart, and its whole past like new requests.

use std::collections::BTreeMap;

use neuroca_deploy_core::judge::Slower;

use crate::answer::Labels;

/// Everything, in place of a bound.
pub const ALL: u64 = u64::MAX;

/// Counts at or under a bound in microseconds; a plain counter has [`ALL`] alone.
pub type Counts = BTreeMap<u64, u64>;

/// The counters at one instant, by what identifies their process.
pub type Sample = BTreeMap<Labels, Counts>;

/// What a query gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Buckets,
}

/// Adds a value to a sample. `Err` says why it is no count.
pub fn add(sample: &mut Sample, kind: Kind, labels: &Labels, value: &str) -> Result<(), String> {
    let value = count(value).map_err(|why| format!("{} {why}", shown(labels)))?;
    let mut process = labels.clone();
    let le = process.remove("le");
    let bound = match kind {
        Kind::Plain => ALL,
        Kind::Buckets => {
            let le = le.ok_or_else(|| {
                format!("{} has no label `le`: it is no bucket of a histogram", shown(labels))
            })?;
            bound_us(&le).ok_or_else(|| {
                format!("{} has an `le` that is no time in seconds", shown(labels))
            })?
        }
    };
    if bound == 0 {
        return Ok(());
    }
    let counts = sample.entry(process).or_default();
    if counts.insert(bound, value).is_some() {
        return Err(match kind {
            Kind::Plain => format!(
                "{} is one of several buckets of a histogram, which must not be summed",
                shown(labels)
            ),
            Kind::Buckets => format!("two buckets have the bound of {}", shown(labels)),
        });
    }
    Ok(())
}

/// Says what is wrong with a complete sample.
pub fn check(sample: &Sample) -> Result<(), String> {
    for (labels, counts) in sample {
        if !counts.contains_key(&ALL) {
            return Err(format!("{} has no bucket le=\"+Inf\"", shown(labels)));
        }
        if counts.values().zip(counts.values().skip(1)).any(|(below, above)| below > above) {
            return Err(format!("{} has buckets that are not cumulative", shown(labels)));
        }
    }
    Ok(())
}

/// What was added since `before`. A process that was not there before, that counts less or counts
/// otherwise began anew, from 0.
pub fn added(before: Option<&Counts>, now: &Counts) -> Counts {
    let Some(before) = before else { return now.clone() };
    let same = before.len() == now.len()
        && before.iter().zip(now).all(|((b, old), (n, new))| b == n && old <= new);
    if !same {
        return now.clone();
    }
    now.iter().map(|(bound, new)| (*bound, new - before[bound])).collect()
}

/// All processes together.
pub fn total(added: &[Counts]) -> u64 {
    added.iter().filter_map(|counts| counts.get(&ALL)).sum()
}

/// By bound, rising, over the processes that have it.
pub fn slower(added: &[Counts]) -> Vec<Slower> {
    let mut by_bound: BTreeMap<u64, Slower> = BTreeMap::new();
    for counts in added {
        let all = counts.get(&ALL).copied().unwrap_or_default();
        for (&bound_us, &under) in counts.iter().filter(|(bound, _)| **bound != ALL) {
            let sum = by_bound.entry(bound_us).or_insert(Slower { bound_us, of: 0, slower: 0 });
            sum.of += all;
            // Buckets that were read while they were written may be ahead of their sum.
            sum.slower += all.saturating_sub(under);
        }
    }
    by_bound.into_values().collect()
}

fn count(written: &str) -> Result<u64, String> {
    // Above this, neighbouring counts are the same number.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let value: f64 = written.parse().map_err(|_| format!("is {written:?}, no number"))?;
    let wrong = if value.is_nan() {
        "is not a number (NaN)"
    } else if value.is_infinite() {
        "is infinite"
    } else if value < 0.0 {
        "is negative"
    } else if value.fract() != 0.0 {
        "is no whole number"
    } else if value > MOST {
        "is too large to be counted"
    } else {
        return Ok(value as u64);
    };
    Err(format!("{wrong}: {written}"))
}

/// The bound in microseconds; 0 when it is shorter than one.
fn bound_us(le: &str) -> Option<u64> {
    let seconds: f64 = le.parse().ok()?;
    if seconds == f64::INFINITY {
        return Some(ALL);
    }
    (seconds.is_finite() && (0.0..1e9).contains(&seconds)).then(|| (seconds * 1e6).round() as u64)
}

fn shown(labels: &Labels) -> String {
    let inside: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", inside.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn sample(kind: Kind, series: &[(&str, &str)]) -> Result<Sample, String> {
        let mut sample = Sample::new();
        for (text, value) in series {
            add(&mut sample, kind, &labels(text), value)?;
        }
        check(&sample)?;
        Ok(sample)
    }

    #[test]
    fn only_whole_numbers_are_counts() {
        for (written, value) in [("0", 0), ("-0", 0), ("7", 7), ("1.5e+06", 1_500_000)] {
            assert_eq!(count(written), Ok(value));
        }
        for written in ["NaN", "+Inf", "-Inf", "-1", "0.5", "1e300", "", "seven"] {
            assert!(count(written).is_err(), "{written}");
        }
    }

    #[test]
    fn a_count_that_is_none_is_named_with_its_labels() {
        let said = sample(Kind::Plain, &[("instance=a:1", "NaN")]).expect_err("no number");
        assert_eq!(said, r#"{instance="a:1"} is not a number (NaN): NaN"#);
    }

    #[test]
    fn what_was_added_starts_from_zero_after_a_restart() {
        let before = Counts::from([(1_000, 5), (ALL, 9)]);
        let of = |pairs: &[(u64, u64)]| added(Some(&before), &pairs.iter().copied().collect());
        assert_eq!(of(&[(1_000, 6), (ALL, 12)]), Counts::from([(1_000, 1), (ALL, 3)]));
        assert_eq!(of(&[(1_000, 2), (ALL, 11)]), Counts::from([(1_000, 2), (ALL, 11)]));
        assert_eq!(of(&[(2_000, 6), (ALL, 12)]), Counts::from([(2_000, 6), (ALL, 12)]));
        assert_eq!(added(None, &before), before);
    }

    #[test]
    fn bounds_count_the_processes_that_have_them() {
        let added = [
            Counts::from([(100_000, 8), (500_000, 10), (ALL, 10)]),
            Counts::from([(100_000, 1), (ALL, 4)]),
        ];
        let expected = [
            Slower { bound_us: 100_000, of: 14, slower: 5 },
            Slower { bound_us: 500_000, of: 10, slower: 0 },
        ];
        assert_eq!(slower(&added), expected);
        assert_eq!(total(&added), 14);
    }

    #[test]
    fn bounds_are_seconds_however_they_are_written() {
        for (le, us) in
            [("0.000178", 178), ("1", 1_000_000), ("1.0", 1_000_000), ("1e-05", 10), ("+Inf", ALL)]
        {
            assert_eq!(bound_us(le), Some(us), "{le}");
        }
        for le in ["NaN", "-1", "-Inf", "fast", ""] {
            assert_eq!(bound_us(le), None, "{le}");
        }
    }

    #[test]
    fn a_histogram_is_refused_unless_it_is_one() {
        let of = |series: &[(&str, &str)]| sample(Kind::Buckets, series).expect_err("refused");
        assert!(of(&[("a=b", "1")]).contains("no label `le`"));
        assert!(of(&[("le=0.1", "1")]).contains("+Inf"));
        assert!(of(&[("le=0.1", "2"), ("le=+Inf", "1")]).contains("not cumulative"));
        assert!(of(&[("le=1", "1"), ("le=1.0", "1")]).contains("two buckets"));
        assert!(of(&[("le=warm", "1")]).contains("no time in seconds"));
        let buckets = [("le=0.1", "1"), ("le=+Inf", "2")];
        let summed = sample(Kind::Plain, &buckets).expect_err("refused");
        assert!(summed.contains("must not be summed"), "{summed}");
        assert!(sample(Kind::Plain, &buckets[..1]).is_ok(), "one bucket is a plain counter");
    }
}
