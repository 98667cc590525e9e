//! Who asks, and what they may do.
//!
//! Knows nothing of HTTP. A tenant comes from a verified claim only, never from what a request says
//! in its body, path or query.

mod role;

pub use role::Role;

use crate::tenant::Tenant;

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
