//! The five roles, each of which may do what those before it may.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read and search.
    Viewer,
    /// Add, change and remove memories.
    Agent,
    /// Start consolidations, switch flags and maintenance.
    Operator,
    /// Keys, and the data of subjects.
    TenantAdmin,
    /// The same for all tenants.
    PlatformAdmin,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] =
        [Role::Viewer, Role::Agent, Role::Operator, Role::TenantAdmin, Role::PlatformAdmin];

    /// The name in a claim, in JSON and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Agent => "agent",
            Role::Operator => "operator",
            Role::TenantAdmin => "tenant_admin",
            Role::PlatformAdmin => "platform_admin",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}
