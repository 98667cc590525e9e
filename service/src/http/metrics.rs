//! Counters, and their text for Prometheus.
//!
//! Few enough to be written by hand. Every sample carries `revision`, so that two revisions
//! behind one name can be told apart.

mod flags;
mod form;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::lifecycle::Phase;
use crate::maintenance::{Mode, Notices, Scope};
use crate::memory::{Moment, Tier};
use crate::schema::{SCHEMA_MAX, SCHEMA_MIN};
use crate::store::{Evicted, PoolState};
use crate::telemetry::dropped;
use flags::FlagMetrics;
use form::{Exemplar, Form};

/// Upper bounds of the histogram in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Method and route: both from closed sets.
type Series = (&'static str, String);

#[derive(Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    /// The last of each bucket that somebody can look up, the slowest behind the bounds.
    exemplars: [Option<Exemplar>; BOUNDS.len() + 1],
    count: u64,
    seconds: f64,
}

#[derive(Default)]
struct Http {
    requests: BTreeMap<(Series, u16), u64>,
    durations: BTreeMap<Series, Histogram>,
}

/// The counters of a process.
#[derive(Default)]
pub struct Metrics {
    http: Mutex<Http>,
    in_flight: AtomicI64,
    streams: AtomicI64,
    created: [AtomicU64; Tier::ALL.len()],
    operations: Mutex<BTreeMap<(&'static str, &'static str, &'static str), u64>>,
    evicted: [AtomicU64; Tier::ALL.len()],
    pub(super) flags: FlagMetrics,
}

/// What is found out at the moment of showing.
struct Found {
    pool: Option<PoolState>,
    items: Option<[i64; Tier::ALL.len()]>,
}

/// A database that is slow must not cost the other metrics.
const PATIENCE: Duration = Duration::from_millis(500);

/// Counts one more as long as it lives, however its holder ends.
pub struct Gauge<'a>(&'a AtomicI64);

impl<'a> Gauge<'a> {
    fn enter(value: &'a AtomicI64) -> Self {
        value.fetch_add(1, Ordering::Relaxed);
        Self(value)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A request is being answered.
    pub(super) fn enter(&self) -> Gauge<'_> {
        Gauge::enter(&self.in_flight)
    }

