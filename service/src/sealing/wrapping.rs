//! The key that wraps others, derived from a secret.

use ring::aead::{Aad, LessSafeKey};
use ring::digest;

use super::data_key::{KEY_LEN, derived, open, seal};
use super::{SealError, Wrapped};
use crate::config::Secret;

/// A key that wraps keys.
pub(super) struct WrappingKey {
    key: LessSafeKey,
    id: String,
}

impl WrappingKey {
    pub(super) fn new(secret: &Secret) -> Self {
        let from = secret.expose().as_bytes();
        // Names the key without helping to guess it more than what it wraps does.
        let print = digest::digest(&digest::SHA256, &[b"neuroca wrapping id\0", from].concat());
        let id = print.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self {
            key: LessSafeKey::new(derived(from, b"neuroca wrapping")),
            id: format!("secret:{id}"),
        }
    }

    /// What the database calls it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn wrap(&self, name: &str, key: &[u8; KEY_LEN]) -> Result<Wrapped, SealError> {
        let bytes = seal(&self.key, Aad::from(name.as_bytes().to_vec()), key)?;
        Ok(Wrapped { by: self.id.clone(), bytes })
    }

    pub(super) fn unwrap(&self, name: &str, wrapped: &[u8]) -> Result<[u8; KEY_LEN], SealError> {
        open(&self.key, Aad::from(name.as_bytes().to_vec()), wrapped)
            .and_then(|key| key.try_into().ok())
            .ok_or_else(|| SealError::Moved(format!("the key {name}")))
    }
}
