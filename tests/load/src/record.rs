//! What happened: counted while it happens, summed up at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::connection::{Lost, Protocol};

const SAMPLES: usize = 20;
const CHANGES: usize = 1000;
const ENDINGS: usize = 1000;

/// A request that failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Milliseconds from the start of the run to the start of the request.
    pub sent_ms: f64,
    /// To its failure.
    pub failed_ms: f64,
    /// connect, response, body, status, answer or timeout.
    pub kind: &'static str,
    /// GET or POST.
    pub method: &'static str,
    /// What was said.
    pub detail: String,
}

/// When a revision answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RevisionSeen {
    /// Good answers.
    pub responses: u64,
    /// Whole answers that were not good.
    pub failed: u64,
    /// When the first answer of either kind was there, in milliseconds from the start of the run.
    pub first_ms: f64,
    /// The last one.
    pub last_ms: f64,
}

/// Answers came from another revision than the one before.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Milliseconds from the start of the run.
    pub at_ms: f64,
    /// Who answers now.
    pub revision: String,
}

/// The end of a long-lived stream that we did not end.
#[derive(Debug, Clone, Serialize)]
pub struct Ending {
    /// Milliseconds from the start of the run.
    pub opened_ms: f64,
    /// See `opened_ms`.
    pub ended_ms: f64,
    /// Pieces that came.
    pub messages: u64,
    /// Whether it ended as the protocol ends a stream; broken off otherwise.
    pub clean: bool,
    /// Who served it.
    pub revision: Option<String>,
    /// What was said, if broken.
    pub detail: String,
}

/// The long-lived streams together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamReport {
    /// Opened, and opened again after an end.
    pub opened: u64,
    /// Attempts that opened nothing.
    pub refused: u64,
    /// Pieces that came.
    pub messages: u64,
    /// Ended by the server as the protocol ends a stream.
    pub ended_clean: u64,
    /// Broken off.
    pub ended_broken: u64,
    /// The first of the ends.
    pub endings: Vec<Ending>,
}

/// Latency of good answers in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// The sum of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Milliseconds since 1970 at the start, to lay the run beside logs.
    pub started_unix_ms: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Of them POSTs.
    pub posts: u64,
    /// Requests over HTTP/2.
    pub http2_requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Failures by kind.
    pub failed_by_kind: BTreeMap<&'static str, u64>,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// Good answers.
    pub latency_ms: Latency,
    /// Answers by `X-NCA-Revision`; good ones without it under `-`.
    pub revisions: BTreeMap<String, RevisionSeen>,
    /// The first changes from one revision to another.
    pub changes: Vec<Change>,
    /// Connections that were opened.
    pub h1_connections_opened: u64,
    /// See `h1_connections_opened`.
    pub h2_connections_opened: u64,
    /// Answers that said `Connection: close`.
    pub told_to_close: u64,
    /// Times that a connection was found closed before a byte of the next request was written.
    pub found_closed: u64,
    /// Server-sent events.
    pub streams: StreamReport,
    /// WebSockets.
    pub websockets: StreamReport,
}

#[derive(Default)]
struct Inner {
    report: Report,
    micros: Vec<u32>,
    last_revision: Option<String>,
}

/// Which of the two kinds of stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamKind {
    Events,
    WebSocket,
}

/// Where everybody writes what happened.
pub(crate) struct Tally {
    started: Instant,
    started_wall: SystemTime,
    inner: Mutex<Inner>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), started_wall: SystemTime::now(), inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn millis(&self, at: Instant) -> f64 {
        round(at.duration_since(self.started))
    }

    pub(crate) fn connected(&self, protocol: Protocol) {
        let report = &mut self.inner().report;
        match protocol {
            Protocol::Http1 => report.h1_connections_opened += 1,
            Protocol::Http2 => report.h2_connections_opened += 1,
        }
    }

    pub(crate) fn found_closed(&self) {
        self.inner().report.found_closed += 1;
    }

    pub(crate) fn told_to_close(&self) {
        self.inner().report.told_to_close += 1;
    }

    pub(crate) fn ended(
        &self,
        method: &'static str,
        protocol: Protocol,
        sent: Instant,
        outcome: Result<&str, Lost>,
    ) {
        let now = Instant::now();
        let at_ms = self.millis(now);
        let sent_ms = self.millis(sent);
        let mut inner = self.inner();
        let inner = &mut *inner;
        let report = &mut inner.report;
        report.requests += 1;
        report.posts += u64::from(method == "POST");
        report.http2_requests += u64::from(protocol == Protocol::Http2);
        match outcome {
            Ok(revision) => {
                let micros = now.duration_since(sent).as_micros();
                inner.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                note_revision(report, &mut inner.last_revision, revision, at_ms);
            }
            Err(Lost { kind, detail, revision }) => {
                if let Some(revision) = revision {
                    seen(report, &revision, at_ms).failed += 1;
                }
                report.failed += 1;
                *report.failed_by_kind.entry(kind).or_default() += 1;
                if report.failures.len() < SAMPLES {
                    let failure = Failure { sent_ms, failed_ms: at_ms, kind, method, detail };
                    report.failures.push(failure);
                }
            }
        }
    }

    pub(crate) fn stream(&self, kind: StreamKind, note: impl FnOnce(&mut StreamReport)) {
        let report = &mut self.inner().report;
        note(match kind {
            StreamKind::Events => &mut report.streams,
            StreamKind::WebSocket => &mut report.websockets,
        });
    }

    pub(crate) fn stream_ended(&self, kind: StreamKind, ending: Ending) {
        self.stream(kind, |report| {
            if ending.clean {
                report.ended_clean += 1;
            } else {
                report.ended_broken += 1;
            }
            if report.endings.len() < ENDINGS {
                report.endings.push(ending);
            }
        });
    }

    pub(crate) fn report(&self) -> Report {
        let mut inner = self.inner();
        let mut report = inner.report.clone();
        let since = self.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        report.started_unix_ms = u64::try_from(since.as_millis()).unwrap_or_default();
        report.seconds = self.started.elapsed().as_secs_f64();
        inner.micros.sort_unstable();
        report.latency_ms = quantiles(&inner.micros);
        report
    }
}

fn note_revision(report: &mut Report, last: &mut Option<String>, revision: &str, at_ms: f64) {
    seen(report, revision, at_ms).responses += 1;
    if last.as_deref() != Some(revision) {
        if last.is_some() && report.changes.len() < CHANGES {
            report.changes.push(Change { at_ms, revision: revision.to_owned() });
        }
        *last = Some(revision.to_owned());
    }
}

fn seen<'a>(report: &'a mut Report, revision: &str, at_ms: f64) -> &'a mut RevisionSeen {
    let first = || RevisionSeen { first_ms: at_ms, ..RevisionSeen::default() };
    let seen = report.revisions.entry(revision.to_owned()).or_insert_with(first);
    seen.last_ms = at_ms;
    seen
}

fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// Nearest rank; nothing measured is all zero.
fn quantiles(sorted: &[u32]) -> Latency {
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let sorted: Vec<u32> = (1..=1000).map(|n| n * 1000).collect();
        let latency = quantiles(&sorted);
        assert_eq!(
            (latency.p50, latency.p99, latency.p999, latency.max),
            (500.0, 990.0, 999.0, 1000.0)
        );
        assert_eq!(quantiles(&[]).max, 0.0);
    }
}
