//! An environment on this machine: the adapter behind it, and its processes.

use std::cell::OnceCell;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use neuroca_deploy_core::config::model::Component;
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::judge::Analysis;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::ports::{Metrics, Secrets, StateStore, Target};
use neuroca_deploy_local::artifacts::{check_program, digest_artifact, source, stored};
use neuroca_deploy_local::control::{self, ControlError};
use neuroca_deploy_local::logs;
pub use neuroca_deploy_local::logs::{Follower as LogFollower, LogSource as Log};
use neuroca_deploy_local::secrets::{Key, SecretSource};
use neuroca_deploy_local::{LocalMetrics, LocalTarget, Store};
use neuroca_deploy_prometheus::PrometheusMetrics;

use super::Adapter;
use super::place::{Place, own_binary};
use crate::error::{Exit, Failure, Result};
use crate::project::Project;

/// Processes behind the edge proxy, state in a folder.
pub struct LocalSite {
    place: Place,
    store: OnceCell<Arc<Store>>,
}

impl Deref for LocalSite {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl LocalSite {
    pub fn new(place: Place) -> Self {
        Self { place, store: OnceCell::new() }
    }

    fn database(&self) -> Result<Arc<Store>> {
        if let Some(open) = self.store.get() {
            return Ok(open.clone());
        }
        let open =
            Store::open(&self.state()?).map_err(|e| Failure::of_store(e, &self.environment))?;
        Ok(self.store.get_or_init(|| Arc::new(open)).clone())
    }

    /// Tries whether state can be written.
    pub fn try_writing(&self) -> Result<()> {
        self.database()?.try_writing().map_err(|e| Failure::of_store(e, &self.environment))
    }

    /// Whether anything was ever done with this state folder.
    pub fn is_at(dir: &Path) -> bool {
        dir.join("state.db").is_file()
    }

    /// Refuses a component whose program cannot run here.
    pub fn program(project: &Project, name: &str, component: &Component) -> Result<()> {
        let commands = std::iter::once(&component.command).chain(&component.migrate);
        for command in commands {
            check_program(&project.dir, &component.artifact, &own_binary()?, command).map_err(
                |e| Failure::split(Exit::Failed, "artifact", &format!("component `{name}`: {e}")),
            )?;
        }
        Ok(())
    }

    /// Where a component's artifact is; refuses one that is not there.
    pub fn find_artifact(project: &Project, component: &str, artifact: &str) -> Result<PathBuf> {
        source(&project.dir, artifact, &own_binary()?).map_err(|e| {
            Failure::split(Exit::Failed, "artifact", &format!("component `{component}`: {e}"))
        })
    }

    pub fn processes(&self) -> Result<control::KeeperStatus> {
        control::status(&self.state()?).map_err(|e| self.of_control(&e))
    }

    /// Replaces the processes by this program, without dropping a connection.
    pub async fn upgrade(&self) -> Result<control::KeeperStatus> {
        let (state, exe) = (self.state()?, own_binary()?);
        self.apart(move || control::upgrade(&state, &exe)).await
    }

    /// Waits in a thread: the adapter's control is synchronous, and a person may interrupt.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, ControlError> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| Failure::failed(e.to_string()))?
            .map_err(|e| self.of_control(&e))
    }

    fn of_control(&self, error: &ControlError) -> Failure {
        let hint = format!("look for the cause with: neuroca-deploy doctor {}", self.environment);
        Failure::split(Exit::Failed, "processes", &error.to_string()).or_hint(|| hint)
    }

    /// Where relative paths begin. A rollback from elsewhere must not move the project: its
    /// certificates lie there.
    fn project_dir(&self, project: &Project) -> Result<PathBuf> {
        let known = self.database()?.setting("project").ok().flatten().map(PathBuf::from);
        Ok(match known {
            Some(known) if !project.exists() => known,
            _ => project.dir.clone(),
        })
    }

    fn local(&self, project: &Project) -> Result<LocalTarget> {
        let dir = self.project_dir(project)?;
        LocalTarget::open(&self.state()?, &dir, &own_binary()?, &self.key)
            .map_err(|e| Failure::split(Exit::Failed, "target", &e.to_string()))
    }

    /// The components' logs, those written last at the end.
    pub fn logs(&self, component: Option<&str>) -> Result<Vec<Log>> {
        logs::sources(&self.state()?, component).map_err(|e| {
            Failure::failed(format!("cannot list the logs in {}: {e}", self.dir.display()))
        })
    }

