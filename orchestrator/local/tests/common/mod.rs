//! A machine of its own for each test: a state directory, components of a few lines, and a guard
//! that leaves no process behind.
#![allow(dead_code)]
#![allow(clippy::print_stderr)] // a failing test shows what the processes logged

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use neuroca_deploy_core::config::model::{Component, Edge, Retention, RolloutPolicy};
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::effect::{Effect, Outcome, Share, Traffic};
use neuroca_deploy_core::observed::{Observed, RevisionObserved};
use neuroca_deploy_core::plan::{InForce, Plan};
use neuroca_deploy_core::release::{
    ComponentRelease, Release, ReleaseId, RevisionId, SecretVersion,
};
use neuroca_deploy_engine::ports::{Epoch, Secrets, StateStore, Target, TargetError, Who};
use neuroca_deploy_local::artifacts::{NoCache, digest_artifact};
use neuroca_deploy_local::{LocalTarget, StateDir, Store, control};

/// A server that says who it is. `/slow` takes a second, `/env` shows its environment.
pub const SERVER: &str = r#"#!/usr/bin/env python3
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow": time.sleep(1)
        body = (str(os.getpid()) + " " + os.environ.get("NAME", "")).encode()
        if self.path == "/env": body = "\n".join(f"{k}={v}" for k, v in os.environ.items()).encode()
        status = 404 if self.path == "/missing" else 200
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): print("asked", self.path, flush=True)
print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

pub struct Machine {
    pub folder: tempfile::TempDir,
    pub state: StateDir,
    pub store: Store,
    pub target: LocalTarget,
    pub exe: PathBuf,
    pub port: u16,
    pub epoch: Epoch,
}

/// The example `processes`, which cargo builds beside the tests.
pub fn processes() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let debug = test.parent().and_then(Path::parent).expect("deps is below the profile's folder");
    debug.join("examples/processes")
}

