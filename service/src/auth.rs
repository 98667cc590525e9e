//! Who asks, and what they may do.
//!
//! Knows nothing of HTTP's routes. A tenant comes from a verified key or claim only, never from what
//! a request says in its body, path or query.

mod jwt;
mod key;
mod limit;
mod oidc;
mod role;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

pub use jwt::Refusal;
pub use key::{ApiKey, KeySecret, parse};
pub use limit::{Limiter, RedisAddress};
pub use oidc::{Oidc, OidcError, OidcSettings};
pub use role::Role;

use crate::memory::Moment;
use crate::store::{Repository, StoreError};
use crate::tenant::Tenant;

/// So long a key goes on after it was revoked elsewhere, and so long it outlives the database.
const KEY_MEMORY: Duration = Duration::from_secs(5);
const MOST_KEYS: usize = 4096;

/// Whoever asks, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose rows they see.
    pub tenant: Tenant,
    /// Who they are: for the audit log and the rate limit.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Principal {
    /// Everybody, where nobody is asked who they are.
    pub fn anonymous() -> Self {
        Self { tenant: Tenant::default(), name: "anonymous".into(), role: Role::PlatformAdmin }
    }
}

/// What is asked of whoever comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// Whether anybody is asked at all.
    pub required: bool,
    /// The issuer whose tokens are taken beside API keys.
    pub oidc: Option<OidcSettings>,
    /// Requests a minute; 0 for no limit.
    pub per_minute: u32,
    /// Where replicas share what is left of them.
    pub redis: Option<RedisAddress>,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Unknown {
    /// They say nothing about themselves.
    Nobody,
    /// What they say is not true, and why.
    Refused(String),
    /// It cannot be found out at the moment.
    Unavailable,
    /// The database failed.
    Store(StoreError),
}

/// A key and the hash of its secret, if there is one.
type Kept = Option<(ApiKey, Vec<u8>)>;

/// Finds out who asks.
pub struct Authenticator {
    required: bool,
    oidc: Option<Oidc>,
    keys: Mutex<HashMap<(Tenant, Uuid), (Instant, Kept)>>,
}

impl Authenticator {
    /// As `settings` say.
    pub fn new(settings: &AuthSettings) -> Self {
        Self {
            required: settings.required,
            oidc: settings.oidc.clone().map(Oidc::new),
            keys: Mutex::default(),
        }
    }

    /// Whether anybody is asked who they are.
    pub fn asks(&self) -> bool {
        self.required
    }

    /// Who `token` is of; `repository` has the keys.
    pub async fn principal(
        &self,
        token: Option<&str>,
        repository: &dyn Repository,
        now: Moment,
    ) -> Result<Principal, Unknown> {
        if !self.required {
            return Ok(Principal::anonymous());
        }
        let token = token.ok_or(Unknown::Nobody)?;
        if let Some((tenant, id, secret)) = parse(token) {
            let found = self.key(&tenant, id, repository).await?;
            let valid = found.filter(|(key, hash)| secret.matches(hash) && key.is_valid(now));
            // Why is nobody's business who does not have the secret.
            let (key, _) = valid.ok_or_else(|| Unknown::Refused("the key is not valid".into()))?;
            return Ok(Principal { tenant, name: format!("key:{id}"), role: key.role });
        }
        let Some(oidc) = &self.oidc else {
            return Err(Unknown::Refused("it is no API key".into()));
        };
        oidc.principal(token, now).await.map_err(|error| match error {
            OidcError::Refused(refusal) => Unknown::Refused(refusal.to_string()),
            OidcError::Unavailable => Unknown::Unavailable,
        })
    }

    async fn key(
        &self,
        tenant: &Tenant,
        id: Uuid,
        repository: &dyn Repository,
    ) -> Result<Kept, Unknown> {
        let at = (tenant.clone(), id);
        let known = {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(&at).cloned()
        };
        if let Some((read, key)) = known
            && read.elapsed() < KEY_MEMORY
        {
            return Ok(key);
        }
        let found = repository.key(tenant, id).await.map_err(Unknown::Store)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.insert(at, (Instant::now(), found.clone()));
        Ok(found)
    }

    /// Forgets what it knows of a key that was changed here.
    pub fn forget(&self, tenant: &Tenant, id: Uuid) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&(tenant.clone(), id));
    }
}
