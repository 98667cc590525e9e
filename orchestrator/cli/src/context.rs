//! What every command is given: the project, how to print, where state is kept.

use std::future::Future;
use std::io::BufRead;
use std::path::PathBuf;

use crate::error::{Failure, Result};
use crate::flags::Global;
use crate::output::Output;
use crate::project::Project;

/// The surroundings of a command.
#[derive(Debug, Clone)]
pub struct Context {
    pub project: Project,
    pub output: Output,
    pub verbose: u8,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// The whole command line, for those commands that describe it.
    pub command_line: fn() -> clap::Command,
}

impl Context {
    pub fn new(global: &Global, command_line: fn() -> clap::Command) -> Self {
        Self {
            project: Project::find(global.project.as_deref()),
            output: Output::new(global.json, global.no_color),
            verbose: global.verbose,
            state_dir: global.state_dir.clone(),
            command_line,
        }
    }

    /// Runs what has to wait for something; commands that do not have no runtime.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::failed(format!("cannot start: {e}")))?;
        let result = runtime.block_on(work);
        // A thread that reads from the terminal must not keep the command from ending.
        runtime.shutdown_background();
        result
    }

    /// Asks for a yes. Without a terminal the flag has to say it.
    pub fn confirm(&self, yes: bool, question: &str, command: &str) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !self.output.interactive || self.output.json {
            return Err(Failure::usage("nobody is there to ask for approval")
                .hint(format!("pass -y once you have seen the plan: {command} -y")));
        }
        self.output.ask(&format!("{question} [y/N] "));
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        if read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes" | "Yes") {
            return Ok(());
        }
        Err(Failure::new(crate::error::Exit::Stopped, "declined", "not approved; nothing was done"))
    }
}
