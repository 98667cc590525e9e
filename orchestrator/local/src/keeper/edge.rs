//! Edge processes: starting one beside another, and letting the other drain.

use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Keeper;
use super::protocol::Listen;
use super::pulse::Pulse;
use crate::layout::StateDir;
use crate::logs;
use crate::process_id::ProcessId;
use crate::spawn::{own_executable, pass_on};

/// How long an edge may take until it answers.
const COMES_UP: Duration = Duration::from_secs(10);

/// An edge and the number in the names of its sockets.
pub(super) struct EdgeProcess {
    pub number: u64,
    pub id: ProcessId,
    pub draining: bool,
    pub pulse: Pulse,
}

impl EdgeProcess {
    pub fn new(number: u64, id: ProcessId, draining: bool) -> Self {
        Self { number, id, draining, pulse: Pulse::default() }
    }

    pub fn remove_sockets(&self, state: &StateDir) {
        for path in [state.edge_socket(self.number), state.edge_handover(self.number)] {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Keeper {
    /// Starts an edge on the sockets of `listen`, waits until it serves, lets the others drain.
    pub(super) fn start_edge(&mut self) -> Result<(), String> {
        let Some(listen) = self.listen.clone() else { return Ok(()) };
        for listener in &listen.listeners {
            self.sockets.listen(&listener.address)?;
        }
        let number = self.next_edge;
        self.next_edge += 1;
        let edge = self.spawn_edge(number, &listen)?;
        for old in &mut self.edges {
            old.id.signal(Signal::TERM);
            old.draining = true;
        }
        self.edges.push(edge);
        self.edge_due.started();
        let wanted: Vec<&str> = listen.listeners.iter().map(|l| l.address.as_str()).collect();
        self.sockets.keep_only(&wanted);
        self.remember();
        Ok(())
    }

    fn spawn_edge(&self, number: u64, listen: &Listen) -> Result<EdgeProcess, String> {
        let failed = |e: &dyn std::fmt::Display| format!("cannot start the edge: {e}");
        let mut command = Command::new(own_executable().map_err(|e| failed(&e))?);
        command.arg("__edge").arg("--state").arg(self.state.path());
        command.args(["--number", &number.to_string()]);
        command.args(["--drain-ms", &listen.drain_limit().as_millis().to_string()]);
        let mut passed: Vec<RawFd> = Vec::new();
        for listener in &listen.listeners {
            let Some(fd) = self.sockets.descriptor(&listener.address) else { continue };
            command.args(["--socket", &format!("{fd}={}", listener.address)]);
            passed.push(fd);
        }
        pass_on(&mut command, passed);
        let mut child = command.stdin(Stdio::null()).spawn().map_err(|e| failed(&e))?;
        let pid = child.id() as i32;
        let Some(id) = ProcessId::of(pid) else {
            let _ = child.wait();
            return Err(self.edge_evidence("it ended at once"));
        };
        let until = Instant::now() + COMES_UP;
        // Its control socket takes connections once it has read its table and certificates.
        while UnixStream::connect(self.state.edge_handover(number)).is_err() {
            if !id.is_alive() {
                let _ = child.wait();
                return Err(self.edge_evidence("it ended"));
            }
            if Instant::now() >= until {
                super::end(id, Signal::TERM, Duration::from_millis(200));
                return Err(self.edge_evidence("it does not come up"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(EdgeProcess::new(number, id, false))
    }

    fn edge_evidence(&self, what: &str) -> String {
        let log = self.state.own_log();
        let mut text = format!("the edge was not started: {what}; {} says", log.display());
        for line in logs::tail(&log, 5).unwrap_or_default() {
            text.push_str(&format!("\n  | {line}"));
        }
        text
    }
}
