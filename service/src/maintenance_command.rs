//! `neuroca maintenance`: the same switch as `/v1/admin/maintenance`, on the machine, for all tenants
//! unless one is named.

use clap::Args;

use crate::audit::Act;
use crate::keys_command::{ACTOR, tenant};
use crate::maintenance::{Mode, Notice, Notices, Scope};
use crate::memory::Moment;
use crate::store::{Repository, StoreError};
use crate::tenant::Tenant;

/// What is wanted.
#[derive(Args)]
pub struct Maintenance {
    /// What is refused from now on
    mode: Option<Mode>,
    /// Only to this tenant
    #[arg(long, value_parser = tenant)]
    tenant: Option<Tenant>,
    /// What those are told who are refused
    #[arg(long, default_value = "", requires = "mode")]
    reason: String,
    /// Seconds until they may try again
    #[arg(long, default_value_t = 60, requires = "mode",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    retry_after: u32,
}

/// Does it; what is to be printed.
pub async fn maintenance(
    repository: &dyn Repository,
    wanted: Maintenance,
) -> Result<String, StoreError> {
    if let Some(mode) = wanted.mode {
        let now = Moment::now();
        let scope = if wanted.tenant.is_some() { Scope::Tenant } else { Scope::Service };
        let act = Act {
            actor: ACTOR.into(),
            action: "maintenance.set",
            target: format!("{}:{}", scope.name(), mode.name()),
            at: now,
        };
        let notice = Notice {
            mode,
            reason: wanted.reason,
            retry_after_seconds: wanted.retry_after,
            since: now,
        };
        repository.put_up(&wanted.tenant.clone().unwrap_or_default(), scope, notice, act).await?;
    }
    Ok(told(&repository.notices().await?))
}

fn told(notices: &Notices) -> String {
    let line = |whose: &str, notice: &Notice| {
        let space = if notice.reason.is_empty() { "" } else { "  " };
        format!("{whose}: {}{space}{}\n", notice.mode.name(), notice.reason)
    };
    let mut text = match &notices.service {
        Some(notice) => line("all tenants", notice),
        None => "all tenants: off\n".to_owned(),
    };
    for (tenant, notice) in &notices.tenants {
        text.push_str(&line(&format!("tenant {tenant}"), notice));
    }
    text
}
