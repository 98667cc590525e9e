//! An environment on a cluster. On this machine there is only a note of which cluster that is.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use neuroca_deploy_core::config::model::{Component, Kubernetes};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::judge::{Analysis, Scrape};
use neuroca_deploy_core::manifests::{Manifest, ManifestPlan, Read};
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::ports::{Metrics, Secrets, StateStore, StoreError, Target};
use neuroca_deploy_kubernetes::manifests::{Asked, Unplanned};
use neuroca_deploy_kubernetes::secrets::{SecretSource, has_version};
use neuroca_deploy_kubernetes::{
    AccessError, Cluster, KubernetesStore, KubernetesTarget, Names, PodCounts, Uncounted, clean,
    manifests, rbac, rights,
};
use neuroca_deploy_prometheus::PrometheusMetrics;
use serde_json::Value;

use super::place::Place;
use super::{Adapter, Looking};
use crate::desired::unusable;
use crate::error::{Exit, Failure, Result};
use crate::project::Project;

/// The note: how the cluster was reached when something was deployed to it from here.
const NOTE: &str = "kubernetes.json";

/// Pods behind a Gateway, state in the namespace.
pub struct KubernetesSite {
    place: Place,
    settings: Kubernetes,
    pub cluster: Arc<Cluster>,
    store: Arc<KubernetesStore>,
    /// For whoever looks again and again: what it watches need not be listed anew.
    watching: OnceCell<KubernetesTarget>,
}

impl KubernetesSite {
    /// Asks nothing yet.
    pub fn new(place: &Place, settings: &Kubernetes) -> Self {
        let names = Names {
            project: place.project.clone(),
            environment: place.environment.clone(),
            namespace: settings.namespace_of(&place.project, &place.environment),
        };
        let cluster = Arc::new(Cluster::new(names, settings.context.clone()));
        Self {
            place: place.clone(),
            settings: settings.clone(),
            store: Arc::new(KubernetesStore::new(cluster.clone())),
            watching: OnceCell::new(),
            cluster,
        }
    }

    /// Whether something was deployed to a cluster from this folder.
    pub fn is_at(dir: &Path) -> bool {
        dir.join(NOTE).is_file()
    }

