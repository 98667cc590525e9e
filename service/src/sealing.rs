//! Encryption at rest: what a tenant has told is kept under a key of its own, and that key is kept
//! wrapped by one that the database never sees.
//!
//! Knows keys and bytes; no table and no request. The store says which row and field something belongs
//! to, and what was sealed for one place does not open in another.

mod data_key;
mod keyring;
mod kms;
mod settings;
mod wrapping;

pub use data_key::{DataKey, Place};
pub use keyring::{Keyring, Wrapped};
pub use settings::{KmsSettings, SealingSettings, WrappedBy};

/// Why something stays locked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Worth another try: whoever keeps the key does not answer.
    #[error("{0}")]
    Away(String),
    /// This process was not given the key, or was given another one.
    #[error("{0}")]
    WrongKey(String),
    /// It was not sealed for this place, or was changed since.
    #[error("{0} was not sealed for the place where it is: it was moved or changed")]
    Moved(String),
    /// No random numbers.
    #[error("the system has no randomness")]
    NoRandomness,
}
