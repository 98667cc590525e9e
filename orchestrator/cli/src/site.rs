//! One environment of one project on this machine: where its state lies, and the adapter behind it.
//!
//! The only file that names an adapter. A target of another kind is another arm here.

use std::cell::OnceCell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::config::model::{Component, TargetKind};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::judge::Analysis;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::ports::{Clock, Metrics, Secrets, StateStore, Target};
use neuroca_deploy_local::artifacts::{check_program, digest_artifact, source, stored};
use neuroca_deploy_local::control::{self, ControlError};
use neuroca_deploy_local::logs;
pub use neuroca_deploy_local::logs::{Follower as LogFollower, LogSource as Log};
use neuroca_deploy_local::secrets::{Key, SecretSource};
use neuroca_deploy_local::{LocalMetrics, LocalTarget, StateDir, Store};
use neuroca_deploy_prometheus::PrometheusMetrics;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::project::Project;

/// Tells a process that nobody sees its terminal, and that it is the one that stays.
const DETACHED: &str = "NEUROCA_DEPLOY_DETACHED";

/// Whether this process was started to go on without a terminal.
pub fn is_detached() -> bool {
    std::env::var_os(DETACHED).is_some()
}

/// An environment and its place.
pub struct Site {
    pub project: String,
    pub environment: String,
    /// The state folder.
    pub dir: PathBuf,
    /// The folder that holds the state of all environments.
    pub root: PathBuf,
    /// The file with the key that seals secrets.
    pub key: PathBuf,
    store: OnceCell<Arc<Store>>,
}

impl Site {
    pub fn new(ctx: &Context, project: &str, environment: &str) -> Result<Self> {
        let root = state_root(ctx)?;
        Ok(Self {
            project: project.to_string(),
            environment: environment.to_string(),
            dir: root.join(project).join(environment),
            root,
            key: key_file()?,
            store: OnceCell::new(),
        })
    }

    /// The environment as its files name it; they have to be in order.
    pub fn of_files(ctx: &Context, environment: &str, sets: &[String]) -> Result<Self> {
        let resolved = ctx.project.resolve(environment, sets)?.environment;
        match resolved.target {
            TargetKind::Local => Self::new(ctx, &resolved.project, environment),
        }
    }

