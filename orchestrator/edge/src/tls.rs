//! TLS material that follows its files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::EdgeError;
use crate::table::TlsFiles;

pub struct Tls {
    files: TlsFiles,
    config: ArcSwapOption<ServerConfig>,
    /// When each file was written that `config` or the last failure comes from.
    seen: ArcSwap<Seen>,
    checked: AtomicU64,
    started: Instant,
}

type Seen = (Option<SystemTime>, Option<SystemTime>);

impl Tls {
    /// Files that cannot be used are reported and looked at again later: the other listeners
    /// must not go down with this one.
    pub fn new(files: &TlsFiles) -> Self {
        let tls = Self {
            files: files.clone(),
            config: ArcSwapOption::empty(),
            seen: ArcSwap::from_pointee(written(files)),
            checked: AtomicU64::new(0),
            started: Instant::now(),
        };
        tls.read();
        tls
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// The material for a new connection; looks at the files at most once a second.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        let now = self.started.elapsed().as_secs();
        if self.checked.swap(now, Ordering::Relaxed) != now {
            let seen = written(&self.files);
            if seen != **self.seen.load() {
                self.seen.store(Arc::new(seen));
                self.read();
            }
        }
        self.config.load_full()
    }

    /// A half-written file must not end service: what was in use stays in use.
    fn read(&self) {
        match server_config(&self.files) {
            Ok(config) => {
                self.config.store(Some(config));
                tracing::info!(cert = %self.files.cert, "certificate in use");
            }
            Err(error) => tracing::error!(%error, "certificate not usable, none or the old stays"),
        }
    }
}

/// Whether a listener could serve with these files, as they are now.
pub fn check(files: &TlsFiles) -> Result<(), EdgeError> {
    server_config(files).map(|_| ())
}

fn written(files: &TlsFiles) -> Seen {
    let time = |path: &str| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    (time(&files.cert), time(&files.key))
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
