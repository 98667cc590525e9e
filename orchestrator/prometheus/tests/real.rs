//! Against a real Prometheus that scrapes what the tests show it.

mod common;

use common::exporter::{Exporter, Scraper, edge};
use common::{Driver, errors, requests, settings, slower};
use neuroca_deploy_core::judge::Prometheus;
use neuroca_deploy_engine::ports::Metrics;

fn both(stable: [u64; 3], canary: [u64; 3]) -> String {
    let of = |name, [requests, errors, slow]: [u64; 3]| edge(name, requests, errors, slow);
    of("api-1", stable) + &of("api-2", canary)
}

#[tokio::test]
async fn growth_is_counted_by_side_and_again_the_same() {
    let exporter = Exporter::start().await;
    exporter.shows(both([5000, 40, 200], [10, 0, 0]));
    let Some(prometheus) = Scraper::start(&[&exporter]).await else { return };
    let mut driver = Driver::new(&settings(&prometheus.url));
    driver.until(|d| d.windows.len() >= 2).await;
    assert_eq!(driver.stable(requests) + driver.canary(requests), 0, "what was before is no news");

    exporter.shows(both([5090, 41, 202], [20, 3, 5]));
    driver.until(|d| d.canary(requests) >= 10).await;
    exporter.shows(both([5100, 41, 202], [25, 3, 6]));
    driver.until(|d| d.canary(requests) >= 15 && d.canary(slower(100_000)) >= 6).await;
    assert_eq!((driver.canary(requests), driver.canary(errors)), (15, 3));
    assert_eq!((driver.stable(requests), driver.stable(errors)), (100, 1));
    assert_eq!((driver.canary(slower(100_000)), driver.stable(slower(100_000))), (6, 2));
    assert_eq!(driver.canary(slower(1_780_000)), 0);

    let again = driver.metrics.windows(&driver.compared, driver.since_ms).await.expect("windows");
    assert_eq!(again[..driver.windows.len()], driver.windows, "the same time, the same windows");
    for pair in driver.windows.windows(2) {
        assert_eq!(pair[1].end_ms - pair[0].end_ms, 1000, "no window is left out");
    }
}

#[tokio::test]
async fn a_restart_and_a_missed_scrape_are_no_new_requests() {
    let (one, two) = (Exporter::start().await, Exporter::start().await);
    one.shows(both([1000, 500, 0], [1000, 500, 0]));
    two.shows(both([9000, 4000, 0], [9000, 4000, 0]));
    let Some(prometheus) = Scraper::start(&[&one, &two]).await else { return };
    let mut driver = Driver::new(&settings(&prometheus.url));
    driver.until(|d| d.windows.len() >= 2).await;
    assert_eq!(driver.canary(requests), 0, "whichever is scraped last is not new");

    one.shows(both([7, 0, 0], [7, 0, 0]));
    driver.until(|d| d.canary(requests) >= 7).await;
    two.fails();
    let seen = driver.windows.len();
    driver.until(|d| d.windows.len() >= seen + 4).await;
    two.shows(both([9002, 4001, 0], [9002, 4001, 0]));
    driver.until(|d| d.canary(requests) >= 9).await;
    let seen = driver.windows.len();
    driver.until(|d| d.windows.len() >= seen + 2).await;
    assert_eq!((driver.canary(requests), driver.canary(errors)), (9, 1));
}

#[tokio::test]
async fn what_came_while_prometheus_was_down_is_counted_when_it_is_back() {
    let exporter = Exporter::start().await;
    exporter.shows(both([100, 0, 0], [100, 0, 0]));
    let Some(mut prometheus) = Scraper::start(&[&exporter]).await else { return };
    let mut driver = Driver::new(&settings(&prometheus.url));
    driver.until(|d| d.windows.len() >= 2).await;

    prometheus.stop().await;
    let said = driver.until_told("cannot be reached").await;
    assert!(said.contains(&prometheus.url) && said.contains("check that it runs"), "{said}");
    exporter.shows(both([150, 2, 0], [110, 5, 0]));
    prometheus.start_again().await;
    driver.until(|d| d.canary(requests) >= 10).await;
    assert_eq!((driver.canary(errors), driver.stable(requests)), (5, 50));
}

#[tokio::test]
async fn values_that_are_no_counts_stop_until_they_are() {
    let exporter = Exporter::start().await;
    let nan = edge("api-1", 10, 0, 0)
        + "edge_request_duration_seconds_count{component=\"api\",revision=\"api-2\"} NaN\n";
    exporter.shows(nan);
    let Some(prometheus) = Scraper::start(&[&exporter]).await else { return };
    let mut driver = Driver::new(&settings(&prometheus.url));
    let said = driver.until_told("NaN").await;
    assert!(said.contains("query `requests` for revision api-2 of api"), "{said}");
    exporter.shows(both([10, 0, 0], [10, 0, 0]));
    driver.until(|d| d.windows.len() >= 2).await;
    exporter.shows(both([11, 0, 0], [13, 1, 0]));
    driver.until(|d| d.canary(requests) == 3).await;
    assert_eq!(driver.canary(errors), 1);
}

#[tokio::test]
async fn queries_that_give_no_counters_are_explained() {
    let exporter = Exporter::start().await;
    exporter.shows(both([100, 1, 3], [100, 1, 3]));
    let Some(prometheus) = Scraper::start(&[&exporter]).await else { return };
    let mut fine = Driver::new(&settings(&prometheus.url));
    fine.until(|d| d.windows.len() >= 2).await;

    let revision = r#"{revision="{{revision}}"}"#;
    let bucket = format!("edge_request_duration_seconds_bucket{revision}");
    let count = format!("edge_request_duration_seconds_count{revision}");
    let cases = [
        (format!("nothing{revision}"), "has no data"),
        (format!("sum(rate({count}[10s])) + 0.5"), "is no whole number"),
        (format!("0 - {count}"), "is negative"),
        (format!("{count} / 0"), "is infinite"),
        (format!("sum({count}"), "refused the query: \"bad_data: "),
        (bucket.clone(), "must not be summed"),
        (format!("{bucket}[5m]"), "refused the query"),
    ];
    for (promql, why) in cases {
        let settings = Prometheus { errors: promql, ..settings(&prometheus.url) };
        let mut driver = Driver::new(&settings);
        driver.since_ms = fine.since_ms;
        let said = driver.until_told(why).await;
        assert!(said.contains("query `errors` for revision api-"), "{said}");
        assert!(said.contains("try: curl -sG 'http://127.0.0.1:"), "{said}");
        assert!(driver.windows.is_empty(), "{said}");
    }
    let no_buckets = Prometheus { latency: Some(count), ..settings(&prometheus.url) };
    let said = Driver::new(&no_buckets).until_told("no label `le`").await;
    assert!(said.contains("query `latency`"), "{said}");
}
