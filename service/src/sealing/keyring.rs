//! The keys that a process holds: what wraps, and what was unwrapped.
//!
//! A key that was unwrapped once stays: what its keeper has given, a later outage of the keeper does not
//! take away.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::data_key::{DataKey, KEY_LEN, random};
use super::kms::Kms;
use super::wrapping::WrappingKey;
use super::{SealError, SealingSettings, WrappedBy};
use crate::tenant::Tenant;

/// A key as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The name of what it is wrapped with.
    pub by: String,
    /// Of no use without that.
    pub bytes: Vec<u8>,
}

enum Keeper {
    Derived(WrappingKey),
    Kms(Kms),
}

impl Keeper {
    fn id(&self) -> &str {
        match self {
            Keeper::Derived(key) => key.id(),
            Keeper::Kms(kms) => kms.id(),
        }
    }

    async fn wrap(&self, name: &str, key: &[u8; KEY_LEN]) -> Result<Wrapped, SealError> {
        match self {
            Keeper::Derived(wrapping) => wrapping.wrap(name, key),
            Keeper::Kms(kms) => kms.wrap(name, key).await,
        }
    }

    async fn unwrap(&self, name: &str, wrapped: &[u8]) -> Result<[u8; KEY_LEN], SealError> {
        match self {
            Keeper::Derived(wrapping) => wrapping.unwrap(name, wrapped),
            Keeper::Kms(kms) => kms.unwrap(name, wrapped).await,
        }
    }
}

/// The keys of a process.
#[derive(Default)]
pub struct Keyring {
    /// The one that new keys are wrapped with comes first.
    keepers: Vec<Keeper>,
    known: RwLock<HashMap<Tenant, BTreeMap<i64, Arc<DataKey>>>>,
}

impl Keyring {
    /// What `settings` name; without, nothing opens.
    pub fn new(settings: Option<&SealingSettings>) -> Self {
        let keepers = settings.map(|settings| {
            let current = match &settings.current {
                WrappedBy::Secret(secret) => Keeper::Derived(WrappingKey::new(secret)),
                WrappedBy::Kms(kms) => Keeper::Kms(Kms::new(kms.clone())),
            };
            let previous = settings.previous.as_ref().map(WrappingKey::new).map(Keeper::Derived);
            std::iter::once(current).chain(previous).collect()
        });
        Self { keepers: keepers.unwrap_or_default(), known: RwLock::default() }
    }

    /// The name of what new keys are to be wrapped with; none without a key.
    pub fn current(&self) -> Option<&str> {
        self.keepers.first().map(Keeper::id)
    }

