//! How the process starts, refuses, drains and ends.

mod harness;

use std::io::{BufRead, Read};

use harness::{Connection, Running, migrated, neuroca};
use neuroca::config::{Capacity, Database};
use neuroca::memory::{Draft, Moment};
use neuroca::store::{NewMemories, open};
use neuroca::tenant::Tenant;
use sqlx::{ConnectOptions, Connection as _, Executor};

#[test]
fn a_request_in_flight_is_finished_after_sigterm() {
    let dir = migrated();
    let mut service = Running::serve(dir.path(), &[]);
    let mut idle = service.connect();
    assert_eq!(idle.request("GET", "/health/live", &[], "").status, 200);
    let mut stream = service.connect();
    stream.send(b"GET /v1/events HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(stream.answer().expect("the head of a stream").status, 200);
    let mut slow = service.connect();
    let body = br#"{"content":"slow","tier":"long_term"}"#;
    let head = format!(
        "POST /v1/memories HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.send(head.as_bytes());
    // The handler waits for the body now.
    assert_eq!(slow.read_line().expect("a line"), "HTTP/1.1 100 Continue");
    slow.read_line().expect("an empty line");

    service.signal("TERM");
    service.line("draining");
    let mut rest = Vec::new();
    stream.0.read_to_end(&mut rest).expect("the stream ends by itself");
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    assert!(idle.0.fill_buf().expect("the end of an idle connection").is_empty());
    service.line("stopped listening");
    assert!(Connection::open(&service.address).is_err(), "nobody listens any more");
    slow.send(body);
    assert_eq!(slow.answer().expect("an answer").status, 201);
    assert!(service.wait().success());

    let service = Running::serve(dir.path(), &[]);
    let page = service.get("/v1/memories").json();
    assert_eq!(page["items"][0]["content"], "slow");
}

#[test]
fn it_serves_during_the_drain_delay_and_says_close() {
    let dir = migrated();
    let mut service = Running::serve(dir.path(), &[("NEUROCA_DRAIN_DELAY_MS", "1500")]);
    let mut open = service.connect();
    let before = open.request("GET", "/health/ready", &[], "");
    assert_eq!((before.status, before.header("connection")), (200, None));
    service.signal("TERM");
    service.line("draining");
    let ready = open.request("GET", "/health/ready", &[], "");
    assert_eq!((ready.status, ready.header("connection")), (503, Some("close")));
    assert!(open.0.fill_buf().expect("the end").is_empty());
    assert_eq!(service.get("/health/live").status, 200);
    let made = service.post(&[], r#"{"content":"late"}"#);
    assert_eq!((made.status, made.header("connection")), (201, Some("close")));
    assert!(service.wait().success());
}

#[test]
fn a_misspelt_parameter_is_refused_at_the_start() {
    let dir = migrated();
    let mut command = neuroca(dir.path(), "serve");
    command.env("NEUROCA_LOG_LEVLE", "info").env("NEUROCA_DB_PASSWRD_FILE", "/run/secret");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r"
    neuroca: the configuration is not valid:
      NEUROCA_DB_PASSWRD_FILE is not a parameter of this service; did you mean NEUROCA_DB_PASSWORD_FILE?
      NEUROCA_LOG_LEVLE is not a parameter of this service; did you mean NEUROCA_LOG_LEVEL?
    `neuroca parameters` prints the known names
    ");
}

#[test]
fn serve_does_not_migrate_and_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    for verb in ["serve", "worker"] {
        let output = neuroca(dir.path(), verb).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.contains("the database has no schema yet; run `neuroca migrate` first"),
            "{text}"
        );
    }
    assert!(!dir.path().join("neuroca.db").exists());
}

#[test]
fn a_port_in_use_is_named() {
    let dir = migrated();
    let first = Running::serve(dir.path(), &[]);
    let port = first.address.rsplit(':').next().expect("a port");
    let output = neuroca(dir.path(), "serve").env("PORT", port).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&first.address) && text.contains("choose another PORT"), "{text}");
}

