//! TLS from files that change: a certificate is renewed without a restart.
//!
//! The files are looked at when somebody connects, at most once a second. What cannot be used is said
//! in the log, and what was in use stays in use. Knows no HTTP.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The server's certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Whose certificates clients have to show, PEM; none: they need not show any.
    pub client_ca: Option<PathBuf>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct TlsError {
    file: PathBuf,
    why: String,
}

/// The material of new connections.
pub struct Tls {
    files: TlsSettings,
    current: Mutex<Current>,
    /// The second in which the files were looked at last.
    checked: AtomicU64,
    started: Instant,
}

struct Current {
    config: Arc<ServerConfig>,
    /// The files that were looked at last, whether they could be used or not.
    seen: Seen,
}

/// When each file was written, and how long it is.
type Seen = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// Reads the files for the first time.
    pub fn new(files: &TlsSettings) -> Result<Self, TlsError> {
        let seen = look(files);
        let current = Mutex::new(Current { config: read(files)?, seen });
        Ok(Self {
            files: files.clone(),
            current,
            checked: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    /// Whether clients have to show a certificate for what is not for everybody.
    pub fn asks_clients(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// What a new connection is made with.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.started.elapsed().as_secs();
        if self.checked.swap(now, Ordering::Relaxed) != now {
            let seen = look(&self.files);
            if seen != current.seen {
                current.seen = seen;
                match read(&self.files) {
                    Ok(config) => {
                        current.config = config;
                        tracing::info!("another certificate is in use");
                    }
                    // Half-written, or the key of another one: it is looked at again once it changes.
                    Err(error) => tracing::error!(%error, "the certificate before stays in use"),
                }
            }
        }
        current.config.clone()
    }
}

fn look(files: &TlsSettings) -> Seen {
    let all = [&files.certificate, &files.key].into_iter().chain(&files.client_ca);
    all.map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
    .collect()
}

fn read(files: &TlsSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault(&files.key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&files.certificate, error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| fault(&files.key, error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Lets in who shows no certificate, too: probes have none. What they may then ask is decided where it
/// is known what they ask.
fn verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| fault(path, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| fault(path, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(path, error))?;
    if all.is_empty() {
        return Err(fault(path, "there is no certificate in it (PEM)"));
    }
    Ok(all)
}

fn fault(file: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError { file: file.to_owned(), why: why.to_string() }
}
