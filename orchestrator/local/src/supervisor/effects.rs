//! The engine's effects, one at a time, each checked against the lock's epoch.

use std::sync::Arc;
use std::time::Duration;

use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::release::{Release, ReleaseId, RevisionId};
use neuroca_deploy_engine::ports::{Epoch, StoreError, TargetError};

use super::replica::is_set;
use super::revision;
use super::{Supervisor, launch};
use crate::kill_point;
use crate::store::{Wanted, Warm};

impl Supervisor {
    /// Does one effect for the driver with this epoch.
    pub(crate) async fn perform(
        self: &Arc<Self>,
        epoch: Epoch,
        effect: Effect,
    ) -> Result<(), TargetError> {
        let _one_at_a_time = self.doing.lock().await;
        let highest = self.store.epoch().map_err(away)?;
        if epoch < highest {
            return Err(TargetError::Fenced(format!(
                "{} came with epoch {}, the lock is at {}",
                effect.kind(),
                epoch.0,
                highest.0
            )));
        }
        let state = self.state.path();
        kill_point::reach(state, "supervisor", "before", effect.kind());
        let done = self.do_it(&effect).await;
        if let Err(error) = &done {
            tracing::info!(kind = effect.kind(), %error, "not done");
        } else {
            kill_point::reach(state, "supervisor", "after", effect.kind());
        }
        done
    }

    async fn do_it(self: &Arc<Self>, effect: &Effect) -> Result<(), TargetError> {
        match effect {
            Effect::StartRevision { release, component, revision } => {
                self.start_revision(release, component, revision).await
            }
            Effect::Route { traffic } => self.route(traffic).await,
            Effect::EndStreams { revision, .. } => {
                for edge in self.edges.living().await {
                    edge.control
                        .end_streams(&revision.0)
                        .await
                        .map_err(|e| TargetError::Unreachable(e.to_string()))?;
                }
                Ok(())
            }
            Effect::KeepWarm { revision, for_ms, .. } => self.keep_warm(revision, *for_ms),
            Effect::StopRevision { revision, .. } => self.stop_revision(revision).await,
            Effect::RunHook { release, component, hook } => {
                self.run_hook(&self.record(release)?, component, *hook).await
            }
            Effect::Migrate { release, component } => {
                self.migrate(&self.record(release)?, component).await
            }
            Effect::ApplyManifests { .. } | Effect::PruneManifests { .. } => {
                Err(TargetError::Refused("one machine has no objects to apply manifests to".into()))
            }
            Effect::StoreArtifact { .. } | Effect::SealSecrets { .. } | Effect::Record { .. } => {
                Err(TargetError::Refused(format!(
                    "{} is done by the command, not by the supervisor",
                    effect.kind()
                )))
            }
        }
    }

    async fn start_revision(
        self: &Arc<Self>,
        release: &ReleaseId,
        component: &str,
        id: &RevisionId,
    ) -> Result<(), TargetError> {
        let record = self.record(release)?;
        let spec = record.components.get(component);
        let Some(spec) = spec.filter(|spec| spec.revision(component) == *id) else {
            return Err(TargetError::Refused(format!(
                "release {release} does not have the revision {id} of {component}"
            )));
        };
        if spec.spec.port {
            // Said now rather than when traffic is to be shifted.
            self.reserve(&record).await?;
        }
        let wanted = Wanted {
            component: component.into(),
            release: release.clone(),
            replicas: spec.spec.replicas,
            warm: None,
        };
        self.store.want(id, &wanted).map_err(away)?;
        revision::ensure(self, id, &wanted, &record);
        self.shrink(id).await;
        Ok(())
    }

    /// Stops the replicas that are too many, each after the edge has stopped sending to it.
    async fn shrink(self: &Arc<Self>, id: &RevisionId) {
        let (leaving, drain) = self.change(|world| {
            let Some(revision) = world.revisions.get_mut(id) else { return (Vec::new(), 0) };
            let most = revision.wanted;
            let drain = revision.spec.spec.drain.0;
            let surplus = revision.replicas.iter_mut().filter(|(index, _)| **index >= most);
            let leaving = surplus
                .filter(|(_, r)| !r.status.leaving)
                .map(|(index, replica)| {
                    replica.status.leaving = true;
                    (*index, replica.stop.clone(), replica.gone.clone())
                })
                .collect();
            (leaving, drain)
        });
        if leaving.is_empty() {
            return;
        }
        let (supervisor, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            while let Err(why) = supervisor.publish().await {
                tracing::debug!(%why, "the edge may still send to replicas that are to go");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // The edge counts by revision, not by replica: the drain time has to pass.
            tokio::time::sleep(Duration::from_millis(drain)).await;
            for (index, stop, mut gone) in leaving {
                stop.send_replace(true);
                is_set(&mut gone).await;
                supervisor.change(|world| {
                    let Some(revision) = world.revisions.get_mut(&id) else { return };
                    // Unless it was wanted again meanwhile.
                    if revision.replicas.get(&index).is_some_and(|r| r.status.leaving) {
                        revision.replicas.remove(&index);
                        launch::forget(&supervisor.state, &launch::instance(&id, index));
                    }
                });
            }
        });
    }

