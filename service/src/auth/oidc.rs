//! The keys of an OIDC issuer, fetched when one is missing and kept while it does not answer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::jwt::{self, Jwks, Refusal};
use super::{Principal, Role};
use crate::memory::Moment;
use crate::outbound::{Outbound, outbound};
use crate::tenant::Tenant;

const PATIENCE: Duration = Duration::from_secs(3);
/// Keys that are older are fetched again; a key that the issuer takes back is taken back here then.
const LIFE: Duration = Duration::from_secs(600);
/// Between two attempts: tokens with invented key ids must not become requests to the issuer.
const PAUSE: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 512 * 1024;

/// Which issuer is trusted, and what its tokens call things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// `iss`, and where its configuration is found.
    pub issuer: String,
    /// What `aud` has to be.
    pub audience: String,
    /// Where its keys are, if its configuration is not to be asked.
    pub jwks_url: Option<String>,
    /// The claim with the tenant.
    pub tenant_claim: String,
    /// The claim with the role: a text, or a list whose highest role counts.
    pub role_claim: String,
}

/// Why nobody can say who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OidcError {
    /// The token is not taken.
    Refused(Refusal),
    /// There are no keys, and the issuer does not answer.
    Unavailable,
}

#[derive(Default)]
struct Known {
    keys: Option<(Instant, Arc<Jwks>)>,
}

/// An issuer.
pub struct Oidc {
    settings: OidcSettings,
    client: Outbound<Empty<Bytes>>,
    known: RwLock<Known>,
    last_attempt: Mutex<Option<Instant>>,
}

impl Oidc {
    /// Trusts what `settings` name; fetches nothing yet.
    pub fn new(settings: OidcSettings) -> Self {
        Self {
            settings,
            client: outbound(PATIENCE),
            known: RwLock::default(),
            last_attempt: Mutex::default(),
        }
    }

    /// Whose token this is.
    pub async fn principal(&self, token: &str, now: Moment) -> Result<Principal, OidcError> {
        let known = self.keys();
        let fresh = known.as_ref().filter(|(fetched, _)| fetched.elapsed() < LIFE);
        let claims = match fresh.map(|(_, keys)| self.verified(token, keys, now)) {
            Some(Err(Refusal::UnknownKey)) | None => {
                self.fetch().await;
                // What is old is better than nothing while the issuer is away.
                let (_, keys) = self.keys().ok_or(OidcError::Unavailable)?;
                self.verified(token, &keys, now)
            }
            Some(outcome) => outcome,
        };
        claims.and_then(|claims| self.read(&claims)).map_err(OidcError::Refused)
    }

    fn keys(&self) -> Option<(Instant, Arc<Jwks>)> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }

    fn verified(&self, token: &str, keys: &Jwks, now: Moment) -> Result<Value, Refusal> {
        jwt::verify(token, keys, &self.settings.issuer, &self.settings.audience, now)
    }

    fn read(&self, claims: &Value) -> Result<Principal, Refusal> {
        let tenant = claims[&self.settings.tenant_claim].as_str().and_then(Tenant::new);
        let role = match &claims[&self.settings.role_claim] {
            Value::String(name) => Role::from_name(name),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).filter_map(Role::from_name).max()
            }
            _ => None,
        };
        let subject = claims["sub"].as_str().unwrap_or("somebody");
        Ok(Principal {
            tenant: tenant.ok_or(Refusal::Tenant)?,
            name: format!("oidc:{subject}"),
            role: role.ok_or(Refusal::Role)?,
        })
    }

    /// Fetches the keys, unless somebody has tried a moment ago. All who need them wait for one.
    async fn fetch(&self) {
        let mut last = self.last_attempt.lock().await;
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        match tokio::time::timeout(PATIENCE, self.fetched()).await {
            Ok(Ok(keys)) => {
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                known.keys = Some((Instant::now(), Arc::new(keys)));
            }
            Ok(Err(error)) => tracing::warn!(error, "cannot fetch the issuer's keys"),
            Err(_) => tracing::warn!("the issuer does not answer"),
        }
        *last = Some(Instant::now());
    }

    async fn fetched(&self) -> Result<Jwks, String> {
        #[derive(Deserialize)]
        struct Configuration {
            jwks_uri: String,
        }
        let url = match &self.settings.jwks_url {
            Some(url) => url.clone(),
            None => {
                let issuer = self.settings.issuer.trim_end_matches('/');
                let url = format!("{issuer}/.well-known/openid-configuration");
                let body = self.get(&url).await?;
                serde_json::from_slice::<Configuration>(&body)
                    .map_err(|error| format!("{url}: {error}"))?
                    .jwks_uri
            }
        };
        let body = self.get(&url).await?;
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }

    async fn get(&self, url: &str) -> Result<Bytes, String> {
        let uri: hyper::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let answer = self.client.get(uri).await.map_err(|error| format!("{url}: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("{url}: {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| format!("{url}: {error}"))
    }
}
