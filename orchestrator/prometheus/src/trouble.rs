//! Why there are no counts, in words for whoever wrote the environment file.

use std::fmt;

use neuroca_deploy_engine::ports::MetricsError;

/// One query, filled in for one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its name in the environment file.
    pub name: String,
    pub component: String,
    pub revision: String,
    pub promql: String,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, component, revision, promql } = self;
        write!(f, "query `{name}` for revision {revision} of {component}: {promql}")
    }
}

/// What a server did instead of giving counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    Unreachable(String),
    TimedOut {
        seconds: u64,
    },
    TooLarge {
        mebibytes: usize,
    },
    Redirected {
        to: String,
    },
    /// Not a token of ours: the file, and why it could not be read.
    Token(String),
    Status {
        code: u16,
        said: String,
    },
    /// A good answer, yet not one of Prometheus' API.
    Foreign {
        said: String,
    },
    /// Prometheus does not understand or cannot run the query.
    Query {
        said: String,
    },
    /// Prometheus says that its answer may lack something.
    Partial {
        said: String,
    },
    NoData {
        at_ms: u64,
    },
    /// What the query gives is no set of counters.
    NotCounts {
        why: String,
        at_ms: u64,
    },
    /// Two queries contradict each other.
    Contradiction {
        why: String,
        at_ms: u64,
    },
    ClockBehind {
        seconds: u64,
    },
}

impl Trouble {
    /// The whole story: source, what failed, on which query, what to do next.
    pub fn told(&self, source: &str, query: Option<&Query>) -> MetricsError {
        let asked = query.map(|query| format!(" ({query})")).unwrap_or_default();
        let next = self.next(source, query);
        MetricsError(format!("Prometheus at {source} {self}{asked}; {next}"))
    }

    fn next(&self, source: &str, query: Option<&Query>) -> String {
        match self {
            Self::Unreachable(_) => {
                "check that it runs and that `url` in the environment file names it".into()
            }
            Self::TimedOut { .. } => format!(
                "check its load, and make the query cheaper or a recording rule{}",
                try_it(source, query, None)
            ),
            Self::TooLarge { .. } => {
                "leave labels out that do not tell processes apart: sum by (instance) (...), for \
                 latency sum by (instance, le) (...)"
                    .into()
            }
            Self::Redirected { .. } => {
                "redirects are not followed: give the final address as `url`".into()
            }
            Self::Token(_) => "make `token_file` name a readable file with one token".into(),
            Self::Status { code: 401 | 403, .. } => {
                "give a `token_file` with a bearer token that may query".into()
            }
            Self::Status { code: 404 | 405, .. } => {
                "`url` must be what stands before /api/v1 of its API, its path prefix included"
                    .into()
            }
            Self::Status { .. } => {
                format!("look at its log, or at what is between{}", try_it(source, query, None))
            }
            Self::Foreign { .. } => format!(
                "`url` must name a Prometheus server, not its login page or its targets{}",
                try_it(source, query, None)
            ),
            Self::Query { .. } => format!("correct the query{}", try_it(source, query, None)),
            Self::Partial { .. } => {
                "a sum that lacks a part looks like traffic that it is not: mend the source".into()
            }
            Self::NoData { at_ms } => format!(
                "that is not counted as zero; a counter that only appears with its first event \
                 needs a zero beside it: ERRORS or 0 * REQUESTS{}",
                try_it(source, query, Some(*at_ms))
            ),
            Self::NotCounts { at_ms, .. } => format!(
                "queries are of the counters themselves, without rate() or increase(){}",
                try_it(source, query, Some(*at_ms))
            ),
            Self::Contradiction { at_ms, .. } => format!(
                "both must count the same requests, when they end{}",
                try_it(source, query, Some(*at_ms))
            ),
            Self::ClockBehind { .. } => "set both clocks by NTP".into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::TimedOut { seconds } => write!(f, "did not answer within {seconds} s"),
            Self::TooLarge { mebibytes } => write!(f, "answered more than {mebibytes} MiB"),
            Self::Redirected { to } => write!(f, "redirects to {to}"),
            Self::Token(why) => write!(f, "was not asked: {why}"),
            Self::Status { code, said } => write!(f, "answered HTTP {code}: {said}"),
            Self::Foreign { said } => write!(f, "did not answer as Prometheus does: {said}"),
            Self::Query { said } => write!(f, "refused the query: {said}"),
            Self::Partial { said } => write!(f, "warns that its answer is incomplete: {said}"),
            Self::NoData { at_ms } => write!(f, "has no data at {}", seconds(*at_ms)),
            Self::NotCounts { why, at_ms } => {
                write!(f, "gave no counts at {}: {why}", seconds(*at_ms))
            }
            Self::Contradiction { why, at_ms } => {
                write!(f, "contradicts itself in the window until {}: {why}", seconds(*at_ms))
            }
            Self::ClockBehind { seconds } => {
                write!(f, "has a clock that is {seconds} s behind the rollout's")
            }
        }
    }
}

/// What a server said, fit for one line of a terminal.
pub fn excerpt(said: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&said[..said.len().min(4 * MOST)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = text.chars().filter(|c| !c.is_control()).take(MOST).collect();
    match (plain.is_empty(), plain.len() < text.len() || said.len() > 4 * MOST) {
        (true, _) => "an empty body".into(),
        (false, true) => format!("{plain:?}..."),
        (false, false) => format!("{plain:?}"),
    }
}

/// Seconds since the epoch, as `time=` takes them.
pub fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn try_it(source: &str, query: Option<&Query>, at_ms: Option<u64>) -> String {
    let Some(query) = query else { return String::new() };
    let quoted = query.promql.replace('\'', r"'\''");
    let at = at_ms.map(|ms| format!(" --data-urlencode time={}", seconds(ms))).unwrap_or_default();
    format!("; try: curl -sG '{source}/api/v1/query' --data-urlencode 'query={quoted}'{at}")
}
