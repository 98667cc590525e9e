//! One environment of one project: where its things lie here, and the adapter behind it.
//!
//! The only file that names adapters. A target of another kind is another arm here, and a file below.

mod kubernetes;
mod local;
mod place;

use std::fs::OpenOptions;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::config::model::{Component, Environment, TargetKind};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::judge::Analysis;
use neuroca_deploy_core::manifests::{Manifest, ManifestPlan, Read};
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::ports::{Clock, Metrics, Secrets, StateStore, Target};

use crate::context::Context;
use crate::error::{Failure, Result};
use crate::project::Project;

pub use kubernetes::KubernetesSite;
pub use local::{LocalSite, Log, LogFollower};
pub use place::{Place, own_binary};

/// Tells a process that nobody sees its terminal, and that it is the one that stays.
const DETACHED: &str = "NEUROCA_DEPLOY_DETACHED";

/// Whether this process was started to go on without a terminal.
pub fn is_detached() -> bool {
    std::env::var_os(DETACHED).is_some()
}

/// How far a plan for manifests looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looking {
    /// Objects of others become ours where a manifest names them.
    pub adopt: bool,
    /// Also what is not there yet is tried to no effect. Whoever writes in the next moment is told then.
    pub try_new: bool,
}

/// What commands need of a target beyond the engine's ports.
#[async_trait(?Send)]
pub trait Adapter {
    /// The local target's own, for the commands that are about processes.
    fn as_local(&self) -> Option<&LocalSite> {
        None
    }

    /// The cluster's own.
    fn as_kubernetes(&self) -> Option<&KubernetesSite> {
        None
    }

    /// Releases, journal, lock and intents.
    fn store(&self) -> Result<Arc<dyn StateStore>>;

    /// Reads references, and tells the versions of what is behind them.
    async fn secrets(&self, project: &Project) -> Result<Box<dyn Secrets>>;

    /// Refuses a component whose program cannot run there.
    fn check_program(&self, project: &Project, name: &str, component: &Component) -> Result<()>;

    /// The digest that a component's artifact has now.
    fn digest(&self, project: &Project, component: &str, spec: &Component) -> Result<Digest>;

    /// Whether the target has the secret in this version, for this release or for that in force.
    async fn has_secret(&self, release: &ReleaseId, version: &str) -> Result<bool>;

    /// Refuses what is not urgent while there is no room for it.
    fn has_room(&self) -> Result<()>;

    /// Whether the target has the artifact already.
    fn has_artifact(&self, digest: &Digest) -> Result<bool>;

    /// The user's own manifests as the target will know them, and what is to be done; nothing where there are
    /// none and never were.
    async fn manifests(
        &self,
        _: Vec<Read>,
        _: Looking,
    ) -> Result<Option<(Vec<Manifest>, ManifestPlan)>> {
        Ok(None)
    }

    /// Refuses a plan that this user may not carry out to its end.
    async fn may_do(&self, _: &Plan) -> Result<()> {
        Ok(())
    }

    /// Takes the lock from whoever holds it.
    async fn break_lock(&self) -> Result<()>;

    /// Makes what has to be there before anything is deployed.
    async fn ensure_running(&self) -> Result<()>;

    fn is_running(&self) -> Result<bool>;

    /// Stops what is left. True when there was anything.
    async fn stop_everything(&self) -> Result<bool>;

    /// Removes history, records and the components' data.
    async fn purge(&self) -> Result<()>;

    /// Where history and data are, for people.
    fn whereabouts(&self) -> String;

    /// The engine's target.
    fn target(&self, project: &Project) -> Result<Box<dyn Target>>;

    /// Where the counts come from that a judge is fed.
    async fn metrics(&self, project: &Project, analysis: &Analysis) -> Result<Box<dyn Metrics>>;

    /// What is there now; starts nothing.
    async fn observe(&self, project: &Project) -> Result<Observed>;
}

/// An environment, its place and its adapter.
pub struct Site {
    place: Place,
    adapter: Box<dyn Adapter>,
    pub project: String,
    pub environment: String,
    /// The folder for what lies on this machine.
    pub dir: PathBuf,
    /// The folder that holds those of all environments.
    pub root: PathBuf,
}

impl Deref for Site {
    type Target = dyn Adapter;

    fn deref(&self) -> &Self::Target {
        self.adapter.as_ref()
    }
}

impl Site {
    /// Where the components' secrets come from. A cluster is not asked for the key to what there is none of.
    pub async fn secrets_for(
        &self,
        project: &Project,
        mut components: impl Iterator<Item = &Component>,
    ) -> Result<Option<Box<dyn Secrets>>> {
        let any = components.any(|component| !component.secrets.is_empty());
        Ok(match any || self.as_kubernetes().is_none() {
            true => Some(self.secrets(project).await?),
            false => None,
        })
    }

    fn with(place: Place, adapter: impl Adapter + 'static) -> Self {
        Self {
            adapter: Box::new(adapter),
            project: place.project.clone(),
            environment: place.environment.clone(),
            dir: place.dir.clone(),
            root: place.root.clone(),
            place,
        }
    }

    fn local_at(place: Place) -> Self {
        Self::with(place.clone(), LocalSite::new(place))
    }

    fn kubernetes_at(place: Place, site: KubernetesSite) -> Self {
        Self::with(place, site)
    }

