//! What clients see of the edge.

mod site;

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use neuroca_deploy_edge::{HeaderRoute, Mirror, Sticky};
use site::{Client, Component, Edge, h2c, table};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn keep_alive_and_h2c_on_one_port() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut client = Client::connect(&edge.address).await;
    for _ in 0..3 {
        assert_eq!(client.send(Request::get("/")).await.expect("answered"), (200, "a 0".into()));
    }
    let mut http2 = h2c(&edge.address).await;
    let request = Request::get(format!("http://{}/", edge.address)).body(Full::new(Bytes::new()));
    let response = http2.send_request(request.expect("valid")).await.expect("answered");
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.into_body().collect().await.expect("whole").to_bytes(), "a 0");
    drop((client, http2));
    let log = edge.stop().await;
    assert_eq!(log.lines().filter(|line| line.contains(r#""status":200"#)).count(), 4, "{log}");
}

#[tokio::test]
async fn a_new_table_is_in_force_when_put_returns() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    for generation in 2..40 {
        let (old, new) = if generation % 2 == 0 { (0, 100) } else { (100, 0) };
        let next = table(generation, &edge.address, vec![a.backend(old), b.backend(new)]);
        assert_eq!(edge.control.put_table(&next).await.expect("accepted"), generation);
        let expected = if new == 100 { "b 0" } else { "a 0" };
        for _ in 0..20 {
            assert_eq!(edge.get("/").await.1, expected);
        }
    }
    let older = table(3, &edge.address, vec![a.backend(100)]);
    assert!(edge.control.put_table(&older).await.is_err(), "an older table is refused");
}

#[tokio::test]
async fn weights_split_and_a_client_stays_while_they_rise() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let sticky = |generation, at: &str, weight| {
        let mut table = table(generation, at, vec![a.backend(100 - weight), b.backend(weight)]);
        table.sticky = Some(Sticky::Header("x-user".into()));
        table
    };
    let edge = Edge::start(|at| sticky(1, at, 30));
    let ask = async |user: u32| {
        let mut client = Client::connect(&edge.address).await;
        let request = Request::get("/").header("x-user", format!("user {user}"));
        client.send(request).await.expect("answered").1
    };
    let mut on_b = Vec::new();
    for user in 0..400 {
        let (first, second) = (ask(user).await, ask(user).await);
        assert_eq!(first, second);
        if first == "b 0" {
            on_b.push(user);
        }
    }
    assert!((70..170).contains(&on_b.len()), "{} of 400 on b at 30 %", on_b.len());
    edge.control.put_table(&sticky(2, &edge.address, 60)).await.expect("accepted");
    for user in on_b {
        assert_eq!(ask(user).await, "b 0", "user {user} went back while the weight rose");
    }
}

#[tokio::test]
async fn header_routes_reach_a_revision_without_weight() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let edge = Edge::start(|at| {
        let mut table = table(1, at, vec![a.backend(100), b.backend(0)]);
        table.routes[0].header_routes.push(HeaderRoute {
            header: "X-Preview".into(),
            value: "1".into(),
            revision: "b".into(),
            share: false,
        });
        table
    });
    let mut client = Client::connect(&edge.address).await;
    let preview = client.send(Request::get("/").header("x-preview", "1")).await.expect("answered");
    assert_eq!(preview.1, "b 0");
    assert_eq!(edge.get("/").await.1, "a 0");
}

