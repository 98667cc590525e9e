//! No request is lost while tables change and while one edge hands over to the next.

mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http_body_util::BodyExt;
use hyper::Request;
use site::{Client, Component, Edge, h2c, table};

/// Clients that send POSTs and GETs by turns, one after another on a kept connection, and open a
/// new one only after the edge said that it closes the old one. Nothing is ever sent twice.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    posts: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: &str, http1: usize, http2: usize) -> Self {
        let (stop, sent, posts) = (Arc::default(), Arc::default(), Arc::default());
        let mut load = Self { stop, sent, posts, clients: Vec::new() };
        for number in 0..http1 + http2 {
            let address = address.to_string();
            let (stop, sent) = (load.stop.clone(), load.sent.clone());
            let posts = load.posts.clone();
            load.clients.push(tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut connection = Connection::open(&address, number >= http1).await;
                let mut post = false;
                while !stop.load(Ordering::SeqCst) {
                    if connection.is_closed().await {
                        connection = Connection::open(&address, number >= http1).await;
                    }
                    post = !post;
                    match connection.send(&address, post).await {
                        // The connection was closing and nothing of the request was written:
                        // the next one is its first sending, which the count of POSTs proves.
                        Err(Lost::Unsent) => {
                            post = !post;
                            connection = Connection::open(&address, number >= http1).await;
                        }
                        Ok(200) => {
                            sent.fetch_add(1, Ordering::SeqCst);
                            posts.fetch_add(u64::from(post), Ordering::SeqCst);
                        }
                        Ok(status) => failures.push(format!("answered with {status}")),
                        Err(Lost::Broken(error)) => failures.push(format!("{error:?}")),
                    }
                }
                failures
            }));
        }
        load
    }

    async fn until(&self, sent: u64) {
        while self.sent.load(Ordering::SeqCst) < sent {
            tokio::task::yield_now().await;
        }
    }

    /// How many requests were answered, and how many of these were POSTs.
    async fn finish(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            assert_eq!(client.await.expect("no panic"), Vec::<String>::new());
        }
        (self.sent.load(Ordering::SeqCst), self.posts.load(Ordering::SeqCst))
    }
}

type Http2 = hyper::client::conn::http2::SendRequest<http_body_util::Full<bytes::Bytes>>;

/// Why a request has no answer.
enum Lost {
    /// Handed back by the client library with not a byte written.
    Unsent,
    Broken(hyper::Error),
}

impl From<hyper::Error> for Lost {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error)
    }
}

enum Connection {
    Http1 { client: Client, last: bool },
    Http2(Http2),
}

impl Connection {
    async fn open(address: &str, http2: bool) -> Self {
        match http2 {
            true => Self::Http2(h2c(address).await),
            false => Self::Http1 { client: Client::connect(address).await, last: false },
        }
    }

    /// Whether the edge said that this connection is not for more requests.
    async fn is_closed(&mut self) -> bool {
        match self {
            Self::Http1 { client, last } => *last || client.is_closed(),
            Self::Http2(sender) => sender.ready().await.is_err(),
        }
    }

    async fn send(&mut self, address: &str, post: bool) -> Result<u16, Lost> {
        let method = if post { "POST" } else { "GET" };
        let response = match self {
            Self::Http1 { client, last } => {
                let request = Request::builder().method(method).uri("/");
                let response = client.ask(request, "x").await?;
                *last = response.headers().get("connection").is_some_and(|v| v == "close");
                response
            }
            Self::Http2(sender) => {
                let uri = format!("http://{address}/");
                let request = Request::builder().method(method).uri(uri).body("x".into());
                sender.try_send_request(request.expect("valid")).await.map_err(|mut error| {
                    match error.take_message() {
                        Some(_) => Lost::Unsent,
                        None => Lost::Broken(error.into_error()),
                    }
                })?
            }
        };
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(status)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_change_under_load() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let load = Load::start(&edge.address, 6, 2);
    for generation in 2..=41 {
        load.until(500 * (generation - 1)).await;
        let (old, new) = if generation % 2 == 0 { (0, 100) } else { (100, 0) };
        let next = table(generation, &edge.address, vec![a.backend(old), b.backend(new)]);
        edge.control.put_table(&next).await.expect("accepted");
    }
    let (sent, posts) = load.finish().await;
    let arrived = a.posts.load(Ordering::SeqCst) + b.posts.load(Ordering::SeqCst);
    assert_eq!(arrived, posts, "each POST that was answered arrived exactly once");
    assert!(sent >= 20_000 && posts * 2 >= sent, "{posts} of {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_edge_hands_over_to_the_next() {
    let a = Component::start("a").await;
    let mut edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let load = Load::start(&edge.address, 6, 2);
    for round in 1..=5 {
        load.until(1_000 * round).await;
        let socket = edge.socket.try_clone().expect("a descriptor");
        let next = Edge::on(socket, |at| table(1, at, vec![a.backend(100)]));
        next.control.status().await.expect("the next edge serves");
        edge.stop().await;
        edge = next;
    }
    let (_, posts) = load.finish().await;
    assert_eq!(a.posts.load(Ordering::SeqCst), posts);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_connection_that_first_speaks_while_draining_is_told_to_go() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let mut http2 = h2c(&edge.address).await;
    // Connections are accepted in order: once a later one is answered, ours is in the edge's hands.
    assert_eq!(edge.get("/").await.0, 200);
    let uri = format!("http://{}/", edge.address);
    let draining = tokio::spawn(edge.stop());
    let talking = async {
        let mut answered = 0;
        while http2.ready().await.is_ok() {
            let request = Request::get(&uri)
                .body(http_body_util::Full::<bytes::Bytes>::default())
                .expect("valid");
            match http2.try_send_request(request).await {
                Ok(response) => {
                    response.into_body().collect().await.expect("a whole answer");
                    answered += 1;
                }
                Err(mut error) => match error.take_message() {
                    // Handed back unsent: the connection was closing already.
                    Some(_) => break,
                    None => panic!("lost after {answered} answers: {:?}", error.error()),
                },
            }
        }
        answered
    };
    // Well before the drain limit of eight seconds, at which connections are cut.
    let limit = std::time::Duration::from_secs(4);
    let answered = tokio::time::timeout(limit, talking).await.expect("the edge says GOAWAY");
    assert!(answered >= 1, "what was sent before the client knew is answered");
    draining.await.expect("no panic");
}
