//! Answers requests as a [`Behaviour`] says, until SIGTERM; then drains.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::behaviour::{Answer, Behaviour};
use crate::counts::Counts;

/// What is still in flight after so long is dropped, a request that hangs for one.
const FLIGHT_LIMIT: Duration = Duration::from_secs(25);
/// The exit status of a crash that was asked for.
const CRASHED: i32 = 70;

/// What answers say of the process.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `x-nca-revision`.
    pub version: HeaderValue,
    /// Paths that begin so are probes.
    pub health: String,
    /// What the names of counters begin with.
    pub metrics: String,
}

struct Specimen {
    identity: Identity,
    behaviour: Behaviour,
    next: AtomicU64,
    first: OnceLock<Instant>,
    came: Notify,
    counts: Counts,
}

/// Where the counts are told.
const METRICS: &str = "/metrics";

/// Serves until `shutdown`. A crash ends the process from in here.
pub async fn serve(
    listener: TcpListener,
    identity: Identity,
    behaviour: Behaviour,
    shutdown: impl Future<Output = ()>,
) {
    let specimen = Arc::new(Specimen {
        identity,
        behaviour,
        next: AtomicU64::new(0),
        first: OnceLock::new(),
        came: Notify::new(),
        counts: Counts::default(),
    });
    if let Some(after) = specimen.behaviour.crash() {
        let specimen = specimen.clone();
        tokio::spawn(async move {
            specimen.came.notified().await;
            tokio::time::sleep(after).await;
            std::process::exit(CRASHED);
        });
    }
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(specimen.clone(), stream, ended.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    // Nobody listens when there is no connection left.
    let _ = ending.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FLIGHT_LIMIT, all).await;
}

async fn connection(specimen: Arc<Specimen>, stream: TcpStream, mut ended: watch::Receiver<bool>) {
    // Only latency would suffer.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(&specimen, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => {}
    }
    connection.as_mut().graceful_shutdown();
    // How the other side ends a connection is its own business.
    let _ = connection.await;
}

async fn answer(
    specimen: &Specimen,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path().starts_with(&specimen.identity.health) {
        return Ok(specimen.response(StatusCode::OK));
    }
    if request.uri().path() == METRICS {
        return Ok(Response::new(Full::new(Bytes::from(
            specimen.counts.told(&specimen.identity.metrics),
        ))));
    }
    let came = Instant::now();
    let first = *specimen.first.get_or_init(|| {
        specimen.came.notify_one();
        Instant::now()
    });
    let number = specimen.next.fetch_add(1, Ordering::Relaxed);
    let (status, after) = match specimen.behaviour.answer(number, first.elapsed()) {
        Answer::Good { after } => (StatusCode::OK, after),
        Answer::Error { after } => (StatusCode::INTERNAL_SERVER_ERROR, after),
        Answer::Never => std::future::pending().await,
    };
    if !after.is_zero() {
        tokio::time::sleep(after).await;
    }
    specimen.counts.answered(status, came.elapsed());
    Ok(specimen.response(status))
}

impl Specimen {
    fn response(&self, status: StatusCode) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from_static(b"specimen\n")));
        *response.status_mut() = status;
        response.headers_mut().insert("x-nca-revision", self.identity.version.clone());
        response
    }
}
