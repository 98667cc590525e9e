//! TLS over a real socket: which certificate is shown, what becomes of it when its file changes, and who
//! has to show one themselves.

mod harness;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::{Running, migrated, neuroca};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// Of a certificate for localhost and its key, both PEM.
fn signed(by: &Authority) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, by).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    // As those do who renew: whole, or not at all.
    let next = dir.join(format!("{name}.next"));
    std::fs::write(&next, text).expect("writes");
    std::fs::rename(next, &path).expect("renames");
    path.display().to_string()
}

struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    fn connect(
        service: &Running,
        trusts: &Authority,
        shows: Option<&(String, String)>,
    ) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trusts.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a certificate")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let stream = TcpStream::connect(&service.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut client = Self(StreamOwned::new(connection, stream));
        client.0.flush()?;
        Ok(client)
    }

    /// Status, head and body of an answer with a length.
    fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        write!(self.0, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        self.0.flush()?;
        let mut text = Vec::new();
        loop {
            let mut some = [0; 4096];
            let read = std::io::Read::read(&mut self.0, &mut some)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            text.extend_from_slice(&some[..read]);
            let all = String::from_utf8_lossy(&text).to_ascii_lowercase();
            let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                return Ok((status.expect("a status"), all));
            }
        }
    }
}

#[test]
fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let dir = migrated();
    let (first, second) = (authority(), authority());
    let (certificate, key) = signed(&first);
    let cert_path = write(dir.path(), "tls.crt", &certificate);
    let key_path = write(dir.path(), "tls.key", &key);
    let env = [("NEUROCA_TLS_CERT_PATH", &*cert_path), ("NEUROCA_TLS_KEY_PATH", &*key_path)];
    let mut service = Running::serve(dir.path(), &env);
    let mut early = Client::connect(&service, &first, None).expect("connects");
    let (status, answer) = early.get("/v1/memories").expect("an answer");
    assert_eq!(status, 200);
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    assert!(Client::connect(&service, &second, None).and_then(|mut c| c.get("/health")).is_err());
    assert!(service.connect().try_request("GET", "/health", &[], "").is_err(), "not without TLS");

    // The certificate comes before its key: together they cannot be used yet.
    let (certificate, key) = signed(&second);
    write(dir.path(), "tls.crt", &certificate);
    let ready = |service: &Running, trusts: &Authority| {
        Client::connect(service, trusts, None).and_then(|mut client| client.get("/health/ready"))
    };
    // Looked at when somebody connects, at most once a second.
    let until = |service: &mut Running, trusts: &Authority, message: &str| {
        let patience = std::time::Instant::now();
        while ready(service, trusts).is_ok() && patience.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(50));
        }
        service.line(message);
    };
    until(&mut service, &first, "the certificate before stays in use");
    assert_eq!(ready(&service, &first).expect("the old one is in use").0, 200);
    write(dir.path(), "tls.key", &key);
    until(&mut service, &first, "another certificate is in use");
    assert_eq!(ready(&service, &second).expect("the new one is in use").0, 200);
    assert!(ready(&service, &first).is_err());
    assert_eq!(early.get("/v1/memories").expect("what is open stays open").0, 200);
}

#[test]
fn without_a_client_certificate_there_are_only_probes() {
    let dir = migrated();
    let (ours, theirs) = (authority(), authority());
    let (certificate, key) = signed(&ours);
    let paths = [
        ("NEUROCA_TLS_CERT_PATH", write(dir.path(), "tls.crt", &certificate)),
        ("NEUROCA_TLS_KEY_PATH", write(dir.path(), "tls.key", &key)),
        ("NEUROCA_TLS_CLIENT_CA_PATH", write(dir.path(), "ca.crt", &ours.pem())),
    ];
    let env: Vec<_> = paths.iter().map(|(name, path)| (*name, path.as_str())).collect();
    let service = Running::serve(dir.path(), &env);
    let mut nobody = Client::connect(&service, &ours, None).expect("connects");
    for (path, status) in [("/health/ready", 200), ("/metrics", 200), ("/v1/memories", 403)] {
        let (found, answer) = nobody.get(path).expect("an answer");
        assert_eq!(found, status, "{path}: {answer}");
        assert_eq!(answer.contains("urn:neuroca:problem:client-certificate"), status == 403);
    }
    let known = signed(&ours);
    let mut known = Client::connect(&service, &ours, Some(&known)).expect("connects");
    assert_eq!(known.get("/v1/memories").expect("an answer").0, 200);
    let stranger = signed(&theirs);
    let refused = Client::connect(&service, &ours, Some(&stranger));
    assert!(refused.and_then(|mut client| client.get("/health/ready")).is_err());
}

#[test]
fn what_cannot_be_used_is_said_at_the_start() {
    let dir = migrated();
    let run = |env: &[(&str, &str)]| {
        let output = neuroca(dir.path(), "serve").envs(env.iter().copied()).output();
        let output = output.expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&[("NEUROCA_TLS_CERT_PATH", "/nowhere/tls.crt")]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("NEUROCA_TLS_KEY_PATH"), "{text}");
    let empty = write(dir.path(), "empty.crt", "");
    let (code, text) = run(&[("NEUROCA_TLS_CERT_PATH", &empty), ("NEUROCA_TLS_KEY_PATH", &empty)]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("empty.crt: there is no certificate in it"), "{text}");
}