async fn set_schema(dir: &std::path::Path, version: i64, compatible_from: i64) {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(dir.join("neuroca.db"))
        .connect()
        .await
        .expect("connects");
    let query = sqlx::query("UPDATE schema_state SET version = ?1, compatible_from = ?2");
    connection.execute(query.bind(version).bind(compatible_from)).await.expect("updates");
    connection
        .execute(
            "INSERT OR IGNORE INTO _sqlx_migrations VALUES (99, 'later', '2030-01-01', 1, x'00', 0)",
        )
        .await
        .expect("inserts");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn an_old_binary_works_on_a_newer_compatible_schema_only() {
    let dir = migrated();
    set_schema(dir.path(), 99, 2).await;
    let service = Running::serve(dir.path(), &[]);
    assert_eq!(service.get("/version").json()["schema"], 99);
    // What a rollback runs: nothing to do, nothing broken.
    let output = neuroca(dir.path(), "migrate").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    set_schema(dir.path(), 99, 50).await;
    let ready = service.get("/health/ready");
    assert_eq!(ready.status, 503);
    assert_eq!(service.get("/health/live").status, 200);
    let output = neuroca(dir.path(), "serve").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("which needs a neuroca that knows schema 50"), "{text}");
}

#[test]
fn sixteen_migrations_at_once_are_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let children: Vec<_> = (0..16)
        .map(|_| {
            neuroca(dir.path(), "migrate")
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("it runs")
        })
        .collect();
    let mut migrated = 0;
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        migrated += usize::from(String::from_utf8_lossy(&output.stdout).contains("from schema 0"));
    }
    assert_eq!(migrated, 1);
}

#[tokio::test]
async fn the_worker_removes_what_expired_and_ends_at_sigterm() {
    let dir = migrated();
    let repository = open(&Database::Sqlite(dir.path().join("neuroca.db"))).await.expect("opens");
    let draft: Draft = serde_json::from_str(r#"{"content":"old"}"#).expect("a draft");
    let memory = draft.into_memory(uuid::Uuid::now_v7(), Moment::now().plus(-86_400_000));
    let capacity = Capacity { working: 1, short_term: 1, long_term: 1 };
    let new = NewMemories { memories: vec![memory], idempotency: None, capacity };
    repository.create(&Tenant::default(), new).await.expect("creates");
    let mut worker = Running::start(neuroca(dir.path(), "worker"));
    assert_eq!(worker.line("removed what expired")["memories"], 1);
    let left = repository.remove_expired(Moment::now(), 10).await.expect("sweeps");
    assert_eq!(left.memories, 0);
    worker.signal("TERM");
    assert!(worker.wait().success());
    repository.close().await;
}

#[test]
fn it_outlives_the_reader_of_its_log() {
    let dir = migrated();
    let mut command = neuroca(dir.path(), "serve");
    // A free port of our own choice, since nobody reads the log that names it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    command.env("PORT", address.port().to_string());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    drop((child.stdout.take(), child.stderr.take()));
    let mut connection = loop {
        match Connection::open(&address.to_string()) {
            Ok(connection) => break connection,
            Err(_) => std::thread::yield_now(),
        }
    };
    for _ in 0..3 {
        assert_eq!(connection.request("GET", "/version", &[], "").status, 200);
    }
    child.kill().expect("killed");
    child.wait().expect("it ends");
}

#[test]
fn it_is_alive_but_not_started_while_the_database_is_silent() {
    let dir = migrated();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mut command = neuroca(dir.path(), "serve");
    command.env("NEUROCA_DB_URL", format!("postgres://ann:hunter2-canary@127.0.0.1:{port}/x"));
    let mut service = Running::start(command);
    let line = service.line("listening");
    assert!(!line.to_string().contains("hunter2"), "{line}");
    service.address = line["address"].as_str().expect("text").to_owned();
    assert_eq!(service.get("/health/live").status, 200);
    for path in ["/health/startup", "/health/ready", "/health"] {
        assert_eq!(service.get(path).status, 503, "{path}");
    }
    let refused = service.get("/v1/memories");
    assert_eq!(refused.problem(), "unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    service.signal("TERM");
    assert!(service.wait().success());
}