    pub(super) fn stream_opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stream_closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: u16,
        took: Duration,
        trace: Option<String>,
    ) {
        let series = (method_label(method), route.to_owned());
        let seconds = took.as_secs_f64();
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        *http.requests.entry((series.clone(), status)).or_default() += 1;
        let histogram = http.durations.entry(series).or_default();
        histogram.count += 1;
        histogram.seconds += seconds;
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = histogram.buckets.get_mut(bucket) {
            *count += 1;
        }
        if let Some(trace) = trace {
            histogram.exemplars[bucket] = Some(Exemplar { trace, seconds, at: Moment::now() });
        }
    }

    pub(super) fn created(&self, tier: Tier) {
        self.created[tier as usize].fetch_add(1, Ordering::Relaxed);
        self.operated("create", tier.name(), "done");
    }

    pub(super) fn evicted(&self, evicted: &[Evicted]) {
        for one in evicted {
            self.evicted[one.tier as usize].fetch_add(one.count, Ordering::Relaxed);
        }
    }

    /// One operation on memories: all three from closed sets.
    pub(super) fn operated(
        &self,
        operation: &'static str,
        tier: &'static str,
        outcome: &'static str,
    ) {
        let mut all = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((operation, tier, outcome)).or_default() += 1;
    }

    fn render(
        &self,
        revision: &str,
        phase: Phase,
        notices: &Notices,
        found: Found,
        form: Form,
    ) -> String {
        let mut out = String::with_capacity(8 * 1024);
        let r = format!("revision=\"{revision}\"");
        // Writing to a String cannot fail.
        let _ = self.render_http(&mut out, &r, form);
        let _ = self.render_memories(&mut out, &r, found.items);
        let _ = self.render_process(&mut out, &r, phase, found.pool);
        let _ = render_maintenance(&mut out, &r, notices);
        let _ = self.flags.render(&mut out, &r);
        out
    }

    fn render_http(&self, out: &mut String, r: &str, form: Form) -> std::fmt::Result {
        let http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "neuroca_http_requests_total";
        head(out, name, "counter", "Answers, by the status that was sent.")?;
        for (((method, route), status), count) in &http.requests {
            writeln!(
                out,
                "{name}{{method=\"{method}\",route=\"{route}\",status=\"{status}\",{r}}} {count}"
            )?;
        }
        let name = "neuroca_http_request_duration_seconds";
        head(out, name, "histogram", "Time from the head of a request to the head of its answer.")?;
        for ((method, route), histogram) in &http.durations {
            let labels = format!("method=\"{method}\",route=\"{route}\",{r}");
            let mut below = 0;
            let exemplar = |bucket: usize| {
                form.exemplar(histogram.exemplars.get(bucket).and_then(Option::as_ref))
            };
            for (bucket, bound) in BOUNDS.iter().enumerate() {
                below += histogram.buckets[bucket];
                let shown = exemplar(bucket);
                writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}{shown}")?;
            }
            let (count, shown) = (histogram.count, exemplar(BOUNDS.len()));
            writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}{shown}")?;
            writeln!(out, "{name}_sum{{{labels}}} {}", histogram.seconds)?;
            writeln!(out, "{name}_count{{{labels}}} {}", histogram.count)?;
        }
        let name = "neuroca_http_in_flight";
        head(out, name, "gauge", "Requests without an answer so far.")?;
        writeln!(out, "{name}{{{r}}} {}", self.in_flight.load(Ordering::Relaxed))?;
        let name = "neuroca_event_streams";
        head(out, name, "gauge", "Open streams of /v1/events.")?;
        writeln!(out, "{name}{{{r}}} {}", self.streams.load(Ordering::Relaxed))
    }

    fn render_memories(
        &self,
        out: &mut String,
        r: &str,
        items: Option<[i64; Tier::ALL.len()]>,
    ) -> std::fmt::Result {
        let name = "neuroca_memories_created_total";
        head(out, name, "counter", "Memories that were accepted.")?;
        for tier in Tier::ALL {
            let count = self.created[tier as usize].load(Ordering::Relaxed);
            writeln!(out, "{name}{{tier=\"{}\",{r}}} {count}", tier.name())?;
        }
        let name = "neuroca_memory_operations_total";
        head(out, name, "counter", "What was done with memories, and how it ended.")?;
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        for ((op, tier, outcome), count) in operations.iter() {
            writeln!(
                out,
                "{name}{{op=\"{op}\",tier=\"{tier}\",outcome=\"{outcome}\",{r}}} {count}"
            )?;
        }
        drop(operations);
        if let Some(items) = items {
            let name = "neuroca_memory_items";
            head(out, name, "gauge", "Memories in the database, of all tenants.")?;
            for tier in Tier::ALL {
                writeln!(out, "{name}{{tier=\"{}\",{r}}} {}", tier.name(), items[tier as usize])?;
            }
        }
        let name = "neuroca_evictions_total";
        head(out, name, "counter", "Memories that left a full tier.")?;
        for tier in Tier::ALL {
            let count = self.evicted[tier as usize].load(Ordering::Relaxed);
            writeln!(out, "{name}{{tier=\"{}\",reason=\"capacity\",{r}}} {count}", tier.name())?;
        }
        Ok(())
    }

    fn render_process(
        &self,
        out: &mut String,
        r: &str,
        phase: Phase,
        pool: Option<PoolState>,
    ) -> std::fmt::Result {
        let name = "neuroca_db_pool_connections";
        head(out, name, "gauge", "Connections to the database.")?;
        if let Some(pool) = pool {
            writeln!(out, "{name}{{state=\"idle\",{r}}} {}", pool.idle)?;
            writeln!(out, "{name}{{state=\"used\",{r}}} {}", pool.used)?;
        }
        let name = "neuroca_draining";
        head(out, name, "gauge", "1 from SIGTERM on.")?;
        writeln!(out, "{name}{{{r}}} {}", u8::from(phase >= Phase::Draining))?;
        let name = "neuroca_trace_spans_dropped_total";
        head(out, name, "counter", "Spans that no receiver of traces got.")?;
        let dropped = dropped();
        writeln!(out, "{name}{{reason=\"queue_full\",{r}}} {}", dropped.full)?;
        writeln!(out, "{name}{{reason=\"export_failed\",{r}}} {}", dropped.refused)?;
        let name = "neuroca_build_info";
        head(out, name, "gauge", "What runs here.")?;
        writeln!(
            out,
            "{name}{{version=\"{}\",{r},schema_min=\"{SCHEMA_MIN}\",schema_max=\"{SCHEMA_MAX}\"}} 1",
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// Not which tenants: a metric is for everybody who may look.
fn render_maintenance(out: &mut String, r: &str, notices: &Notices) -> std::fmt::Result {
    let name = "neuroca_maintenance_mode";
    head(out, name, "gauge", "0 off, 1 read-only, 2 full; of the tenants: the strictest.")?;
    let service = notices.service.as_ref().map_or(Mode::Off, |notice| notice.mode);
    let tenants = notices.tenants.values().map(|notice| notice.mode).max().unwrap_or_default();
    for (scope, mode) in [(Scope::Service, service), (Scope::Tenant, tenants)] {
        writeln!(out, "{name}{{scope=\"{}\",{r}}} {}", scope.name(), mode as u8)?;
    }
    let name = "neuroca_maintenance_tenants";
    head(out, name, "gauge", "Tenants under maintenance of their own.")?;
    writeln!(out, "{name}{{{r}}} {}", notices.tenants.len())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Anybody can invent methods; a label must not follow.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let form = Form::wanted(&headers);
    let found = match shared.repository.get() {
        None => Found { pool: None, items: None },
        Some(repository) => Found {
            pool: Some(repository.pool()),
            items: tokio::time::timeout(PATIENCE, repository.totals())
                .await
                .ok()
                .and_then(Result::ok),
        },
    };
    let (phase, notices) = (shared.lifecycle.phase(), shared.maintenance.notices());
    let mut text = shared.metrics.render(&shared.revision, phase, &notices, found, form);
    let labels = format!("revision=\"{}\"", shared.revision);
    if let Some(llm) = &shared.llm {
        llm.render(&mut text, &labels);
    }
    if let Some(meaning) = shared.searcher.meaning() {
        meaning.render(&mut text, &labels);
    }
    shared.limiter.render(&mut text, &labels);
    ([(CONTENT_TYPE, form.media_type())], form.finished(text)).into_response()
}
