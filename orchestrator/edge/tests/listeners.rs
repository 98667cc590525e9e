//! What a listener is follows the table and the certificate files, without a restart.

mod site;

use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use neuroca_deploy_edge::{Listener, ListenerKind, Sticky, Table, TlsFiles};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName};
use site::raw::soon;
use site::{Client, Component, Edge, table};
use tokio::net::TcpStream;

/// A new certificate in these files, and what a client has to trust.
fn certify(files: &TlsFiles) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(["shop.test".to_string()]).expect("a certificate");
    std::fs::write(&files.cert, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    made.cert.der().clone()
}

type Secured = tokio_rustls::client::TlsStream<TcpStream>;

async fn handshake(
    address: &str,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<Secured> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.expect("connects");
    let name = ServerName::try_from("shop.test").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn http1(stream: Secured) -> String {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "shop.test").body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.expect("valid")).await.expect("answered");
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

fn secured(mut table: Table, folder: &Path) -> (Table, TlsFiles) {
    let path = |name: &str| folder.join(name).display().to_string();
    let files = TlsFiles { cert: path("cert.pem"), key: path("key.pem") };
    table.listeners[0].tls = Some(files.clone());
    (table, files)
}

#[tokio::test]
async fn a_new_certificate_is_used_when_its_files_change() {
    let a = Component::start("a").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (_, files) = secured(table(1, "", vec![]), folder.path());
    let first = certify(&files);
    let edge = Edge::start(|at| secured(table(1, at, vec![a.backend(1)]), folder.path()).0);
    let old = handshake(&edge.address, &first, "http/1.1").await.expect("trusted");
    assert_eq!(http1(old).await, "a 0");

    let stream = handshake(&edge.address, &first, "h2").await.expect("trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("https://shop.test/").body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.expect("valid")).await.expect("answered");
    assert_eq!(answer.status(), 200);

    // Half of a renewal: the key does not belong to the certificate. The old pair stays.
    std::fs::write(&files.key, "not yet").expect("written");
    let mut reported = 0;
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        reported += usize::from(handshake(&edge.address, &first, "http/1.1").await.is_ok());
    }
    assert_eq!(reported, 3);

    let second = certify(&files);
    let renewed = async {
        loop {
            if let Ok(stream) = handshake(&edge.address, &second, "http/1.1").await {
                break stream;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    assert_eq!(http1(soon("the new certificate", renewed).await).await, "a 0");
}

#[tokio::test]
async fn a_listener_becomes_what_the_table_says() {
    let a = Component::start("a").await;
    // As at the very first start: no table at all.
    let edge = Edge::start(|_| Table::default());
    assert_eq!(edge.get("/metrics").await.0, 404);
    let mut next = table(1, &edge.address, vec![a.backend(70)]);
    edge.control.put_table(&next).await.expect("accepted");
    assert_eq!(edge.get("/metrics").await, (200, "a 0".into()), "the component answers");
    next.generation = 2;
    next.listeners =
        vec![Listener { address: edge.address.clone(), kind: ListenerKind::Metrics, tls: None }];
    edge.control.put_table(&next).await.expect("accepted");
    let (status, text) = edge.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"edge_requests_total{component="api",revision="a",status="2xx"} 1"#,
        r#"edge_in_flight{component="api",revision="a"} 0"#,
        r#"edge_weight{component="api",revision="a"} 70"#,
        r#"edge_request_duration_seconds_count{component="api",revision="a"} 1"#,
        r#"edge_refused_total{status="404"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn a_cookie_keeps_a_client_on_its_side() {
    let (a, b) = (Component::start("a").await, Component::start("b").await);
    let with = |generation, at: &str, old, new| {
        let mut table = table(generation, at, vec![a.backend(old), b.backend(new)]);
        table.sticky = Some(Sticky::Cookie("side".into()));
        table
    };
    let edge = Edge::start(|at| with(1, at, 50, 50));
    let mut clients = Vec::new();
    for _ in 0..60 {
        let mut client = Client::connect(&edge.address).await;
        let answer = client.ask(Request::get("/"), "").await.expect("answered");
        let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_string();
        let cookie = cookie.split(';').next().expect("a pair").to_string();
        let body = answer.into_body().collect().await.expect("whole").to_bytes();
        clients.push((cookie, body));
    }
    assert!(clients.iter().any(|c| c.1 == "a 0") && clients.iter().any(|c| c.1 == "b 0"));
    // 1:3 is 75 %, and what the weights add up to is nobody's business.
    edge.control.put_table(&with(2, &edge.address, 1, 3)).await.expect("accepted");
    for (cookie, side) in clients.into_iter().filter(|c| c.1 == "b 0") {
        let mut client = Client::connect(&edge.address).await;
        let request = Request::get("/").header("cookie", format!("other=1; {cookie}"));
        let answer = client.ask(request, "").await.expect("answered");
        assert!(!answer.headers().contains_key("set-cookie"));
        assert_eq!(answer.into_body().collect().await.expect("whole").to_bytes(), side);
    }
}

#[tokio::test]
async fn what_the_edge_refuses_is_logged_too() {
    let a = Component::start("a").await;
    let edge = Edge::start(|at| {
        let mut table = table(1, at, vec![a.backend(0)]);
        table.routes[0].path = "/app".into();
        table
    });
    let mut client = Client::connect(&edge.address).await;
    let request = Request::get("/elsewhere?secret=1").header("x-request-id", "id-1");
    assert_eq!(client.send(request).await.expect("answered").0, 404);
    let nobody = client.ask(Request::get("/app"), "").await.expect("answered");
    assert_eq!(
        (nobody.status().as_u16(), &nobody.headers()["retry-after"]),
        (503, &"1".parse().expect("a value"))
    );
    drop((client, nobody));
    let log = edge.stop().await;
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!((&lines[0]["status"], &lines[0]["id"]), (&404.into(), &"id-1".into()));
    assert_eq!((&lines[1]["status"], &lines[1]["component"]), (&503.into(), &"api".into()));
    assert!(!log.contains("secret"), "{log}");
}
