//! A real `redis-server` in a folder of its own, that can be killed, silenced and started again at the same
//! port. None where it is not installed: `scripts/test.sh` says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    child: Child,
    options: Vec<String>,
    pub port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    /// Of plain TCP.
    pub fn start() -> Option<Self> {
        let port = free_port();
        Self::with(port, &["--port".into(), port.to_string()])
    }

    /// Of TLS with this certificate and key, PEM.
    pub fn start_tls(certificate: &str, key: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("writes");
            path.display().to_string()
        };
        let (certificate, key) = (file("cert.pem", certificate), file("key.pem", key));
        let port = free_port();
        let options = ["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]
            .into_iter()
            .chain(["--tls-cert-file", &certificate, "--tls-key-file", &key])
            .chain(["--tls-ca-cert-file", &certificate])
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let mut redis = Self::with(port, &options)?;
        redis._dir = dir;
        Some(redis)
    }

    fn with(port: u16, options: &[String]) -> Option<Self> {
        Command::new("redis-server").arg("--version").output().ok()?;
        let dir = tempfile::tempdir().expect("a folder");
        let mut all: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]
                .map(str::to_owned)
                .into();
        all.push(dir.path().display().to_string());
        all.extend_from_slice(options);
        Some(Self { child: launch(&all, port), options: all, port, _dir: dir })
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// After `kill`, where it was; it remembers nothing.
    pub fn restart(&mut self) {
        self.child = launch(&self.options, self.port);
    }

    /// `STOP`: it is there and says nothing. `CONT`: it goes on.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// What it answers to a command without line breaks in its answer, or an array of such.
    pub fn ask(&self, command: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        write!(stream, "{command}\r\nQUIT\r\n").expect("writes");
        let mut text = String::new();
        BufReader::new(stream).read_to_string(&mut text).expect("answers");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(lines.pop().as_deref(), Some("+OK"), "{text}");
        lines
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Already ended is fine; one that is stopped ends as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Waits until it says that it is ready.
fn launch(options: &[String], port: u16) -> Child {
    let until = Instant::now() + Duration::from_secs(30);
    let mut child = Command::new("redis-server")
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server runs");
    let mut log = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("Ready to accept connections") {
        line.clear();
        let read = log.read_line(&mut line).expect("a line");
        assert!(read > 0 && Instant::now() < until, "redis-server does not start at {port}");
    }
    // It must not block on a log that nobody reads.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}
