//! The API over a real socket.

mod harness;

use std::collections::HashSet;

use harness::{Running, migrated};

#[test]
fn a_memory_comes_back_and_goes() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[("NEUROCA_REVISION", "r7")]);
    let body = r#"{"content":"tea","tier":"long_term","importance":0.8,"subject":"ann","metadata":{"k":[1]}}"#;
    let made = service.post(&[("x-request-id", "abc-1")], body);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("x-nca-revision"), Some("r7"));
    assert_eq!(made.header("x-request-id"), Some("abc-1"));
    let location = made.header("location").expect("a location");
    let read = service.get(location);
    assert_eq!((read.status, read.json()), (200, made.json()));
    assert_eq!(made.json()["expires_at"], serde_json::Value::Null);
    assert_eq!(service.connect().request("DELETE", location, &[], "").status, 204);
    assert_eq!(service.get(location).problem(), "no-such-memory");
    assert_eq!(service.connect().request("DELETE", location, &[], "").status, 404);
}

#[test]
fn a_key_makes_one_memory_however_often_it_is_sent() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let send = |body: &str| service.post(&[("idempotency-key", "k1")], body);
    let first = send(r#"{"content":"once"}"#);
    let again = send(r#"{ "content": "once", "importance": 0.5 }"#);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(send(r#"{"content":"twice"}"#).problem(), "idempotency-key-reused");
    let items = service.get("/v1/memories").json();
    assert_eq!(items["items"].as_array().map(Vec::len), Some(1));
    let location = first.header("location").expect("a location");
    service.connect().request("DELETE", location, &[], "");
    assert_eq!(send(r#"{"content":"once"}"#).problem(), "memory-gone");
}

#[test]
fn pages_show_everything_once() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let mut connection = service.connect();
    for number in 0..11 {
        let body = format!(r#"{{"content":"m{number}","tier":"long_term"}}"#);
        assert_eq!(connection.request("POST", "/v1/memories", &[], &body).status, 201);
    }
    connection.request("POST", "/v1/memories", &[], r#"{"content":"other tier"}"#);
    let mut seen = HashSet::new();
    let mut path = "/v1/memories?tier=long_term&limit=4".to_owned();
    let mut pages = 0;
    loop {
        let page = connection.request("GET", &path, &[], "").json();
        pages += 1;
        for item in page["items"].as_array().expect("items") {
            assert!(seen.insert(item["content"].as_str().expect("text").to_owned()));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/memories?tier=long_term&limit=4&cursor={cursor}");
    }
    assert_eq!((seen.len(), pages), (11, 3));
}

#[test]
fn bad_input_gets_a_stable_problem() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let post = |body: &str| service.post(&[], body);
    let get = |path: &str| service.get(path).problem();
    let deep =
        format!(r#"{{"content":"x","metadata":{{"d":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
    let cases = [
        ("malformed", "{"),
        ("malformed", ""),
        ("malformed", deep.as_str()),
        ("malformed", "{\"content\":\"\u{1}\"}"),
        ("invalid", "[]"),
        ("invalid", r#"{"content":""}"#),
        ("invalid", r#"{"content":"x","teir":"working"}"#),
        ("invalid", r#"{"content":"x","tier":"nowhere"}"#),
        ("invalid", r#"{"content":"x","importance":1.5}"#),
        ("invalid", r#"{"content":"x\u0000"}"#),
        ("invalid", r#"{"content":"x","metadata":7}"#),
    ];
    for (problem, body) in cases {
        let short: String = body.chars().take(60).collect();
        assert_eq!(post(body).problem(), problem, "{short}");
    }
    let large = format!(r#"{{"content":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(post(&large).problem(), "too-large");
    assert_eq!(service.post(&[("content-type", "text/plain")], "x").problem(), "media-type");
    assert_eq!(service.post(&[("idempotency-key", "")], "{}").status, 422);
    let key = "k".repeat(300);
    let body = r#"{"content":"x"}"#;
    assert_eq!(service.post(&[("idempotency-key", &key)], body).problem(), "malformed");
    assert_eq!(get("/v1/memories/not-an-id"), "no-such-memory");
    assert_eq!(get("/v1/memories?cursor=%27"), "malformed");
    assert_eq!(get("/v1/memories?limit=0"), "invalid");
    assert_eq!(get("/v1/memories?limit=x"), "malformed");
    assert_eq!(get("/v1/memories?page=2"), "malformed");
    assert_eq!(get("/v1/memories?tier=x"), "invalid");
    assert_eq!(get("/nowhere"), "no-such-route");
    assert_eq!(service.connect().request("PUT", "/v1/memories", &[], "").problem(), "method");
    let mut raw = service.connect();
    raw.send(b"POST /v1/memories HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"content\":\"\xff\"}\n");
    assert_eq!(raw.answer().expect("an answer").problem(), "malformed");
}

#[test]
fn probes_version_and_metrics_answer() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[("NEUROCA_REVISION", "r8")]);
    for path in ["/health", "/health/live", "/health/ready", "/health/startup", "/version"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    assert_eq!(service.get("/version").json()["revision"], "r8");
    service.get("/v1/memories/00000000-0000-7000-8000-000000000000");
    let metrics = service.get("/metrics").body;
    for line in [
        r#"neuroca_http_requests_total{method="GET",route="/v1/memories/{id}",status="404",revision="r8"} 1"#,
        r#"neuroca_http_request_duration_seconds_count{method="GET",route="/health",revision="r8"} 1"#,
        r#"neuroca_http_in_flight{revision="r8"} 1"#,
        r#"neuroca_draining{revision="r8"} 0"#,
        r#"neuroca_build_info{version="0.1.0",revision="r8",schema_min="11",schema_max="13"} 1"#,
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line}\nis not in\n{metrics}");
    }
    // How many are idle depends on when the pool gets a connection back.
    assert!(metrics.contains(r#"neuroca_db_pool_connections{state="idle",revision="r8"} "#));
}

#[test]
fn a_full_tier_takes_the_new_memory() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[("NEUROCA_MEMORY_WORKING_SIZE", "2")]);
    for content in ["one", "two", "three"] {
        assert_eq!(service.post(&[], &format!(r#"{{"content":"{content}"}}"#)).status, 201);
    }
    let page = service.get("/v1/memories").json();
    let left: Vec<_> =
        page["items"].as_array().expect("items").iter().map(|i| &i["content"]).collect();
    assert_eq!(left, ["three", "two"]);
}

#[test]
fn two_revisions_write_one_file_and_neither_fails() {
    let dir = migrated();
    let services = [Running::serve(dir.path(), &[]), Running::serve(dir.path(), &[])];
    std::thread::scope(|scope| {
        for (number, service) in services.iter().enumerate() {
            for thread in 0..4 {
                scope.spawn(move || {
                    let mut connection = service.connect();
                    for turn in 0..50 {
                        let body = format!(
                            r#"{{"content":"{number}-{thread}-{turn}","tier":"long_term"}}"#
                        );
                        let answer = connection.request("POST", "/v1/memories", &[], &body);
                        assert_eq!(answer.status, 201, "{answer:?}");
                    }
                });
            }
        }
    });
    let page = services[0].get("/v1/memories?limit=1000").json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(400));
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = migrated();
    let mut acknowledged = HashSet::new();
    for round in 0..3 {
        let mut service = Running::serve(dir.path(), &[]);
        let got = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|thread| {
                    let service = &service;
                    scope.spawn(move || {
                        let mut connection = service.connect();
                        let mut got = Vec::new();
                        for turn in 0.. {
                            let body = format!(
                                r#"{{"content":"{round}-{thread}-{turn}","tier":"long_term"}}"#
                            );
                            match connection.try_request("POST", "/v1/memories", &[], &body) {
                                Ok(answer) if answer.status == 201 => {
                                    got.push(answer.json()["id"].as_str().expect("id").to_owned());
                                }
                                _ => break,
                            }
                            if thread == 0 && turn == 40 {
                                service.signal("KILL");
                            }
                        }
                        got
                    })
                })
                .collect();
            writers
                .into_iter()
                .flat_map(|writer| writer.join().expect("no panic"))
                .collect::<Vec<_>>()
        });
        assert!(!service.wait().success());
        acknowledged.extend(got);
    }
    let service = Running::serve(dir.path(), &[]);
    let mut connection = service.connect();
    for id in &acknowledged {
        let path = format!("/v1/memories/{id}");
        assert_eq!(connection.request("GET", &path, &[], "").status, 200, "{id}");
    }
    assert!(acknowledged.len() >= 120);
}
