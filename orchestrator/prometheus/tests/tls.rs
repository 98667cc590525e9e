//! Over https: whom the machine trusts is asked, and nobody else.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::server::{exchange, the_time};
use common::{api, now_ms, settings};
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::judge::Prometheus;
use neuroca_deploy_engine::ports::Metrics;
use neuroca_deploy_prometheus::PrometheusMetrics;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

async fn serve(key: &CertifiedKey<rcgen::KeyPair>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                exchange(stream, &|_| the_time()).await;
            }
        }
    });
    format!("https://localhost:{port}")
}

fn hourly(url: &str) -> Prometheus {
    Prometheus { interval: Millis(3_600_000), ..settings(url) }
}

/// One test: where the roots are is a variable of the whole process.
#[test]
fn https_needs_a_certificate_that_the_machine_trusts() {
    let key = || generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let (trusted, stranger) = (key(), key());
    let folder = tempfile::tempdir().expect("a folder");
    let pem = folder.path().join("roots.pem");
    std::fs::write(&pem, trusted.cert.pem()).expect("a file");
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");

    // SAFETY: this binary has this test alone, and no thread that reads the environment yet.
    unsafe {
        std::env::set_var("SSL_CERT_FILE", &pem);
        std::env::remove_var("SSL_CERT_DIR");
    }
    runtime().block_on(async {
        let ask = async |url: &str| {
            let metrics = PrometheusMetrics::new(&hourly(url), Path::new(".")).expect("settings");
            metrics.windows(&api(), now_ms()).await.map_err(|e| e.0)
        };
        let url = serve(&trusted).await;
        assert_eq!(ask(&url).await, Ok(Vec::new()));
        let said = ask(&serve(&stranger).await).await.expect_err("a stranger");
        assert!(said.contains("cannot be reached") && said.contains("certificate"), "{said}");
        let plain = url.replace("https", "http");
        assert!(ask(&plain).await.is_err(), "http to a port that speaks TLS");
    });

    std::fs::write(&pem, "").expect("a file");
    let refused = PrometheusMetrics::new(&hourly("https://localhost"), Path::new("."));
    let said = refused.err().expect("no roots").0;
    assert!(said.contains("no root certificates: install ca-certificates"), "{said}");
}
