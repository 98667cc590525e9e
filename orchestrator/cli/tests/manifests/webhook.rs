//! An admission webhook of a test's own: an HTTPS server on this machine that the API server asks before it writes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::project::Project;

/// A server that ends with the test's process.
pub struct Webhook {
    port: u16,
    certificate: String,
    pub name: String,
}

impl Webhook {
    /// It answers every question with no, for this reason.
    pub fn refusing(why: &'static str) -> Self {
        Self::serving(move |stream, tls| {
            let connection = ServerConnection::new(tls).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            // What breaks off is the API server's affair.
            let Some(review) = read_review(&mut stream) else { return };
            let answer = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": { "uid": review["request"]["uid"], "allowed": false, "status": { "message": why } },
            })
            .to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                answer.len()
            );
            stream.conn.send_close_notify();
            let _ = stream.flush();
        })
    }

    /// It takes every question, and says nothing.
    pub fn silent() -> Self {
        Self::serving(|mut stream, _| {
            let mut taken = [0; 1024];
            while stream.read(&mut taken).is_ok_and(|read| read > 0) {}
        })
    }

    fn serving(answer: impl Fn(TcpStream, Arc<ServerConfig>) + Clone + Send + 'static) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let tls = Arc::new(tls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, tls) = (answer.clone(), tls.clone());
                std::thread::spawn(move || answer(stream, tls));
            }
        });
        Self { port, certificate: cert.pem(), name: format!("hook-{port}.example.com") }
    }

    /// Has it asked about every write of this resource in the project's namespace, and in no other.
    pub fn register(&self, project: &Project, resource: &str) {
        let bundle = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": self.name },
            "webhooks": [{
                "name": self.name,
                "clientConfig": { "url": format!("https://127.0.0.1:{}/", self.port), "caBundle": bundle },
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource],
                    "operations": ["CREATE", "UPDATE"],
                }],
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": project.namespace } },
                "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "timeoutSeconds": 1,
            }],
        });
        project.kubectl_apply(&configuration.to_string(), &[]);
    }

    pub fn remove(&self, project: &Project) {
        project.kubectl(&["delete", "validatingwebhookconfiguration", &self.name]);
    }
}

/// The question, which is one request with its length.
fn read_review(stream: &mut impl Read) -> Option<Value> {
    let (mut taken, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        taken.extend_from_slice(&part[..read]);
        let Some(head) = taken.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let words = String::from_utf8_lossy(&taken[..head]).to_lowercase();
        let length = words.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length?.trim().parse().ok()?;
        if taken.len() >= head + 4 + length {
            return serde_json::from_slice(&taken[head + 4..head + 4 + length]).ok();
        }
    }
}
