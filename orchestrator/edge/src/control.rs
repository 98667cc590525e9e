//! The control socket: HTTP and JSON over a Unix socket, and `/metrics` for who may see it.

use std::convert::Infallible;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::EdgeError;
use crate::metrics::Status;
use crate::server::{Shared, until_drained};
use crate::table::Table;

type Reply = Response<Full<Bytes>>;

/// Serves control and metrics until the edge has drained.
pub(crate) fn serve(
    shared: &Arc<Shared>,
    control: UnixListener,
    metrics: Vec<TcpListener>,
    drain_limit: Duration,
) -> Result<(), EdgeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(EdgeError::io("the edge's control thread"))?;
    runtime.block_on(async {
        control.set_nonblocking(true).map_err(EdgeError::io("the control socket"))?;
        let control = tokio::net::UnixListener::from_std(control)
            .map_err(EdgeError::io("the control socket"))?;
        let mut terminate =
            signal(SignalKind::terminate()).map_err(EdgeError::io("the handler of SIGTERM"))?;
        for socket in metrics {
            let listener =
                tokio::net::TcpListener::from_std(socket).map_err(EdgeError::io("metrics"))?;
            let shared = shared.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, shared.clone(), public));
                }
            });
        }
        let accepting = async {
            while let Ok((stream, _)) = control.accept().await {
                tokio::spawn(answer(stream, shared.clone(), private));
            }
        };
        tokio::select! {
            () = accepting => {}
            () = until_drained(shared, drain_limit) => {}
            () = async {
                terminate.recv().await;
                shared.drain();
                std::future::pending::<()>().await;
            } => {}
        }
        Ok(())
    })
}

async fn answer<S>(
    stream: S,
    shared: Arc<Shared>,
    routes: fn(&Shared, &Method, &str, &[u8]) -> Reply,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let shared = shared.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return Ok::<_, Infallible>(text(StatusCode::BAD_REQUEST, error)),
            };
            Ok(routes(&shared, &head.method, head.uri.path(), &body))
        }
    });
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a control connection broke off");
    }
}

fn public(shared: &Shared, method: &Method, path: &str, _: &[u8]) -> Reply {
    match (method, path) {
        (&Method::GET, "/metrics") => text(StatusCode::OK, shared.metrics.text()),
        _ => text(StatusCode::NOT_FOUND, "only /metrics is here\n"),
    }
}

fn private(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Reply {
    match (method, path) {
        (&Method::GET, "/status") => json(&shared.status()),
        (&Method::PUT, "/table") => match serde_json::from_slice::<Table>(body) {
            Err(error) => text(StatusCode::BAD_REQUEST, format!("not a table: {error}")),
            Ok(table) => match shared.put(table) {
                Ok(generation) => json(&generation),
                Err(error) => text(StatusCode::CONFLICT, error),
            },
        },
        (&Method::POST, "/drain") => {
            shared.drain();
            json(&shared.status())
        }
        (&Method::POST, path) if path.starts_with("/end-streams/") => {
            shared.metrics.end_streams(&path["/end-streams/".len()..]);
            json(&())
        }
        _ => text(StatusCode::NOT_FOUND, "no such call\n"),
    }
}

fn text(status: StatusCode, words: impl ToString) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(words.to_string())));
    *response.status_mut() = status;
    response
}

fn json<T: Serialize>(value: &T) -> Reply {
    let json = serde_json::to_vec(value).expect("plain values have a JSON form");
    Response::new(Full::new(json.into()))
}

/// Talks to a running edge.
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// An edge that listens at `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Puts a table into force and returns its generation: from then on no request is routed by
    /// an older one.
    pub async fn put_table(&self, table: &Table) -> Result<u64, EdgeError> {
        let body = serde_json::to_vec(table).expect("plain values have a JSON form");
        self.call(Method::PUT, "/table", body).await
    }

    /// Counters and the generation in force.
    pub async fn status(&self) -> Result<Status, EdgeError> {
        self.call(Method::GET, "/status", Vec::new()).await
    }

    /// Ends the streams (SSE, WebSocket) of a revision.
    pub async fn end_streams(&self, revision: &str) -> Result<(), EdgeError> {
        self.call(Method::POST, &format!("/end-streams/{revision}"), Vec::new()).await
    }

    /// Makes the edge stop accepting, finish what it has, and end.
    pub async fn drain(&self) -> Result<Status, EdgeError> {
        self.call(Method::POST, "/drain", Vec::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, EdgeError> {
        let silent =
            |why: String| EdgeError::Unreachable { path: self.path.display().to_string(), why };
        let stream =
            tokio::net::UnixStream::connect(&self.path).await.map_err(|e| silent(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| silent(e.to_string()))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "edge")
            .body(Full::new(Bytes::from(body)))
            .expect("a valid request");
        let response = sender.send_request(request).await.map_err(|e| silent(e.to_string()))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| silent(e.to_string()))?;
        connection.abort();
        let body = body.to_bytes();
        if status != StatusCode::OK {
            return Err(EdgeError::Refused(String::from_utf8_lossy(&body).into_owned()));
        }
        serde_json::from_slice(&body).map_err(|e| silent(e.to_string()))
    }
}
