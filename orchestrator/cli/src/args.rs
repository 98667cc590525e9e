//! The command line: the list of subcommands, and a variable for every flag.
//!
//! Each subcommand's own arguments stand in its file; what several of them share, in `flags`.

use std::ffi::OsString;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::flags::Global;

const AFTER: &str = "\
Every flag can be given as a variable, NEUROCA_DEPLOY_<FLAG>: NEUROCA_DEPLOY_LOCK_TIMEOUT=5m.
Settings of an environment: NEUROCA_DEPLOY_SET='PATH=VALUE', and NEUROCA_DEPLOY_SET_2 and so on.
Precedence: flag, variable, environment file, the files that it extends, default.

Exit codes:
  0 done   1 failed   2 changes pending (--detailed-exitcode)   3 the plan is stale
  4 the lock is held   5 turned back   6 refused   7 verification failed   8 stopped without a verdict
  64 usage or project file   130, 143 interrupted";

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy init my-project && cd my-project
  neuroca-deploy plan development
  neuroca-deploy apply development
  neuroca-deploy rollback development";

/// Turns an environment file into a plan, shows it, does exactly that plan without dropping a
/// request, and can always go back.
#[derive(Debug, Parser)]
#[command(name = "neuroca-deploy", version, max_term_width = 100, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{AFTER}"))]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Init(commands::init::Init),
    Doctor(commands::doctor::Doctor),
    Config(commands::config::Config),
    Validate(commands::validate::Validate),
    Render(commands::render::Render),
    Plan(commands::plan::Plan),
    Show(commands::show::Show),
    Apply(commands::apply::Apply),
    Rollback(commands::rollback::Rollback),
    Rollout(commands::rollout::Rollout),
    Judge(commands::judge::Judge),
    Status(commands::status::Status),
    History(commands::history::History),
    Diff(commands::diff::Diff),
    Logs(commands::logs::Logs),
    Restart(commands::restart::Restart),
    Scale(commands::scale::Scale),
    Unlock(commands::unlock::Unlock),
    Rbac(commands::rbac::Rbac),
    Destroy(commands::destroy::Destroy),
    Local(commands::local::Local),
    Completion(commands::completion::Completion),
    Man(commands::man::Man),
    Version(commands::version::Version),
}

impl Verb {
    /// Whether it prints a line of JSON per event rather than one document.
    pub fn streams(&self) -> bool {
        if let Verb::Rollout(rollout) = self {
            return rollout.streams();
        }
        matches!(
            self,
            Verb::Apply(_)
                | Verb::Rollback(_)
                | Verb::Restart(_)
                | Verb::Scale(_)
                | Verb::Destroy(_)
                | Verb::Logs(_)
                | Verb::Judge(_)
        )
    }
}

/// The command line with a variable behind every flag.
pub fn command() -> Command {
    with_variables(Cli::command())
}

/// Parses, or says what clap says.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
}

fn with_variables(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let Some(long) = arg.get_long().filter(|l| !["help", "version", "set"].contains(l))
            else {
                return arg;
            };
            let name = format!("NEUROCA_DEPLOY_{}", long.replace('-', "_").to_uppercase());
            let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
            // clap wants names that live as long as the program; there are some dozens of them.
            let name: &'static str = Box::leak(name.into_boxed_str());
            let arg = arg.env(name).hide_env(true);
            if is_flag { arg.value_parser(FalseyValueParser::new()) } else { arg }
        })
        .mut_subcommands(with_variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &Command, path: &str) {
            for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    help.contains("Example") || sub.has_subcommands(),
                    "{path} has no example in its help"
                );
                check(sub, &path);
            }
        }
        check(&command(), "neuroca-deploy");
    }
}
