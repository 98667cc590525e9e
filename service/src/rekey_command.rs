//! `neuroca keys rekey`: new keys, and everything sealed anew under them, while others serve.
//!
//! May be killed at any moment and run again.

use std::time::Duration;

use clap::Args;

use crate::audit::Act;
use crate::keys_command::ACTOR;
use crate::memory::Moment;
use crate::store::{Behind, Part, Repository, StoreError};
use crate::tenant::Tenant;

/// Rows of one transaction: others wait for no longer than that takes.
const BATCH: u32 = 50;
/// Rows that somebody else was writing are looked at again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// What is wanted.
#[derive(Args)]
pub struct Rekey {
    /// Only wrap the keys of tenants anew, for a changed NEUROCA_SECRET_KEY or KMS; seal nothing anew
    #[arg(long)]
    wrapping_only: bool,
}

#[derive(Default)]
struct Counts {
    tenants: u64,
    keys: u64,
    rows: u64,
}

/// Does it; what is to be printed.
pub async fn rekey(repository: &dyn Repository, wanted: Rekey) -> Result<String, String> {
    let failed = |error: StoreError| {
        format!("{error}; what was sealed anew stays so: run this again to go on")
    };
    if wanted.wrapping_only {
        return rewrap(repository).await.map_err(failed);
    }
    let now = Moment::now();
    let since = repository.begin_rekeying(now).await.map_err(failed)?;
    let counts = all(repository, since).await.map_err(failed)?;
    repository.end_rekeying().await.map_err(failed)?;
    let goes_on = if since < now { ", going on where an earlier run was ended" } else { "" };
    Ok(format!(
        "{} tenants have new keys, {} rows were sealed anew{goes_on}\n",
        counts.tenants, counts.rows
    ))
}

async fn rewrap(repository: &dyn Repository) -> Result<String, StoreError> {
    if repository.lock().await?.is_none() {
        return Err(StoreError::Fault(
            "this database is not encrypted; without --wrapping-only it will be".into(),
        ));
    }
    repository.seal_from_now_on().await?;
    let mut counts = Counts::default();
    for tenant in repository.owners().await? {
        counts.keys += repository.rewrap_keys(&tenant).await?;
        counts.tenants += 1;
    }
    Ok(format!("{} keys of {} tenants are wrapped anew\n", counts.keys, counts.tenants))
}

async fn all(repository: &dyn Repository, since: Moment) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for tenant in repository.owners().await? {
        // Before anything else: the old wrapping key may be what is to be got rid of.
        repository.rewrap_keys(&tenant).await?;
        let version = repository.renew_key(&tenant, since).await?;
        let before = counts.rows;
        loop {
            for part in Part::ALL {
                counts.rows += reseal(repository, &tenant, part).await?;
            }
            if repository.retire_keys(&tenant).await? {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        counts.tenants += 1;
        if counts.rows > before {
            let act = Act {
                actor: ACTOR.into(),
                action: "data_key.rotate",
                target: format!("data_key:{version}"),
                at: Moment::now(),
            };
            repository.record(&tenant, act).await?;
        }
    }
    Ok(counts)
}

async fn reseal(
    repository: &dyn Repository,
    tenant: &Tenant,
    part: Part,
) -> Result<u64, StoreError> {
    let mut rows = 0;
    let mut behind = Some(Behind::default());
    while let Some(from) = behind {
        let (done, last) = repository.reseal(tenant, part, from, BATCH).await?;
        rows += done;
        behind = last;
    }
    Ok(rows)
}