    /// A key that was unwrapped before.
    pub fn known(&self, tenant: &Tenant, version: i64) -> Option<Arc<DataKey>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant)?.get(&version).cloned()
    }

    /// Whether a key of the tenant was unwrapped before.
    pub fn knows(&self, tenant: &Tenant) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(tenant)
    }

    fn keeper(&self, id: &str) -> Result<&Keeper, SealError> {
        self.keepers.iter().find(|keeper| keeper.id() == id).ok_or_else(|| {
            SealError::WrongKey(match self.current() {
                None => "this database is encrypted, and neither NEUROCA_SECRET_KEY nor NEUROCA_KMS_* is \
                         given: give what it was encrypted with"
                    .to_owned(),
                Some(ours) => format!(
                    "this database is encrypted with another key ({id}) than the one that is given \
                     ({ours}): give it back, or give it as NEUROCA_SECRET_KEY_PREVIOUS and run \
                     `neuroca keys rekey`"
                ),
            })
        })
    }

    /// A new key for a tenant, wrapped by the keeper of this name.
    pub async fn make(
        &self,
        tenant: &Tenant,
        version: i64,
        by: &str,
    ) -> Result<Wrapped, SealError> {
        self.keeper(by)?.wrap(&name(tenant, version), &random()?).await
    }

    /// The same key, wrapped by the one that new ones are wrapped with.
    pub async fn rewrap(
        &self,
        tenant: &Tenant,
        version: i64,
        wrapped: &Wrapped,
    ) -> Result<Wrapped, SealError> {
        let name = name(tenant, version);
        let key = self.keeper(&wrapped.by)?.unwrap(&name, &wrapped.bytes).await?;
        self.keeper(self.current().unwrap_or_default())?.wrap(&name, &key).await
    }

    /// The key itself, kept from now on.
    pub async fn unwrap(
        &self,
        tenant: &Tenant,
        version: i64,
        wrapped: &Wrapped,
    ) -> Result<Arc<DataKey>, SealError> {
        if let Some(known) = self.known(tenant, version) {
            return Ok(known);
        }
        let keeper = self.keeper(&wrapped.by)?;
        let key = keeper.unwrap(&name(tenant, version), &wrapped.bytes).await?;
        let key = Arc::new(DataKey::new(version, &key));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(tenant.clone()).or_default().insert(version, key.clone());
        Ok(key)
    }

    /// Something that only the right key opens, so that a wrong one is noticed before it does harm.
    pub async fn proof(&self) -> Result<Wrapped, SealError> {
        let Some(current) = self.keepers.first() else {
            return Err(SealError::WrongKey(
                "there is no key to encrypt with: give NEUROCA_SECRET_KEY or NEUROCA_KMS_*".into(),
            ));
        };
        current.wrap(PROOF, &random()?).await
    }

    /// Whether this opens all that is locked with it.
    pub async fn check(&self, proof: &Wrapped, wrapped_by: &[String]) -> Result<(), SealError> {
        for by in wrapped_by {
            self.keeper(by)?;
        }
        self.keeper(&proof.by)?.unwrap(PROOF, &proof.bytes).await.map(drop)
    }
}

/// No tenant has this name.
const PROOF: &str = "/proof";

/// Binds a wrapped key to its tenant: with a row of another one it does not open.
fn name(tenant: &Tenant, version: i64) -> String {
    format!("{tenant}/{version}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn ring(current: &str, previous: Option<&str>) -> Keyring {
        Keyring::new(Some(&SealingSettings {
            current: WrappedBy::Secret(Secret::from(current)),
            previous: previous.map(Secret::from),
        }))
    }

    #[tokio::test]
    async fn a_wrapped_key_opens_for_its_tenant_under_its_secret_alone() {
        let (a, b) = (Tenant::new("a").expect("a name"), Tenant::new("b").expect("a name"));
        let one = ring("one", None);
        let by = one.current().expect("a key").to_owned();
        let wrapped = one.make(&a, 1, &by).await.expect("wrapped");
        one.unwrap(&a, 1, &wrapped).await.expect("opens");
        let moved = [one.unwrap(&b, 1, &wrapped).await, one.unwrap(&a, 2, &wrapped).await];
        assert!(moved.iter().all(|moved| matches!(moved, Err(SealError::Moved(_)))), "{moved:?}");
        let other = ring("two", None).unwrap(&a, 1, &wrapped).await;
        assert!(matches!(other, Err(SealError::WrongKey(_))), "{other:?}");
        let none = Keyring::default().unwrap(&a, 1, &wrapped).await;
        assert!(matches!(none, Err(SealError::WrongKey(_))), "{none:?}");
    }

    #[tokio::test]
    async fn the_previous_secret_opens_until_everything_is_rewrapped() {
        let a = Tenant::new("a").expect("a name");
        let one = ring("one", None);
        let wrapped = one.make(&a, 1, one.current().expect("a key")).await.expect("wrapped");
        let both = ring("two", Some("one"));
        both.unwrap(&a, 1, &wrapped).await.expect("the old one opens");
        let again = both.rewrap(&a, 1, &wrapped).await.expect("rewrapped");
        ring("two", None).unwrap(&a, 1, &again).await.expect("the new one alone opens");
    }
}
