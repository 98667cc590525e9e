//! A tenant, and the keys to what is sealed of it: what a statement needs to know of whose rows it wants.

use std::ops::Deref;
use std::sync::Arc;

use crate::sealing::{DataKey, Keyring};
use crate::search::Vocabulary;
use crate::tenant::Tenant;

#[derive(Clone)]
pub(super) struct Owner {
    tenant: Tenant,
    pub(super) keyring: Arc<Keyring>,
}

impl Owner {
    pub(super) fn new(tenant: &Tenant, keyring: &Arc<Keyring>) -> Self {
        Self { tenant: tenant.clone(), keyring: keyring.clone() }
    }

    pub(super) fn tenant(&self) -> Tenant {
        self.tenant.clone()
    }

    /// With the words of what is sealed under `key`.
    pub(super) fn vocabulary(&self, key: Option<&DataKey>) -> Vocabulary {
        key.map_or_else(|| Vocabulary::new(&self.tenant), Vocabulary::of)
    }
}

impl Deref for Owner {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}
