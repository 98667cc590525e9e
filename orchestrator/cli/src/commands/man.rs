//! `man`: the man page, or one for each command.

use std::path::PathBuf;

use clap::Args;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy man | man -l -
  neuroca-deploy man --out ~/.local/share/man/man1";

/// Print the man page.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Man {
    /// Write a page for each command into this folder instead.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

impl Man {
    pub fn run(self, ctx: &Context) -> Result {
        // `help COMMAND` says the same as the command's own page.
        let mut command = (ctx.command_line)().disable_help_subcommand(true);
        command.build();
        match &self.out {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command)
                    .render(&mut page)
                    .map_err(|e| Failure::failed(format!("cannot write the man page: {e}")))?;
                ctx.output.data(&String::from_utf8_lossy(&page));
            }
            Some(out) => std::fs::create_dir_all(out)
                .and_then(|()| clap_mangen::generate_to(command, out))
                .map_err(|e| {
                    Failure::failed(format!("cannot write man pages to {}: {e}", out.display()))
                        .hint("check that you may write there")
                })?,
        }
        Ok(Exit::Done)
    }
}
