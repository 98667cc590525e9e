//! Where an environment's things lie on this machine, whatever its target is.

use std::path::{Path, PathBuf};

use neuroca_deploy_local::StateDir;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};

/// An environment of a project, and its folders.
#[derive(Debug, Clone)]
pub struct Place {
    pub project: String,
    pub environment: String,
    /// The state folder.
    pub dir: PathBuf,
    /// The folder that holds the state of all environments.
    pub root: PathBuf,
    /// The file with the key that seals secrets.
    pub key: PathBuf,
}

impl Place {
    pub fn new(ctx: &Context, project: &str, environment: &str) -> Result<Self> {
        let root = state_root(ctx)?;
        Ok(Self {
            project: project.to_string(),
            environment: environment.to_string(),
            dir: root.join(project).join(environment),
            root,
            key: key_file()?,
        })
    }

    /// The state folder, made if need be.
    pub fn state(&self) -> Result<StateDir> {
        StateDir::create(&self.dir)
            .map_err(|e| Failure::split(Exit::Failed, "state", &e.to_string()))
    }
}

/// The projects that have something of an environment of this name here, sorted.
pub fn projects_with(
    ctx: &Context,
    environment: &str,
    has: impl Fn(&Path) -> bool,
) -> Result<(PathBuf, Vec<String>)> {
    let root = state_root(ctx)?;
    let mut found: Vec<String> = std::fs::read_dir(&root)
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| has(&entry.path().join(environment)))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    Ok((root, found))
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
