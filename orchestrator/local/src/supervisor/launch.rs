//! Starting shims, and finding those that run already.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use neuroca_deploy_core::release::{Release, RevisionId};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Supervisor;
use crate::artifacts;
use crate::layout::StateDir;
use crate::process_id::ProcessId;
use crate::secrets;
use crate::shim::{self, Limits, LogOrder, Order, Report};
use crate::spawn::own_executable;
use crate::store::Wanted;

/// Settings that the command leaves for the supervisor.
pub(crate) const KEY_SETTING: &str = "key";
pub(crate) const PROJECT_SETTING: &str = "project";

/// How long a shim may take until it says what it started.
const SHIM_ANSWERS: Duration = Duration::from_secs(20);

/// The name of a replica's marks in `run`.
pub fn instance(revision: &RevisionId, index: u32) -> String {
    format!("{revision}.{index}")
}

/// What a command of the component gets to see and may use.
pub fn order(
    supervisor: &Supervisor,
    release: &Release,
    component: &str,
    command: &[String],
    port: Option<u16>,
) -> Result<Order, String> {
    let spec = release
        .components
        .get(component)
        .ok_or_else(|| format!("the release has no component {component}"))?;
    let state = &supervisor.state;
    let key = supervisor.store.setting(KEY_SETTING).map_err(|e| e.to_string())?;
    let key = std::path::PathBuf::from(key.unwrap_or_default());
    let secrets =
        secrets::open(&supervisor.store, &key, release, component).map_err(|e| e.to_string())?;
    let directory = artifacts::stored(state, &spec.artifact);
    if !directory.is_dir() {
        return Err(format!(
            "the artifact {} of {component} is not in the store\n  hint: apply the environment again",
            spec.artifact.short(12)
        ));
    }
    let data = state.data();
    let mut environment: BTreeMap<String, String> =
        artifacts::environment_for_programs().into_iter().collect();
    for (name, value) in &spec.spec.env {
        environment.insert(name.clone(), value.replace("${data_dir}", &data.to_string_lossy()));
    }
    if spec.spec.artifact == artifacts::BUNDLED {
        let revision = spec.revision(component).0;
        environment.entry("NEUROCA_REVISION".into()).or_insert(revision);
    }
    if let Some(port) = port {
        environment.insert("PORT".into(), port.to_string());
    }
    let hidden = secrets.values().cloned().collect();
    environment.extend(secrets);
    let (limits, logs) = (&spec.spec.limits, &spec.spec.logs);
    Ok(Order {
        instance: String::new(),
        command: command.to_vec(),
        directory,
        environment,
        hidden,
        port,
        log: LogOrder {
            file: std::path::PathBuf::new(),
            max_size: logs.max_size.0,
            keep: logs.keep,
            fresh: false,
        },
        limits: Limits {
            memory: limits.memory.map(|b| b.0),
            open_files: limits.open_files,
            processes: limits.processes,
        },
        stop_timeout_ms: spec.spec.drain.0,
        time_limit_ms: None,
    })
}

/// A port that nobody listens on now.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Starts a shim and returns what it says of its process. `None` when another shim has the
/// instance already.
pub async fn start(state: &StateDir, order: Order) -> io::Result<Option<Report>> {
    let mut command = Command::new(own_executable()?);
    command
        .arg("__shim")
        .arg("--state")
        .arg(state.path())
        .arg("--instance")
        .arg(&order.instance)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let shim = ProcessId { pid: child.id() as i32, start: 0 };
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut text = serde_json::to_vec(&order).map_err(io::Error::other)?;
    if let Some(mut stdin) = stdin {
        let written = stdin.write_all(&text);
        text.fill(0);
        written?;
    }
    let Some(stdout) = stdout else { return Err(io::Error::other("the shim has no output")) };
    let stdout = tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(stdout))?;
    let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
    match tokio::time::timeout(SHIM_ANSWERS, stdout.read_line(&mut line)).await {
        Ok(read) => read?,
        Err(_) => return Err(io::Error::other("the shim does not say what it started")),
    };
    if line.is_empty() {
        let status = tokio::task::spawn_blocking(move || child.wait()).await;
        let status = status.map_err(io::Error::other)??;
        if status.code() == Some(i32::from(shim::TAKEN)) {
            return Ok(None);
        }
        return Err(io::Error::other(format!("the shim ended: {status}")));
    }
    let report: Report = serde_json::from_str(&line).map_err(io::Error::other)?;
    if report.process.is_none() {
        tokio::task::spawn_blocking(move || child.wait());
    }
    tracing::debug!(pid = shim.pid, instance = order.instance, "started");
    Ok(Some(report))
}

/// The instance as it runs now, if a shim has it. One that is just starting is waited for.
pub async fn adopt(state: &StateDir, instance: &str) -> Option<Report> {
    for _ in 0..200 {
        if !shim::is_held(state, instance) {
            end_orphan(state, instance).await;
            return None;
        }
        let report = shim::report(state, instance).filter(|r| r.shim.is_alive());
        if let Some(report) = report {
            return Some(report);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// A process whose shim was killed has lost its log and its exit status: it is ended.
pub async fn end_orphan(state: &StateDir, instance: &str) {
    let Some(report) = shim::report(state, instance) else { return };
    let Some(process) = report.process.filter(|p| report.ended.is_none() && p.is_alive()) else {
        return;
    };
    tracing::warn!(instance, pid = process.pid, "its shim is gone; ending it");
    process.signal_group(Signal::TERM);
    if tokio::time::timeout(Duration::from_secs(2), process.ended()).await.is_err() {
        process.signal_group(Signal::KILL);
    }
}

/// Removes the marks of an instance that is not wanted any more and has ended.
pub fn forget(state: &StateDir, instance: &str) {
    for path in [state.instance_record(instance), state.instance_lock(instance)] {
        let _ = std::fs::remove_file(path);
    }
}

/// Ends the hooks that run now.
pub fn end_hooks(state: &StateDir) {
    let Ok(listing) = std::fs::read_dir(state.run()) else { return };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(instance) = name.strip_suffix(".lock").filter(|i| i.starts_with("job.")) else {
            continue;
        };
        if !instance.ends_with(".migrate")
            && let Some(report) = shim::report(state, instance).filter(|r| r.shim.is_alive())
        {
            tracing::info!(instance, "everything is to stop; ending it");
            report.shim.signal(Signal::TERM);
        }
    }
}

/// Ends what runs though nothing wants it: a supervisor died while it stopped that.
pub fn end_unwanted(state: &StateDir, wanted: &BTreeMap<RevisionId, Wanted>) {
    let Ok(listing) = std::fs::read_dir(state.run()) else { return };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(instance) = name.strip_suffix(".lock") else { continue };
        let Some((revision, index)) = instance.rsplit_once('.') else { continue };
        // Jobs end by themselves, and the effect that asked for them comes again.
        let Ok(index) = index.parse::<u32>() else { continue };
        let keep = wanted.get(&RevisionId(revision.into())).is_some_and(|w| index < w.replicas);
        if keep || !shim::is_held(state, instance) {
            continue;
        }
        if let Some(report) = shim::report(state, instance) {
            tracing::info!(instance, "nothing wants it; stopping it");
            report.shim.signal(Signal::TERM);
        }
    }
}
