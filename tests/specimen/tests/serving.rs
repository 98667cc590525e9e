//! What a client of the binary sees.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn new(variables: &[(&str, &str)]) -> Self {
        let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = probe.local_addr().expect("an address").port();
        drop(probe);
        let child = Command::new(env!("CARGO_BIN_EXE_specimen"))
            .env("PORT", port.to_string())
            .env("SPECIMEN_VERSION", "two")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .expect("it starts");
        let running = Self { child, port };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "it does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    /// The answer, or as much as came within two seconds.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a limit");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    fn terminate(&self) {
        // It is not waited for yet, so the number is still its own.
        let kill = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_answers_as_it_was_told_and_probes_are_never_harmed() {
    let bad = Running::new(&[("SPECIMEN_ERRORS", "1"), ("SPECIMEN_P50_MS", "300")]);
    let began = Instant::now();
    let text = bad.get("/anything");
    assert!(text.starts_with("HTTP/1.1 500"), "{text}");
    assert!(text.contains("x-nca-revision: two"), "{text}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(bad.get("/health/ready").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_request_that_hangs_gets_no_byte() {
    let hanging = Running::new(&[("SPECIMEN_FAULT_HANG", "1")]);
    assert_eq!(hanging.get("/"), "");
    assert!(hanging.get("/health/ready").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_crash_comes_so_long_after_the_first_request() {
    let mut crashing = Running::new(&[("SPECIMEN_FAULT_CRASH_S", "0.3")]);
    assert!(crashing.get("/health/ready").starts_with("HTTP/1.1 200"));
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    assert!(crashing.get("/").starts_with("HTTP/1.1 200"), "a probe does not start the clock");
    let status = crashing.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(70));
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[test]
fn what_is_in_flight_at_sigterm_is_answered() {
    let mut slow = Running::new(&[("SPECIMEN_P50_MS", "500")]);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| slow.get("/"));
        std::thread::sleep(Duration::from_millis(200));
        slow.terminate();
        assert!(asked.join().expect("asked").starts_with("HTTP/1.1 200"));
    });
    assert_eq!(slow.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_setting_that_means_nothing_is_refused() {
    let run = |name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_specimen"));
        let out = command.env("PORT", "1").env(name, value).output().expect("it runs");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    for (name, value) in [("SPECIMEN_ERRORS", "2"), ("SPECIMEN_P50_MS", "-1"), ("PORT", "many")] {
        let (code, stderr) = run(name, value);
        assert_eq!(code, Some(64), "{name}={value}: {stderr}");
    }
}
