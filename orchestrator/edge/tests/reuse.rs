//! Connections to components: kept, given up, never a reason to lose or repeat a request.

mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use neuroca_deploy_edge::Backend;
use site::raw::{component, exactly, head, say, soon};
use site::{Component, Edge, table};
use tokio::net::TcpStream;

fn backend(addresses: Vec<String>) -> Backend {
    Backend { revision: "a".into(), weight: 100, addresses }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_component_that_closes_without_a_word_loses_no_post() {
    let (closed, mut sees_closed) = tokio::sync::mpsc::unbounded_channel();
    let a = component(move |mut stream| {
        let closed = closed.clone();
        async move {
            if head(&mut stream).await.is_some() {
                exactly(&mut stream, 1).await;
                say(&mut stream, OK).await;
            }
            drop(stream);
            let _ = closed.send(());
        }
    })
    .await;
    let edge = Edge::start(|at| table(1, at, vec![backend(vec![a])]));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    for n in 0..300 {
        say(&mut client, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx").await;
        let answer = soon("the answer", head(&mut client)).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "request {n}: {answer}");
        exactly(&mut client, 2).await;
        sees_closed.recv().await.expect("closed");
    }
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_sent_again() {
    let arrived = Arc::new(AtomicU64::new(0));
    let counted = arrived.clone();
    // Takes the request and breaks off.
    let a = component(move |mut stream| {
        let counted = counted.clone();
        async move {
            if head(&mut stream).await.is_some() {
                exactly(&mut stream, 1).await;
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let both = vec![a.clone(), a];
    let edge = Edge::start(|at| table(1, at, vec![backend(both)]));
    for n in 1..=20 {
        let mut client = TcpStream::connect(&edge.address).await.expect("connects");
        say(&mut client, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx").await;
        let answer = soon("the answer", head(&mut client)).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert_eq!(arrived.load(Ordering::SeqCst), n);
    }
    let seen = edge.control.status().await.expect("answers");
    assert_eq!(seen.revisions["a"].status["broken"], 20);
}

#[tokio::test]
async fn a_replica_that_is_gone_is_passed_over() {
    let a = Component::start("a").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let gone = free.expect("a free port").to_string();
    let both = vec![gone, a.address.clone()];
    let edge = Edge::start(|at| table(1, at, vec![backend(both)]));
    for _ in 0..20 {
        let mut client = site::Client::connect(&edge.address).await;
        let answer = client.ask(hyper::Request::post("/"), "x").await.expect("answered");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(a.posts.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn headers_of_one_connection_stay_there() {
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let a = component(move |mut stream| {
        let seen = seen.clone();
        async move {
            while let Some(head) = head(&mut stream).await {
                let _ = seen.send(head);
                let private = "connection: x-inner\r\nx-inner: 1\r\nkeep-alive: timeout=5\r\n";
                let answer = format!("HTTP/1.1 200 OK\r\n{private}content-length: 0\r\n\r\n");
                say(&mut stream, &answer).await;
            }
        }
    })
    .await;
    let edge = Edge::start(|at| table(1, at, vec![backend(vec![a])]));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    let private = "connection: x-mine, keep-alive\r\nx-mine: 1\r\nte: trailers\r\n";
    let through = "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n";
    let request = format!("GET /p?q=1 HTTP/1.1\r\nhost: shop.test\r\n{private}{through}\r\n");
    say(&mut client, &request).await;
    let answer = soon("the answer", head(&mut client)).await.expect("an answer");
    let asked = sees.recv().await.expect("a request");
    assert!(asked.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{asked}");
    for line in [
        "host: shop.test",
        "x-forwarded-for: 203.0.113.9, 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.test",
    ] {
        assert!(asked.lines().any(|l| l == line), "{line} in {asked}");
    }
    for gone in ["x-mine", "te:", "connection:"] {
        assert!(!asked.contains(gone), "{gone} in {asked}");
    }
    for gone in ["x-inner", "keep-alive", "connection:"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
}
