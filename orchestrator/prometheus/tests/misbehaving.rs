//! Servers that do not answer as Prometheus does: each is explained, and none gives counts.

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::server::{Reply, http, ok, serve, the_time};
use common::{api, now_ms, settings};
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::judge::{Prometheus, Window};
use neuroca_deploy_engine::ports::{Metrics, MetricsError};
use neuroca_deploy_prometheus::PrometheusMetrics;

async fn ask(settings: &Prometheus) -> Result<Vec<Window>, String> {
    let metrics = PrometheusMetrics::new(settings, Path::new(".")).map_err(|e| e.0)?;
    metrics.windows(&api(), now_ms() - 5_000).await.map_err(|MetricsError(said)| said)
}

/// What is said when queries, but not the time, are answered like this.
async fn told(reply: impl Fn() -> Reply + Send + Sync + 'static) -> String {
    let server = serve(move |request| match request.contains("time%28%29") {
        true => the_time(),
        false => reply(),
    });
    let server = server.await;
    let said = ask(&settings(&server.url)).await.expect_err("no counts");
    assert!(said.starts_with(&format!("Prometheus at {} ", server.url)), "{said}");
    assert!(said.contains("query `requests` for revision api-1 of api: edge_"), "{said}");
    said
}

/// A range query's answer: each of the series with these values in the last ten seconds.
fn matrix(series: &[(&str, &str)]) -> String {
    let now = now_ms() / 1000;
    let series: Vec<String> = series
        .iter()
        .map(|(labels, value)| {
            let values: Vec<String> =
                (now - 10..=now).map(|at| format!("[{at},\"{value}\"]")).collect();
            format!("{{\"metric\":{{{labels}}},\"values\":[{}]}}", values.join(","))
        })
        .collect();
    let result = series.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}"#)
}

#[tokio::test]
async fn answers_that_are_none_are_told_with_what_to_do() {
    let html = "<!DOCTYPE html><title>Sign in</title>\u{1b}[2J";
    let said = told(move || ok(html)).await;
    assert!(said.contains("did not answer as Prometheus does"), "{said}");
    assert!(said.contains("Sign in") && !said.contains('\u{1b}'), "{said}");

    let cases = [
        ("500 Internal Server Error", "oops", "answered HTTP 500: \"oops\"", "look at its log"),
        ("404 Not Found", "404 page not found\n", "HTTP 404", "before /api/v1"),
        ("401 Unauthorized", "", "HTTP 401: an empty body", "`token_file`"),
        (
            "422 Unprocessable Entity",
            r#"{"status":"error","errorType":"execution","error":"many-to-many matching"}"#,
            "refused the query: \"execution: many-to-many matching\"",
            "correct the query; try: curl",
        ),
        (
            "503 Service Unavailable",
            r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
            "HTTP 503: \"timeout: query timed out\"",
            "look at its log",
        ),
        (
            "200 OK",
            r#"{"status":"success","warnings":["store b is down"],"data":{"resultType":"matrix","result":[]}}"#,
            "incomplete: \"store b is down\"",
            "mend the source",
        ),
        (
            "200 OK",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{}]]}]}}"#,
            "native histograms",
            "queries are of the counters themselves",
        ),
        (
            "200 OK",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"#,
            "EOF",
            "url",
        ),
        (
            "200 OK",
            r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#,
            "streams",
            "url",
        ),
        (
            "200 OK",
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            "has no data at 1",
            "not counted as zero",
        ),
    ];
    for (status, body, what, next) in cases {
        let said = told(move || http(status, body)).await;
        assert!(said.contains(what) && said.contains(next), "{said}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let said = told(|| {
        let head = "HTTP/1.1 302 Found\r\nlocation: https://login.example/?next=%2F\r\n";
        Reply::Bytes(format!("{head}content-length: 0\r\n\r\n").into_bytes())
    });
    let said = said.await;
    assert!(said.contains("redirects to \"https://login.example/?next=%2F\""), "{said}");
    assert!(said.contains("give the final address as `url`"), "{said}");
}

#[tokio::test]
async fn whoever_is_slow_is_waited_for_five_seconds() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"status\"";
    let started = Instant::now();
    let (silent, stuck) =
        futures::join!(told(|| Reply::Hang(Vec::new())), told(|| Reply::Hang(head.into())));
    for said in [silent, stuck] {
        assert!(said.contains("did not answer within 5 s"), "{said}");
        assert!(said.contains("make the query cheaper"), "{said}");
    }
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let chunk_after_chunk = "HTTP/1.1 200 OK\r\n\r\n";
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    for head in [chunk_after_chunk, announced] {
        let said = told(move || Reply::Endless(head.into())).await;
        assert!(said.contains("answered more than 32 MiB"), "{said}");
        assert!(said.contains("sum by (instance)"), "{said}");
    }
}

#[tokio::test]
async fn nobody_there_and_a_broken_answer_cannot_be_reached() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let said = ask(&settings(&url)).await.expect_err("nobody");
    assert!(said.starts_with(&format!("Prometheus at {url} cannot be reached: ")), "{said}");
    assert!(said.contains("refused") && said.contains("check that it runs"), "{said}");

    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{";
    for bytes in ["", cut, "220 mail.example ESMTP\r\n"] {
        let said = told(move || Reply::Bytes(bytes.into())).await;
        assert!(said.contains("cannot be reached: "), "{said}");
    }
}

