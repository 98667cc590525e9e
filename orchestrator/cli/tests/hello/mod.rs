//! A project with a small component in Python, deployed by the real binary into folders of its own.
#![allow(dead_code)] // each test binary uses a part of it

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SERVER: &str = r#"
import http.server, os, signal, sys, threading, time
for n in range(int(os.environ.get("LINES", "0"))): print("line", n)
fails, count = int(os.environ.get("FAILS", "0")), 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        if os.environ.get("TRACE"): print("asked", self.path, flush=True)
        if self.path == "/health/ready" and os.environ.get("SICK"):
            self.answer(503, os.environ["SICK"])
        elif self.path == "/missing":
            self.answer(404, "nothing is here")
        elif self.path == "/silent":
            time.sleep(60)
        elif self.path == "/die":
            print("last words", flush=True)
            os._exit(7)
        elif self.path == "/secret":
            self.answer(200, os.environ.get("TOKEN", "none"))
        elif fails and self.path == "/" and self.is_nth():
            self.answer(500, "out of order")
        else:
            self.answer(200, os.environ.get("GREETING", "?"))
    def is_nth(self):
        global count
        count += 1
        return count % fails == 0
    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
time.sleep(float(os.environ.get("SLOW", "0")))
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
deaf = os.environ.get("DEAF")
signal.signal(signal.SIGTERM, lambda *_: deaf or threading.Thread(target=server.shutdown).start())
print("listening as", os.environ.get("GREETING"), flush=True)
server.serve_forever()
"#;

pub const BINARY: &str = env!("CARGO_BIN_EXE_neuroca-deploy");

/// A project, and whatever it started: that is stopped when this goes.
pub struct Hello {
    folder: tempfile::TempDir,
    pub port: u16,
    /// Words before each command, for example those that give it mounts of its own.
    pub before: Vec<String>,
    /// Variables of each command.
    pub variables: Vec<(String, String)>,
}

impl Hello {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hello").tempdir().expect("a folder");
        let port = free_port();
        let hello = Self { folder, port, before: Vec::new(), variables: Vec::new() };
        hello.write("app/server.py", SERVER);
        hello.write(
            "environments/base.yaml",
            &format!(
                "project: hello\n\
                 edge: {{listen: \"127.0.0.1:{port}\"}}\n\
                 rollout: {{watch: 100ms, deadline: 30s, rollback_window: 1m}}\n\
                 components:\n  \
                   hello:\n    \
                     artifact: app\n    \
                     command: [python3, server.py]\n    \
                     health: {{path: /health/ready, interval: 50ms, start_timeout: 10s}}\n    \
                     drain: 1s\n    \
                     env: {{GREETING: one}}\n"
            ),
        );
        hello.write("environments/development.yaml", "extends: base.yaml\n");
        hello
    }

    /// The project's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder of the environment.
    pub fn state(&self) -> PathBuf {
        self.path().join("state/hello/development")
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, content).expect("a file");
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut all = self.before.iter().map(String::as_str).chain([BINARY]);
        let mut command = Command::new(all.next().expect("one at least"));
        command
            .args(all)
            .args(words)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("USER", "tester")
            .env("NEUROCA_DEPLOY_STATE_DIR", self.path().join("state"))
            .envs(self.variables.iter().cloned());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the binary runs")
    }

    /// Runs a command that has to end with this exit code; gives stdout and stderr.
    pub fn expect(&self, exit: i32, words: &[&str]) -> (String, String) {
        told(exit, words, self.run(words))
    }

    /// `apply development -y` with settings.
    pub fn apply(&self, exit: i32, sets: &[&str]) -> (String, String) {
        self.expect(exit, &apply_words(sets))
    }

    /// The same, in the background.
    pub fn begin(&self, sets: &[&str]) -> Child {
        let mut command = self.command(&apply_words(sets));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }

    /// One JSON document.
    pub fn json(&self, words: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(words);
        let (stdout, _) = self.expect(0, &all);
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{words:?}: {e}: {stdout}"))
    }

    /// Who answers a client.
    pub fn answer(&self) -> String {
        self.get("/")
    }

    /// Whether a client gets a good answer at all.
    pub fn is_answering(&self) -> bool {
        self.ask("/").is_some_and(|text| text.starts_with("HTTP/1.1 200"))
    }

    /// The body of a good answer to a request with this header line.
    pub fn get_with(&self, path: &str, header: &str) -> String {
        body(&self.ask_with(path, &format!("{header}\r\n")).expect("the edge listens"))
    }

    /// One request on a connection of its own: the whole answer, as far as it came.
    pub fn ask(&self, path: &str) -> Option<String> {
        self.ask_with(path, "")
    }

    fn ask_with(&self, path: &str, headers: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: hello\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        Some(text)
    }

    /// The processes that run inside the artifacts of the environment.
    pub fn component_pids(&self) -> BTreeSet<i32> {
        let artifacts = self.state().join("artifacts").canonicalize().expect("there");
        let all = std::fs::read_dir("/proc").expect("Linux").flatten();
        all.filter(|e| {
            std::fs::read_link(e.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&artifacts))
        })
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
    }

    /// The log in which a component says that it listens as this.
    pub fn log_of(&self, greeting: &str) -> String {
        let said = format!("listening as {greeting}\n");
        let folders = std::fs::read_dir(self.state().join("logs")).expect("logs").flatten();
        let mut texts =
            folders.filter_map(|f| std::fs::read_to_string(f.path().join("0.log")).ok());
        texts.find(|text| text.contains(&said)).expect("it has said so")
    }

    pub fn get(&self, path: &str) -> String {
        body(&self.ask(path).expect("the edge listens"))
    }

    /// Waits until somebody drives a rollout and it is in this phase.
    pub fn until_phase(&self, phase: &str) {
        let what = format!("the phase {phase}");
        until(&what, || {
            let now = self.json(&["rollout", "status", "development"]);
            now["phase"] == phase && now["driver"].is_string()
        });
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        if self.state().exists() || !self.before.is_empty() {
            let _ = self.run(&["local", "stop", "development"]);
        }
    }
}

fn apply_words<'a>(sets: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["apply", "development", "-y"];
    words.extend(sets.iter().flat_map(|set| ["--set", set]));
    words
}

fn body(text: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    body.to_string()
}

/// Checks the exit code; gives stdout and stderr.
pub fn told(exit: i32, words: &[&str], out: Output) -> (String, String) {
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(exit), "{words:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

/// Waits for a condition of another process.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address").port()
}

/// Sends a signal to a process that this test started.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("it is there");
}

/// SIGKILL of a process of the environment.
pub fn kill(pid: Option<i64>) {
    let pid = pid.and_then(|pid| rustix::process::Pid::from_raw(pid as i32)).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was there");
}
