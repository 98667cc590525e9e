//! A project of manifests alone, on a real API server, in a namespace of its own.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Names the kubeconfig of an API server that tests may use.
const API_SERVER: &str = "NEUROCA_TEST_API_SERVER";

/// Names that of a cluster with pods.
const CLUSTER: &str = "NEUROCA_TEST_CLUSTER";

pub struct Project {
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
    /// Of whom the tool is run; the administrator's without one.
    account: Option<PathBuf>,
    pub namespace: String,
}

impl Project {
    /// Nothing when there is no API server to test with.
    pub fn new(name: &str) -> Option<Self> {
        Self::on(API_SERVER, "an API server", name)
    }

    /// Nothing when there is no cluster that runs pods to test with.
    pub fn with_pods(name: &str) -> Option<Self> {
        Self::on(CLUSTER, "a cluster with pods", name)
    }

    fn on(variable: &str, what: &str, name: &str) -> Option<Self> {
        let Some(kubeconfig) = std::env::var_os(variable) else {
            eprintln!("!!! LEFT OUT: {variable} names no kubeconfig of {what}");
            return None;
        };
        let namespace = format!("own-{name}-{}", std::process::id());
        let folder = tempfile::tempdir().expect("a folder");
        let project = Self { folder, kubeconfig: kubeconfig.into(), account: None, namespace };
        let environment = format!(
            "project: {name}\ntarget: kubernetes\nkubernetes: {{namespace: {}}}\ncomponents: {{}}\n",
            project.namespace
        );
        project.write("environments/staging.yaml", &environment);
        Some(project)
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).expect("removed");
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"));
        let kubeconfig = self.account.as_ref().unwrap_or(&self.kubeconfig);
        command.env("KUBECONFIG", kubeconfig).arg("--project").arg(self.folder.path());
        command.arg("--state-dir").arg(self.folder.path().join("state")).args(words);
        command
    }

    /// Runs it, and gives what it printed.
    pub fn run(&self, code: i32, words: &[&str]) -> String {
        let out = self.command(words).output().expect("it runs");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(out.status.code(), Some(code), "{words:?}\n{text}");
        text
    }

    /// Runs it, and gives how it ended and what it printed.
    pub fn run_any(&self, words: &[&str]) -> (Option<i32>, String) {
        let out = self.command(words).output().expect("it runs");
        (out.status.code(), text(&out))
    }

    pub fn apply(&self, code: i32) -> String {
        self.run(code, &["apply", "staging", "-y"])
    }

    pub fn json(&self, words: &[&str]) -> Value {
        let out = self.command(&[&["--json"], words].concat()).output().expect("it runs");
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{words:?}: {e}: {}", text(&out)))
    }

    pub fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace]).args(words);
        command
    }

    pub fn kubectl(&self, words: &[&str]) -> String {
        let out = self.kubectl_command(words).output().expect("kubectl runs");
        assert!(out.status.success(), "{words:?}: {}", text(&out));
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    pub fn kubectl_apply(&self, manifest: &str, words: &[&str]) {
        use std::io::Write;
        let words = [&["apply", "-f", "-"], words].concat();
        let mut command = self.kubectl_command(&words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("kubectl runs");
        child.stdin.take().expect("a pipe").write_all(manifest.as_bytes()).expect("written");
        assert!(child.wait().expect("ends").success(), "{manifest}");
    }

    /// What it says to the standard output, however it ends.
    pub fn kubectl_answer(&self, words: &[&str]) -> String {
        let out = self.kubectl_command(words).output().expect("kubectl runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Applies it, or gives why not.
    pub fn kubectl_tries(&self, manifest: &str, words: &[&str]) -> Result<(), String> {
        let file = self.path("tried.yaml");
        std::fs::write(&file, manifest).expect("written");
        let out = self
            .kubectl_command(&[&["apply", "-f", &file], words].concat())
            .output()
            .expect("kubectl runs");
        if out.status.success() { Ok(()) } else { Err(text(&out)) }
    }

    /// From here on the tool is run by the account that `rbac` made, with a token of it.
    pub fn becomes_the_account(&mut self) {
        let token = self.kubectl(&["create", "token", "neuroca-deploy"]);
        let admin = self.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"]);
        let mut config: Value = serde_json::from_str(&admin).expect("JSON");
        for user in config["users"].as_array_mut().expect("users") {
            user["user"] = serde_json::json!({ "token": token.trim() });
        }
        let file = PathBuf::from(self.path("account.conf"));
        std::fs::write(&file, config.to_string()).expect("written");
        self.account = Some(file);
    }

    /// The names of the objects of a kind that are no part of the tool's state or of every namespace.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let listed = self.kubectl(&["get", kind, "-o", "name"]);
        let names = listed.lines().filter_map(|line| Some(line.rsplit_once('/')?.1.to_string()));
        names.filter(|name| !["kube-root-ca.crt", "default"].contains(&name.as_str())).collect()
    }

    pub fn value(&self, config: &str, key: &str) -> String {
        self.kubectl(&["get", "configmap", config, "-o", &format!("jsonpath={{.data.{key}}}")])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self
            .kubectl_command(&["delete", "namespace", "--wait=false", &self.namespace])
            .output();
    }
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

pub fn config(name: &str, key: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{key}: \"{value}\"}}\n---\n"
    )
}
