//! The control socket: HTTP and JSON over a Unix socket, and `/metrics` for who may see it.

use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::error::EdgeError;
use crate::exposition;
use crate::shared::{Shared, until_drained};
use crate::table::Table;

/// How long calls that are under way keep an edge that has nothing else to do.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

type Reply = Response<Full<Bytes>>;

/// Serves the control socket until the edge has drained.
pub(crate) fn serve(
    shared: &Arc<Shared>,
    control: UnixListener,
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
        let mut calls = JoinSet::new();
        let mut drained = std::pin::pin!(until_drained(shared, drain_limit));
        loop {
            tokio::select! {
                () = drained.as_mut() => break,
                Some(()) = terminate.recv() => shared.drain(),
                Some(_) = calls.join_next() => {}
                accepted = control.accept() => match accepted {
                    Ok((stream, _)) => drop(calls.spawn(answer(stream, shared.clone(), private))),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a control connection");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
            }
        }
        // Who asked for the end gets an answer before it comes.
        let answered = async { while calls.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
        Ok(())
    })
}

/// Serves a connection of the metrics listener.
pub(crate) async fn metrics(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    answer(stream, shared, public).await;
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
        (&Method::GET, "/metrics") => text(StatusCode::OK, exposition::text(&shared.metrics)),
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
                Err(error @ EdgeError::Refused(_)) => text(StatusCode::CONFLICT, error),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error),
            },
        },
        (&Method::POST, "/drain") => {
            shared.drain();
            json(&shared.status())
        }
        (&Method::GET, path) if path.starts_with("/slots/") => {
            match path["/slots/".len()..].parse() {
                Ok(since) => json(&shared.metrics.slots(since)),
                Err(_) => text(StatusCode::BAD_REQUEST, "not the number of a slot\n"),
            }
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