    /// The environment as its files name it; they have to be in order.
    pub fn of_files(ctx: &Context, environment: &str, sets: &[String]) -> Result<Self> {
        let resolved = ctx.project.resolve(environment, sets)?.environment;
        Self::of_model(ctx, environment, &resolved)
    }

    /// The environment of this name with these settings.
    pub fn of_model(ctx: &Context, environment: &str, model: &Environment) -> Result<Self> {
        let place = Place::new(ctx, &model.project, environment)?;
        Ok(match model.target {
            TargetKind::Local => Self::local_at(place),
            TargetKind::Kubernetes => {
                let settings = model.kubernetes.clone().unwrap_or_default();
                let site = KubernetesSite::new(&place, &settings);
                Self::kubernetes_at(place, site)
            }
        })
    }

    /// The environment that a saved plan is for. Which context leads to its cluster is this machine's affair.
    pub fn of_plan(ctx: &Context, plan: &Plan) -> Result<Self> {
        let place = Place::new(ctx, &plan.project, &plan.environment)?;
        let Some(planned) = &plan.release.kubernetes else { return Ok(Self::local_at(place)) };
        let mut settings = planned.clone();
        let files = ctx.project.resolve(&plan.environment, &[]).ok();
        let here = files.and_then(|resolved| resolved.environment.kubernetes);
        settings.context = match here {
            Some(here) => here.context,
            None => KubernetesSite::remembered(&place).and_then(|known| known.context),
        };
        let site = KubernetesSite::new(&place, &settings);
        Ok(Self::kubernetes_at(place, site))
    }

    /// The environment by its state; files are looked at for project and target alone, and may have errors or
    /// be absent.
    pub fn of_state(ctx: &Context, environment: &str) -> Result<Self> {
        if let Ok(resolved) = ctx.project.resolve(environment, &[])
            && resolved.environment.target == TargetKind::Kubernetes
        {
            return Self::of_model(ctx, environment, &resolved.environment);
        }
        if let Some(project) = ctx.project.name_for(environment) {
            let place = Place::new(ctx, &project, environment)?;
            // The files have errors, or speak of another target than the one that was deployed to.
            let deployed_to = KubernetesSite::remembered(&place);
            if let Some(settings) = deployed_to.filter(|_| !LocalSite::is_at(&place.dir)) {
                let site = KubernetesSite::new(&place, &settings);
                return Ok(Self::kubernetes_at(place, site));
            }
            if !LocalSite::is_at(&place.dir) {
                // A misspelt name is no environment in which nothing happened yet.
                ctx.project.known(environment)?;
            }
            return Ok(Self::local_at(place));
        }
        let is_one = |dir: &std::path::Path| LocalSite::is_at(dir) || KubernetesSite::is_at(dir);
        let (root, found) = place::projects_with(ctx, environment, is_one)?;
        match found.as_slice() {
            [project] => {
                let place = Place::new(ctx, project, environment)?;
                Ok(match KubernetesSite::remembered(&place) {
                    Some(settings) if !LocalSite::is_at(&place.dir) => {
                        let site = KubernetesSite::new(&place, &settings);
                        Self::kubernetes_at(place, site)
                    }
                    _ => Self::local_at(place),
                })
            }
            [] => Err(Failure::usage(format!(
                "there is no environment `{environment}`: no project files here, and no state in {}",
                root.display()
            ))
            .hint("go to the project's folder, or pass --project DIR or --state-dir DIR")),
            several => Err(Failure::usage(format!(
                "several projects have an environment `{environment}`: {}",
                several.join(", ")
            ))
            .hint("go to the project's folder, or pass --project DIR")),
        }
    }

    /// The local target, for commands that are about its processes.
    pub fn local(&self) -> Result<&LocalSite> {
        self.as_local().ok_or_else(|| {
            Failure::usage(format!("{} does not run on this machine", self.environment)).hint(
                format!(
                    "its target is another one; see it with: neuroca-deploy status {}",
                    self.environment
                ),
            )
        })
    }

    /// The folder for what lies on this machine, made if need be.
    pub fn state(&self) -> Result<neuroca_deploy_local::StateDir> {
        self.place.state()
    }

    /// Starts this program with these words so that it outlives the terminal; gives the file that it writes to.
    pub fn detach<W: AsRef<str>>(&self, ctx: &Context, words: &[W]) -> Result<PathBuf> {
        let log = self.state()?.logs().join("detached.log");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            // Another one may still write to it.
            .and_then(|file| file.set_len(0).map(|()| file))
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", log.display())))?;
        let file_too = file.try_clone().map_err(|e| Failure::failed(e.to_string()))?;
        let mut command = Command::new(own_binary()?);
        // It is told everything; a variable that says `detach` would have it do so again and again.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEUROCA_DEPLOY_") {
                command.env_remove(name);
            }
        }
        command.env(DETACHED, "1");
        command.arg("--project").arg(std::path::absolute(&ctx.project.dir).unwrap_or_default());
        command.arg("--state-dir").arg(&self.root);
        command.args(words.iter().map(AsRef::as_ref));
        command
            // Not in the group that a closing terminal ends.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(file_too);
        command
            .spawn()
            .map_err(|e| Failure::failed(format!("cannot start a process that goes on: {e}")))?;
        Ok(log)
    }
}

/// The clock of this process; see `when::now_ms`.
#[derive(Default)]
pub struct SystemClock(());

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        crate::output::when::now_ms()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
