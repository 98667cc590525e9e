//! What administrators do over HTTP.

use axum::http::Method;

use crate::auth::Role;
use crate::http::contract::Operation;
use crate::http::{keys, maintenance};

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/admin/keys",
            "createKey",
            "Make an API key",
            keys::create,
        )
        .role(Role::TenantAdmin)
        .body::<keys::NewKey>()
        .json::<keys::MadeKey>(201, "The key, shown this once."),
        Operation::new(Method::GET, "/v1/admin/keys", "listKeys", "The API keys", keys::list)
            .role(Role::TenantAdmin)
            .json::<keys::Keys>(200, "All of them, without their secrets."),
        Operation::new(
            Method::DELETE,
            "/v1/admin/keys/{id}",
            "revokeKey",
            "End an API key",
            keys::revoke,
        )
        .role(Role::TenantAdmin)
        .empty(204, "It opens nothing any more, within seconds on all replicas."),
        Operation::new(
            Method::POST,
            "/v1/admin/keys/{id}/rotate",
            "rotateKey",
            "Another key in its place",
            keys::rotate,
        )
        .role(Role::TenantAdmin)
        .body::<keys::Rotation>()
        .json::<keys::MadeKey>(201, "The new key, shown this once."),
        Operation::new(
            Method::GET,
            "/v1/admin/maintenance",
            "readMaintenance",
            "What is refused at the moment",
            maintenance::show,
        )
        .role(Role::Operator)
        .json::<maintenance::Standing>(200, "For this tenant."),
        Operation::new(
            Method::PUT,
            "/v1/admin/maintenance",
            "setMaintenance",
            "Refuse what changes something, or everything, for a while",
            maintenance::put,
        )
        .role(Role::Operator)
        .body::<maintenance::MaintenanceWish>()
        .json::<maintenance::Standing>(200, "It holds on all replicas within a second."),
        Operation::new(
            Method::GET,
            "/v1/admin/audit",
            "auditLog",
            "What administrators did",
            keys::audit,
        )
        .role(Role::TenantAdmin)
        .query::<keys::AuditQuery>()
        .json::<keys::AuditPage>(200, "A page, oldest first."),
    ]
}
