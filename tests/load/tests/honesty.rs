//! The client is judged against servers that misbehave on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use neuroca_load::{Load, Outcome, run, verify};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with the request of this number; the text is written as it is.
type Script = fn(u64, &str) -> Reply;

enum Reply {
    Send(String),
    SendAndClose(String),
    Close,
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn created(id: u64) -> String {
    let body = format!(r#"{{"id":"id-{id}"}}"#);
    format!(
        "HTTP/1.1 201 Created\r\nx-nca-revision: r{}\r\ncontent-length: {}\r\n\r\n{body}",
        id / 10,
        body.len()
    )
}

struct Server {
    address: String,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Server {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let requests = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let server = Self { address, requests: requests.clone(), connections: connections.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(converse(stream, script, requests.clone()));
            }
        });
        server
    }
}

async fn converse(stream: TcpStream, script: Script, requests: Arc<AtomicU64>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a length");
            }
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        head.push_str(&String::from_utf8_lossy(&body));
        let number = requests.fetch_add(1, Ordering::SeqCst);
        let (text, close) = match script(number, &head) {
            Reply::Send(text) => (text, false),
            Reply::SendAndClose(text) => (text, true),
            Reply::Close => (String::new(), true),
        };
        if stream.write_all(text.as_bytes()).await.is_err() || close {
            return;
        }
    }
}

async fn requests(server: &Server, count: u64, post_fraction: f64) -> Outcome {
    let load = Load {
        requests: Some(count),
        h1_connections: 3,
        h2_connections: 0,
        post_fraction,
        ..Load::new(&server.address)
    };
    run(&load, std::future::pending()).await
}

#[tokio::test]
async fn a_dropped_request_is_one_failure_and_one_request() {
    // Every second request is dropped without an answer, also on a connection that was used.
    let server = Server::start(|number, _| match number % 2 {
        0 => Reply::Send(ok("")),
        _ => Reply::Close,
    })
    .await;
    let report = requests(&server, 200, 0.0).await.report;
    assert_eq!(server.requests.load(Ordering::SeqCst), 200, "nothing was sent twice");
    assert_eq!((report.requests, report.failed), (200, 100));
    assert_eq!(report.failed_by_kind["response"], 100);
    assert_eq!(report.failures.len(), 20);
}

#[tokio::test]
async fn half_an_answer_is_a_failure() {
    let server = Server::start(|_, _| {
        Reply::SendAndClose("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".into())
    })
    .await;
    let report = requests(&server, 30, 0.0).await.report;
    assert_eq!((report.failed, report.failed_by_kind["body"]), (30, 30));
}

#[tokio::test]
async fn connection_close_is_obeyed_and_no_failure() {
    let server = Server::start(|_, _| {
        let text = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        Reply::SendAndClose(text.into())
    })
    .await;
    let report = requests(&server, 50, 0.0).await.report;
    assert_eq!((report.requests, report.failed, report.told_to_close), (50, 0, 50));
    assert_eq!(server.connections.load(Ordering::SeqCst), 50);
}

#[tokio::test]
async fn a_status_and_a_refused_connection_are_failures() {
    let server = Server::start(|_, _| {
        Reply::Send("HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy".into())
    })
    .await;
    let report = requests(&server, 10, 0.0).await.report;
    assert_eq!(report.failed_by_kind["status"], 10);
    assert!(report.failures[0].detail.contains("busy"));

    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("an address").to_string();
    drop(port);
    let load = Load { requests: Some(4), h2_connections: 0, ..Load::new(address) };
    let report = run(&load, std::future::pending()).await.report;
    assert_eq!(report.failed_by_kind["connect"], 4);
}

#[tokio::test]
async fn who_gave_an_answer_that_is_not_good_is_known() {
    let server = Server::start(|_, _| {
        let head = "HTTP/1.1 500 Oh\r\nx-nca-revision: r7\r\ncontent-length: 0\r\n\r\n";
        Reply::Send(head.into())
    })
    .await;
    let report = requests(&server, 10, 0.0).await.report;
    let seen = &report.revisions["r7"];
    assert_eq!((report.failed, seen.responses, seen.failed), (10, 0, 10));
    assert!(seen.last_ms > seen.first_ms);
}

#[tokio::test]
async fn it_sees_when_another_revision_answers() {
    let server = Server::start(|number, _| Reply::Send(created(number))).await;
    let load = Load {
        requests: Some(30),
        h1_connections: 1,
        h2_connections: 0,
        post_fraction: 1.0,
        ..Load::new(&server.address)
    };
    let report = run(&load, std::future::pending()).await.report;
    let counts: Vec<_> = report.revisions.values().map(|seen| seen.responses).collect();
    assert_eq!(counts, [10, 10, 10]);
    let changes: Vec<_> = report.changes.iter().map(|change| change.revision.as_str()).collect();
    assert_eq!(changes, ["r1", "r2"]);
    assert!(report.revisions["r0"].last_ms <= report.revisions["r1"].first_ms);
}

/// Remembers nothing, so that the run has to be told what the list should show.
async fn verified(listing: Script) -> neuroca_load::Verified {
    let server = Server::start(listing).await;
    let acknowledged = (0..3).map(|number| (number, format!("id-{number}"))).collect();
    let outcome = Outcome { report: Default::default(), run_id: "test".into(), acknowledged };
    verify(&Load::new(&server.address), &outcome).await.expect("pages")
}

fn page(items: &[(u64, &str)], next: &str) -> Reply {
    let items: Vec<_> = items
        .iter()
        .map(|(number, id)| format!(r#"{{"id":"{id}","content":"load test {number}"}}"#))
        .collect();
    Reply::Send(ok(&format!(r#"{{"items":[{}],"next_cursor":{next}}}"#, items.join(","))))
}

#[tokio::test]
async fn verification_reads_all_pages() {
    let found = verified(|_, head| {
        if head.contains("cursor=more") {
            page(&[(0, "id-0"), (7, "id-7")], "null")
        } else {
            page(&[(2, "id-2"), (1, "id-1")], "\"more\"")
        }
    })
    .await;
    assert!(found.holds());
    assert_eq!((found.exactly_once, found.unacknowledged), (3, 1));
}

#[tokio::test]
async fn verification_finds_what_is_missing_doubled_or_another() {
    let found = verified(|_, _| page(&[(1, "id-1"), (1, "id-9"), (2, "id-8")], "null")).await;
    assert!(!found.holds());
    assert_eq!((found.missing, found.duplicated, found.other_id), (1, 1, 1));
}