#[tokio::test]
async fn a_mirror_gets_copies_and_the_client_sees_nothing_of_it() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let edge = Edge::start(|at| {
        let mut table = table(1, at, vec![a.backend(100), b.backend(0)]);
        table.routes[0].mirror = Some(Mirror { revision: "b".into(), percent: 100 });
        table
    });
    let mut client = Client::connect(&edge.address).await;
    for _ in 0..10 {
        let response = client.ask(Request::post("/"), "hello").await.expect("answered");
        assert_eq!(response.into_body().collect().await.expect("whole").to_bytes(), "a 5");
        assert_eq!(client.send(Request::get("/")).await.expect("answered").1, "a 0");
    }
    let copies = async {
        while b.others.load(std::sync::atomic::Ordering::SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), copies).await.expect("ten copies arrive");
    // A write must not be done twice in a database that both share.
    assert_eq!(b.posts.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_websocket_goes_through_and_is_ended_by_its_revision() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let url = format!("ws://{}/ws", edge.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("upgraded");
    socket.send(Message::text("hello")).await.expect("sent");
    let echo = socket.next().await.expect("open").expect("a message");
    assert_eq!(echo, Message::text("hello"));
    let seen = edge.control.status().await.expect("answers").revisions["a"].clone();
    assert_eq!((seen.streams, seen.in_flight), (1, 0));
    edge.control.end_streams("a").await.expect("ended");
    let end = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("ends");
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
}

#[tokio::test]
async fn events_come_one_by_one_and_end_cleanly() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut client = Client::connect(&edge.address).await;
    let response = client.ask(Request::get("/events"), "").await.expect("answered");
    let mut body = response.into_body();
    for n in 0..3 {
        let frame = body.frame().await.expect("open").expect("a frame");
        assert_eq!(frame.into_data().expect("data"), format!("data: {n}\n\n"));
    }
    edge.control.end_streams("a").await.expect("ended");
    let rest = tokio::time::timeout(Duration::from_secs(5), body.collect()).await.expect("ends");
    rest.expect("a clean end, not a broken connection");
}

#[tokio::test]
async fn the_edge_says_itself_what_is_wrong() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| {
        let mut table = table(1, at, vec![a.backend(100)]);
        table.limits.max_body = Some(1_000);
        table.limits.response_timeout_ms = 300;
        let mut none = table.routes[0].clone();
        (none.path, none.backends) = ("/none".into(), Vec::new());
        let mut gone = table.routes[0].clone();
        gone.path = "/gone".into();
        gone.backends[0].revision = "gone".into();
        // A port that was free a moment ago, and on which nobody listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        gone.backends[0].addresses = vec![free.expect("a free port").to_string()];
        table.routes[0].path = "/app".into();
        table.routes.extend([none, gone]);
        table
    });
    assert_eq!(edge.get("/").await.0, 404);
    assert_eq!(edge.get("/application").await.0, 404, "a prefix is whole segments");
    assert_eq!(edge.get("/none/x").await.0, 503);
    assert_eq!(edge.get("/gone").await.0, 502);
    assert_eq!(edge.get("/app").await.0, 200);
    let mut client = Client::connect(&edge.address).await;
    let big = client.ask(Request::post("/app"), vec![0; 1_001]).await.expect("answered");
    assert_eq!(big.status(), 413);
    let mut client = Client::connect(&edge.address).await;
    let head = Request::get("/app").header("x-long", "x".repeat(200_000));
    assert_eq!(client.send(head).await.expect("answered").0, 431);
}

#[tokio::test]
async fn a_component_that_does_not_answer_in_time_is_a_504() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| {
        let mut table = table(1, at, vec![a.backend(100)]);
        table.limits.response_timeout_ms = 200;
        table
    });
    assert_eq!(edge.get("/never").await.0, 504);
    let seen = edge.control.status().await.expect("answers");
    assert_eq!(seen.revisions["a"].status["timeout"], 1);
}

#[tokio::test]
async fn request_ids_are_kept_or_made() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut client = Client::connect(&edge.address).await;
    let request = Request::get("/").header("x-request-id", "mine");
    let response = client.ask(request, "").await.expect("answered");
    assert_eq!(response.headers()["seen-request-id"], "mine");
    assert_eq!(response.headers()["x-request-id"], "mine");
    response.into_body().collect().await.expect("whole");
    let response = client.ask(Request::get("/"), "").await.expect("answered");
    assert_eq!(response.headers()["seen-request-id"], response.headers()["x-request-id"]);
    assert_eq!(response.headers()["x-request-id"].len(), 36);
}