    fn keep_warm(&self, id: &RevisionId, for_ms: u64) -> Result<(), TargetError> {
        let known = self.change(|world| {
            let revision = world.revisions.get_mut(id)?;
            // A repetition does not make it longer.
            let warm = revision.warm.get_or_insert_with(|| Warm::lasting(for_ms)).clone();
            Some(Wanted {
                component: revision.component.clone(),
                release: revision.release.clone(),
                replicas: revision.wanted,
                warm: Some(warm),
            })
        });
        match known {
            Some(wanted) => self.store.want(id, &wanted).map_err(away),
            // Stopped already: there is nothing to keep.
            None => Ok(()),
        }
    }

    /// Stops all processes of the revision. Refused while the edge sends it any request.
    pub(crate) async fn stop_revision(&self, id: &RevisionId) -> Result<(), TargetError> {
        if !self.world().revisions.contains_key(id) {
            return self.store.unwant(id).map_err(away);
        }
        self.refuse_routed(id).await?;
        // Before the processes are gone: a successor then stops what is left of them.
        self.store.unwant(id).map_err(away)?;
        let replicas: Vec<_> = self.change(|world| {
            let Some(revision) = world.revisions.get_mut(id) else { return Vec::new() };
            let replicas = revision.replicas.values_mut();
            replicas
                .map(|replica| {
                    replica.status.leaving = true;
                    replica.stop.send_replace(true);
                    replica.gone.clone()
                })
                .collect()
        });
        for mut gone in replicas {
            is_set(&mut gone).await;
        }
        let removed = self.change(|world| world.revisions.remove(id));
        for index in removed.into_iter().flat_map(|r| r.replicas.into_keys()) {
            launch::forget(&self.state, &launch::instance(id, index));
        }
        Ok(())
    }

    async fn refuse_routed(&self, id: &RevisionId) -> Result<(), TargetError> {
        let wanted = self.world().traffic.clone();
        if wanted.is_none() {
            return Ok(());
        }
        let edges = self.edges.living().await;
        let Some(traffic) = self.in_force(&edges) else {
            return Err(TargetError::Unreachable("the edge does not say whom it sends to".into()));
        };
        let sent = [Some(traffic), wanted].into_iter().flatten().any(|traffic| {
            traffic.shares.values().flatten().any(|s| s.revision == *id && s.weight > 0)
        });
        if sent {
            return Err(TargetError::Refused(format!(
                "the edge sends requests to {id}: it is not stopped"
            )));
        }
        Ok(())
    }

    /// Stops every component, and then this process. What is wanted stays wanted.
    pub(crate) async fn stop_everything(&self) {
        self.stopping.send_replace(true);
        // Whoever runs one is told that it was ended; a migration is not broken off.
        launch::end_hooks(&self.state);
        let _doing = self.doing.lock().await;
        let replicas: Vec<_> = self.change(|world| {
            let all = world.revisions.values_mut().flat_map(|r| r.replicas.values_mut());
            all.map(|replica| {
                replica.stop.send_replace(true);
                replica.gone.clone()
            })
            .collect()
        });
        for mut gone in replicas {
            is_set(&mut gone).await;
        }
        self.ending.send_replace(true);
    }

    pub(super) fn record(&self, release: &ReleaseId) -> Result<Release, TargetError> {
        self.store.release_record(release).map_err(away)?.ok_or_else(|| {
            TargetError::Refused(format!(
                "the record of release {release} is not there\n  hint: it may have been pruned; see `history`"
            ))
        })
    }
}

fn away(error: StoreError) -> TargetError {
    match error {
        StoreError::Unusable(why) => TargetError::Refused(why),
        other => TargetError::Unreachable(other.to_string()),
    }
}
