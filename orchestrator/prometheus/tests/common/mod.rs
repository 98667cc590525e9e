//! What the tests of this crate share: settings, and a driver that asks as a rollout does.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod exporter;
pub mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::judge::{Compared, Counts, Prometheus, Window};
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_engine::ports::{Metrics, MetricsError};
use neuroca_deploy_prometheus::PrometheusMetrics;

/// The queries that docs/metrics.md gives for the edge.
pub const REQUESTS: &str =
    r#"edge_request_duration_seconds_count{component="{{component}}",revision="{{revision}}"}"#;
pub const ERRORS: &str = r#"edge_requests_total{component="{{component}}",revision="{{revision}}",status=~"5xx|connect_error|timeout|broken"} or 0 * edge_request_duration_seconds_count{component="{{component}}",revision="{{revision}}"}"#;
pub const LATENCY: &str =
    r#"edge_request_duration_seconds_bucket{component="{{component}}",revision="{{revision}}"}"#;

pub fn settings(url: &str) -> Prometheus {
    Prometheus {
        url: url.into(),
        token_file: None,
        interval: Millis(1_000),
        requests: REQUESTS.into(),
        errors: ERRORS.into(),
        latency: Some(LATENCY.into()),
        ratios: BTreeMap::new(),
    }
}

pub fn api() -> Vec<Compared> {
    vec![Compared {
        component: "api".into(),
        canary: RevisionId("api-2".into()),
        stable: Some(RevisionId("api-1".into())),
    }]
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis() as u64
}

/// Asks as a driver does: each time after what it has.
pub struct Driver {
    pub metrics: PrometheusMetrics,
    pub compared: Vec<Compared>,
    pub since_ms: u64,
    pub windows: Vec<Window>,
}

impl Driver {
    pub fn new(settings: &Prometheus) -> Self {
        let metrics = PrometheusMetrics::new(settings, Path::new(".")).expect("good settings");
        Self { metrics, compared: api(), since_ms: now_ms(), windows: Vec::new() }
    }

    pub async fn ask(&mut self) -> Result<(), MetricsError> {
        let after_ms = self.windows.last().map_or(self.since_ms, |last| last.end_ms);
        self.windows.extend(self.metrics.windows(&self.compared, after_ms).await?);
        Ok(())
    }

    /// Asks until it has been told enough.
    pub async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        let mut last = Ok(());
        for _ in 0..300 {
            last = self.ask().await;
            if enough(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        panic!("not in 45 s; last {last:?}, windows {:#?}", self.windows);
    }

    /// Asks until that is refused for this reason.
    pub async fn until_told(&mut self, why: &str) -> String {
        let mut last = Ok(());
        for _ in 0..300 {
            last = self.ask().await;
            match &last {
                Err(MetricsError(said)) if said.contains(why) => return said.clone(),
                _ => tokio::time::sleep(Duration::from_millis(150)).await,
            }
        }
        panic!("not told {why:?} in 45 s; last {last:?}");
    }

    pub fn canary(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.windows.iter().map(|w| of(&w.components["api"].canary)).sum()
    }

    pub fn stable(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.windows.iter().map(|w| of(&w.components["api"].stable)).sum()
    }
}

/// How many were slower than a bound.
pub fn slower(bound_us: u64) -> impl Fn(&Counts) -> u64 {
    move |counts| counts.latency.iter().filter(|b| b.bound_us == bound_us).map(|b| b.slower).sum()
}

pub fn requests(counts: &Counts) -> u64 {
    counts.requests
}

pub fn errors(counts: &Counts) -> u64 {
    counts.errors
}
