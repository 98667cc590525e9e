//! A project of one component with an environment on the test cluster, and a client of its gateway.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

/// Names the kubeconfig of a cluster with pods and a gateway.
const CLUSTER: &str = "NEUROCA_TEST_CLUSTER";
/// Where its gateway listens, if elsewhere than the test cluster's.
const GATEWAY: &str = "NEUROCA_TEST_GATEWAY";

const BASE: &str = "\
project: specimen
components:
  web:
    artifact: none
    command: [./specimen]
    replicas: 2
    drain: 2s
    env: {SPECIMEN_HOST: 0.0.0.0, SPECIMEN_VERSION: one}
    kubernetes: {image: 'cluster.test/specimen:1', cpu: 10m, memory: 32MiB}
";

/// A project with an environment on the cluster.
pub struct Project {
    pub folder: tempfile::TempDir,
    pub kubeconfig: PathBuf,
    pub gateway: String,
    pub namespace: String,
    pub host: String,
}

impl Project {
    /// Nothing when there is no cluster to test with.
    pub fn new(name: &str, rollout: &str) -> Option<Self> {
        let Some(kubeconfig) = std::env::var_os(CLUSTER) else {
            eprintln!("!!! LEFT OUT: {CLUSTER} names no kubeconfig of a cluster with pods");
            return None;
        };
        let gateway = std::env::var(GATEWAY).unwrap_or("10.245.0.2:80".into());
        let namespace = format!("test-{name}-{}", std::process::id());
        let host = format!("{namespace}.example.com");
        let folder = tempfile::tempdir().expect("a folder");
        let project = Self { folder, kubeconfig: kubeconfig.into(), gateway, namespace, host };
        project.write("environments/base.yaml", BASE);
        project.write(
            "environments/staging.yaml",
            &format!(
                "extends: base.yaml\n\
                 target: kubernetes\n\
                 kubernetes:\n  \
                   namespace: {}\n  \
                   gateway: {{name: public, namespace: gateways, hosts: [{}], address: '{}'}}\n\
                 rollout: {{watch: 1s, deadline: 3m, {rollout}}}\n",
                project.namespace, project.host, project.gateway
            ),
        );
        Some(project)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn command_in(&self, state: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"));
        command.env("KUBECONFIG", &self.kubeconfig);
        command.arg("--project").arg(self.folder.path()).arg("--state-dir").arg(state);
        command.args(words);
        command
    }

    pub fn run(&self, code: i32, words: &[&str]) -> String {
        let out = self.command_in(&self.state(), words).output().expect("it runs");
        told(&out, code, words)
    }

    pub fn apply(&self, code: i32, sets: &[&str]) -> String {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let words: Vec<&str> = ["apply", "staging", "-y"].into_iter().chain(sets).collect();
        self.run(code, &words)
    }

    pub fn kubectl(&self, words: &[&str]) -> String {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace]).args(words);
        let out = command.output().expect("kubectl runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    /// Waits for a process that nobody sees to end the rollout.
    pub fn until_ended(&self) {
        let words = ["--json", "rollout", "status", "staging"];
        for _ in 0..600 {
            let out = self.command_in(&self.state(), &words).output().expect("it runs");
            let status: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
            if status["running"] == false {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the rollout does not end");
    }

    /// What a client gets: the status, and which version answered.
    pub fn ask(&self, headers: &str) -> (u16, String) {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.gateway)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(
                stream,
                "GET / HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
                self.host
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().unwrap_or_default();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let version = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("x-nca-revision").then(|| value.trim().to_string())
        });
        (status, version.unwrap_or_default())
    }

    /// Asks all the time while `work` goes on; gives how often each version answered, and what failed.
    pub fn under_load<T>(&self, work: impl FnOnce() -> T) -> (T, BTreeMap<String, u64>, Vec<u16>) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let (mut good, mut bad) = (Vec::new(), Vec::new());
                        while !over.load(Ordering::Relaxed) {
                            match self.ask("") {
                                (200, version) => good.push(version),
                                (status, _) => bad.push(status),
                            }
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        (good, bad)
                    })
                })
                .collect();
            // Also when the work fails: the scope waits for the clients.
            let ends = Ends(&over);
            let value = work();
            drop(ends);
            let (mut by_version, mut failed) = (BTreeMap::new(), Vec::new());
            for client in clients {
                let (good, bad) = client.join().expect("it ends");
                failed.extend(bad);
                for version in good {
                    *by_version.entry(version).or_default() += 1;
                }
            }
            (value, by_version, failed)
        })
    }
}

/// Ends the clients when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["delete", "namespace", "--wait=false", &self.namespace])
            .output();
    }
}

pub fn told(out: &Output, code: i32, words: &[&str]) -> String {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{words:?}\n{stdout}\n{stderr}");
    format!("{stdout}{stderr}")
}