    /// The settings with which the cluster was reached last.
    pub fn remembered(place: &Place) -> Option<Kubernetes> {
        let text = std::fs::read_to_string(place.dir.join(NOTE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// For whoever comes without the project's files: going back at night must not need them.
    fn remember(&self) -> Result<()> {
        let known = Kubernetes {
            context: self.settings.context.clone(),
            namespace: Some(self.cluster.names.namespace.clone()),
            ..Kubernetes::default()
        };
        let file = self.place.state()?.path().join(NOTE);
        let text = serde_json::to_string(&known).unwrap_or_default();
        std::fs::write(&file, text)
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", file.display())))
    }

    /// What has to be allowed: by an administrator once, and in the namespace every day.
    pub async fn allowed(
        &self,
        manifests: Vec<Read>,
        scrapes: bool,
    ) -> Result<(Vec<Value>, Vec<Value>)> {
        let places = manifests::places(&self.cluster, manifests).await;
        let places = places.map_err(|why| self.unplanned(why))?;
        let names = &self.cluster.names;
        Ok((rbac::cluster_part(names, &places), rbac::namespace_part(names, &places, scrapes)))
    }

    fn unplanned(&self, why: Unplanned) -> Failure {
        match why {
            Unplanned::Problems(problems) => unusable(Exit::Usage, problems),
            Unplanned::Foreign(problems) => unusable(Exit::Refused, problems),
            Unplanned::Access(error) => self.refused(&error),
            Unplanned::Store(error) => self.of_store(error),
        }
    }

    pub fn refused(&self, error: &AccessError) -> Failure {
        Failure::split(Exit::Failed, "cluster", &error.to_string()).or_hint(|| {
            format!("look for the cause with: neuroca-deploy doctor {}", self.place.environment)
        })
    }

    fn of_store(&self, error: StoreError) -> Failure {
        Failure::of_store(error, &self.place.environment)
    }

    /// The pods' own counters, if this user may ask for them.
    async fn pod_counts(&self, scrape: &Scrape) -> Result<Box<dyn Metrics>> {
        let missing = rights::missing_to_scrape(&self.cluster).await;
        let missing = missing.map_err(|e| self.refused(&e))?;
        if !missing.is_empty() {
            let namespace = &self.cluster.names.namespace;
            return Err(Failure::failed(format!(
                "the cluster does not allow this user to {} in the namespace {namespace}: nobody would count requests",
                missing.join(", ")
            ))
            .hint(format!("have it allowed: neuroca-deploy rbac {}", self.place.environment)));
        }
        let counts = PodCounts::new(self.cluster.clone(), scrape);
        let counts = counts.map_err(|e| Failure::split(Exit::Usage, "metrics", &e.to_string()))?;
        Ok(Box::new(counts))
    }

    fn new_target(&self, project: &Project) -> KubernetesTarget {
        KubernetesTarget::new(self.cluster.clone(), self.store.clone(), project.dir.clone())
    }
}

#[async_trait(?Send)]
impl Adapter for KubernetesSite {
    fn as_kubernetes(&self) -> Option<&KubernetesSite> {
        Some(self)
    }

    fn store(&self) -> Result<Arc<dyn StateStore>> {
        Ok(self.store.clone())
    }

    async fn secrets(&self, project: &Project) -> Result<Box<dyn Secrets>> {
        let source = SecretSource::open(&self.cluster, &project.dir).await;
        Ok(Box::new(source.map_err(|e| self.refused(&e))?))
    }

    /// The image holds the program; only its pod can tell whether it runs.
    fn check_program(&self, _: &Project, _: &str, _: &Component) -> Result<()> {
        Ok(())
    }

    /// The image's own digest, or else that of its name: a tag may come to mean another image.
    fn digest(&self, _: &Project, component: &str, spec: &Component) -> Result<Digest> {
        let image = spec.kubernetes.image.as_deref().ok_or_else(|| {
            Failure::usage(format!("component `{component}` has no image"))
                .hint(format!("give `components.{component}.kubernetes.image`"))
        })?;
        let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
        Ok(match digest.filter(|d| d.len() == 64 && d.chars().all(|c| c.is_ascii_hexdigit())) {
            Some(digest) => Digest(digest.to_lowercase()),
            None => Digest::of_bytes(image.as_bytes()),
        })
    }

    async fn has_secret(&self, _: &ReleaseId, version: &str) -> Result<bool> {
        has_version(&self.cluster, version).await.map_err(|e| self.refused(&e))
    }

    fn has_room(&self) -> Result<()> {
        Ok(())
    }

    /// The cluster pulls what it does not have.
    fn has_artifact(&self, _: &Digest) -> Result<bool> {
        Ok(true)
    }

    async fn manifests(
        &self,
        manifests: Vec<Read>,
        looking: Looking,
    ) -> Result<Option<(Vec<Manifest>, ManifestPlan)>> {
        let asked = Asked { manifests, adopt: looking.adopt, try_new: looking.try_new };
        let planned = manifests::plan(&self.cluster, &self.store, asked).await;
        planned.map_err(|why| self.unplanned(why))
    }

    /// Before the first write: of objects of the user's own those are named that nobody may write.
    async fn may_do(&self, plan: &Plan) -> Result<()> {
        let missing = rights::missing_for(&self.cluster, plan).await;
        allowed(&missing.map_err(|e| self.refused(&e))?, "")
    }

    async fn break_lock(&self) -> Result<()> {
        self.store.break_lock().await.map_err(|e| self.of_store(e))
    }

    /// The namespace, and the right to do everything that a rollout does: nothing is begun that cannot be ended.
    async fn ensure_running(&self) -> Result<()> {
        rights::ensure_namespace(&self.cluster).await.map_err(|e| self.refused(&e))?;
        let missing = rights::missing(&self.cluster).await.map_err(|e| self.refused(&e))?;
        let namespace = &self.cluster.names.namespace;
        allowed(&missing, &format!(" in the namespace {namespace}"))?;
        self.remember()
    }

    fn is_running(&self) -> Result<bool> {
        Ok(true)
    }

    async fn stop_everything(&self) -> Result<bool> {
        clean::stop_everything(&self.cluster).await.map_err(|e| self.refused(&e))
    }

    async fn purge(&self) -> Result<()> {
        let cleared = clean::clear_manifests(&self.cluster, &self.store).await;
        cleared.map_err(|e| self.refused(&e))?;
        clean::purge(&self.cluster).await.map_err(|e| self.refused(&e))?;
        match std::fs::remove_dir_all(&self.place.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let dir = self.place.dir.display();
                Err(Failure::failed(format!("cannot remove {dir}: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn whereabouts(&self) -> String {
        format!("the namespace {}", self.cluster.names.namespace)
    }

    fn target(&self, project: &Project) -> Result<Box<dyn Target>> {
        Ok(Box::new(self.new_target(project)))
    }

    async fn metrics(&self, project: &Project, analysis: &Analysis) -> Result<Box<dyn Metrics>> {
        if let Some(scrape) = &analysis.scrape {
            return self.pod_counts(scrape).await;
        }
        let Some(prometheus) = &analysis.prometheus else { return Ok(Box::new(Uncounted)) };
        let metrics = PrometheusMetrics::new(prometheus, &project.dir)
            .map_err(|e| Failure::split(Exit::Usage, "metrics", &e.to_string()))?;
        Ok(Box::new(metrics))
    }

    async fn observe(&self, project: &Project) -> Result<Observed> {
        let seen = self.watching.get_or_init(|| self.new_target(project)).observe().await;
        seen.map_err(|e| Failure::of_target(&e, &self.place.environment))
    }
}

fn allowed(missing: &[String], place: &str) -> Result<()> {
    match missing {
        [] => Ok(()),
        some => Err(Failure::failed(format!(
            "the cluster does not allow this user to {}{place}",
            some.join(", ")
        ))
        .hint("ask for a Role with these verbs (`neuroca-deploy rbac ENV` prints one); nothing was done")),
    }
}
