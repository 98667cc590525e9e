//! An edge in this process with components behind it that say who they are.

#![allow(dead_code)] // each test binary uses its own part

pub mod frames;
pub mod raw;

use std::convert::Infallible;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use neuroca_deploy_edge::*;

/// A component: `/` says its name, `/events` streams, `/ws` echoes, `/slow` takes a second, `/500`
/// answers with that, POSTs are counted.
pub struct Component {
    pub name: &'static str,
    pub address: String,
    pub posts: Arc<AtomicU64>,
    pub others: Arc<AtomicU64>,
}

impl Component {
    pub async fn start(name: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let posts = Arc::new(AtomicU64::new(0));
        let others = Arc::new(AtomicU64::new(0));
        let counted = (posts.clone(), others.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = counted.clone();
                let service = service_fn(move |request| answer(name, counted.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(connection);
            }
        });
        Self { name, address, posts, others }
    }

    pub fn backend(&self, weight: u32) -> Backend {
        Backend { revision: self.name.into(), weight, addresses: vec![self.address.clone()] }
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    name: &'static str,
    (posts, others): (Arc<AtomicU64>, Arc<AtomicU64>),
    mut request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let full = |text: String| Full::new(Bytes::from(text)).boxed();
    if request.uri().path() == "/ws" {
        let upgraded = hyper::upgrade::on(&mut request);
        let key = request.headers().get("sec-websocket-key").cloned();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(
            key.as_ref().map_or(b"", |k| k.as_bytes()),
        );
        tokio::spawn(async move {
            let Ok(io) = upgraded.await else { return };
            let role = tokio_tungstenite::tungstenite::protocol::Role::Server;
            let socket =
                tokio_tungstenite::WebSocketStream::from_raw_socket(TokioIo::new(io), role, None);
            let (write, read) = socket.await.split();
            let _ = read.take_while(|m| futures::future::ready(m.is_ok())).forward(write).await;
        });
        let response = Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept);
        return Ok(response.body(full(String::new())).expect("valid"));
    }
    match request.uri().path() {
        "/events" => {
            let ticks = futures::stream::unfold(0_u64, |n| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok(Frame::data(Bytes::from(format!("data: {n}\n\n")))), n + 1))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            return Ok(response.body(BodyExt::boxed(StreamBody::new(ticks))).expect("valid"));
        }
        "/slow" => tokio::time::sleep(Duration::from_secs(1)).await,
        "/never" => futures::future::pending().await,
        _ => {}
    }
    let id = request.headers().get("x-request-id").cloned();
    let post = request.method() == "POST";
    let failing = request.uri().path() == "/500";
    let body = request.into_body().collect().await?.to_bytes();
    let kind = if post { posts } else { others };
    kind.fetch_add(1, Ordering::SeqCst);
    let mut response = Response::new(full(format!("{name} {}", body.len())));
    if failing {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    if let Some(id) = id {
        response.headers_mut().insert("seen-request-id", id);
    }
    Ok(response)
}

/// A table with one listener and one route.
pub fn table(generation: u64, address: &str, backends: Vec<Backend>) -> Table {
    Table {
        generation,
        listeners: vec![Listener {
            address: address.into(),
            kind: ListenerKind::Traffic,
            tls: None,
        }],
        routes: vec![Route {
            component: "api".into(),
            host: None,
            path: "/".into(),
            backends,
            header_routes: Vec::new(),
            mirror: None,
        }],
        limits: Limits { response_timeout_ms: 2_000, ..Limits::default() },
        sticky: None,
        salt: 0,
        access_log: true,
    }
}

/// A running edge; drained and joined when dropped.
pub struct Edge {
    pub address: String,
    pub control: Control,
    pub socket: TcpListener,
    folder: tempfile::TempDir,
    thread: Option<JoinHandle<Result<(), EdgeError>>>,
}

impl Edge {
    pub fn start(make: impl FnOnce(&str) -> Table) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(socket, make)
    }

    pub fn on(socket: TcpListener, make: impl FnOnce(&str) -> Table) -> Self {
        let address = socket.local_addr().expect("bound").to_string();
        let folder = tempfile::tempdir().expect("a folder");
        let table_file = folder.path().join("table.json");
        let json = serde_json::to_vec(&make(&address)).expect("serialises");
        std::fs::write(&table_file, json).expect("written");
        let path = folder.path().join("control");
        let options = EdgeOptions {
            listeners: vec![(address.clone(), socket.try_clone().expect("a descriptor"))],
            control: UnixListener::bind(&path).expect("a control socket"),
            table_file,
            access_log: Some(folder.path().join("access.log")),
            drain_limit: Duration::from_secs(8),
        };
        let thread = Some(std::thread::spawn(move || run(options)));
        Self { address, control: Control::new(path), socket, folder, thread }
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut client = Client::connect(&self.address).await;
        client.send(Request::get(path)).await.expect("answered")
    }

    /// What the access log holds once the edge has ended.
    pub async fn stop(mut self) -> String {
        // No answer: it was asked before, and has ended or is about to. If not, the join says so.
        let _ = self.control.drain().await;
        let thread = self.thread.take().expect("running");
        let ended = tokio::task::spawn_blocking(move || thread.join());
        ended.await.expect("joined").expect("no panic").expect("a clean end");
        std::fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }
}

/// One connection that never sends anything twice.
pub struct Client(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(address: &str) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn ask(
        &mut self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.0.ready().await?;
        let request = request.header("host", "edge").body(Full::new(body.into())).expect("valid");
        self.0.send_request(request).await
    }

    pub async fn send(
        &mut self,
        request: http::request::Builder,
    ) -> Result<(u16, String), hyper::Error> {
        let response = self.ask(request, "").await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// One HTTP/2 connection with prior knowledge.
pub async fn h2c(address: &str) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    sender
}
