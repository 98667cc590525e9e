//! API keys: `nca.<tenant>.<id>.<secret>`. The database has the hash of the secret; the key itself is
//! shown once, when it is made.

use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Role;
use crate::memory::{Moment, hex};
use crate::tenant::Tenant;

const PREFIX: &str = "nca.";

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApiKey {
    /// Which.
    pub id: Uuid,
    /// Whose rows it opens.
    #[serde(skip)]
    pub tenant: Tenant,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Moment,
    /// From then on it opens nothing.
    pub expires_at: Option<Moment>,
    /// When it was taken back.
    pub revoked_at: Option<Moment>,
}

impl ApiKey {
    /// Whether it opens anything at `now`.
    pub fn is_valid(&self, now: Moment) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// The secret part of a key, as it was shown.
pub struct KeySecret(String);

impl KeySecret {
    /// A new one; `None` if the system has no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0u8; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(hex(&bytes)))
    }

    /// What is kept of it.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }

    /// The key, to be shown once.
    pub fn token(&self, key: &ApiKey) -> String {
        format!("{PREFIX}{}.{}.{}", key.tenant, key.id.simple(), self.0)
    }

    /// Whether its hash is `hash`. Takes the same time for every wrong one.
    pub fn matches(&self, hash: &[u8]) -> bool {
        let own = self.hash();
        own.len() == hash.len() && own.iter().zip(hash).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

/// The parts of a key; `None` for what is none.
pub fn parse(token: &str) -> Option<(Tenant, Uuid, KeySecret)> {
    let mut parts = token.strip_prefix(PREFIX)?.rsplitn(3, '.');
    let (secret, id, tenant) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| {
        Some((Tenant::new(tenant)?, Uuid::parse_str(id).ok()?, KeySecret(secret.to_owned())))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_shown() {
        let key = ApiKey {
            id: Uuid::now_v7(),
            tenant: Tenant::new("acme.eu").expect("a name"),
            name: "ci".into(),
            role: Role::Agent,
            created_at: Moment(0),
            expires_at: Some(Moment(10)),
            revoked_at: None,
        };
        let secret = KeySecret::random().expect("randomness");
        let token = secret.token(&key);
        let (tenant, id, read) = parse(&token).expect("a key");
        assert_eq!((tenant, id), (key.tenant.clone(), key.id));
        assert!(read.matches(&secret.hash()));
        assert!(!KeySecret::random().expect("randomness").matches(&secret.hash()));
        assert!(key.is_valid(Moment(9)) && !key.is_valid(Moment(10)));
        for wrong in ["", "nca.", "nca.a.b", "nca.a.b.c", &token[1..], &token[..token.len() - 1]] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
