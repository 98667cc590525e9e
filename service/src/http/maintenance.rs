//! `/v1/admin/maintenance`: what is refused at the moment, and to whom.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admit::Caller;
use super::input::Body;
use super::{Problem, Shared};
use crate::audit::Act;
use crate::auth::{Principal, Role};
use crate::maintenance::{Mode, Notice, Notices, Scope};
use crate::memory::Moment;
use crate::tenant::Tenant;

const LONGEST_REASON: usize = 512;
const LONGEST_WAIT: u32 = 24 * 60 * 60;

/// What is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintenanceWish {
    /// What is refused from now on.
    mode: Mode,
    /// To whom: this tenant, or (for a platform administrator) all of them.
    #[serde(default)]
    scope: Scope,
    /// What those are told who are refused.
    #[schemars(length(max = 512), regex(pattern = r"^[^\u0000]*$"))]
    #[serde(default)]
    reason: String,
    /// When they may try again.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default = "default_wait")]
    retry_after_seconds: u32,
}

fn default_wait() -> u32 {
    60
}

/// What is refused.
#[derive(Serialize, JsonSchema)]
pub(super) struct Standing {
    /// The stricter one of both.
    mode: Mode,
    /// What holds for all tenants.
    service: Option<Notice>,
    /// What holds for this one.
    tenant: Option<Notice>,
}

impl Standing {
    fn of(tenant: &Tenant, notices: &Notices) -> Self {
        Self {
            mode: notices.of(tenant).map_or(Mode::Off, |notice| notice.mode),
            service: notices.service.clone(),
            tenant: notices.tenants.get(tenant).cloned(),
        }
    }
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
) -> Result<Json<Standing>, Problem> {
    let notices = shared.repository()?.notices().await?;
    Ok(Json(Standing::of(&caller.tenant, &notices)))
}

pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Body(wanted): Body<MaintenanceWish>,
) -> Result<Json<Standing>, Problem> {
    check(&caller, &wanted)?;
    let now = Moment::now();
    let act = Act {
        actor: caller.name,
        action: "maintenance.set",
        target: format!("{}:{}", wanted.scope.name(), wanted.mode.name()),
        at: now,
    };
    let notice = Notice {
        mode: wanted.mode,
        reason: wanted.reason,
        retry_after_seconds: wanted.retry_after_seconds,
        since: now,
    };
    let repository = shared.repository()?;
    repository.put_up(&caller.tenant, wanted.scope, notice, act).await?;
    shared.maintenance.refresh(&**repository).await?;
    Ok(Json(Standing::of(&caller.tenant, &shared.maintenance.notices())))
}

fn check(caller: &Principal, wanted: &MaintenanceWish) -> Result<(), Problem> {
    if wanted.scope == Scope::Service && caller.role < Role::PlatformAdmin {
        return Err(Problem::forbidden(Role::PlatformAdmin.name()));
    }
    if wanted.reason.len() > LONGEST_REASON || wanted.reason.contains('\0') {
        return Err(Problem::invalid("reason is more than 512 bytes or holds U+0000"));
    }
    if !(1..=LONGEST_WAIT).contains(&wanted.retry_after_seconds) {
        return Err(Problem::invalid(&format!(
            "retry_after_seconds is not from 1 to {LONGEST_WAIT}"
        )));
    }
    Ok(())
}
