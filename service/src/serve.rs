//! `neuroca serve`: from the first handler to the last answer.
//!
//! The order is the point of this file. The port answers probes before the database is open;
//! after SIGTERM nothing that a client has sent is dropped.

mod connection;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::accesses::Accesses;
use crate::auth::{Authenticator, Limiter};
use crate::config::{Database, Settings};
use crate::flags::KnownFlags;
use crate::http::{Events, Metrics, Shared, router};
use crate::lifecycle::{Lifecycle, Phase, Shutdown};
use crate::llm::{Budget, Llm, LlmSettings};
use crate::maintenance::Maintenance;
use crate::search::{Meaning, Searcher};
use crate::store::{OpenError, Repository, StoreError, open_with};
use crate::tls::{Tls, TlsError};
use connection::Server;

/// What is still in flight after so long is dropped: just below the patience of those who would
/// kill the process at 30 s.
const FLIGHT_LIMIT: Duration = Duration::from_secs(25);
const RETRY: Duration = Duration::from_millis(500);

/// Why serving ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No port.
    #[error("cannot listen on {0}: {1}; choose another PORT or end what listens there")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// No certificate.
    #[error("cannot speak TLS with {0}")]
    Tls(#[from] TlsError),
    /// No database.
    #[error("cannot use the database {0}: {1}")]
    Database(String, OpenError),
    /// No embeddings, though they are configured.
    #[error("{0}")]
    Embeddings(String),
}

/// Serves until `shutdown`, then drains.
pub async fn serve(settings: Settings, mut shutdown: Shutdown) -> Result<(), ServeError> {
    let lifecycle = Lifecycle::default();
    let tls = settings.tls.as_ref().map(Tls::new).transpose()?.map(Arc::new);
    let meaning = settings.embeddings.as_ref().map(Meaning::new).transpose();
    let meaning = meaning.map_err(ServeError::Embeddings)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| ServeError::Listen(settings.listen, error))?;
    let address = listener.local_addr().unwrap_or(settings.listen);
    tracing::info!(
        %address,
        revision = settings.revision,
        version = env!("CARGO_PKG_VERSION"),
        database = %settings.database,
        tls = tls.is_some(),
        "listening"
    );
    let shared = Arc::new(Shared {
        revision: settings.revision.clone(),
        capacity: settings.capacity,
        masking: settings.masking.clone(),
        llm: model(settings.llm.as_ref()),
        budget: Budget { per_day: settings.llm.as_ref().and_then(|llm| llm.tokens_per_day) },
        tls: tls.as_ref().map(|tls| tls.asks_clients()),
        lifecycle: lifecycle.clone(),
        metrics: Metrics::default(),
        events: Events::default(),
        authenticator: Authenticator::new(&settings.auth),
        limiter: Limiter::new(&settings.auth),
        maintenance: Maintenance::default(),
        flags: KnownFlags::default(),
        accesses: Accesses::default(),
        searcher: Searcher::new(meaning),
        repository: std::sync::OnceLock::new(),
    });
    let beat = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move { lifecycle.beat().await }
    });
    tokio::spawn({
        let (shared, lifecycle) = (shared.clone(), lifecycle.clone());
        async move { shared.limiter.keep(&lifecycle).await }
    });
    let server = Server { router: router(shared.clone()), tls, lifecycle: lifecycle.clone() };
    let accepting = tokio::spawn(accept(listener, server));

    let opened = tokio::select! {
        opened = open_known(&settings, &shared.maintenance) => Some(opened),
        () = shutdown.requested() => None,
    };
    let mut writing = None;
    let failure = match opened {
        Some(Ok(repository)) => {
            // Set once: there is no other place that sets it.
            let _ = shared.repository.set(repository.clone());
            tokio::spawn({
                let (shared, lifecycle) = (shared.clone(), lifecycle.clone());
                let repository = repository.clone();
                async move {
                    if let Some(meaning) = shared.searcher.meaning() {
                        meaning.keep(&*repository, &lifecycle).await;
                    }
                }
            });
            writing = Some(tokio::spawn({
                let (shared, lifecycle) = (shared.clone(), lifecycle.clone());
                async move {
                    tokio::join!(
                        shared.accesses.write(&*repository, &shared.maintenance, &lifecycle),
                        shared.maintenance.follow(&*repository, &lifecycle),
                    );
                }
            }));
            lifecycle.enter(Phase::Running);
            tracing::info!("ready");
            shutdown.requested().await;
            None
        }
        Some(Err(error)) => Some(ServeError::Database(settings.database.to_string(), error)),
        None => None,
    };

    if failure.is_none() {
        lifecycle.enter(Phase::Draining);
        tracing::info!(delay_ms = settings.drain_delay.as_millis() as u64, "draining");
        tokio::time::sleep(settings.drain_delay).await;
    }
    lifecycle.enter(Phase::Stopping);
    match accepting.await {
        Ok(0) => tracing::info!("all requests are answered"),
        Ok(dropped) => tracing::warn!(connections = dropped, "dropped what did not end in time"),
        Err(error) => tracing::error!(%error, "the accept loop failed"),
    }
    beat.abort();
    if let Some(writing) = writing {
        // It ends by itself after the stop.
        let _ = writing.await;
    }
    if let Some(repository) = shared.repository.get() {
        repository.close().await;
    }
    failure.map_or(Ok(()), Err)
}

