//! The transit API of OpenBao and Vault: wraps and unwraps with a key that stays there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::data_key::KEY_LEN;
use super::{KmsSettings, SealError, Wrapped};
use crate::memory::Moment;
use crate::outbound::{Outbound, outbound};
use crate::telemetry::with_trace;

/// A request that needs a key waits for so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a failure nobody waits again before this: one that is gone must not hold up the others.
const PAUSE_MILLIS: i64 = 1_000;
const LARGEST_ANSWER: usize = 64 * 1024;

/// A key that is kept somewhere else.
pub(super) struct Kms {
    settings: KmsSettings,
    client: Outbound<Full<Bytes>>,
    id: String,
    /// Not asked before then.
    again_at: AtomicI64,
}

impl Kms {
    pub(super) fn new(settings: KmsSettings) -> Self {
        let id = format!("kms:{}/{}", settings.mount, settings.key);
        Self { settings, client: outbound(PATIENCE), id, again_at: AtomicI64::new(0) }
    }

    /// What the database calls it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) async fn wrap(&self, name: &str, key: &[u8; KEY_LEN]) -> Result<Wrapped, SealError> {
        let body =
            json!({"plaintext": STANDARD.encode(key), "associated_data": STANDARD.encode(name)});
        let answer = self.ask("encrypt", &body).await?;
        let bytes = answer["data"]["ciphertext"].as_str().ok_or_else(|| self.strange())?;
        Ok(Wrapped { by: self.id.clone(), bytes: bytes.into() })
    }

    pub(super) async fn unwrap(
        &self,
        name: &str,
        wrapped: &[u8],
    ) -> Result<[u8; KEY_LEN], SealError> {
        let wrapped = String::from_utf8_lossy(wrapped);
        let body = json!({"ciphertext": wrapped, "associated_data": STANDARD.encode(name)});
        let answer = self.ask("decrypt", &body).await?;
        answer["data"]["plaintext"]
            .as_str()
            .and_then(|plain| STANDARD.decode(plain).ok())
            .and_then(|key| key.try_into().ok())
            .ok_or_else(|| self.strange())
    }

    fn strange(&self) -> SealError {
        SealError::Away(format!("{} answers something else than transit does", self.settings.url))
    }

    async fn ask(&self, what: &str, body: &Value) -> Result<Value, SealError> {
        let now = Moment::now().0;
        if now < self.again_at.load(Ordering::Relaxed) {
            return Err(SealError::Away(format!(
                "{} did not answer a moment ago",
                self.settings.url
            )));
        }
        let asked = tokio::time::timeout(PATIENCE, self.exchange(what, body)).await;
        let answer = asked
            .unwrap_or_else(|_| Err(SealError::Away(format!("{} is silent", self.settings.url))));
        if let Err(SealError::Away(_)) = &answer {
            self.again_at.store(Moment::now().0 + PAUSE_MILLIS, Ordering::Relaxed);
        }
        answer
    }

    async fn exchange(&self, what: &str, body: &Value) -> Result<Value, SealError> {
        let KmsSettings { url, mount, key, token } = &self.settings;
        let away = |error: &dyn std::fmt::Display| SealError::Away(format!("{url}: {error}"));
        let secret = tokio::fs::read_to_string(token).await.map_err(|error| {
            SealError::Away(format!(
                "NEUROCA_KMS_TOKEN_PATH: cannot read {}: {error}",
                token.display()
            ))
        })?;
        let base = url.to_string();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v1/{mount}/{what}/{key}", base.trim_end_matches('/')))
            .header("content-type", "application/json")
            .header("x-vault-token", secret.trim())
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| away(&error))?;
        with_trace(request.headers_mut());
        let answer = self.client.request(request).await.map_err(|error| away(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| away(&error))?.to_bytes();
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| away(&error)),
            StatusCode::FORBIDDEN => Err(SealError::WrongKey(format!(
                "{url} does not let the token in {} use {mount}/{key}",
                token.display()
            ))),
            // Transit says so of what it cannot open, and of a key that it does not have.
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Err(SealError::WrongKey(format!(
                "{url} cannot {what} with {mount}/{key}: there is no such key, or it is another one"
            ))),
            other => Err(away(&other)),
        }
    }
}
