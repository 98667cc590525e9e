//! Form in, body out: one HTTP call, bounded in time and size, that follows nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use crate::trouble::Trouble;

const PATIENCE: Duration = Duration::from_secs(5);
const MOST_MEBIBYTES: usize = 32;

/// A server's HTTP API.
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// What stands before `/api/v1`.
    base: String,
    token_file: Option<PathBuf>,
}

impl Http {
    /// Nothing is connected yet. `Err` says what is wrong with the URL or with this machine.
    pub fn new(url: &str, token_file: Option<PathBuf>) -> Result<Self, String> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|e| format!("is no URL: {e}"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("must begin with http:// or https://".into()),
        };
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        if authority.contains('@') {
            return Err("must not contain a password: use `token_file`".into());
        }
        if uri.query().is_some() || base.contains('#') {
            return Err("must end before `?` and `#`".into());
        }
        let tls = tls(if secure { system_roots()? } else { RootCertStore::empty() })?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(connector.build());
        Ok(Self { client, base, token_file })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Status and body of an answer, whatever they are.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, Bytes), Trouble> {
        let late = |_| Trouble::TimedOut { seconds: PATIENCE.as_secs() };
        tokio::time::timeout(PATIENCE, self.exchange(path, form)).await.map_err(late)?
    }

    async fn exchange(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, Bytes), Trouble> {
        let unreachable = |e: &dyn std::error::Error| Trouble::Unreachable(causes(e));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(bearer) = self.bearer().await? {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request =
            request.body(Full::new(urlencoded(form).into())).map_err(|e| unreachable(&e))?;
        let answer = self.client.request(request).await.map_err(|e| unreachable(&e))?;
        let status = answer.status();
        if status.is_redirection() {
            let to = answer.headers().get(header::LOCATION).map(|to| to.as_bytes());
            return Err(Trouble::Redirected { to: crate::trouble::excerpt(to.unwrap_or(b"?")) });
        }
        let limited = Limited::new(answer.into_body(), MOST_MEBIBYTES << 20);
        let body = limited.collect().await.map_err(|e| match e.downcast::<LengthLimitError>() {
            Ok(_) => Trouble::TooLarge { mebibytes: MOST_MEBIBYTES },
            Err(e) => unreachable(&*e),
        })?;
        Ok((status.as_u16(), body.to_bytes()))
    }

    /// Read each time: tokens are renewed under a running rollout.
    async fn bearer(&self) -> Result<Option<header::HeaderValue>, Trouble> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let unusable = |why: &str| Trouble::Token(format!("token file {}: {why}", path.display()));
        let token = tokio::fs::read_to_string(path).await.map_err(|e| unusable(&e.to_string()))?;
        let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| unusable("no token: it has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("is https, and this machine has no root certificates: install \
                    ca-certificates, or name a PEM file in SSL_CERT_FILE"
            .into());
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// An error with what caused it, which the libraries leave to the reader.
fn causes(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !all.contains(&text) {
            all = format!("{all}: {text}");
        }
        cause = next.source();
    }
    all
}

fn urlencoded(form: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(byte.into());
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
            out
        })
    };
    let pairs: Vec<String> =
        form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}
