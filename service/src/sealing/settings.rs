//! With what keys are wrapped. The token of a key management service is a path and not a value: it is
//! read again at each use, since whoever renews it writes another one.

use std::path::PathBuf;

use hyper::Uri;

use crate::config::Secret;

/// A key in a key management service that speaks the transit API of OpenBao and Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsSettings {
    /// Where it answers.
    pub url: Uri,
    /// Where its transit engine is mounted.
    pub mount: String,
    /// The key's name in there.
    pub key: String,
    /// A file with the token that opens it.
    pub token: PathBuf,
}

/// What wraps the keys of tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrappedBy {
    /// A key that is derived from this.
    Secret(Secret),
    /// A key that never leaves its keeper.
    Kms(KmsSettings),
}

/// With what is sealed and opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingSettings {
    /// What new keys are wrapped with once the database was told so.
    pub current: WrappedBy,
    /// What older ones may still be wrapped with.
    pub previous: Option<Secret>,
}
