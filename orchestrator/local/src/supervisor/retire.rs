//! Stopping what was kept warm once its time is over, or enough newer ones are, and nothing is left
//! on it.

use std::sync::Arc;
use std::time::Duration;

use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_core::retention::{Warm, surplus};

use super::Supervisor;

const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn keep_retiring(supervisor: &Arc<Supervisor>) {
    loop {
        tokio::time::sleep(LOOK).await;
        // Not between two effects of a driver that may want it back.
        let Ok(_doing) = supervisor.doing.try_lock() else { continue };
        for revision in supervisor.overdue() {
            if supervisor.is_idle(&revision).await {
                tracing::info!(%revision, "no longer kept warm");
                if let Err(why) = supervisor.stop_revision(&revision).await {
                    tracing::warn!(%revision, %why, "not stopped");
                }
            }
        }
    }
}

impl Supervisor {
    fn overdue(&self) -> Vec<RevisionId> {
        let world = self.world();
        let (mut over, mut warm) = (Vec::new(), Vec::new());
        for (id, revision) in &world.revisions {
            match &revision.warm {
                Some(warm) if warm.is_over() => over.push(id.clone()),
                Some(_) => {
                    // A place that is not known is no reason to stop the way back.
                    let place = self.store.last_in_force(&revision.release);
                    let in_force = place.unwrap_or(None).unwrap_or(u64::MAX);
                    warm.push(Warm { component: &revision.component, revision: id, in_force });
                }
                None => {}
            }
        }
        over.extend(surplus(warm).into_iter().cloned());
        over
    }

    /// Whether the edge sends nothing there and nothing is in flight. Not known is no.
    async fn is_idle(&self, revision: &RevisionId) -> bool {
        let edges = self.edges.living().await;
        let Some(traffic) = self.in_force(&edges) else { return false };
        let routed = traffic.shares.values().flatten().any(|s| s.revision == *revision);
        let numbers = self.edges.numbers(&edges, &revision.0);
        !routed && numbers.in_flight == 0 && numbers.streams == 0
    }
}
