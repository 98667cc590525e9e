//! Traces as whoever looks for a slow request sees them: at a real receiver, and where there is none.

mod harness;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::model::{Model, openai};
use harness::tap::{Tap, free_port};
use harness::{Running, migrated};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn traced(dir: &std::path::Path, endpoint: &str, more: &[(&str, &str)]) -> Running {
    let mut env = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_SERVICE_NAME", "memory-of-the-test"),
    ];
    env.extend(more);
    Running::serve(dir, &env)
}

fn parent(sampled: bool) -> String {
    format!("00-{TRACE}-{SPAN}-0{}", u8::from(sampled))
}

/// A sample of the metrics of a service.
fn metric(running: &Running, name: &str) -> f64 {
    let text = running.get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
}

fn ask(running: &Running, headers: &[(&str, &str)], path: &str, body: &Value) -> harness::Answer {
    running.connect().request("POST", path, headers, &body.to_string())
}

#[test]
fn a_request_its_database_and_its_model_are_one_trace_without_a_word_of_what_was_said() {
    let Some(tap) = Tap::start(free_port()) else { return };
    let dir = migrated();
    let model = Model::start(vec![openai(&["Her dog is Biscuitcanary [1]."])]);
    let base = format!("http://{}/v1", model.address);
    let llm = [
        ("NEUROCA_LLM_PROVIDER", "openai-compatible"),
        ("NEUROCA_LLM_MODEL", "a-model"),
        ("NEUROCA_LLM_API_KEY", "keycanary"),
        ("NEUROCA_LLM_BASE_URL", base.as_str()),
    ];
    let mut running = traced(dir.path(), &tap.endpoint(), &llm);
    let told = json!({"content": "Ann's dog is Biscuitcanary", "subject": "anncanary", "tier": "long_term"});
    assert_eq!(ask(&running, &[], "/v1/memories", &told).status, 201);
    let question = json!({"query": "what is the name of Ann's dogcanary?"});
    let traceparent = parent(true);
    let headers = [("traceparent", traceparent.as_str()), ("tracestate", "other=1")];
    let answer = ask(&running, &headers, "/v1/llm/query", &question);
    assert_eq!(answer.status, 200, "{answer:?}");
    running.signal("TERM");
    // At the latest when it drains.
    let lines = tap.until(&["POST /v1/llm/query"]);
    assert!(running.wait().success());
    let text = lines.join("\n");
    for word in ["canary", "default"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(text.contains("memory-of-the-test") || !text.contains("service.name"), "{text}");
    let ours: Vec<String> = lines.into_iter().filter(|line| carries(line, TRACE)).collect();
    let ours = ours.join("\n");
    for name in ["POST /v1/llm/query", "sqlite read", "chat a-model"] {
        assert!(ours.contains(name), "{name} is not in the caller's trace: {ours}");
    }
    // The model hears of the same trace, and of a span of ours.
    let asked = model.asked();
    let heard = asked[0].header("traceparent").expect("a traceparent").to_owned();
    assert!(heard.starts_with(&format!("00-{TRACE}-")) && heard.ends_with("-01"), "{heard}");
    assert!(!heard.contains(SPAN), "{heard}");
    assert_eq!(asked[0].header("tracestate"), Some("other=1"));
    // And so do the log and whoever asks for metrics in the form that has a place for it.
    let log = running.rest();
    let request = log.lines().find(|line| line.contains("/v1/llm/query")).expect("a line");
    let request: Value = serde_json::from_str(request).expect("JSON");
    assert_eq!(request["trace_id"], TRACE);
}

/// Ids are printed as hex or, as JSON of protobuf has it, in base64.
fn carries(line: &str, id: &str) -> bool {
    use base64::Engine;
    let bytes: Vec<u8> = (0..id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&id[at..at + 2], 16).expect("hex"))
        .collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    line.contains(id) || line.contains(&encoded)
}

#[test]
fn errors_and_buckets_name_their_trace() {
    let Some(tap) = Tap::start(free_port()) else { return };
    let dir = migrated();
    let running = traced(dir.path(), &tap.endpoint(), &[]);
    let traceparent = parent(true);
    let headers = [("traceparent", traceparent.as_str())];
    let missing = running.connect().request(
        "GET",
        "/v1/memories/01890000-0000-7000-8000-000000000000",
        &headers,
        "",
    );
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["trace_id"], TRACE);
    let open = [("accept", "application/openmetrics-text; version=1.0.0")];
    let metrics = running.connect().request("GET", "/metrics", &open, "");
    let kind = metrics.header("content-type").expect("a type");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(metrics.body.ends_with("# EOF\n"));
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}} ");
    let bucket = metrics.body.lines().find(|line| line.contains(&exemplar)).expect("an exemplar");
    assert!(
        bucket.contains("route=\"/v1/memories/{id}\"") && bucket.contains("_bucket{"),
        "{bucket}"
    );
    assert!(
        !running.get("/metrics").body.contains("trace_id"),
        "Prometheus' text has no place for it"
    );
}

