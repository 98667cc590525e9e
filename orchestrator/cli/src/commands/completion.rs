//! `completion`: a completion script for a shell.

use clap::Args;
use clap_complete::Shell;

use crate::context::Context;
use crate::error::{Exit, Result};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy completion bash > ~/.local/share/bash-completion/completions/neuroca-deploy
  neuroca-deploy completion zsh > ~/.zfunc/_neuroca-deploy";

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Completion {
    shell: Shell,
}

impl Completion {
    pub fn run(self, ctx: &Context) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut (ctx.command_line)(),
            "neuroca-deploy",
            &mut script,
        );
        ctx.output.data(&String::from_utf8_lossy(&script));
        Ok(Exit::Done)
    }
}
