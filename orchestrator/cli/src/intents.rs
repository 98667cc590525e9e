//! Speaks to a rollout that somebody else drives, or takes it over when nobody does.

use std::time::Duration;

use neuroca_deploy_core::journal::replay;
use neuroca_deploy_core::rollout::{Intent, State};
use neuroca_deploy_engine::ports::StateStore;

use crate::context::Context;
use crate::drive::{Driven, Manner, Task, drive, who};
use crate::error::{Failure, Result};
use crate::site::Site;

/// How often the state store is asked whether the other one is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A rollout that has not ended.
pub struct Running {
    pub state: State,
    pub plan: neuroca_deploy_core::plan::Plan,
    /// Who drives it, if anybody.
    pub holder: Option<String>,
}

/// The rollout that has not ended, if there is one.
pub async fn running(site: &Site, store: &dyn StateStore) -> Result<Option<Running>> {
    let environment = &site.environment;
    let fail = |e| Failure::of_store(e, environment);
    let Some(open) = store.unfinished().await.map_err(fail)? else { return Ok(None) };
    let state = replay(open.plan.rollout.clone(), &open.records)
        .map_err(|e| Failure::of_engine(e.into(), environment))?;
    let holder = store.holder().await.map_err(fail)?;
    Ok(Some(Running { state, plan: open.plan, holder }))
}

/// Leaves a wish.
pub async fn leave(
    site: &Site,
    store: &dyn StateStore,
    intent: &Intent,
    reason: Option<String>,
) -> Result<()> {
    let who = who(reason);
    store.leave_intent(intent, &who).await.map_err(|e| Failure::of_store(e, &site.environment))
}

/// Waits until the rollout has ended. When whoever drives it dies, this process goes on with it.
pub async fn until_ended(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    manner: &Manner,
) -> Result<()> {
    let mut said = false;
    while let Some(running) = running(site, store).await? {
        let Some(holder) = running.holder else {
            return take_over(ctx, site, store, manner).await;
        };
        if !said {
            ctx.output.note(&format!("waiting for {holder} to end the rollout"));
            said = true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn take_over(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    manner: &Manner,
) -> Result<()> {
    let manner = Manner { lock_wait: Duration::from_secs(20), ..manner.clone() };
    match drive(ctx, site, store, Task::Resume, &manner).await {
        Ok(Driven::Ended(_) | Driven::Detached(_)) => Ok(()),
        // Somebody else was quicker and has ended it.
        Err(failure) => match running(site, store).await? {
            None => Ok(()),
            Some(_) => Err(failure),
        },
    }
}
