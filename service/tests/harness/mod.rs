//! Runs the real binary and speaks HTTP/1.1 to it over a plain socket, without retries.

#![allow(dead_code, reason = "each test binary uses its part of this")]

pub mod database;
pub mod embedder;
pub mod model;
pub mod redis;
pub mod tap;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// `neuroca VERB` with the database in `dir` and nothing of our own environment.
pub fn neuroca(dir: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuroca"));
    command
        .arg(verb)
        .env_clear()
        .env("PORT", "0")
        .env("NEUROCA_DB_URL", format!("sqlite://{}", dir.join("neuroca.db").display()));
    command
}

pub fn migrate(dir: &Path) {
    let output = neuroca(dir, "migrate").output().expect("neuroca runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with a migrated database.
pub fn migrated() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    migrate(dir.path());
    dir
}

/// The setting without which nobody is asked for a key.
pub const REQUIRED: (&str, &str) = ("NEUROCA_AUTH", "required");

/// A new API key, as `neuroca keys create` prints it.
pub fn key(dir: &Path, tenant: &str, role: &str) -> String {
    let output = neuroca(dir, "keys")
        .args(["create", "--tenant", tenant, "--name", role, "--role", role])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// A running `serve` or `worker`; killed when dropped.
pub struct Running {
    child: Child,
    lines: Mutex<Receiver<String>>,
    pub address: String,
}

impl Running {
    /// Starts `serve` and waits until it says that it is ready.
    pub fn serve(dir: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = neuroca(dir, "serve");
        command.envs(env.iter().copied());
        let mut running = Self::start(command);
        running.address = running.line("listening")["address"].as_str().expect("text").to_owned();
        running.line("ready");
        running
    }

    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("neuroca runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        Self { child, lines: Mutex::new(lines), address: String::new() }
    }

    /// Waits for the log line with this message.
    pub fn line(&mut self, message: &str) -> Value {
        loop {
            let line = self
                .lines
                .get_mut()
                .expect("not poisoned")
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|error| panic!("no log line {message:?}: {error}"));
            let value: Value = serde_json::from_str(&line).expect("a JSON log line");
            if value["message"] == message {
                return value;
            }
        }
    }

    /// All that it still says, until it ends.
    pub fn rest(&mut self) -> String {
        let lines = self.lines.get_mut().expect("not poisoned");
        let mut all = String::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            all.push_str(&line);
            all.push('\n');
        }
        all
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.address).expect("a connection")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().request("GET", path, &[], "")
    }

    pub fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.connect().request("POST", "/v1/memories", headers, body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection.
pub struct Connection(pub BufReader<TcpStream>);

impl Connection {
    pub fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("sent");
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.try_request(method, path, headers, body).expect("an answer")
    }

    pub fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        if method == "POST" && !headers.iter().any(|(name, _)| *name == "content-type") {
            text.push_str("content-type: application/json\r\n");
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        self.0.get_mut().write_all(text.as_bytes())?;
        self.answer()
    }

    pub fn answer(&mut self) -> std::io::Result<Answer> {
        let status = self.read_line()?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| std::io::Error::other(format!("no status line: {status:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        if let Some(length) = answer.header("content-length").and_then(|text| text.parse().ok()) {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body)?;
            answer.body = String::from_utf8(body).expect("UTF-8");
        }
        Ok(answer)
    }

    pub fn read_line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable name of a problem.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        let kind = json["type"].as_str().expect("a type");
        kind.trim_start_matches("urn:neuroca:problem:").to_owned()
    }
}
