//! A canary that nobody judges any more gets nothing: the old release has everything back when a
//! driver dies, hangs or leaves in the middle of a split. Who goes on later sets the weight anew.

use std::sync::Arc;
use std::time::Duration;

use neuroca_deploy_core::effect::Traffic;

use super::Supervisor;

const LOOK: Duration = Duration::from_secs(1);
/// How long a driver may be silent before that.
const SILENT: Duration = Duration::from_secs(15);

pub(crate) async fn keep_guarding(supervisor: &Arc<Supervisor>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(traffic) = supervisor.unjudged() else { continue };
        // An effect under way is a sign of life.
        let Ok(_doing) = supervisor.doing.try_lock() else { continue };
        let nothing_new = std::future::ready(Ok(()));
        match supervisor.publish_split(&traffic.without_canary(), nothing_new, |why| why).await {
            Ok(()) => tracing::warn!("nobody drives the rollout: the old release has all traffic"),
            Err(why) => {
                tracing::warn!(%why, "nobody drives the rollout, and traffic is still split")
            }
        }
    }
}

impl Supervisor {
    /// The split in force, if its driver has been silent for too long.
    fn unjudged(&self) -> Option<Traffic> {
        let traffic = self.world().traffic.clone().filter(Traffic::is_split)?;
        let silent = self.store.silent_for().ok().flatten()?;
        (silent >= SILENT && self.can_take_all(&traffic.without_canary())).then_some(traffic)
    }

    /// Whether everybody with a weight has a ready replica. A canary that serves is better than
    /// nobody.
    fn can_take_all(&self, traffic: &Traffic) -> bool {
        let world = self.world();
        let mut shares = traffic.shares.values().flatten().filter(|share| share.weight > 0);
        shares.all(|share| world.revisions.get(&share.revision).is_some_and(|r| r.ready() > 0))
    }
}
