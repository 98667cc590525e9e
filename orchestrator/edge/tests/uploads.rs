//! Requests with bodies: slow, early answered, too large, asked for before they are sent.

mod site;

use std::time::Duration;

use neuroca_deploy_edge::Table;
use site::raw::{component, exactly, head, say, soon};
use site::{Edge, table};
use tokio::net::TcpStream;

fn to(address: &str, at: &str, change: impl FnOnce(&mut Table)) -> Table {
    let backend = neuroca_deploy_edge::Backend {
        revision: "a".into(),
        weight: 100,
        addresses: vec![address.into()],
    };
    let mut table = table(1, at, vec![backend]);
    change(&mut table);
    table
}

/// Answers each request with its method when its body has been read whole.
async fn reads_all(mut stream: TcpStream) {
    while let Some(head) = head(&mut stream).await {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        exactly(&mut stream, length.map_or(0, |n| n.parse().expect("a number"))).await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    let a = component(reads_all).await;
    let edge = Edge::start(|at| to(&a, at, |t| t.limits.response_timeout_ms = 400));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    say(&mut client, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n").await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        say(&mut client, "x").await;
    }
    let answer = soon("the answer", head(&mut client)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_so() {
    let a = component(reads_all).await;
    let edge = Edge::start(|at| to(&a, at, |t| t.limits.response_timeout_ms = 300));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    say(&mut client, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\nxx").await;
    let answer = soon("the answer", head(&mut client)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "not the component's fault: {answer}");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_keeps_nobody_waiting() {
    // Answers at once and never reads the body.
    let a = component(async |mut stream| {
        while head(&mut stream).await.is_some() {
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let edge = Edge::start(|at| to(&a, at, |_| {}));
    // As many as there are worker threads, and more: each thread's pool has seen it.
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let mut upload = TcpStream::connect(&edge.address).await.expect("connects");
        say(&mut upload, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nx").await;
        soon("the early answer", head(&mut upload)).await.expect("an answer");
        uploads.push(upload);
    }
    for _ in 0..8 {
        assert_eq!(soon("a request behind an unfinished upload", edge.get("/")).await.0, 200);
    }
}

#[tokio::test]
async fn the_edge_itself_tells_a_waiting_client_to_go_on() {
    let a = component(async |mut stream| {
        let head = head(&mut stream).await.expect("a request");
        assert!(!head.contains("expect"), "{head}");
        exactly(&mut stream, 5).await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let edge = Edge::start(|at| to(&a, at, |_| {}));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    let request = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    say(&mut client, request).await;
    let go_on = soon("100 Continue", head(&mut client)).await.expect("an answer");
    assert_eq!(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&mut client, "hello").await;
    let answer = soon("the answer", head(&mut client)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_stopped_at_the_limit() {
    let a = component(async |mut stream| {
        head(&mut stream).await;
        // Reads on until the edge gives up.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let edge = Edge::start(|at| to(&a, at, |t| t.limits.max_body = Some(10)));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    let request = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    say(&mut client, &format!("{request}8\r\n12345678\r\n8\r\n12345678\r\n")).await;
    let answer = soon("the answer", head(&mut client)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
