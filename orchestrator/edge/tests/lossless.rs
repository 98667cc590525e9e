//! No request is lost while tables change and while one edge hands over to the next.

mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::Request;
use site::{Client, Component, Edge, table};

/// Clients that send POSTs one after another on kept-alive connections, and open a new one only
/// after the edge said that it closes the old one.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: &str, clients: usize) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients).map(|_| {
            let (address, stop, sent) = (address.to_string(), stop.clone(), sent.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut client = Client::connect(&address).await;
                while !stop.load(Ordering::SeqCst) {
                    if client.is_closed() {
                        client = Client::connect(&address).await;
                    }
                    match post(&mut client).await {
                        Ok((200, last)) => {
                            sent.fetch_add(1, Ordering::SeqCst);
                            if last {
                                client = Client::connect(&address).await;
                            }
                        }
                        other => failures.push(format!("{other:?}")),
                    }
                }
                failures
            })
        });
        Self { clients: clients.collect(), stop, sent }
    }

    async fn until(&self, sent: u64) {
        while self.sent.load(Ordering::SeqCst) < sent {
            tokio::task::yield_now().await;
        }
    }

    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            assert_eq!(client.await.expect("no panic"), Vec::<String>::new());
        }
        self.sent.load(Ordering::SeqCst)
    }
}

/// The status, and whether the edge closes the connection after it.
async fn post(client: &mut Client) -> Result<(u16, bool), hyper::Error> {
    use http_body_util::BodyExt;
    let response = client.ask(Request::post("/"), "x").await?;
    let status = response.status().as_u16();
    let last = response.headers().get("connection").is_some_and(|value| value == "close");
    response.into_body().collect().await?;
    Ok((status, last))
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_change_under_load() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let load = Load::start(&edge.address, 8);
    for generation in 2..=40 {
        load.until(500 * (generation - 1)).await;
        let (old, new) = if generation % 2 == 0 { (0, 100) } else { (100, 0) };
        let next = table(generation, &edge.address, vec![a.backend(old), b.backend(new)]);
        edge.control.put_table(&next).await.expect("accepted");
    }
    let sent = load.finish().await;
    let arrived = a.posts.load(Ordering::SeqCst) + b.posts.load(Ordering::SeqCst);
    assert_eq!(arrived, sent, "each POST that was answered arrived exactly once");
    assert!(sent >= 19_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_edge_hands_over_to_the_next() {
    let a = Component::start("a").await;
    let mut edge = Edge::start(|at| table(1, at, vec![a.backend(100)]));
    let load = Load::start(&edge.address, 8);
    for round in 1..=5 {
        load.until(1_000 * round).await;
        let socket = edge.socket.try_clone().expect("a descriptor");
        let next = Edge::on(socket, |at| table(1, at, vec![a.backend(100)]));
        next.control.status().await.expect("the next edge serves");
        edge.stop().await;
        edge = next;
    }
    let sent = load.finish().await;
    assert_eq!(a.posts.load(Ordering::SeqCst), sent);
    edge.stop().await;
}
