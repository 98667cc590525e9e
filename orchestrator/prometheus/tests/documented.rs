//! The examples of docs/metrics.md against a real Prometheus that scrapes an edge and a service.

mod common;

use std::path::Path;

use common::Driver;
use common::exporter::{Exporter, Scraper, edge};
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::judge::{Prometheus, Ratio};

/// The settings in the first block of YAML that begins with this line.
fn example(first_line: &str, url: &str) -> Prometheus {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(page).expect("docs/metrics.md");
    let (_, block) = page.split_once(&format!("```yaml\n# {first_line}\n")).expect(first_line);
    let (block, _) = block.split_once("```").expect("its end");
    let file: serde_json::Value = serde_yaml::from_str(block).expect("YAML");
    let settings = file["rollout"]["analysis"]["prometheus"].clone();
    let settings: Prometheus = serde_json::from_value(settings).expect("settings");
    Prometheus { url: url.into(), interval: Millis(1_000), token_file: None, ..settings }
}

/// One revision's lines as the NCA service writes them; what never happened is not there.
fn service(revision: &str, reads: u64, writes: u64, broken_writes: u64) -> String {
    let r = format!("revision=\"{revision}\"");
    let probes = "method=\"GET\",route=\"/health/ready\"";
    let mut out = format!(
        "neuroca_build_info{{version=\"0.1.0\",{r},schema_min=\"1\",schema_max=\"2\"}} 1\n\
         neuroca_http_requests_total{{{probes},status=\"200\",{r}}} 999\n"
    );
    let name = "neuroca_http_request_duration_seconds_bucket";
    let route = "route=\"/v1/memories\"";
    for (method, status, n) in
        [("GET", 200, reads), ("POST", 201, writes - broken_writes), ("POST", 500, broken_writes)]
    {
        if n > 0 {
            out += &format!(
                "neuroca_http_requests_total{{method=\"{method}\",{route},status=\"{status}\",{r}}} {n}\n"
            );
        }
    }
    for (method, n) in [("GET", reads), ("POST", writes)] {
        for (bound, under) in [("0.001", 0), ("10", n), ("+Inf", n)] {
            out += &format!("{name}{{method=\"{method}\",{route},{r},le=\"{bound}\"}} {under}\n");
        }
    }
    out
}

#[tokio::test]
async fn the_examples_count_what_they_say() {
    let exporter = Exporter::start().await;
    let show = |n: u64| {
        let stable = edge("api-1", 1000 + n, 10, 0) + &service("api-1", 1000 + n, 50, 0);
        let canary = edge("api-2", n, n / 10, n / 5) + &service("api-2", n, n / 2, n / 4);
        // Families have to stay together for no parser that Prometheus uses.
        exporter.shows(stable + &canary);
    };
    show(0);
    let Some(prometheus) = Scraper::start(&[&exporter]).await else { return };
    let of = |what: &str| {
        let first_line = format!("environments/production.yaml: {what}");
        Driver::new(&example(&first_line, &prometheus.url))
    };
    let mut at_edge = of("the edge's counters, scraped from edge.metrics_listen");
    let mut at_service = of("the NCA service's own counters");
    at_edge.until(|d| d.windows.len() >= 2).await;
    at_service.until(|d| d.windows.len() >= 2).await;
    show(40);
    at_edge.until(|d| d.canary(common::requests) >= 40).await;
    at_service.until(|d| d.canary(common::requests) >= 60).await;

    assert_eq!((at_edge.canary(common::errors), at_edge.canary(common::slower(100_000))), (4, 8));
    assert_eq!((at_edge.stable(common::requests), at_edge.stable(common::errors)), (40, 0));
    assert_eq!((at_service.canary(common::requests), at_service.canary(common::errors)), (60, 10));
    assert_eq!(at_service.canary(common::slower(1_000)), 60);
    let writes = |d: &Driver| Ratio {
        of: d.canary(|counts| counts.ratios["writes"].of),
        bad: d.canary(|counts| counts.ratios["writes"].bad),
    };
    assert_eq!(writes(&at_service), Ratio { of: 20, bad: 10 });
}
