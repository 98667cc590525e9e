//! The command line: global flags, the list of subcommands, and a variable for every flag.
//!
//! Each subcommand's own arguments stand in its file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;

const AFTER: &str = "\
Every flag can be given as a variable, NEUROCA_DEPLOY_<FLAG>: NEUROCA_DEPLOY_LOCK_TIMEOUT=5m.
Settings of an environment: NEUROCA_DEPLOY_SET='PATH=VALUE', and NEUROCA_DEPLOY_SET_2 and so on.
Precedence: flag, variable, environment file, the files that it extends, default.

Exit codes:
  0 done   1 failed   2 changes pending (--detailed-exitcode)   3 the plan is stale
  4 the lock is held   5 turned back   7 verification failed   8 stopped without a verdict
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

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Folder with environments/, templates/ and artifacts/ (default: here, or the nearest above).
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub project: Option<PathBuf>,
    /// Print one versioned JSON document, or a line of JSON per event.
    #[arg(long, global = true)]
    pub json: bool,
    /// No colours (NO_COLOR does the same).
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Keep state in DIR/PROJECT/ENV.
    ///
    /// Without it: /var/lib/neuroca-deploy for root, $XDG_STATE_HOME/neuroca-deploy or
    /// ~/.local/state/neuroca-deploy for others.
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
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

/// What an environment is made from, besides its files.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Deploy the artifacts that artifacts/VERSION.yaml names.
    #[arg(long, value_name = "VERSION")]
    pub release: Option<String>,
    /// Set one setting, for example components.api.replicas=3; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
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

/// `PATH=VALUE` from the variables whose name is or begins with `NEUROCA_DEPLOY_SET`.
pub fn set_variables() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name == "NEUROCA_DEPLOY_SET" || name.starts_with("NEUROCA_DEPLOY_SET_"))
        .collect();
    found.sort();
    found
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
