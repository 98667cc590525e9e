//! One connection, from its first byte to its last: TLS if it is asked for, then HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::http::Certified;
use crate::lifecycle::{Lifecycle, Phase};
use crate::tls::Tls;

/// Also how long an idle connection stays open: longer than any proxy's pool keeps it, so that
/// it is always the other side that ends an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was accepted just before the end may have its first request on the way.
const FIRST_REQUEST: Duration = Duration::from_millis(250);

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) lifecycle: Lifecycle,
}

impl Server {
    pub(super) async fn serve(self, stream: TcpStream) {
        // Answers are small: waiting for more to send costs latency and saves nothing.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.talk(stream, Certified(false)).await };
        let acceptor = TlsAcceptor::from(tls.current());
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certified = Certified(stream.get_ref().1.peer_certificates().is_some());
                self.talk(stream, certified).await;
            }
            // Not TLS, or a certificate that nobody here knows.
            Ok(Err(error)) => tracing::debug!(%error, "handshake"),
            Err(_) => tracing::debug!("no handshake in time"),
        }
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        certified: Certified,
    ) {
        let asked = Arc::new(AtomicBool::new(false));
        let service = hyper::service::service_fn({
            let (asked, router) = (asked.clone(), self.router.clone());
            move |mut request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(certified);
                router.clone().oneshot(request.map(axum::body::Body::new)).map(ok)
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        builder.http2().timer(TokioTimer::new());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let stopping = async {
            self.lifecycle.reached(Phase::Stopping).await;
            if !asked.load(Ordering::Relaxed) {
                tokio::time::sleep(FIRST_REQUEST).await;
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // The other side went away, or did not speak HTTP.
            tracing::debug!(%error, "connection");
        }
    }
}

fn ok<T>(result: Result<T, Infallible>) -> Result<T, Infallible> {
    result
}