    pub fn log_lines(&self, log: &Log, count: usize) -> Result<Vec<String>> {
        logs::tail(&log.file, count).map_err(|e| cannot_read(log, &e))
    }

    pub fn follow_log(&self, log: &Log, from_end: bool) -> Result<LogFollower> {
        LogFollower::new(&log.file, from_end).map_err(|e| cannot_read(log, &e))
    }
}

#[async_trait(?Send)]
impl Adapter for LocalSite {
    fn as_local(&self) -> Option<&LocalSite> {
        Some(self)
    }

    fn store(&self) -> Result<Arc<dyn StateStore>> {
        Ok(self.database()?)
    }

    async fn secrets(&self, project: &Project) -> Result<Box<dyn Secrets>> {
        let key = Key::open_or_make(&self.key, &self.root)
            .map_err(|e| Failure::split(Exit::Failed, "key", &e.to_string()))?;
        Ok(Box::new(SecretSource::new(&project.dir, key)))
    }

    fn check_program(&self, project: &Project, name: &str, component: &Component) -> Result<()> {
        Self::program(project, name, component)
    }

    fn digest(&self, project: &Project, component: &str, spec: &Component) -> Result<Digest> {
        let cache = self.database()?;
        digest_artifact(&project.dir, &spec.artifact, &own_binary()?, cache.as_ref()).map_err(|e| {
            Failure::split(Exit::Failed, "artifact", &format!("component `{component}`: {e}"))
        })
    }

    async fn has_secret(&self, release: &ReleaseId, version: &str) -> Result<bool> {
        let found = self.database()?.has_sealed(release, version);
        found.map_err(|e| Failure::of_store(e, &self.environment))
    }

    fn has_room(&self) -> Result<()> {
        let state = self.state()?;
        if state.has_room() {
            return Ok(());
        }
        let free = state.free().unwrap_or(0) / 1024;
        let what = format!("the disk is full: {free} KiB are free in {}", self.dir.display());
        let mut hint = "make room, then run the same command again".to_string();
        if state.has_reserve() {
            let meanwhile =
                format!("; meanwhile `neuroca-deploy rollback {}` works", self.environment);
            hint.push_str(&meanwhile);
        }
        Err(Failure::new(Exit::Failed, "disk_full", what).hint(hint))
    }

    fn has_artifact(&self, digest: &Digest) -> Result<bool> {
        Ok(stored(&self.state()?, digest).is_dir())
    }

    async fn break_lock(&self) -> Result<()> {
        let broken = self.database()?.break_lock();
        broken.map(drop).map_err(|e| Failure::of_store(e, &self.environment))
    }

    async fn ensure_running(&self) -> Result<()> {
        let (state, exe) = (self.state()?, own_binary()?);
        self.apart(move || control::ensure_running(&state, &exe)).await
    }

    fn is_running(&self) -> Result<bool> {
        Ok(control::is_running(&self.state()?))
    }

    async fn stop_everything(&self) -> Result<bool> {
        let (state, exe) = (self.state()?, own_binary()?);
        self.apart(move || control::stop(&state, &exe)).await
    }

    async fn purge(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.dir).map_err(|e| {
            Failure::failed(format!("cannot remove {}: {e}", self.dir.display()))
                .hint("everything has stopped; remove the folder by hand")
        })
    }

    fn whereabouts(&self) -> String {
        self.dir.display().to_string()
    }

    fn target(&self, project: &Project) -> Result<Box<dyn Target>> {
        Ok(Box::new(self.local(project)?))
    }

    async fn metrics(&self, project: &Project, analysis: &Analysis) -> Result<Box<dyn Metrics>> {
        let Some(prometheus) = &analysis.prometheus else {
            return Ok(Box::new(LocalMetrics::new(&self.state()?, analysis.interval.0)));
        };
        let metrics = PrometheusMetrics::new(prometheus, &self.project_dir(project)?)
            .map_err(|e| Failure::split(Exit::Usage, "metrics", &e.to_string()))?;
        Ok(Box::new(metrics))
    }

    async fn observe(&self, project: &Project) -> Result<Observed> {
        if !self.is_running()? {
            return Err(Failure::failed(format!(
                "the supervisor of {}/{} is not running",
                self.project, self.environment
            )));
        }
        let seen = self.local(project)?.observe().await;
        seen.map_err(|e| Failure::of_target(&e, &self.environment))
    }
}

fn cannot_read(log: &Log, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {}: {error}", log.file.display()))
}
