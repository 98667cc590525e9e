//! A real receiver of OpenTelemetry: oteltap prints what it gets, a JSON object a line. `NEUROCA_TEST_OTELTAP` names its
//! program; `scripts/test.sh` says loudly when there is none.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Tap {
    child: Child,
    lines: Receiver<String>,
    pub port: u16,
}

/// A port that is free at this moment.
pub fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

impl Tap {
    /// Ready, or nothing if there is no program.
    pub fn start(port: u16) -> Option<Self> {
        let program = std::env::var("NEUROCA_TEST_OTELTAP").ok()?;
        let mut child = Command::new(program)
            .args(["--port", &port.to_string()])
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("oteltap runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "oteltap does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { child, lines, port })
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every line until one holds all of `wanted`, that one last.
    pub fn until(&self, wanted: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!("nothing with {wanted:?}: {error}; there was {all:#?}")
            });
            let found = wanted.iter().all(|wanted| line.contains(wanted));
            all.push(line);
            if found {
                return all;
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
