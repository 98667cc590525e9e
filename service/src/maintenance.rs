//! Maintenance: whose operations are refused for a while, all of them or those that change something.
//!
//! A notice stands in the database, and every replica looks there twice a second: nothing is asked on
//! the way of a request, and nothing has to be restarted. Knows no HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lifecycle::{Lifecycle, Phase};
use crate::memory::Moment;
use crate::store::{Repository, StoreError};
use crate::tenant::Tenant;

/// How often a replica looks.
const PERIOD: Duration = Duration::from_millis(500);

/// What is refused; each refuses more than the one before.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// What changes something.
    #[value(alias = "read_only")]
    ReadOnly,
    /// Everything but administration.
    Full,
}

impl Mode {
    /// The name in JSON and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::ReadOnly => "read_only",
            Mode::Full => "full",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Mode::Off, Mode::ReadOnly, Mode::Full].into_iter().find(|mode| mode.name() == name)
    }
}

/// Whom a notice concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One tenant.
    #[default]
    Tenant,
    /// All of them.
    Service,
}

impl Scope {
    /// The name in JSON, in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Tenant => "tenant",
            Scope::Service => "service",
        }
    }
}

/// What those are told who are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notice {
    /// What is refused.
    pub mode: Mode,
    /// Why, for whoever is refused; may be empty.
    pub reason: String,
    /// What `Retry-After` says.
    pub retry_after_seconds: u32,
    /// Since when.
    pub since: Moment,
}

/// All notices that are up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// The one for everybody.
    pub service: Option<Notice>,
    /// Those for one tenant.
    pub tenants: BTreeMap<Tenant, Notice>,
}

impl Notices {
    /// The notice that refuses `tenant` the most.
    pub fn of(&self, tenant: &Tenant) -> Option<&Notice> {
        self.service.iter().chain(self.tenants.get(tenant)).max_by_key(|notice| notice.mode)
    }
}

/// What an operation does, as far as maintenance asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looks only.
    Reads,
    /// Changes something.
    Changes,
    /// Is needed to end the maintenance.
    Administers,
}

impl Access {
    /// Whether `notice` refuses it.
    pub fn is_refused_by(self, notice: &Notice) -> bool {
        match self {
            Access::Reads => notice.mode >= Mode::Full,
            Access::Changes => notice.mode >= Mode::ReadOnly,
            Access::Administers => false,
        }
    }
}

/// What this process knows of the notices.
#[derive(Default)]
pub struct Maintenance(RwLock<Arc<Notices>>);

impl Maintenance {
    /// What was seen last.
    pub fn notices(&self) -> Arc<Notices> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks now. What was known stays known while the database does not answer.
    pub async fn refresh(&self, repository: &dyn Repository) -> Result<(), StoreError> {
        let found = repository.notices().await?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if **known != found {
            let mode = found.service.as_ref().map_or(Mode::Off, |notice| notice.mode).name();
            tracing::info!(mode, tenants = found.tenants.len(), "maintenance");
            *known = Arc::new(found);
        }
        Ok(())
    }

    /// Looks again and again, until the process stops.
    pub async fn follow(&self, repository: &dyn Repository, lifecycle: &Lifecycle) {
        loop {
            tokio::select! {
                () = lifecycle.reached(Phase::Stopping) => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            if let Err(error) = self.refresh(repository).await {
                tracing::debug!(%error, "maintenance is not known anew");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(mode: Mode) -> Notice {
        Notice { mode, reason: String::new(), retry_after_seconds: 1, since: Moment(0) }
    }

    #[test]
    fn the_stricter_notice_counts_and_administration_goes_on() {
        let (ann, bob) = (Tenant::new("ann").expect("a name"), Tenant::new("bob").expect("a name"));
        let notices = Notices {
            service: Some(notice(Mode::ReadOnly)),
            tenants: BTreeMap::from([(ann.clone(), notice(Mode::Full))]),
        };
        let refused = |tenant, access: Access| {
            notices.of(tenant).is_some_and(|notice| access.is_refused_by(notice))
        };
        for (tenant, access, expected) in [
            (&ann, Access::Reads, true),
            (&ann, Access::Administers, false),
            (&bob, Access::Reads, false),
            (&bob, Access::Changes, true),
        ] {
            assert_eq!(refused(tenant, access), expected, "{tenant} {access:?}");
        }
        assert_eq!(Notices::default().of(&ann), None);
    }
}
