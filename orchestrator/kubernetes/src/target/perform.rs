//! Effects as writes. Doing one again changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::wait::await_condition;
use neuroca_deploy_core::config::model::Route;
use neuroca_deploy_core::effect::{Effect, Traffic};
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::release::{Release, ReleaseId, RevisionId};
use neuroca_deploy_engine::ports::{Epoch, StateStore, TargetError};
use serde_json::json;

use super::KubernetesTarget;
use crate::access::in_time;
use crate::names::{REVISION, TRAFFIC, WARM_UNTIL};
use crate::objects::{JobKind, Part, ROUTES, Split, claim, config, deployment, routes, service};
use crate::secrets::SecretSource;
use crate::write::{self, resource};
use crate::{jobs, manifests};

/// How long a pod that was told to end may take beyond what it was told.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

impl KubernetesTarget {
    pub(super) async fn done(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError> {
        match effect {
            Effect::StoreArtifact { release, component } => {
                let release = self.record(release).await?;
                self.image(&self.part(&release, component)?)
            }
            Effect::SealSecrets { release } => {
                self.retire(epoch).await?;
                let release = self.record(release).await?;
                if release.components.values().all(|component| component.secrets.is_empty()) {
                    return Ok(());
                }
                let source = SecretSource::open(&self.cluster, &self.project).await?;
                source.seal(&self.cluster, epoch, &release).await
            }
            Effect::ApplyManifests { release } => {
                let (plan, release) = self.underway(release.as_ref()).await?;
                manifests::apply(&self.cluster, epoch, &plan, release.as_ref()).await
            }
            Effect::PruneManifests { release } => {
                let (plan, release) = self.underway(release.as_ref()).await?;
                manifests::prune(&self.cluster, epoch, &plan, release.as_ref()).await
            }
            Effect::RunHook { release, component, hook } => {
                let release = self.record(release).await?;
                let part = self.part(&release, component)?;
                self.run(epoch, &part, JobKind::Hook(*hook)).await
            }
            Effect::Migrate { release, component } => {
                let release = self.record(release).await?;
                let part = self.part(&release, component)?;
                self.run(epoch, &part, JobKind::Migration).await
            }
            Effect::StartRevision { release, component, .. } => {
                let release = self.record(release).await?;
                let part = self.part(&release, component)?;
                self.start(epoch, &part).await
            }
            Effect::Route { traffic } => self.route(epoch, traffic).await,
            // A pod ends its streams itself, when it is told to end and its drain time has passed.
            Effect::EndStreams { .. } => Ok(()),
            Effect::KeepWarm { revision, for_ms, .. } => {
                self.keep_warm(epoch, revision, *for_ms).await
            }
            Effect::StopRevision { component, revision } => {
                self.stop(epoch, component, revision).await
            }
            // The store does that, in the write that closes the journal.
            Effect::Record { .. } => Ok(()),
        }
    }

    /// The plan that is being carried out, and the release that is to be reached.
    async fn underway(
        &self,
        release: Option<&ReleaseId>,
    ) -> Result<(Plan, Option<Release>), TargetError> {
        let open =
            self.store.unfinished().await.map_err(|e| TargetError::Unreachable(e.to_string()))?;
        let plan = open.ok_or_else(|| TargetError::Fenced("the run has ended".into()))?.plan;
        let release = match release {
            Some(id) if *id == plan.rollout.release => Some(plan.release.clone()),
            Some(id) => Some(self.record(id).await?),
            None => None,
        };
        Ok((plan, release))
    }

    /// The cluster pulls the image itself; there is nothing to copy.
    fn image(&self, part: &Part<'_>) -> Result<(), TargetError> {
        match part.spec.spec.kubernetes.image {
            Some(_) => Ok(()),
            None => Err(TargetError::Refused(format!(
                "release {} names no image for {}\n  hint: give `components.{}.kubernetes.image`",
                part.release.id(),
                part.component,
                part.component
            ))),
        }
    }

    /// What pods of the revision read.
    async fn prepare(&self, epoch: Epoch, part: &Part<'_>) -> Result<(), TargetError> {
        write::create(&self.cluster, epoch, config(part)).await?;
        match claim(part) {
            // One that is there stays as it is: its size and class are not a release's to change.
            Some(claim) => write::create(&self.cluster, epoch, claim).await,
            None => Ok(()),
        }
    }

    async fn run(&self, epoch: Epoch, part: &Part<'_>, kind: JobKind) -> Result<(), TargetError> {
        self.prepare(epoch, part).await?;
        let kept = self.store.kept().await;
        let (run, _) = kept.map_err(|e| TargetError::Unreachable(e.to_string()))?;
        let run = run.ok_or_else(|| TargetError::Fenced("the run has ended".into()))?;
        jobs::run(&self.cluster, epoch, part, kind, run).await
    }

    async fn start(&self, epoch: Epoch, part: &Part<'_>) -> Result<(), TargetError> {
        self.prepare(epoch, part).await?;
        if let Some(service) = service(part) {
            write::apply(&self.cluster, epoch, service).await?;
        }
        // Before it is asked for: whoever retires what is no longer warm must not take it.
        let revision = part.revision();
        let (kind, warm) = (resource("apps/v1", "Deployment"), (WARM_UNTIL, None));
        write::annotate(&self.cluster, epoch, &kind, &revision.0, warm).await?;
        write::apply(&self.cluster, epoch, deployment(part)).await
    }

    async fn route(&self, epoch: Epoch, traffic: &Traffic) -> Result<(), TargetError> {
        self.refuse_unready(traffic).await?;
        let settings = self.record(&traffic.settings).await?;
        let gateway = settings.kubernetes.as_ref().and_then(|k| k.gateway.as_ref());
        let Some(gateway) = gateway else {
            return match traffic.shares.is_empty() {
                true => self.note_split(epoch, traffic).await,
                false => Err(TargetError::Refused(
                    "the release names no Gateway\n  hint: give `kubernetes.gateway`".into(),
                )),
            };
        };
        let declared = self.declared().await?;
        let names = &self.cluster.names;
        let split = Split { names, gateway, settings: &settings, traffic, declared: &declared };
        let wanted = routes(&split);
        let kind = resource("gateway.networking.k8s.io/v1", "HTTPRoute");
        let there = write::list(&self.cluster, &kind, "").await?;
        let is_wanted = |name: &str| wanted.iter().any(|r| r["metadata"]["name"] == name);
        let left: Vec<String> =
            there.into_iter().filter_map(|m| m.name).filter(|name| !is_wanted(name)).collect();
        for route in &wanted {
            write::apply(&self.cluster, epoch, route.clone()).await?;
        }
        for name in left {
            write::remove(&self.cluster, epoch, &kind, &name).await?;
        }
        Ok(())
    }

    /// Where nothing listens there is no route, and the split is noted for whoever looks next.
    async fn note_split(&self, epoch: Epoch, traffic: &Traffic) -> Result<(), TargetError> {
        let names = &self.cluster.names;
        let text = serde_json::to_string(traffic).unwrap_or_default();
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.state("split"),
                "namespace": names.namespace,
                "labels": names.labels(),
                "annotations": { TRAFFIC: text },
            },
        });
        write::apply(&self.cluster, epoch, object).await
    }

    /// Nobody's share may grow who has no ready replica. What is in force may stay.
    async fn refuse_unready(&self, traffic: &Traffic) -> Result<(), TargetError> {
        let (_, view, routes) = self.watches().await?.view().await?;
        let before = routes.iter().find_map(crate::objects::split_of);
        for (component, shares) in &traffic.shares {
            for share in shares {
                let had = before.iter().filter_map(|t| t.shares.get(component)).flatten();
                let had = had.filter(|s| s.revision == share.revision).map(|s| s.weight).max();
                let grows = share.weight > had.unwrap_or(0);
                if grows && view.ready_endpoints(&share.revision.0) == 0 {
                    return Err(TargetError::Refused(format!(
                        "no replica of {} is ready: it gets no traffic",
                        share.revision
                    )));
                }
            }
        }
        Ok(())
    }

    /// Which requests each component answers, as noted on the Services of its revisions.
    async fn declared(&self) -> Result<BTreeMap<String, Vec<Route>>, TargetError> {
        let kind = resource("v1", "Service");
        let mut declared = BTreeMap::new();
        for found in write::list(&self.cluster, &kind, &format!(",{REVISION}")).await? {
            let component = found.labels.and_then(|mut l| l.remove(crate::names::COMPONENT));
            let noted = found.annotations.and_then(|mut a| a.remove(ROUTES));
            let noted = noted.and_then(|text| serde_json::from_str(&text).ok());
            if let (Some(component), Some(routes)) = (component, noted) {
                declared.insert(component, routes);
            }
        }
        Ok(declared)
    }

    async fn keep_warm(
        &self,
        epoch: Epoch,
        revision: &RevisionId,
        for_ms: u64,
    ) -> Result<(), TargetError> {
        let until = super::retire::now_ms() + for_ms;
        let kind = resource("apps/v1", "Deployment");
        let warm = (WARM_UNTIL, Some(until.to_string()));
        write::annotate(&self.cluster, epoch, &kind, &revision.0, warm).await?;
        self.retire(epoch).await
    }

    /// Takes the replicas away. Configuration and secrets stay as long as a record needs them.
    pub(super) async fn stop(
        &self,
        epoch: Epoch,
        component: &str,
        revision: &RevisionId,
    ) -> Result<(), TargetError> {
        let (_, view, routes) = self.watches().await?.view().await?;
        let traffic = routes.iter().find_map(crate::objects::split_of);
        let shares = traffic.iter().flat_map(|t| t.shares.values()).flatten();
        if shares.filter(|share| share.weight > 0).any(|share| share.revision == *revision) {
            return Err(TargetError::Refused(format!(
                "{revision} still gets traffic: it is not stopped"
            )));
        }
        let serves_nobody = traffic.is_none_or(|t| !t.shares.contains_key(component));
        for (version, kind) in [("apps/v1", "Deployment"), ("v1", "Service")] {
            write::remove(&self.cluster, epoch, &resource(version, kind), &revision.0).await?;
        }
        // One revision at a time: without a port, or where the old one is stopped first. Elsewhere its pods
        // end what they have while the new one serves.
        if serves_nobody {
            let pods = view.pods_of(&revision.0).filter_map(|pod| pod.metadata.name.clone());
            self.until_gone(revision, pods.collect()).await?;
        }
        Ok(())
    }

    async fn until_gone(
        &self,
        revision: &RevisionId,
        known: Vec<String>,
    ) -> Result<(), TargetError> {
        let client = self.cluster.client().await?;
        let pods: Api<Pod> = Api::namespaced(client, &self.cluster.names.namespace);
        let list = ListParams::default().labels(&format!("{REVISION}={revision}"));
        let now = in_time(&self.cluster, "list the pods", pods.list_metadata(&list)).await?;
        let now = now.items.into_iter().filter_map(|pod| pod.metadata.name);
        for name in now.chain(known) {
            let gone = await_condition(pods.clone(), &name, |pod: Option<&Pod>| pod.is_none());
            match tokio::time::timeout(ENDS_WITHIN, gone).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(TargetError::Unreachable(error.to_string())),
                Err(_) => {
                    return Err(TargetError::Refused(format!(
                        "the pod {name} does not end\n  hint: see what holds it: kubectl -n {} describe pod {name}",
                        self.cluster.names.namespace
                    )));
                }
            }
        }
        Ok(())
    }
}
