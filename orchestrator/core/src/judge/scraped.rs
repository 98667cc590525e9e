//! Counts of requests as the processes themselves tell them, in Prometheus' text format: read, selected, and compared with
//! what the same process told before.
//!
//! Knows no way to a process and no time: whoever fetches says what was told when. What cannot be read is an error,
//! never a number.

mod exposition;
mod selector;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use exposition::{Sample, samples};
pub use selector::Selector;

use super::policy::Scrape;
use super::window::{Compared, Counts, Sides, Slower, Window};
use crate::id::RevisionId;

/// What processes told, by revision and by a name that is theirs alone.
pub type Told = BTreeMap<RevisionId, BTreeMap<String, String>>;

/// What one process had counted at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counters {
    requests: u64,
    errors: u64,
    /// At or under a bound in microseconds; all of them are at [`ALL`].
    buckets: BTreeMap<u64, u64>,
}

/// The bound that everything is under.
const ALL: u64 = u64::MAX;

/// Makes windows of what processes tell again and again.
#[derive(Debug)]
pub struct Scraped {
    requests: Selector,
    errors: Selector,
    latency: Option<Selector>,
    /// As each process told it last.
    last: BTreeMap<String, Counters>,
}

impl Scraped {
    /// `Err` says what is wrong with the selectors.
    pub fn new(scrape: &Scrape) -> Result<Self, String> {
        Ok(Self {
            requests: Selector::parse(&scrape.requests)?,
            errors: Selector::parse(&scrape.errors)?,
            latency: scrape.latency.as_deref().map(Selector::parse).transpose()?,
            last: BTreeMap::new(),
        })
    }

    /// What happened since the processes were asked before. A process that is met for the first time counts from the next time
    /// on, one that counts less than before has begun anew. A component of which one side told nothing is left out.
    pub fn window(
        &mut self,
        end_ms: u64,
        compared: &[Compared],
        told: &Told,
    ) -> Result<Option<Window>, String> {
        let mut now = BTreeMap::new();
        for (process, text) in told.values().flatten() {
            let counters = self.read(text).map_err(|why| format!("{process} {why}"))?;
            now.insert(process.clone(), counters);
        }
        let mut window = Window { end_ms, ..Window::default() };
        for one in compared {
            let side = |revision: &RevisionId| self.counts(told.get(revision)?, &now);
            let stable = match &one.stable {
                Some(revision) => side(revision),
                None => Some(Counts::default()),
            };
            if let (Some(canary), Some(stable)) = (side(&one.canary), stable) {
                window.components.insert(one.component.clone(), same_bounds(canary, stable));
            }
        }
        self.last.extend(now);
        Ok((!window.components.is_empty()).then_some(window))
    }

    fn read(&self, text: &str) -> Result<Counters, String> {
        let samples = samples(text)?;
        let sum = |selector: &Selector| -> Result<Option<u64>, String> {
            let found = samples.iter().filter(|sample| selector.selects(sample));
            found.map(count).try_fold(None, |sum, value| Ok(Some(sum.unwrap_or(0) + value?)))
        };
        let requests = sum(&self.requests)?
            .ok_or_else(|| format!("tells no counter that `{}` selects", self.requests))?;
        // A counter of errors is often not there before the first one.
        let errors = sum(&self.errors)?.unwrap_or(0);
        if errors > requests {
            return Err(format!(
                "counts {errors} errors and {requests} requests: `{}` selects what `{}` does not",
                self.errors, self.requests
            ));
        }
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for sample in &samples {
            if self.latency.as_ref().is_some_and(|latency| latency.selects(sample)) {
                *buckets.entry(bound_us(sample)?).or_default() += count(sample)?;
            }
        }
        if let Some(latency) = self.latency.as_ref().filter(|_| !buckets.contains_key(&ALL)) {
            return Err(format!(
                "tells no histogram that `{latency}` selects: it has no le=\"+Inf\""
            ));
        }
        Ok(Counters { requests, errors, buckets })
    }

    /// What the processes of one revision have added; nothing when none of them told anything before.
    fn counts(
        &self,
        processes: &BTreeMap<String, String>,
        now: &BTreeMap<String, Counters>,
    ) -> Option<Counts> {
        let grown: Vec<Counters> = processes
            .keys()
            .filter_map(|process| Some(grown(self.last.get(process)?, now.get(process)?)))
            .collect();
        let mut counts = Counts::default();
        let mut bounds: BTreeMap<u64, Slower> = BTreeMap::new();
        for one in &grown {
            counts.requests += one.requests;
            counts.errors += one.errors;
            let all = one.buckets.get(&ALL).copied().unwrap_or_default();
            for (&bound_us, &under) in one.buckets.iter().filter(|(bound, _)| **bound != ALL) {
                let sum = bounds.entry(bound_us).or_insert(Slower { bound_us, of: 0, slower: 0 });
                sum.of += all;
                // Buckets that were told while they were counted may be ahead of their sum.
                sum.slower += all.saturating_sub(under);
            }
        }
        counts.latency = bounds.into_values().collect();
        (!grown.is_empty()).then_some(counts)
    }
}

/// What was added since `before`; all of it by a process that has begun anew.
fn grown(before: &Counters, now: &Counters) -> Counters {
    let anew = now.requests < before.requests
        || now.errors < before.errors
        || before
            .buckets
            .iter()
            .any(|(bound, old)| now.buckets.get(bound).is_none_or(|new| new < old));
    if anew {
        return now.clone();
    }
    let old = |bound: &u64| before.buckets.get(bound).copied().unwrap_or_default();
    Counters {
        requests: now.requests - before.requests,
        errors: now.errors - before.errors,
        buckets: now.buckets.iter().map(|(bound, new)| (*bound, new - old(bound))).collect(),
    }
}

/// Both sides with the bounds that both have: two versions may have different buckets.
fn same_bounds(mut canary: Counts, mut stable: Counts) -> Sides {
    let bounds = |counts: &Counts| counts.latency.iter().map(|b| b.bound_us).collect::<Vec<_>>();
    let (of_canary, of_stable) = (bounds(&canary), bounds(&stable));
    if !of_stable.is_empty() {
        canary.latency.retain(|bucket| of_stable.contains(&bucket.bound_us));
    }
    stable.latency.retain(|bucket| of_canary.contains(&bucket.bound_us));
    Sides { canary, stable }
}

fn count(sample: &Sample) -> Result<u64, String> {
    // Above this, neighbouring counts are the same number.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let value = sample.value;
    let whole = value.is_finite() && (0.0..=MOST).contains(&value) && value.fract() == 0.0;
    whole
        .then_some(value as u64)
        .ok_or_else(|| format!("tells {value} for {sample}, which is no count"))
}

/// The bound of a bucket in microseconds.
fn bound_us(sample: &Sample) -> Result<u64, String> {
    let le = sample.labels.get("le").and_then(|le| le.parse::<f64>().ok());
    match le {
        Some(le) if le == f64::INFINITY => Ok(ALL),
        Some(le) if (0.0..1e9).contains(&le) => Ok((le * 1e6).round() as u64),
        _ => Err(format!(
            "tells {sample}, which has no `le` in seconds and is no bucket of a histogram"
        )),
    }
}
