//! Flags that commands share, and the variables that stand for settings. They know no command.

use std::path::PathBuf;

use clap::{ArgAction, Args};

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

/// `PATH=VALUE` from the variables whose name is or begins with `NEUROCA_DEPLOY_SET`.
pub fn set_variables() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name == "NEUROCA_DEPLOY_SET" || name.starts_with("NEUROCA_DEPLOY_SET_"))
        .collect();
    found.sort();
    found
}
