//! Accepting connections, with or without TLS, and serving them until they end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Version};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::control;
use crate::farewell::Farewell;
use crate::forward::forward;
use crate::headers::Peer;
use crate::shared::{OpenConnection, Worker};
use crate::table::ListenerKind;

/// How long an idle connection may still send a request after draining began.
const IDLE_WHILE_DRAINING: Duration = Duration::from_secs(5);

/// Futures of one thread.
#[derive(Clone, Copy)]
pub struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves one listener on this thread until draining begins. `accepting` says that connections may
/// still come out of this.
pub async fn accept(
    address: String,
    listener: TcpListener,
    worker: Rc<Worker>,
    accepting: OpenConnection,
) {
    let mut draining = worker.shared.draining();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let _ = stream.set_nodelay(true);
                let ip = from.ip().to_canonical().to_string();
                let ip = HeaderValue::try_from(ip).expect("an address is ASCII");
                let open = worker.shared.open_connection();
                let serving = begin(stream, ip, address.clone(), worker.clone(), open);
                tokio::task::spawn_local(serving);
            }
            Err(error) => {
                // Out of file descriptors, or a connection that ended before it was accepted.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(accepting);
}

/// Finds out what the table in force wants with a new connection.
async fn begin(
    stream: TcpStream,
    ip: HeaderValue,
    address: String,
    worker: Rc<Worker>,
    open: OpenConnection,
) {
    let listener = worker.shared.compiled().serving(&address);
    let kind = listener.as_ref().map_or(ListenerKind::Traffic, |l| l.kind);
    match (kind, listener.as_ref().and_then(|l| l.tls.as_ref())) {
        (ListenerKind::Metrics, _) => control::metrics(stream, worker.shared.clone()).await,
        (ListenerKind::Traffic, None) => {
            serve(stream, Peer { address: ip, tls: false }, worker).await
        }
        (ListenerKind::Traffic, Some(tls)) => {
            // Without a usable certificate there is nothing to say; the reason was reported.
            let Some(config) = tls.current() else { return };
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(Duration::from_secs(10), handshake).await {
                Ok(Ok(stream)) => serve(stream, Peer { address: ip, tls: true }, worker).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
        }
    }
    drop(open);
}

async fn serve<S>(stream: S, peer: Peer, worker: Rc<Worker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = worker.shared.compiled().table.limits.clone();
    let mut draining = worker.shared.draining();
    let activity = Rc::new(Activity::default());
    let at_work = Rc::new((worker, peer, activity.clone()));
    let service = service_fn(move |request| {
        let at_work = at_work.clone();
        async move {
            let (worker, peer, activity) = &*at_work;
            let _busy = activity.begin(request.version());
            Ok::<_, std::convert::Infallible>(forward(worker, peer, request).await)
        }
    });
    let mut builder = auto::Builder::new(Local);
    // Hyper needs 8 KiB to read into.
    let header_bytes = limits.max_header_bytes.clamp(8192, 1 << 24);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.idle_timeout_ms))
        .max_buf_size(header_bytes as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(header_bytes as u32)
        .keep_alive_interval(Duration::from_secs(20));
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(Farewell::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = draining.wait_for(|draining| *draining) => {
            tokio::select! {
                result = connection.as_mut() => return log(result),
                () = activity.may_be_ended() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    };
    log(result);
}

fn log(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// What a connection has been doing.
struct Activity {
    /// Notified once, by the first request, when that is HTTP/2.
    http2: Notify,
    began: Cell<bool>,
    busy: Cell<u32>,
    last: Cell<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            http2: Notify::new(),
            began: Cell::new(false),
            busy: Cell::new(0),
            last: Cell::new(Instant::now()),
        }
    }
}

struct Busy<'a>(&'a Activity);

impl Activity {
    fn begin(&self, version: Version) -> Busy<'_> {
        if !self.began.replace(true) && version == Version::HTTP_2 {
            self.http2.notify_one();
        }
        self.busy.set(self.busy.get() + 1);
        Busy(self)
    }

    /// Returns when a draining edge may end the connection without losing a request. HTTP/2 at
    /// once: after GOAWAY, what was sent before the client saw it is still answered. It may have
    /// been accepted before draining began and speak only now, so that is awaited and not asked.
    /// HTTP/1 has no such word and has to fall quiet.
    async fn may_be_ended(&self) {
        tokio::select! {
            () = self.http2.notified() => {}
            () = self.quiet_for(IDLE_WHILE_DRAINING) => {}
        }
    }

    /// Returns when no request was answered for `time`, counted from now at the earliest.
    async fn quiet_for(&self, time: Duration) {
        self.last.set(Instant::now());
        loop {
            let quiet = self.last.get().elapsed();
            if self.busy.get() == 0 && quiet >= time {
                return;
            }
            let left = time.saturating_sub(quiet).max(Duration::from_millis(50));
            tokio::time::sleep(left).await;
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        self.0.last.set(Instant::now());
    }
}
