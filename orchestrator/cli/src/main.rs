//! `neuroca-deploy`: parses, calls, prints.

mod args;
mod commands;
mod context;
mod deploy;
mod desired;
mod drive;
mod error;
mod flags;
mod foresight;
mod intents;
mod kill_points;
mod output;
mod planning;
mod project;
mod site;

use std::ffi::OsString;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use args::{Cli, Verb};
use context::Context;
use error::{Exit, Failure, Result};
use output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = own_process(&args) {
        return code;
    }
    let cli = match args::parse(args.iter().cloned()) {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error, &args),
    };
    let ctx = Context::new(&cli.global, args::command);
    trace(cli.global.verbose, ctx.output.err.0);
    let streams = cli.verb.streams();
    let exit = match run(cli, &ctx) {
        Ok(exit) => exit,
        Err(failure) => {
            ctx.output.failure(&failure, streams);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn run(cli: Cli, ctx: &Context) -> Result {
    match cli.verb {
        Verb::Init(command) => command.run(ctx),
        Verb::Doctor(command) => command.run(ctx),
        Verb::Config(command) => command.run(ctx),
        Verb::Validate(command) => command.run(ctx),
        Verb::Render(command) => command.run(ctx),
        Verb::Plan(command) => command.run(ctx),
        Verb::Show(command) => command.run(ctx),
        Verb::Apply(command) => command.run(ctx),
        Verb::Rollback(command) => command.run(ctx),
        Verb::Rollout(command) => command.run(ctx),
        Verb::Judge(command) => command.run(ctx),
        Verb::Status(command) => command.run(ctx),
        Verb::History(command) => command.run(ctx),
        Verb::Diff(command) => command.run(ctx),
        Verb::Logs(command) => command.run(ctx),
        Verb::Restart(command) => command.run(ctx),
        Verb::Scale(command) => command.run(ctx),
        Verb::Unlock(command) => command.run(ctx),
        Verb::Rbac(command) => command.run(ctx),
        Verb::Destroy(command) => command.run(ctx),
        Verb::Local(command) => command.run(ctx),
        Verb::Completion(command) => command.run(ctx),
        Verb::Man(command) => command.run(ctx),
        Verb::Version(command) => command.run(ctx),
    }
}

/// The keeper, the supervisor, the edge and the shims are this program too; they know no command line.
fn own_process(args: &[OsString]) -> Option<ExitCode> {
    let name = args.get(1).filter(|name| name.to_string_lossy().starts_with("__"))?;
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        // On a full disk the line is lost; telling so on stderr would panic.
        .log_internal_errors(false)
        .with_ansi(false)
        .try_init();
    Some(match neuroca_deploy_local::processes::run(&args[1..])? {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!(process = %name.to_string_lossy(), %error, "ended");
            ExitCode::FAILURE
        }
    })
}

/// Help and version are no errors; everything else that clap refuses is a usage error.
fn wrong_usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let json = args.iter().any(|arg| arg == "--json");
    let no_color = args.iter().any(|arg| arg == "--no-color");
    let output = Output::new(json, no_color);
    let is_error = error.use_stderr();
    let text = |color: bool| match color {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    if !is_error {
        output.data(&text(output.out.0));
        return ExitCode::SUCCESS;
    }
    if json {
        let plain = text(false);
        let what = plain.trim().strip_prefix("error: ").unwrap_or(plain.trim());
        output.failure(&Failure::usage(what).hint("neuroca-deploy --help"), false);
    } else {
        output.note(text(output.err.0).trim_end());
    }
    ExitCode::from(Exit::Usage as u8)
}

fn trace(verbose: u8, color: bool) {
    let level = match verbose {
        0 => "warn",
        1 => "info,neuroca_deploy_engine=debug,neuroca_deploy_local=debug",
        _ => "debug,neuroca_deploy_engine=trace,neuroca_deploy_local=trace",
    };
    // Without a subscriber warnings would be lost, and they are the ones that matter.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(color)
        .with_target(verbose > 1)
        .try_init();
}
