//! What the judge says, as values and in plain words.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::window::Ratio;

/// The three answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    BetterOrEqual,
    Worse,
    Inconclusive,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Errors,
    Latency,
    /// A proportion that the environment file names.
    Ratio(String),
}

/// The new release is worse than tolerated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    pub component: String,
    pub metric: Metric,
    /// The end of the window with which it was seen.
    pub at_ms: u64,
    /// Evidence, and what it had to reach.
    pub evidence: f64,
    pub bound: f64,
    /// Counts of the last minutes; for latency, of the pair of bounds that shows it best.
    pub canary: Ratio,
    /// Absent where there is no old release.
    pub stable: Option<Ratio>,
    /// Latency bounds of the two sides, in microseconds.
    pub bounds_us: Option<(u64, u64)>,
}

/// Whether the evidence suffices to give the new release more traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceptance {
    Accepted,
    /// What is missing, in plain words.
    Missing(String),
}

/// One thing that is missing for promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lack {
    pub component: String,
    #[serde(flatten)]
    pub what: Lacking,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "lacks", rename_all = "snake_case")]
pub enum Lacking {
    /// Nothing was counted yet.
    Windows,
    Exposure {
        requests: u64,
        needed: u64,
    },
    Evidence {
        metric: Metric,
        evidence: f64,
        bound: f64,
        /// The latency that the weakest comparison is about.
        slower_than_us: Option<u64>,
    },
    /// No bound of the metrics source lies where latencies are.
    Bounds,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BetterOrEqual => "better or equal",
            Self::Worse => "worse",
            Self::Inconclusive => "inconclusive",
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors => f.write_str("errors"),
            Self::Latency => f.write_str("latency"),
            Self::Ratio(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, canary, .. } = self;
        match (&self.metric, self.bounds_us) {
            (Metric::Latency, Some((canary_us, stable_us))) => write!(
                f,
                "{component} is slower: {} over {} on the new release",
                counted(*canary),
                time(canary_us)
            )
            .and_then(|()| match self.stable {
                Some(stable) => {
                    write!(f, ", {} over {} on the old", counted(stable), time(stable_us))
                }
                None => Ok(()),
            })?,
            (metric, _) => {
                let what = match metric {
                    Metric::Ratio(name) => format!("`{name}`"),
                    metric => metric.to_string(),
                };
                write!(f, "{component} has more {what}: {} on the new release", counted(*canary))?;
                match self.stable {
                    Some(stable) => write!(f, ", {} on the old", counted(stable))?,
                    None => f.write_str(" and no old release to compare with")?,
                }
            }
        }
        write!(f, " (evidence {}, bound {})", number(self.evidence), number(self.bound))
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.component)?;
        match &self.what {
            Lacking::Windows => f.write_str("nothing was counted yet"),
            Lacking::Exposure { requests, needed } => {
                write!(f, "the new release answered {requests} of at least {needed} requests")
            }
            Lacking::Evidence { metric, evidence, bound, slower_than_us } => {
                write!(f, "evidence that {metric}")?;
                if let Some(us) = slower_than_us {
                    write!(f, " over {}", time(*us))?;
                }
                write!(f, " did not get worse is {} of {}", number(*evidence), number(*bound))
            }
            Lacking::Bounds => f.write_str(
                "no latency bound lies where the latencies are, so they cannot be compared",
            ),
        }
    }
}

fn counted(counts: Ratio) -> String {
    let share = if counts.of == 0 { 0.0 } else { 100.0 * counts.bad as f64 / counts.of as f64 };
    format!("{} of {} ({} %)", counts.bad, counts.of, number(share))
}

/// Three digits, and no more than anybody reads.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{value:.0e}"),
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.0e}"),
    }
}

fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", number(us as f64 / 1e3)),
        _ => format!("{} s", number(us as f64 / 1e6)),
    }
}
