//! The processes of one machine alone, without the command line. Tests run this binary where the
//! product runs `neuroca-deploy`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(false)
        .init();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match neuroca_deploy_local::processes::run(&arguments) {
        Some(Ok(code)) => ExitCode::from(code),
        Some(Err(error)) => {
            tracing::error!(%error);
            ExitCode::FAILURE
        }
        None => ExitCode::from(64),
    }
}