    /// The environment by its state; files are looked at for the project's name alone, and may have
    /// errors or be absent.
    pub fn of_state(ctx: &Context, environment: &str) -> Result<Self> {
        if let Some(project) = ctx.project.name_for(environment) {
            let site = Self::new(ctx, &project, environment)?;
            if !site.exists() {
                // A misspelt name is no environment in which nothing happened yet.
                ctx.project.known(environment)?;
            }
            return Ok(site);
        }
        let root = state_root(ctx)?;
        let mut found: Vec<String> = std::fs::read_dir(&root)
            .map(|entries| entries.flatten().collect::<Vec<_>>())
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.path().join(environment).join("state.db").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        found.sort();
        match found.as_slice() {
            [project] => Self::new(ctx, project, environment),
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

    /// Whether anything was ever done here.
    pub fn exists(&self) -> bool {
        self.dir.join("state.db").is_file()
    }

    pub fn state(&self) -> Result<StateDir> {
        StateDir::create(&self.dir)
            .map_err(|e| Failure::split(Exit::Failed, "state", &e.to_string()))
    }

    /// Releases, journal, lock and intents.
    pub fn store(&self) -> Result<Arc<dyn StateStore>> {
        Ok(self.database()?)
    }

    fn database(&self) -> Result<Arc<Store>> {
        if let Some(open) = self.store.get() {
            return Ok(open.clone());
        }
        let open =
            Store::open(&self.state()?).map_err(|e| Failure::of_store(e, &self.environment))?;
        Ok(self.store.get_or_init(|| Arc::new(open)).clone())
    }

    pub fn secrets(&self, project: &Project) -> Result<Box<dyn Secrets>> {
        let key = Key::open_or_make(&self.key, &self.root)
            .map_err(|e| Failure::split(Exit::Failed, "key", &e.to_string()))?;
        Ok(Box::new(SecretSource::new(&project.dir, key)))
    }

    /// Tries whether state can be written.
    pub fn try_writing(&self) -> Result<()> {
        self.database()?.try_writing().map_err(|e| Failure::of_store(e, &self.environment))
    }

    /// Takes the lock from whoever holds it.
    pub fn break_lock(&self) -> Result<()> {
        let broken = self.database()?.break_lock();
        broken.map(drop).map_err(|e| Failure::of_store(e, &self.environment))
    }

    /// Where a component's artifact is; refuses one that is not there.
    pub fn find_artifact(project: &Project, component: &str, artifact: &str) -> Result<PathBuf> {
        source(&project.dir, artifact, &own_binary()?).map_err(|e| {
            Failure::split(Exit::Failed, "artifact", &format!("component `{component}`: {e}"))
        })
    }

    /// Refuses a component whose program cannot run here.
    pub fn check_program(project: &Project, name: &str, component: &Component) -> Result<()> {
        let commands = std::iter::once(&component.command).chain(&component.migrate);
        for command in commands {
            check_program(&project.dir, &component.artifact, &own_binary()?, command).map_err(
                |e| Failure::split(Exit::Failed, "artifact", &format!("component `{name}`: {e}")),
            )?;
        }
        Ok(())
    }

    /// The digest that a component's artifact has now.
    pub fn digest(&self, project: &Project, component: &str, artifact: &str) -> Result<Digest> {
        let cache = self.database()?;
        digest_artifact(&project.dir, artifact, &own_binary()?, cache.as_ref()).map_err(|e| {
            Failure::split(Exit::Failed, "artifact", &format!("component `{component}`: {e}"))
        })
    }

    /// Whether the target has the secret in this version sealed, for this release or for that in force.
    pub fn has_secret(&self, release: &ReleaseId, version: &str) -> Result<bool> {
        let found = self.database()?.has_sealed(release, version);
        found.map_err(|e| Failure::of_store(e, &self.environment))
    }

    /// Refuses what is not urgent while the disk is full.
    pub fn has_room(&self) -> Result<()> {
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

    /// Whether the target has the artifact already.
    pub fn has_artifact(&self, digest: &Digest) -> Result<bool> {
        Ok(stored(&self.state()?, digest).is_dir())
    }
}

/// What runs on the target.
impl Site {
    /// Starts the processes that are to be there and are not.
    pub async fn ensure_running(&self) -> Result<()> {
        let (state, exe) = (self.state()?, own_binary()?);
        self.apart(move || control::ensure_running(&state, &exe)).await
    }

    pub fn is_running(&self) -> Result<bool> {
        Ok(control::is_running(&self.state()?))
    }

    pub fn processes(&self) -> Result<control::KeeperStatus> {
        control::status(&self.state()?).map_err(|e| self.of_control(&e))
    }

    /// Replaces the processes by this program, without dropping a connection.
    pub async fn upgrade(&self) -> Result<control::KeeperStatus> {
        let (state, exe) = (self.state()?, own_binary()?);
        self.apart(move || control::upgrade(&state, &exe)).await
    }

    /// Drains and stops everything. True when there was anything.
    pub async fn stop_everything(&self) -> Result<bool> {
        let (state, exe) = (self.state()?, own_binary()?);
        self.apart(move || control::stop(&state, &exe)).await
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

    /// The engine's target.
    pub fn target(&self, project: &Project) -> Result<Box<dyn Target>> {
        Ok(Box::new(self.local(project)?))
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

    /// Where the counts come from that a judge is fed.
    pub fn metrics(&self, project: &Project, analysis: &Analysis) -> Result<Box<dyn Metrics>> {
        let Some(prometheus) = &analysis.prometheus else {
            return Ok(Box::new(LocalMetrics::new(&self.state()?, analysis.interval.0)));
        };
        let metrics = PrometheusMetrics::new(prometheus, &self.project_dir(project)?)
            .map_err(|e| Failure::split(Exit::Usage, "metrics", &e.to_string()))?;
        Ok(Box::new(metrics))
    }

    /// What is there now; starts nothing.
    pub async fn observe(&self, project: &Project) -> Result<Observed> {
        if !self.is_running()? {
            return Err(Failure::failed(format!(
                "the supervisor of {}/{} is not running",
                self.project, self.environment
            )));
        }
        let seen = self.local(project)?.observe().await;
        seen.map_err(|e| Failure::of_target(&e, &self.environment))
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

fn cannot_read(log: &Log, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {}: {error}", log.file.display()))
}

/// This program; also after it was replaced by a newer one.
pub fn own_binary() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|e| Failure::failed(format!("cannot find out where this program is: {e}")))
}

fn state_root(ctx: &Context) -> Result<PathBuf> {
    if let Some(dir) = &ctx.state_dir {
        return std::path::absolute(dir)
            .map_err(|e| Failure::usage(format!("--state-dir {}: {e}", dir.display())));
    }
    let is_root = rustix::process::geteuid().is_root();
    match set_variable("XDG_STATE_HOME") {
        Some(state) => Ok(Path::new(&state).join("neuroca-deploy")),
        None if is_root => Ok("/var/lib/neuroca-deploy".into()),
        None => Ok(home()?.join(".local/state/neuroca-deploy")),
    }
}

fn key_file() -> Result<PathBuf> {
    let config = match set_variable("XDG_CONFIG_HOME") {
        Some(config) => PathBuf::from(config),
        None => home()?.join(".config"),
    };
    Ok(config.join("neuroca-deploy/key"))
}

fn home() -> Result<PathBuf> {
    match set_variable("HOME") {
        Some(home) => Ok(home.into()),
        // Services of the system are started without it.
        None if rustix::process::geteuid().is_root() => Ok("/root".into()),
        None => Err(Failure::usage("HOME is not set, so there is no place for state and key")
            .hint("set HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME")),
    }
}

fn set_variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
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
