//! What an edge that is about to end still does.

mod site;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::Request;
use site::raw::{component, head, say, soon};
use site::{Client, Component, Edge, h2c, table};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_websocket_outlives_the_wish_to_drain() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let url = format!("ws://{}/ws", edge.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("upgraded");
    edge.control.drain().await.expect("answers");
    let stopping = tokio::spawn(edge.stop());
    for n in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        socket.send(Message::text(format!("{n}"))).await.expect("still open");
        let echo = soon("the echo", socket.next()).await.expect("open").expect("a message");
        assert_eq!(echo, Message::text(format!("{n}")));
    }
    assert!(!stopping.is_finished());
    drop(socket);
    soon("the end, once the socket is closed", stopping).await.expect("stopped");
}

#[tokio::test]
async fn kept_alive_connections_are_told_with_an_answer() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut client = Client::connect(&edge.address).await;
    client.send(Request::get("/")).await.expect("answered");
    edge.control.drain().await.expect("answers");
    let last = client.ask(Request::get("/"), "").await.expect("answered while draining");
    assert_eq!(last.headers()["connection"], "close");
    last.into_body().collect().await.expect("whole");
    soon("the end", edge.stop()).await;
}

#[tokio::test]
async fn who_asks_an_idle_edge_to_end_gets_an_answer() {
    for _ in 0..20 {
        let edge = Edge::start(|at| table(1, at, vec![]));
        assert!(edge.control.drain().await.expect("an answer").draining);
        soon("the end", edge.stop()).await;
    }
}

#[tokio::test]
async fn http2_finishes_what_it_has_and_says_goodbye() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut client = h2c(&edge.address).await;
    let request = |path: &str| {
        let uri = format!("http://{}{path}", edge.address);
        Request::get(uri).body(http_body_util::Full::default()).expect("valid")
    };
    client.send_request(request("/")).await.expect("answered");
    let slow = tokio::spawn(client.send_request(request("/slow")));
    let busy = async {
        while edge.control.status().await.expect("answers").revisions["a"].in_flight < 1 {}
    };
    soon("the slow request under way", busy).await;
    let stopping = tokio::spawn(edge.stop());
    assert_eq!(slow.await.expect("no panic").expect("answered").status(), 200);
    soon("the end", stopping).await.expect("stopped");
}

#[tokio::test]
async fn a_stream_that_begins_after_its_end_was_called_for_ends() {
    let (go, started) =
        (std::sync::Arc::new(tokio::sync::Notify::new()), tokio::sync::Notify::new());
    let (gone, started) = (go.clone(), std::sync::Arc::new(started));
    let at = started.clone();
    let a = component(move |mut stream| {
        let (go, at) = (gone.clone(), at.clone());
        async move {
            head(&mut stream).await;
            at.notify_one();
            go.notified().await;
            let head = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\n{head}")).await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let backend =
        neuroca_deploy_edge::Backend { revision: "a".into(), weight: 1, addresses: vec![a] };
    let edge = Edge::start(|at| table(1, at, vec![backend]));
    let mut client = TcpStream::connect(&edge.address).await.expect("connects");
    say(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    started.notified().await;
    edge.control.end_streams("a").await.expect("ended");
    go.notify_one();
    soon("the head", head(&mut client)).await.expect("an answer");
    assert_eq!(soon("the clean end", site::raw::exactly(&mut client, 5)).await, "0\r\n\r\n");
}
