//! What the keeper does when it is asked.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::protocol::{Answer, KeeperStatus, Listen, ProcessStatus, Request};
use super::{Keeper, end, remains};
use crate::process_id::ProcessId;

/// A request is one short line.
const REQUEST_MAX: u64 = 64 * 1024;
const ASKS_WITHIN: Duration = Duration::from_secs(2);
/// Beyond the drain limit, until an edge is killed.
const LOOKS_AGAIN: Duration = Duration::from_millis(200);
const EDGE_ENDS: Duration = Duration::from_secs(3);

impl Keeper {
    pub(super) fn answer(&mut self, stream: UnixStream) {
        let mut line = String::new();
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(ASKS_WITHIN));
        let read = BufReader::new((&stream).take(REQUEST_MAX)).read_line(&mut line);
        if read.is_err() || line.is_empty() {
            return;
        }
        let answer = match serde_json::from_str(&line) {
            Ok(Request::Upgrade { exe }) => return self.upgrade(&exe, stream),
            Ok(request) => self.do_it(request),
            Err(error) => Answer::Refused(format!("not a request: {error}")),
        };
        reply(stream, &answer);
    }

    fn do_it(&mut self, request: Request) -> Answer {
        let done = match request {
            Request::Reserve { listeners } => {
                listeners.iter().try_for_each(|l| self.sockets.reserve(&l.address))
            }
            Request::Listen { listen } => self.listen(listen),
            Request::Status => return Answer::Status(self.status()),
            Request::Leave if self.service => {
                Err("another service looks after this environment".to_string())
            }
            Request::Leave => {
                tracing::info!("leaving; somebody else takes over");
                self.ending = true;
                Ok(())
            }
            Request::Stop => {
                self.stop_everything();
                Ok(())
            }
            Request::Upgrade { .. } => Ok(()),
        };
        match done {
            Ok(()) => Answer::Done,
            Err(why) => Answer::Refused(why),
        }
    }

    fn listen(&mut self, listen: Listen) -> Result<(), String> {
        let same = self.listen.as_ref().is_some_and(|now| now.listeners == listen.listeners);
        let serves = self.edges.last().is_some_and(|e| !e.draining && e.id.is_alive());
        if same && serves {
            return Ok(());
        }
        let before = self.listen.replace(listen);
        if let Err(why) = self.start_edge() {
            self.listen = before;
            return Err(why);
        }
        let json = serde_json::to_vec(&self.listen).unwrap_or_default();
        self.state
            .replace(&self.state.edge_listen(), &json)
            .map_err(|e| format!("cannot write {}: {e}", self.state.edge_listen().display()))
    }

    fn status(&self) -> KeeperStatus {
        KeeperStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            upgrades: self.upgrades,
            keeper: ProcessStatus::of(std::process::id() as i32),
            supervisor: self.supervisor.id.map(|id| ProcessStatus::of(id.pid)),
            edges: self.edges.iter().map(|e| ProcessStatus::of(e.id.pid)).collect(),
            addresses: self.sockets.addresses(),
        }
    }

    fn upgrade(&mut self, exe: &Path, stream: UnixStream) {
        use std::os::unix::fs::PermissionsExt;
        let usable = std::fs::metadata(exe)
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        if !usable {
            let why = format!("{} is not a program\n  hint: give the new binary", exe.display());
            return reply(stream, &Answer::Refused(why));
        }
        tracing::info!(exe = %exe.display(), "becoming the new program");
        reply(stream, &Answer::Done);
        let error = self.become_program(exe);
        tracing::error!(%error, exe = %exe.display(), "going on with the old program");
    }

    /// Turns clients away, lets what is in flight end, stops components, and ends.
    pub(super) fn stop_everything(&mut self) {
        self.sockets.keep_only(&[]);
        // Nobody gets an answer any more: who asks is not to wait for one.
        let _ = std::fs::remove_file(self.state.keeper_socket());
        let drain = self.listen.as_ref().map_or(Duration::ZERO, Listen::drain_limit);
        for edge in &self.edges {
            edge.id.signal(Signal::TERM);
        }
        let until = Instant::now() + drain + EDGE_ENDS;
        for edge in &self.edges {
            end(edge.id, Signal::TERM, until.saturating_duration_since(Instant::now()));
            edge.remove_sockets(&self.state);
        }
        self.edges.clear();
        let limit =
            self.listen.as_ref().map_or(Duration::ZERO, |l| Duration::from_millis(l.drain_ms));
        if let Err(error) = self.stop_components() {
            tracing::warn!(%error, "telling the components' shims to stop them");
            if let Err(error) = remains::stop(&self.state, limit) {
                tracing::error!(%error, "not everything was stopped");
            }
        }
        if let Some(supervisor) = self.supervisor.id.take() {
            end(supervisor, Signal::TERM, Duration::from_secs(2));
        }
        let _ = std::fs::remove_file(self.state.supervisor_socket());
        self.remember();
        self.ending = true;
    }

    /// The supervisor answers when all of them are gone.
    fn stop_components(&self) -> std::io::Result<()> {
        let gone = || std::io::Error::other("there is no supervisor that could stop components");
        let supervisor = self.supervisor.id.filter(ProcessId::is_alive).ok_or_else(gone)?;
        let mut stream = UnixStream::connect(self.state.supervisor_socket())?;
        stream.write_all(
            b"POST /v1/stop HTTP/1.1\r\nhost: supervisor\r\nconnection: close\r\n\
              content-length: 0\r\n\r\n",
        )?;
        stream.set_read_timeout(Some(LOOKS_AGAIN))?;
        let mut answer = [0; 12];
        loop {
            match stream.read_exact(&mut answer) {
                Ok(()) if answer.starts_with(b"HTTP/1.1 200") => return Ok(()),
                Ok(()) => return Err(std::io::Error::other("the supervisor did not stop them")),
                // It takes as long as the components take, unless nobody is there to answer.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if supervisor.is_stopped() {
                        supervisor.signal(Signal::CONT);
                    }
                    if !supervisor.is_alive() {
                        return Err(gone());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn reply(mut stream: UnixStream, answer: &Answer) {
    let Ok(mut line) = serde_json::to_vec(answer) else { return };
    line.push(b'\n');
    // Who asked may be gone by now.
    let _ = stream.write_all(&line);
}
