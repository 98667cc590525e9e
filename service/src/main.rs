//! The binary `neuroca`: reads the command line and the environment, calls, and exits.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use neuroca::config::{NAMES, Settings};
use neuroca::keys_command::{Keys, Of, audit, keys};
use neuroca::lifecycle::Shutdown;
use neuroca::maintenance_command::{Maintenance, maintenance};
use neuroca::serve::ServeError;
use neuroca::store::{Migrated, MigrationStatus, OpenError, Repository, open_with};
use neuroca::telemetry::Telemetry;

const FAILED: u8 = 1;
/// As the orchestrator's: usage or configuration.
const MISCONFIGURED: u8 = 64;

/// The NCA memory service. Configured by NEUROCA_* variables, PORT and HOST.
#[derive(Parser)]
#[command(name = "neuroca", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve the API on HOST (127.0.0.1) and PORT (8000) until SIGTERM
    Serve,
    /// Remove expired memories until SIGTERM
    Worker,
    /// Bring the database to the schema of this version
    Migrate,
    /// Show which migrations the database has
    Status,
    /// Undo the last migration, if that loses nothing
    Rollback,
    /// Make, list, rotate and end API keys
    Keys {
        #[command(subcommand)]
        verb: Keys,
    },
    /// Print the audit log as JSON lines; fails if it is not as it was written
    Audit {
        #[command(flatten)]
        of: Of,
        /// Fail, too, if there is no entry with this hash: one that was noted somewhere else
        #[arg(long, value_name = "HASH")]
        expect: Option<String>,
    },
    /// Refuse what changes something (read-only) or everything (full) until it is off again; without a
    /// mode, show what holds
    Maintenance(Maintenance),
    /// Print the OpenAPI document of the API
    Openapi,
    /// Print the known NEUROCA_ names, one a line; each can be given as NAME_FILE, too
    Parameters,
}

fn main() -> ExitCode {
    let verb = Arguments::parse().verb;
    match run(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            // With nobody on the other side there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "neuroca: {text}");
            ExitCode::from(code)
        }
    }
}

fn run(verb: Verb) -> Result<(), (u8, String)> {
    let failed = |error: &dyn std::fmt::Display| (FAILED, error.to_string());
    if let Verb::Parameters = verb {
        return print(&format!("{}\n", NAMES.join("\n")));
    }
    if let Verb::Openapi = verb {
        let text = serde_json::to_string_pretty(&neuroca::http::openapi());
        return print(&format!("{}\n", text.map_err(|error| failed(&error))?));
    }
    // One thread: the work is waiting, and SQLite's has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let shutdown = Shutdown::install().map_err(|error| failed(&error))?;
        let settings = Settings::from_variables(variables())
            .map_err(|error| (MISCONFIGURED, error.to_string()))?;
        match verb {
            Verb::Serve => {
                let telemetry = telemetry(&settings)?;
                let served = neuroca::serve::serve(settings, shutdown).await;
                flush(telemetry).await;
                served.map_err(serve_failed)
            }
            Verb::Worker => {
                let telemetry = telemetry(&settings)?;
                let worked = neuroca::worker::work(settings, shutdown).await;
                flush(telemetry).await;
                worked.map_err(serve_failed)
            }
            Verb::Migrate => {
                let done = neuroca::store::migrate(&settings.database).await.map_err(|error| {
                    (FAILED, format!("cannot migrate {}: {error}", settings.database))
                })?;
                // Of a new database nobody else has read anything yet.
                if done.from == 0 && settings.sealing.is_some() {
                    let repository = opened(&settings).await?;
                    repository.seal_from_now_on().await.map_err(|error| failed(&error))?;
                    repository.close().await;
                }
                report(&settings, done)
            }
            Verb::Status => {
                let all = neuroca::store::status(&settings.database).await.map_err(|error| {
                    (FAILED, format!("cannot read {}: {error}", settings.database))
                })?;
                print(&all.iter().map(line).collect::<String>())
            }
            Verb::Rollback => {
                let done = neuroca::store::rollback(&settings.database).await.map_err(|error| {
                    (FAILED, format!("cannot roll {} back: {error}", settings.database))
                })?;
                report(&settings, done)
            }
            Verb::Keys { verb } => {
                let repository = opened(&settings).await?;
                let text = keys(&*repository, verb).await.map_err(|text| (FAILED, text))?;
                repository.close().await;
                print(&text)
            }
            Verb::Audit { of, expect } => {
                let repository = opened(&settings).await?;
                let text = audit(&*repository, &of.tenant, expect.as_deref())
                    .await
                    .map_err(|text| (FAILED, text))?;
                repository.close().await;
                print(&text)
            }
            Verb::Maintenance(wanted) => {
                let repository = opened(&settings).await?;
                let text =
                    maintenance(&*repository, wanted).await.map_err(|error| failed(&error))?;
                repository.close().await;
                print(&text)
            }
            Verb::Parameters | Verb::Openapi => Ok(()),
        }
    })
}

/// What is not UTF-8 cannot be one of ours by name; in a value it is replaced and then refused
/// or harmless.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    })
}

async fn opened(settings: &Settings) -> Result<Arc<dyn Repository>, (u8, String)> {
    open_with(&settings.database, settings.sealing.as_ref())
        .await
        .map_err(|error| (code(&error), format!("cannot use {}: {error}", settings.database)))
}

/// The log, and traces if they are wanted.
fn telemetry(settings: &Settings) -> Result<Option<Telemetry>, (u8, String)> {
    let start = |wanted| Telemetry::start(wanted, &settings.revision);
    let telemetry = settings.telemetry.as_ref().map(start).transpose();
    let telemetry = telemetry.map_err(|error| (MISCONFIGURED, error))?;
    neuroca::log::start(settings.log_level, telemetry.as_ref());
    Ok(telemetry)
}

async fn flush(telemetry: Option<Telemetry>) {
    if let Some(telemetry) = telemetry {
        telemetry.flush().await;
    }
}

fn serve_failed(error: ServeError) -> (u8, String) {
    let code = match &error {
        ServeError::Database(_, error) => code(error),
        _ => FAILED,
    };
    (code, error.to_string())
}

/// A key that does not fit is a matter of configuration.
fn code(error: &OpenError) -> u8 {
    if matches!(error, OpenError::Key(_)) { MISCONFIGURED } else { FAILED }
}

fn report(settings: &Settings, done: Migrated) -> Result<(), (u8, String)> {
    let database = &settings.database;
    print(&if done.from == done.to {
        format!("{database} is at schema {}; nothing to do\n", done.to)
    } else {
        format!("{database} went from schema {} to {}\n", done.from, done.to)
    })
}

fn line(migration: &MigrationStatus) -> String {
    let state = if migration.applied { "applied" } else { "missing" };
    let way_back = if migration.reversible { "" } else { "  (cannot be undone)" };
    format!("{:>4}  {state}  {}{way_back}\n", migration.version, migration.description)
}

fn print(text: &str) -> Result<(), (u8, String)> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| (FAILED, format!("cannot write to standard output: {error}")))
}