fn model(settings: Option<&LlmSettings>) -> Option<Llm> {
    let settings = settings?;
    let llm = Llm::new(settings.clone());
    if llm.is_none() {
        tracing::warn!(
            provider = settings.provider.name(),
            "no language model is asked: NEUROCA_LLM_MODEL or NEUROCA_LLM_API_KEY is missing"
        );
    }
    llm
}

/// The database, once it is known what is refused: a replica that starts in the middle of maintenance
/// must not begin with a moment without it.
async fn open_known(
    settings: &Settings,
    maintenance: &Maintenance,
) -> Result<Arc<dyn Repository>, OpenError> {
    let repository = open_patiently(settings).await?;
    let database = &settings.database;
    while let Err(error) = maintenance.refresh(&*repository).await {
        tracing::warn!(%error, %database, "waiting for the database");
        tokio::time::sleep(RETRY).await;
    }
    Ok(repository)
}

/// A server may come back by itself, a file does not.
pub async fn open_patiently(settings: &Settings) -> Result<Arc<dyn Repository>, OpenError> {
    let Settings { database, sealing, .. } = settings;
    loop {
        match (open_with(database, sealing.as_ref()).await, database) {
            (Err(OpenError::Store(StoreError::Keys(error))), _) => {
                tracing::warn!(%error, %database, "waiting for the key");
            }
            (Err(OpenError::Store(error)), Database::Postgres(_)) => {
                tracing::warn!(%error, %database, "waiting for the database");
            }
            (result, _) => return result,
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Accepts until the stop, and returns when every connection has ended: how many had to be
/// dropped.
async fn accept(listener: TcpListener, server: Server) -> usize {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = server.lifecycle.reached(Phase::Stopping) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(server.clone().serve(stream));
                }
                // Out of file descriptors: those that end give theirs back.
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    for stream in backlog(listener) {
        connections.spawn(server.clone().serve(stream));
    }
    tracing::info!(open = connections.len(), "stopped listening");
    let all = async { while connections.join_next().await.is_some() {} };
    match tokio::time::timeout(FLIGHT_LIMIT, all).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    }
}

/// Closes the listener and returns who was in its backlog: they have connected already, and
/// closing would reset them. The kernel is asked itself, because the runtime may not have heard
/// of the last ones yet. One that comes between the last look and the close is reset; there is
/// no way to close a listening socket without that, so whoever routes has to stop before.
fn backlog(listener: TcpListener) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    let listener = match listener.into_std() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "cannot empty the backlog");
            return waiting;
        }
    };
    while let Ok((stream, _)) = listener.accept() {
        // Unlike the runtime's own accept, this one gives a blocking stream.
        let adopted = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        match adopted {
            Ok(stream) => waiting.push(stream),
            Err(error) => tracing::warn!(%error, "accept"),
        }
    }
    waiting
}
