//! The programs inside the one binary: `__keeper`, `__supervisor`, `__edge` and `__shim`.

use std::ffi::OsString;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::edge_process::{self, Given};
use crate::keeper::{self, KeeperFailed};
use crate::layout::{LayoutError, StateDir};
use crate::shim;
use crate::supervisor::{self, SupervisorError};

/// Why one of them ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{0} is started by neuroca-deploy itself: {1}")]
    Usage(&'static str, String),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("the keeper failed: {0}")]
    Keeper(#[from] KeeperFailed),
    #[error("the supervisor failed: {0}")]
    Supervisor(#[from] SupervisorError),
    #[error("the edge failed: {0}")]
    Edge(#[from] neuroca_deploy_edge::EdgeError),
    #[error("the shim failed: {0}")]
    Shim(std::io::Error),
}

/// Runs the hidden program named by the first argument; `None` when it names none. Gives the exit
/// code.
pub fn run(arguments: &[OsString]) -> Option<Result<u8, ProcessError>> {
    let (name, rest) = arguments.split_first()?;
    let rest = Arguments(rest);
    Some(match name.to_str()? {
        "__keeper" => keeper_main(rest),
        "__supervisor" => supervisor_main(rest),
        "__edge" => edge_main(rest),
        "__shim" => shim_main(rest),
        _ => return None,
    })
}

/// Runs the keeper in the foreground, as a service manager wants it. Returns when it is told to
/// stop. One that was started on demand makes place; another service does not, and is waited for.
pub fn keep(state: &std::path::Path) -> Result<(), ProcessError> {
    const LOOK: Duration = Duration::from_secs(1);
    let state = StateDir::create(state)?;
    let mut told = false;
    while !keeper::run(state.clone(), false, true)? {
        match keeper::client::leave(&state) {
            // It lets go of its lock a moment later.
            Ok(()) => std::thread::sleep(Duration::from_millis(5)),
            Err(why) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%why, "waiting until nobody else looks after it");
                }
                std::thread::sleep(LOOK);
            }
        }
    }
    Ok(())
}

fn keeper_main(arguments: Arguments<'_>) -> Result<u8, ProcessError> {
    let state = arguments.state("__keeper")?;
    keeper::run(state, arguments.has("--resume"), arguments.has("--service"))?;
    Ok(0)
}

fn supervisor_main(arguments: Arguments<'_>) -> Result<u8, ProcessError> {
    let state = arguments.state("__supervisor")?;
    let fd: RawFd = arguments.number("__supervisor", "--socket")?;
    // SAFETY: the keeper passed it on to this process, and nobody else here has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let _ = rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC);
    supervisor::run(state, UnixListener::from(socket))?;
    Ok(0)
}

fn edge_main(arguments: Arguments<'_>) -> Result<u8, ProcessError> {
    const NAME: &str = "__edge";
    let state = arguments.state(NAME)?;
    let sockets = arguments
        .all("--socket")
        .map(|text| {
            let (fd, address) = text.split_once('=').unwrap_or_default();
            let fd = fd.parse().map_err(|_| ProcessError::Usage(NAME, text.clone()))?;
            Ok((address.to_string(), fd))
        })
        .collect::<Result<_, ProcessError>>()?;
    let given = Given {
        number: arguments.number(NAME, "--number")?,
        drain: Duration::from_millis(arguments.number(NAME, "--drain-ms")?),
        sockets,
    };
    edge_process::run(&state, given)?;
    Ok(0)
}

fn shim_main(arguments: Arguments<'_>) -> Result<u8, ProcessError> {
    let state = arguments.state("__shim")?;
    let instance = arguments.text("__shim", "--instance")?;
    shim::run(&state, &instance).map_err(ProcessError::Shim)
}

/// `--name value` pairs that this crate itself wrote.
#[derive(Clone, Copy)]
struct Arguments<'a>(&'a [OsString]);

impl Arguments<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|a| a == name)
    }

    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = String> + 'b {
        let named = self.0.windows(2).filter(move |pair| pair[0] == name);
        named.map(|pair| pair[1].to_string_lossy().into_owned())
    }

    fn text(&self, program: &'static str, name: &str) -> Result<String, ProcessError> {
        let missing = || ProcessError::Usage(program, format!("{name} is missing"));
        self.all(name).next().ok_or_else(missing)
    }

    fn number<T: std::str::FromStr>(
        &self,
        program: &'static str,
        name: &str,
    ) -> Result<T, ProcessError> {
        let text = self.text(program, name)?;
        text.parse().map_err(|_| ProcessError::Usage(program, format!("{name} {text}")))
    }

    fn state(&self, program: &'static str) -> Result<StateDir, ProcessError> {
        let at = self.0.iter().position(|a| a == "--state").and_then(|n| self.0.get(n + 1));
        let path = at.ok_or_else(|| ProcessError::Usage(program, "--state is missing".into()))?;
        Ok(StateDir::create(path.as_ref())?)
    }
}
