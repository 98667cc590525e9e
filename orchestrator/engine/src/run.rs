//! A run of a plan, from taking the lock to giving it back.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::{Record, replay};
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::rollout::{Event, Phase, State, step};

use crate::driver::{Driver, Options};
use crate::error::EngineError;
use crate::ports::{Epoch, JournalId, Ports, StoreError, Unfinished, Who};
use crate::report::Reporter;

/// How often the lock is renewed; it expires after a few missed renewals.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// How long nobody may have driven before waits begin again and, if traffic is split, the old release
/// gets everything back first: nobody has judged the new one meanwhile.
const SILENT_TOO_LONG_MS: u64 = 15_000;

/// Applies a plan: goes on with its own interrupted run, or starts one if the plan is not stale.
pub async fn apply(
    ports: Ports<'_>,
    plan: &Plan,
    who: &Who,
    options: &Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, EngineError> {
    let epoch = ports.store.lock(&options.holder, options.lock_wait).await?;
    let work = async {
        match ports.store.unfinished().await? {
            Some(open) if open.plan.digest() == plan.digest() => {
                go_on(ports, epoch, open, options, reporter).await
            }
            Some(open) => Err(EngineError::Unfinished { release: open.plan.rollout.release }),
            None => start(ports, epoch, plan, who, options, reporter).await,
        }
    };
    locked(ports, epoch, work).await
}

/// Goes on with the interrupted run, whatever its plan was.
pub async fn resume(
    ports: Ports<'_>,
    options: &Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, EngineError> {
    let epoch = ports.store.lock(&options.holder, options.lock_wait).await?;
    let work = async {
        let open = ports.store.unfinished().await?.ok_or(EngineError::NothingToResume)?;
        go_on(ports, epoch, open, options, reporter).await
    };
    locked(ports, epoch, work).await
}

async fn start(
    ports: Ports<'_>,
    epoch: Epoch,
    plan: &Plan,
    who: &Who,
    options: &Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, EngineError> {
    let found = ports.store.base().await?;
    // The run of this plan ended just before its driver could say so.
    let just_done = found.release.as_ref() == Some(&plan.rollout.release)
        && found.sequence > plan.base.sequence
        && plan.base.release != found.release;
    if just_done {
        return Ok(Outcome::Deployed);
    }
    if found != plan.base {
        return Err(EngineError::Stale { planned: plan.base.clone(), found });
    }
    let journal = ports.store.begin(epoch, plan, who).await?;
    drive(ports, epoch, journal, State::new(plan.rollout.clone()), options, reporter).await
}

async fn go_on(
    ports: Ports<'_>,
    epoch: Epoch,
    open: Unfinished,
    options: &Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, EngineError> {
    let mut state = replay(open.plan.rollout.clone(), &open.records)?;
    let (last, now) = (state.last_ms, ports.clock.now_ms());
    // Nobody looked for a while, or the clock was set back: waits count from where the journal ends.
    let anew = now < last || now - last >= SILENT_TOO_LONG_MS;
    if anew && state.phase != Phase::New {
        let record = Record::Happened { at_ms: now, event: Event::TookOver };
        ports.store.append(epoch, open.journal, &record).await?;
        state = step(state, &Event::TookOver, now).0;
    }
    drive(ports, epoch, open.journal, state, options, reporter).await
}

async fn drive(
    ports: Ports<'_>,
    epoch: Epoch,
    journal: JournalId,
    state: State,
    options: &Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, EngineError> {
    Driver { ports, epoch, journal, reporter, options, since_ms: ports.clock.now_ms() }
        .drive(state)
        .await
}

/// Runs `work` while the lock is renewed beside it. When the lock is lost the work is dropped
/// where it stands: whatever it had under way is refused by the receiver for its lower epoch.
async fn locked<T>(
    ports: Ports<'_>,
    epoch: Epoch,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let renewing = async {
        loop {
            ports.clock.sleep(RENEW_EVERY).await;
            // A busy or full disk now may be fine at the next renewal; expiry decides.
            if let Err(StoreError::Fenced) = ports.store.renew(epoch).await {
                return;
            }
        }
    };
    let result = match select(pin!(work), pin!(renewing)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => return Err(EngineError::Fenced),
    };
    match ports.store.unlock(epoch).await {
        Ok(()) | Err(StoreError::Fenced) => {}
        Err(error) => {
            tracing::warn!(%error, "the lock could not be given back; it expires by itself")
        }
    }
    result
}
