//! Putting a split into force, and the addresses that it needs.

use std::time::{Duration, Instant};

use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::release::Release;
use neuroca_deploy_engine::ports::TargetError;

use super::revision::Revision;
use super::{Supervisor, table};
use crate::keeper::client as keeper;

/// How long the edge may take to have a table before the driver is told to try again.
const EDGE_CONFIRMS: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Returns when the edge itself reports the split.
    pub(super) async fn route(&self, traffic: &Traffic) -> Result<(), TargetError> {
        let settings = self.record(&traffic.settings)?;
        self.refuse_unready(traffic)?;
        self.refuse_bad_certificate(&settings)?;
        let started = Instant::now();
        loop {
            let listen = self.listen(&settings);
            let put = self.publish_split(traffic, listen, TargetError::Unreachable).await;
            let reported = match put {
                Ok(()) => self.in_force(&self.edges.living().await).as_ref() == Some(traffic),
                Err(TargetError::Unreachable(_)) => false,
                Err(error) => return Err(error),
            };
            if reported {
                return Ok(());
            }
            if started.elapsed() >= EDGE_CONFIRMS {
                let silent = "the edge does not report the new weights".to_string();
                return Err(put.err().unwrap_or(TargetError::Unreachable(silent)));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nobody's share may grow who has no ready replica. What is in force may stay.
    fn refuse_unready(&self, traffic: &Traffic) -> Result<(), TargetError> {
        let world = self.world();
        for (component, shares) in &traffic.shares {
            for share in shares {
                let before = world
                    .traffic
                    .iter()
                    .filter_map(|t| t.shares.get(component))
                    .flatten()
                    .find(|s| s.revision == share.revision)
                    .map_or(0, |s| s.weight);
                let revision = world.revisions.get(&share.revision);
                if revision.map_or(0, Revision::ready) > 0 || share.weight <= before {
                    continue;
                }
                if revision.is_some_and(|r| !r.is_known()) {
                    // This supervisor has just come up: neither yes nor no.
                    let why = format!("it is not known yet whether {} is ready", share.revision);
                    return Err(TargetError::Unreachable(why));
                }
                return Err(TargetError::Refused(format!(
                    "no replica of {} is ready: it gets no traffic",
                    share.revision
                )));
            }
        }
        Ok(())
    }

    async fn listen(&self, settings: &Release) -> Result<(), TargetError> {
        let listeners = table::listeners(&settings.edge, &self.project());
        let drain = settings.components.values().map(|c| c.spec.drain.0).max().unwrap_or(0);
        keeper::listen(&self.state, listeners, drain).await.map_err(told)
    }

    /// The edge serves nobody by a certificate that it cannot use. One that is in force may stay: it
    /// uses what it has read before.
    fn refuse_bad_certificate(&self, settings: &Release) -> Result<(), TargetError> {
        let in_force = self.world().traffic.as_ref().map(|t| t.settings.clone());
        let in_force = in_force.map(|id| self.record(&id)).transpose().unwrap_or(None);
        if in_force.is_some_and(|record| record.edge.tls == settings.edge.tls) {
            return Ok(());
        }
        for tls in
            table::listeners(&settings.edge, &self.project()).iter().filter_map(|l| l.tls.as_ref())
        {
            neuroca_deploy_edge::check_certificate(tls)
                .map_err(|error| TargetError::Refused(error.to_string()))?;
        }
        Ok(())
    }

    /// Binds the release's addresses without letting anybody in.
    pub(super) async fn reserve(&self, settings: &Release) -> Result<(), TargetError> {
        self.refuse_bad_certificate(settings)?;
        let listeners = table::listeners(&settings.edge, &self.project());
        keeper::reserve(&self.state, listeners).await.map_err(told)
    }
}

fn told(error: keeper::KeeperError) -> TargetError {
    match error {
        keeper::KeeperError::Refused(why) => TargetError::Refused(why),
        silent => TargetError::Unreachable(silent.to_string()),
    }
}