impl Machine {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::create(&folder.path().join("state")).expect("usable");
        write(&folder.path().join("app/server.py"), SERVER);
        let exe = processes();
        let key = folder.path().join("keys/key");
        let target = LocalTarget::open(&state, folder.path(), &exe, &key).expect("opened");
        let store = Store::open(&state).expect("opened");
        let epoch = store.lock("the test", Duration::ZERO).await.expect("free");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound").port();
        Self { folder, state, store, target, exe, port, epoch }
    }

    /// A component that runs `command` in the folder `app`.
    pub fn component(&self, command: &[&str]) -> Component {
        let json = serde_json::json!({
            "artifact": "app", "command": command, "drain": "500ms",
            "health": { "path": "/", "interval": "100ms", "timeout": "1s" },
            "restart": { "backoff": "50ms" },
        });
        serde_json::from_value(json).expect("a component")
    }

    pub fn server(&self, name: &str) -> Component {
        let mut component = self.component(&["./server.py"]);
        component.env.insert("NAME".into(), name.into());
        component
    }

    pub fn release(&self, components: &[(&str, Component)]) -> Release {
        let components: BTreeMap<_, _> = components
            .iter()
            .map(|(name, spec)| {
                let digest =
                    digest_artifact(self.folder.path(), &spec.artifact, &self.exe, &NoCache);
                let versions = spec.secrets.iter().map(|(variable, reference)| {
                    let version = self.target.secrets().version(reference).expect("readable");
                    (variable.clone(), SecretVersion { reference: reference.clone(), version })
                });
                let component = ComponentRelease {
                    artifact: digest.expect("there"),
                    secrets: versions.collect(),
                    spec: spec.clone(),
                    restarted: None,
                };
                (name.to_string(), component)
            })
            .collect();
        Release {
            project: "test".into(),
            environment: "test".into(),
            version: None,
            components,
            edge: Edge { listen: format!("127.0.0.1:{}", self.port), ..Edge::default() },
            rollout: RolloutPolicy::default(),
            retention: Retention::default(),
            kubernetes: None,
            manifests: Vec::new(),
            rendered: BTreeMap::new(),
        }
    }

    /// Puts the record into the store, as the engine does before the first effect.
    pub async fn record(&self, release: &Release) -> ReleaseId {
        let base = self.store.base().await.expect("readable");
        let plan = Plan::new(base, InForce::default(), release.clone(), false, &|_| None);
        let journal = self.store.begin(self.epoch, &plan, &Who::default()).await.expect("begun");
        self.store.finish(self.epoch, journal, &Outcome::Deployed).await.expect("ended");
        release.id()
    }

    /// Until the target says yes or no, as the engine does.
    pub async fn perform(&self, effect: Effect) -> Result<(), TargetError> {
        let started = Instant::now();
        loop {
            match self.target.perform(self.epoch, &effect).await {
                Err(TargetError::Unreachable(_)) if started.elapsed() < Duration::from_secs(30) => {
                    tokio::time::sleep(Duration::from_millis(20)).await
                }
                result => return result,
            }
        }
    }

    pub async fn stored(&self, release: &Release) -> ReleaseId {
        let id = self.record(release).await;
        for component in release.components.keys() {
            let effect =
                Effect::StoreArtifact { release: id.clone(), component: component.clone() };
            self.perform(effect).await.expect("stored");
        }
        self.perform(Effect::SealSecrets { release: id.clone() }).await.expect("sealed");
        id
    }

    pub async fn start(&self, release: &Release) {
        let id = self.stored(release).await;
        for component in release.components.keys() {
            let revision = release.revision(component).expect("there");
            let effect = Effect::StartRevision {
                release: id.clone(),
                component: component.clone(),
                revision,
            };
            self.perform(effect).await.expect("started");
        }
    }

    /// All traffic on the release.
    pub fn all_on(&self, release: &Release) -> Traffic {
        let shares = release.components.iter().filter(|(_, c)| c.spec.port).map(|(name, c)| {
            (name.clone(), vec![Share { revision: c.revision(name), weight: 100, canary: false }])
        });
        Traffic {
            settings: release.id(),
            shares: shares.collect(),
            header_routes: Vec::new(),
            mirror: 0,
        }
    }

    pub async fn deploy(&self, release: &Release) {
        self.start(release).await;
        for component in release.components.keys() {
            let revision = release.revision(component).expect("there");
            self.until("ready", |o| seen(o, &revision).is_ready()).await;
        }
        self.perform(Effect::Route { traffic: self.all_on(release) }).await.expect("routed");
    }

    /// Waits for an observation; panics with what is seen instead.
    pub async fn until(&self, what: &str, mut is: impl FnMut(&Observed) -> bool) -> Observed {
        let started = Instant::now();
        let mut last = Observed::default();
        while started.elapsed() < Duration::from_secs(20) {
            if let Ok(observed) = self.target.observe().await {
                if is(&observed) {
                    return observed;
                }
                last = observed;
            }
            self.target.changed(last.version, Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.state.own_log()).unwrap_or_default();
        panic!("not {what}: {last:#?}\n{log}");
    }

    /// Processes that still run inside the artifact store.
    pub fn left_in_artifacts(&self) -> Vec<i32> {
        let inside = |entry: &std::fs::DirEntry| {
            std::fs::read_link(entry.path().join("cwd"))
                .is_ok_and(|cwd| cwd.starts_with(self.state.artifacts()))
        };
        let all = std::fs::read_dir("/proc").expect("Linux").flatten();
        all.filter(inside).filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    /// One request to the edge on a connection of its own: status and body.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        get(self.port, path)
    }

    /// The pid and name that the server behind the edge answers with.
    pub fn who(&self) -> (i32, String) {
        let (status, body) = self.get("/").expect("an answer");
        assert_eq!(status, 200, "{body}");
        let (pid, name) = body.split_once(' ').expect("pid and name");
        (pid.parse().expect("a pid"), name.to_string())
    }
}

pub fn seen(observed: &Observed, revision: &RevisionId) -> RevisionObserved {
    observed.revisions.get(revision).cloned().unwrap_or_default()
}

pub fn get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let bad = || std::io::Error::other(format!("not HTTP: {answer:?}"));
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    Ok((status, body.to_string()))
}

pub fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
}

/// The parent of a process; for a component, its shim.
pub fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let after = &stat[stat.rfind(')').expect("a name") + 2..];
    after.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("a parent")
}

pub fn kill(pid: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("killed");
}

pub fn millis(ms: u64) -> Millis {
    Millis(ms)
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.state.own_log()).unwrap_or_default();
            eprintln!("--- {}\n{log}", self.state.own_log().display());
        }
        let _ = control::stop(&self.state, &self.exe);
        // Whatever a failed test left: all of it has the state directory in its command line, or
        // runs inside it.
        let mark = self.state.path().as_os_str().as_encoded_bytes().to_vec();
        for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
                continue;
            };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let inside = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let ours = line.windows(mark.len()).any(|w| w == mark)
                || inside.starts_with(self.state.path());
            if ours
                && pid != std::process::id() as i32
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