#[test]
fn the_caller_and_the_sampler_decide_what_is_sent() {
    let Some(tap) = Tap::start(free_port()) else { return };
    let dir = migrated();
    let unsampled =
        traced(dir.path(), &tap.endpoint(), &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    let no = parent(false);
    assert_eq!(
        unsampled.connect().request("GET", "/v1/stats", &[("traceparent", &no)], "").status,
        200
    );
    assert_eq!(unsampled.get("/v1/stats").status, 200);
    let yes = parent(true);
    let path = "/v1/memories";
    assert_eq!(unsampled.connect().request("GET", path, &[("traceparent", &yes)], "").status, 200);
    let lines = tap.until(&["GET /v1/memories"]);
    assert!(!lines.iter().any(|line| line.contains("GET /v1/stats")), "{lines:?}");
    // A header that is none begins a trace of its own.
    let odd = "00-00000000000000000000000000000000-0000000000000000-01";
    assert_eq!(unsampled.connect().request("GET", path, &[("traceparent", odd)], "").status, 200);
    drop(unsampled);
    let share = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.2")];
    let mut running = traced(dir.path(), &tap.endpoint(), &share);
    for _ in 0..300 {
        assert_eq!(running.get("/v1/stats").status, 200);
    }
    running.signal("TERM");
    assert!(running.wait().success());
    let last = traced(dir.path(), &tap.endpoint(), &[]);
    assert_eq!(last.get("/v1/consolidations/none").status, 404);
    let lines = tap.until(&["/v1/consolidations"]);
    let sent = lines.join("").matches("GET /v1/stats").count();
    // 60 are expected; fewer than 25 or more than 110 come less often than once in a million runs.
    assert!((25..=110).contains(&sent), "{sent} of 300");
}

#[test]
fn a_receiver_that_is_away_costs_spans_and_nothing_else() {
    let port = free_port();
    let dir = migrated();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut running = traced(dir.path(), &endpoint, &[]);
    for _ in 0..50 {
        assert_eq!(running.get("/v1/stats").status, 200);
    }
    let name = "neuroca_trace_spans_dropped_total{reason=\"export_failed\"";
    let begun = Instant::now();
    while metric(&running, name) < 50.0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is counted as lost");
        std::thread::sleep(Duration::from_millis(50));
    }
    // It comes, and gets what is new without a restart.
    if let Some(tap) = Tap::start(port) {
        let begun = Instant::now();
        let seen = std::thread::scope(|scope| {
            let seen = scope.spawn(move || tap.until(&["GET /v1/stats"]));
            while !seen.is_finished() {
                assert!(begun.elapsed() < PATIENCE, "the receiver gets nothing");
                assert_eq!(running.get("/v1/stats").status, 200);
                std::thread::sleep(Duration::from_millis(20));
            }
            seen.join().expect("a span")
        });
        assert!(!seen.is_empty());
    }
    running.signal("TERM");
    assert!(running.wait().success());
}

#[test]
fn a_receiver_that_never_answers_holds_up_neither_requests_nor_the_end() {
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let dir = migrated();
    let mut running = traced(dir.path(), &endpoint, &[]);
    let mut connection = running.connect();
    let name = "neuroca_trace_spans_dropped_total{reason=\"export_failed\"";
    let begun = Instant::now();
    while metric(&running, name) == 0.0 {
        assert!(begun.elapsed() < PATIENCE, "it is never given up");
        assert_eq!(connection.request("GET", "/v1/stats", &[], "").status, 200);
    }
    running.signal("TERM");
    let begun = Instant::now();
    assert!(running.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "it waits for {:?}", begun.elapsed());
}

#[test]
fn without_an_endpoint_nothing_is_traced() {
    let dir = migrated();
    let running = Running::serve(dir.path(), &[("OTEL_SERVICE_NAME", "x")]);
    let traceparent = parent(true);
    let answer = running.connect().request("GET", "/nowhere", &[("traceparent", &traceparent)], "");
    assert_eq!(answer.status, 404);
    let keys: BTreeSet<String> =
        answer.json().as_object().expect("an object").keys().cloned().collect();
    assert!(!keys.contains("trace_id"), "{keys:?}");
}