#[tokio::test]
async fn values_that_are_no_counts_are_refused() {
    let cases = [
        ("NaN", "is not a number (NaN)"),
        ("+Inf", "is infinite"),
        ("-Inf", "is infinite"),
        ("-3", "is negative"),
        ("2.5", "is no whole number"),
        ("many", "is \"many\", no number"),
    ];
    for (value, why) in cases {
        let said = told(move || ok(&matrix(&[(r#""instance":"a:1""#, value)]))).await;
        assert!(said.contains("gave no counts at 1"), "{said}");
        assert!(said.contains(&format!("{{instance=\"a:1\"}} {why}")), "{said}");
        assert!(said.contains("without rate() or increase(); try: curl -sG"), "{said}");
    }
}

#[tokio::test]
async fn a_name_twice_in_the_json_or_deep_nesting_gives_no_counts() {
    let said = told(|| ok(&"[".repeat(100_000))).await;
    assert!(said.contains("did not answer as Prometheus does"), "{said}");
    let twice = r#"{"status":"success","status":"success","data":null}"#;
    assert!(told(move || ok(twice)).await.contains("duplicate field"));
}

#[tokio::test]
async fn two_clocks_that_disagree_are_named() {
    let server = serve(|_| {
        ok(r#"{"status":"success","data":{"resultType":"scalar","result":[1000,"1000"]}}"#)
    });
    let server = server.await;
    let said = ask(&settings(&server.url)).await.expect_err("1970");
    assert!(said.contains("s behind the rollout's; set both clocks by NTP"), "{said}");
    for now in ["NaN", "-5", "+Inf"] {
        let answer = format!(
            r#"{{"status":"success","data":{{"resultType":"scalar","result":[1,"{now}"]}}}}"#
        );
        let server = serve(move |_| ok(&answer)).await;
        let said = ask(&settings(&server.url)).await.expect_err(now);
        assert!(said.contains("did not answer as Prometheus does"), "{said}");
    }
}

#[tokio::test]
async fn nothing_is_asked_for_before_it_can_be_final() {
    let server = serve(|request| {
        assert!(request.contains("time%28%29"), "asked too early: {request}");
        the_time()
    });
    let server = server.await;
    let hourly = Prometheus { interval: Millis(3_600_000), ..settings(&server.url) };
    let metrics = PrometheusMetrics::new(&hourly, Path::new(".")).expect("settings");
    assert_eq!(metrics.windows(&api(), now_ms()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_component_without_data_does_not_hide_another() {
    let server = serve(|request| {
        let counters = matrix(&[("", "4")]);
        match request {
            _ if request.contains("time%28%29") => the_time(),
            _ if request.contains("worker") => ok(&matrix(&[])),
            _ if request.contains("bucket") => ok(&matrix(&[(r#""le":"+Inf""#, "4")])),
            _ => ok(&counters),
        }
    });
    let server = server.await;
    let metrics = PrometheusMetrics::new(&settings(&server.url), Path::new(".")).expect("settings");
    let mut both = api();
    both.push(neuroca_deploy_core::judge::Compared {
        component: "worker".into(),
        ..both[0].clone()
    });
    let windows = metrics.windows(&both, now_ms() - 5_000).await.expect("those of api");
    assert!(!windows.is_empty());
    assert!(windows.iter().all(|window| window.components.keys().eq(["api"])));
}

#[tokio::test]
async fn a_token_is_sent_and_never_told() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = seen.clone();
    let server = serve(move |request| {
        heads.lock().expect("no panic").push(request.to_owned());
        http("403 Forbidden", "not you")
    });
    let server = server.await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "s3cr3t-token\n").expect("a file");
    let of = |file: &str| Prometheus { token_file: Some(file.into()), ..settings(&server.url) };
    let ask = async |file: &str| {
        let metrics = PrometheusMetrics::new(&of(file), folder.path()).expect("settings");
        metrics.windows(&api(), now_ms()).await.expect_err("forbidden").0
    };
    let said = ask("token").await;
    assert!(said.contains("HTTP 403: \"not you\"") && !said.contains("s3cr3t"), "{said}");
    let request = seen.lock().expect("no panic")[0].to_lowercase();
    assert!(request.contains("authorization: bearer s3cr3t-token\r\n"), "{request}");

    let said = ask("gone").await;
    assert!(said.contains("was not asked: token file") && said.contains("gone"), "{said}");
    std::fs::write(folder.path().join("token"), "s3cr3t\nand more").expect("a file");
    let said = ask("token").await;
    assert!(said.contains("no token") && !said.contains("s3cr3t"), "{said}");
    assert_eq!(seen.lock().expect("no panic").len(), 1, "nothing is asked without it");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let good = settings("http://127.0.0.1:9090/prometheus/");
    assert!(PrometheusMetrics::new(&good, Path::new(".")).is_ok());
    let told = |settings: Prometheus| {
        let refused = PrometheusMetrics::new(&settings, Path::new("."));
        refused.err().expect("refused").0
    };
    for (url, why) in [
        ("127.0.0.1:9090", "prometheus.url` must begin with http:// or https://"),
        ("ftp://a", "prometheus.url` must begin with"),
        ("http://me:pass@prometheus", "use `token_file`"),
        ("http://prometheus/?a=b", "before `?`"),
        ("http://", "prometheus.url` must begin"),
        ("http:///x", "prometheus.url` is no URL"),
        ("", "prometheus.url` is no URL"),
    ] {
        let said = told(Prometheus { url: url.into(), ..good.clone() });
        assert!(said.contains(why), "{url}: {said}");
        assert!(!said.contains("pass@"), "{said}");
    }
    let said = told(Prometheus { interval: Millis(0), ..good.clone() });
    assert!(said.contains("prometheus.interval` is 0"), "{said}");
    let said = told(Prometheus { errors: "sum(errors)".into(), ..good });
    assert!(
        said.contains("prometheus.errors` is no query for two revisions")
            && said.contains("{{revision}}")
    );
}
