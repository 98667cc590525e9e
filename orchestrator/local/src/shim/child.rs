//! Starting the component's process, and learning how it ended.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{End, Limits, Order};
use crate::process_id::ProcessId;

pub(super) struct Child {
    pub id: ProcessId,
    child: std::process::Child,
    output: File,
}

impl Child {
    /// Starts the process in a group of its own, with both outputs in one pipe.
    pub fn start(order: &Order) -> io::Result<Self> {
        let (program, arguments) =
            order.command.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        let errors = write.try_clone()?;
        let limits = rlimits(&order.limits);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&order.directory)
            .env_clear()
            .envs(&order.environment)
            .stdin(Stdio::null())
            .stdout(write)
            .stderr(errors)
            .process_group(0);
        // SAFETY: between fork and exec only system calls are made, on values made before.
        unsafe {
            command.pre_exec(move || {
                for (resource, most) in &limits {
                    let limit = Rlimit { current: Some(*most), maximum: Some(*most) };
                    setrlimit(*resource, limit)?;
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        let pid = child.id() as i32;
        // One that ended already is a zombie until it is waited for: its start time is lost, and
        // nobody can mistake another process for it before that.
        let id = ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 });
        Ok(Self { id, child, output: File::from(read) })
    }

    pub fn output(&self) -> &File {
        &self.output
    }

    /// Output as far as there is any; `Some(0)` at its end, `None` when there is none for now.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.output.read(buffer) {
            Ok(n) => Ok(Some(n)),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How it ended, if it has.
    pub fn try_end(&mut self) -> io::Result<Option<End>> {
        Ok(self.child.try_wait()?.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => End::Status(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        }))
    }
}

fn rlimits(limits: &Limits) -> Vec<(Resource, u64)> {
    [
        (Resource::As, limits.memory),
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, limits.processes),
    ]
    .into_iter()
    .filter_map(|(resource, most)| Some((resource, most?)))
    .collect()
}
