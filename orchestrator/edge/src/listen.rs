//! Accepting connections, with or without TLS, and serving them until they end.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use http::{HeaderValue, Version};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::error::EdgeError;
use crate::forward::{Peer, forward};
use crate::pool::Pool;
use crate::server::Shared;
use crate::table::TlsFiles;

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

/// Serves one listener on this thread until draining begins.
pub async fn accept(
    listener: tokio::net::TcpListener,
    tls: Option<Arc<Tls>>,
    shared: Arc<Shared>,
    pool: Pool,
) {
    let mut draining = shared.draining();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that ended before it was accepted.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let address = HeaderValue::try_from(from.ip().to_string()).expect("an address is ASCII");
        let peer = Peer { address, tls: tls.is_some() };
        let (tls, shared, pool) = (tls.clone(), shared.clone(), pool.clone());
        tokio::task::spawn_local(async move {
            let _open = shared.open_connection();
            match tls {
                None => serve(stream, peer, shared.clone(), pool).await,
                Some(tls) => {
                    let handshake = TlsAcceptor::from(tls.current()).accept(stream);
                    match tokio::time::timeout(Duration::from_secs(10), handshake).await {
                        Ok(Ok(stream)) => serve(stream, peer, shared.clone(), pool).await,
                        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                        Err(_) => tracing::debug!("TLS handshake took too long"),
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, peer: Peer, shared: Arc<Shared>, pool: Pool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = shared.compiled().table.limits.clone();
    let activity = Rc::new(Activity::default());
    let service = service_fn({
        let (shared, activity) = (shared.clone(), activity.clone());
        move |request| {
            let (shared, pool, peer) = (shared.clone(), pool.clone(), peer.clone());
            let activity = activity.clone();
            async move {
                let _busy = activity.begin(request.version());
                Ok::<_, std::convert::Infallible>(forward(&shared, &pool, &peer, request).await)
            }
        }
    });
    let mut builder = auto::Builder::new(Local);
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
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut draining = shared.draining();
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = draining.wait_for(|draining| *draining) => {
            if activity.http2.get() {
                // GOAWAY; what was sent before the client saw it is still answered.
                connection.as_mut().graceful_shutdown();
            } else {
                let quiet = activity.quiet_for(IDLE_WHILE_DRAINING);
                tokio::select! {
                    result = connection.as_mut() => return log(result),
                    () = quiet => connection.as_mut().graceful_shutdown(),
                }
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
    http2: Cell<bool>,
    busy: Cell<u32>,
    last: Cell<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { http2: Cell::new(false), busy: Cell::new(0), last: Cell::new(Instant::now()) }
    }
}

struct Busy(Rc<Activity>);

impl Activity {
    fn begin(self: &Rc<Self>, version: Version) -> Busy {
        self.http2.set(version == Version::HTTP_2);
        self.busy.set(self.busy.get() + 1);
        Busy(self.clone())
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

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        self.0.last.set(Instant::now());
    }
}

/// TLS material that follows its files.
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    checked: AtomicU64,
    modified: ArcSwap<Option<SystemTime>>,
    started: Instant,
}

impl Tls {
    /// Reads both files.
    pub fn load(files: &TlsFiles) -> Result<Self, EdgeError> {
        Ok(Self {
            config: ArcSwap::from(server_config(files)?),
            modified: ArcSwap::from_pointee(modified(files)),
            files: files.clone(),
            checked: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    /// The material for a new connection; looks at the files at most once a second. Material that
    /// cannot be used is reported and the old kept: a half-written file must not end service.
    fn current(&self) -> Arc<ServerConfig> {
        let now = self.started.elapsed().as_secs();
        if self.checked.swap(now, Ordering::Relaxed) != now {
            let seen = modified(&self.files);
            if seen != **self.modified.load() {
                match server_config(&self.files) {
                    Ok(config) => {
                        self.config.store(config);
                        self.modified.store(Arc::new(seen));
                        tracing::info!(cert = %self.files.cert, "new certificate in use");
                    }
                    Err(error) => tracing::error!(%error, "keeping the old certificate"),
                }
            }
        }
        self.config.load_full()
    }
}

fn modified(files: &TlsFiles) -> Option<SystemTime> {
    let time = |path: &str| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    Some(time(&files.cert)?.max(time(&files.key)?))
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, EdgeError> {
    let fail = |file: &str, why: String| EdgeError::Certificate { file: file.into(), why };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| fail(&files.cert, e.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|e| fail(&files.key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| fail(&files.cert, e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
