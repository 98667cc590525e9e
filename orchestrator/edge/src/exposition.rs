//! The counters as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::metrics::{Metrics, RevisionStatus};

pub fn text(metrics: &Metrics) -> String {
    let mut out = of_revisions(&metrics.snapshot());
    head(&mut out, "refused_total", "counter", "requests that the edge answered by itself");
    for (status, n) in metrics.refusals() {
        let _ = writeln!(out, "edge_refused_total{{status=\"{status}\"}} {n}");
    }
    out
}

fn of_revisions(revisions: &BTreeMap<String, RevisionStatus>) -> String {
    let labelled: Vec<(String, &RevisionStatus)> = revisions
        .iter()
        .map(|(name, status)| {
            let (component, revision) = (escaped(&status.component), escaped(name));
            (format!("component=\"{component}\",revision=\"{revision}\""), status)
        })
        .collect();
    let mut out = String::new();
    head(&mut out, "requests_total", "counter", "requests that ended, by what became of them");
    for (labels, status) in &labelled {
        for (class, n) in &status.status {
            let _ = writeln!(out, "edge_requests_total{{{labels},status=\"{class}\"}} {n}");
        }
    }
    type Gauge = fn(&RevisionStatus) -> u64;
    let gauges: [(&str, &str, Gauge); 3] = [
        ("in_flight", "requests whose answer is not complete, without streams", |s| s.in_flight),
        ("streams", "open upgraded connections and event streams", |s| s.streams),
        ("weight", "share in the split", |s| s.weight.into()),
    ];
    for (name, help, value) in gauges {
        head(&mut out, name, "gauge", help);
        for (labels, status) in &labelled {
            let _ = writeln!(out, "edge_{name}{{{labels}}} {}", value(status));
        }
    }
    let name = "request_duration_seconds";
    head(&mut out, name, "histogram", "until the last byte of the answer, for streams its head");
    for (labels, status) in &labelled {
        for (bound, n) in &status.latency_buckets {
            let _ = writeln!(out, "edge_{name}_bucket{{{labels},le=\"{bound}\"}} {n}");
        }
        let (count, sum) = (status.latency_count, status.latency_sum);
        let _ = writeln!(out, "edge_{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "edge_{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(out, "edge_{name}_count{{{labels}}} {count}");
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP edge_{name} {help}\n# TYPE edge_{name} {kind}");
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
