//! Whether a process that is there also does something: one that was stopped is woken, and one that
//! does not answer any more is to be ended, so that the next takes its place.
//!
//! It never blocks: a question is left open until the next look.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect};
use rustix::process::Signal;

use super::Keeper;
use crate::process_id::ProcessId;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A process that leaves a question open for so long does not answer. Slow disks take seconds.
const SILENT: Duration = Duration::from_secs(15);

const OF_SUPERVISOR: &str = "/v1/process";
const OF_EDGE: &str = "/status";

/// What is known of one process.
#[derive(Default)]
pub(super) struct Pulse {
    looked: Option<Instant>,
    was_stopped: bool,
    asked: Option<(Instant, UnixStream)>,
}

impl Keeper {
    /// Wakes what was stopped and ends what is stuck; their end is then seen like any other.
    pub(super) fn feel_pulses(&mut self) {
        let now = Instant::now();
        if let Some(id) = self.supervisor.id {
            let socket = self.state.supervisor_socket();
            self.supervisor.pulse.feel("the supervisor", id, &socket, OF_SUPERVISOR, now);
        }
        for edge in &mut self.edges {
            let socket = self.state.edge_socket(edge.number);
            edge.pulse.feel("the edge", edge.id, &socket, OF_EDGE, now);
        }
    }
}

impl Pulse {
    fn feel(&mut self, name: &str, id: ProcessId, socket: &Path, path: &str, now: Instant) {
        let since = self.looked.map(|at| now - at);
        if since.is_some_and(|since| since < LOOK) {
            return;
        }
        self.looked = Some(now);
        let stopped = id.is_stopped();
        if stopped && self.was_stopped {
            tracing::warn!(pid = id.pid, "{name} was stopped; waking it");
            id.signal(Signal::CONT);
        }
        self.was_stopped = stopped;
        // This process may have been stopped itself, or the whole machine.
        let was_away = since.is_some_and(|since| since > LOOK * 3);
        match &mut self.asked {
            Some((at, _)) if was_away => *at = now,
            Some((at, stream)) => match stream.read(&mut [0; 64]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if now - *at >= SILENT {
                        tracing::error!(pid = id.pid, "{name} does not answer; ending it");
                        id.signal(Signal::KILL);
                        self.asked = None;
                    }
                }
                _ => self.asked = None,
            },
            // One that is not up yet is waited for elsewhere.
            None => self.asked = ask(socket, path).ok().map(|stream| (now, stream)),
        }
    }
}

/// Leaves a question. Where nobody takes connections any more the backlog fills up, and to wait for a
/// place in it would be to wait for ever.
fn ask(path: &Path, question: &str) -> io::Result<UnixStream> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut stream = UnixStream::from(socket);
    write!(stream, "GET {question} HTTP/1.1\r\nhost: keeper\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    use super::*;

    struct Silent {
        folder: tempfile::TempDir,
        listener: UnixListener,
        child: Child,
    }

    impl Silent {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let listener = UnixListener::bind(folder.path().join("socket")).expect("bound");
            let child = Command::new("sleep").arg("60").spawn().expect("sleep runs");
            Self { folder, listener, child }
        }

        /// Looks at these seconds.
        fn looked_at(self, seconds: impl IntoIterator<Item = u64>) -> Self {
            let id = ProcessId::of(self.child.id() as i32).expect("alive");
            let (mut pulse, began) = (Pulse::default(), Instant::now());
            for second in seconds {
                let now = began + Duration::from_secs(second);
                pulse.feel("it", id, &self.folder.path().join("socket"), "/status", now);
            }
            self
        }

        fn lives(&mut self) -> bool {
            self.child.try_wait().expect("a child").is_none()
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn one_that_does_not_answer_is_ended_and_not_before_its_time() {
        assert!(Silent::new().looked_at(0..=14).lives());
        let end = Silent::new().looked_at(0..=16).child.wait().expect("a child");
        assert_eq!(end.signal(), Some(9));
    }

    #[test]
    fn one_that_answers_is_left_alone() {
        let mut answers = Silent::new();
        let listener = answers.listener.try_clone().expect("cloned");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            }
        });
        let id = ProcessId::of(answers.child.id() as i32).expect("alive");
        let (mut pulse, began) = (Pulse::default(), Instant::now());
        let socket = answers.folder.path().join("socket");
        for second in 0..60 {
            // The answer to the question before this one is waited for.
            if let Some((_, stream)) = &pulse.asked {
                stream.set_nonblocking(false).expect("set");
                stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
            }
            pulse.feel("it", id, &socket, "/status", began + Duration::from_secs(second));
        }
        assert!(answers.lives());
    }

    #[test]
    fn time_that_the_keeper_was_away_does_not_count() {
        assert!(Silent::new().looked_at([0, 1, 2, 60, 61, 120, 121]).lives());
    }
}
