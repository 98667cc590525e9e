//! What has had its time, removed by whoever drives next: warm revisions, and configuration that no record needs.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use neuroca_deploy_core::release::{Release, RevisionId};
use neuroca_deploy_core::retention::{Warm, surplus};
use neuroca_deploy_engine::ports::{Epoch, TargetError};

use super::KubernetesTarget;
use crate::names::{COMPONENT, REVISION, WARM_UNTIL};
use crate::write::{self, resource};

/// A revision that runs without traffic.
struct Kept {
    component: String,
    revision: RevisionId,
    until_ms: u64,
    in_force: u64,
}

impl KubernetesTarget {
    /// Removes it.
    pub(super) async fn retire(&self, epoch: Epoch) -> Result<(), TargetError> {
        let kept = self.store.kept().await;
        let (_, releases) = kept.map_err(|e| TargetError::Unreachable(e.to_string()))?;
        let deployments =
            write::list(&self.cluster, &resource("apps/v1", "Deployment"), "").await?;
        for (component, revision) in self.no_longer_warm(&deployments, &releases).await? {
            match self.stop(epoch, &component, &revision).await {
                Ok(()) => {}
                // It has traffic again, or does not end: `status` shows it.
                Err(TargetError::Refused(why)) => tracing::warn!(%why, "not retired"),
                Err(error) => return Err(error),
            }
        }
        let running = deployments.iter().filter_map(revision_of);
        let needed: BTreeSet<RevisionId> = running.chain(revisions(&releases)).collect();
        for kind in [resource("v1", "ConfigMap"), resource("v1", "Secret")] {
            for found in write::list(&self.cluster, &kind, &format!(",{REVISION}")).await? {
                let unneeded = revision_of(&found).is_some_and(|r| !needed.contains(&r));
                if let (true, Some(name)) = (unneeded, &found.name) {
                    write::remove(&self.cluster, epoch, &kind, name).await?;
                }
            }
        }
        Ok(())
    }

    /// Warm revisions whose time has passed, and those of which there are newer ones enough.
    async fn no_longer_warm(
        &self,
        deployments: &[ObjectMeta],
        releases: &[Release],
    ) -> Result<Vec<(String, RevisionId)>, TargetError> {
        let mut warm = Vec::new();
        for found in deployments {
            let until = found.annotations.as_ref().and_then(|a| a.get(WARM_UNTIL)?.parse().ok());
            let component = found.labels.as_ref().and_then(|labels| labels.get(COMPONENT));
            let (Some(until_ms), Some(component), Some(revision)) =
                (until, component, revision_of(found))
            else {
                continue;
            };
            let mut in_force = 0;
            for release in
                releases.iter().filter(|r| r.revision(component).as_ref() == Some(&revision))
            {
                let at = self.store.in_force_at(&release.id()).await;
                in_force = in_force.max(at.map_err(|e| TargetError::Unreachable(e.to_string()))?);
            }
            warm.push(Kept { component: component.clone(), revision, until_ms, in_force });
        }
        let too_many = surplus(warm.iter().map(|kept| Warm {
            component: &kept.component,
            revision: &kept.revision,
            in_force: kept.in_force,
        }));
        let now = now_ms();
        let over = warm.iter().filter(|k| k.until_ms <= now || too_many.contains(&&k.revision));
        Ok(over.map(|kept| (kept.component.clone(), kept.revision.clone())).collect())
    }
}

fn revision_of(found: &ObjectMeta) -> Option<RevisionId> {
    found.labels.as_ref()?.get(REVISION).cloned().map(RevisionId)
}

/// The revisions of the releases that are kept.
fn revisions(releases: &[Release]) -> impl Iterator<Item = RevisionId> {
    let components = releases.iter().flat_map(|release| &release.components);
    components.map(|(name, component)| component.revision(name))
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
