//! The binary `specimen`: reads variables, listens on `$PORT`, serves.

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hyper::header::HeaderValue;
use neuroca_specimen::{Behaviour, Faults, Identity, Settings, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A component that answers as well as it is told to. Each flag can be given as the variable beside it.
#[derive(Parser)]
#[command(name = "specimen", version)]
struct Arguments {
    /// The port to listen on
    #[arg(long, env = "PORT")]
    port: u16,
    /// The address to listen on
    #[arg(long, env = "SPECIMEN_HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Paths that begin so are probes: answered at once, never by a fault
    #[arg(long, env = "SPECIMEN_HEALTH", default_value = "/health")]
    health: String,
    /// What the names of its counters begin with, told at /metrics
    #[arg(long, env = "SPECIMEN_METRICS", default_value = "specimen")]
    metrics: String,
    /// The value of the header x-nca-revision, by which clients know who answered
    #[arg(long, env = "SPECIMEN_VERSION", default_value = "1")]
    version_name: HeaderValue,
    /// Share of requests that are answered by 500
    #[arg(long, env = "SPECIMEN_ERRORS", default_value = "0", value_parser = share)]
    errors: f64,
    /// Median latency in milliseconds
    #[arg(long, env = "SPECIMEN_P50_MS", default_value = "0", value_parser = amount)]
    p50_ms: f64,
    /// Standard deviation of the logarithm of the latency
    #[arg(long, env = "SPECIMEN_SPREAD", default_value = "0", value_parser = amount)]
    spread: f64,
    /// Standard deviation, over processes, of the log-odds of an error
    #[arg(long, env = "SPECIMEN_ERRORS_EFFECT", default_value = "0", value_parser = amount)]
    errors_effect: f64,
    /// Standard deviation, over processes, of the logarithm of the median latency
    #[arg(long, env = "SPECIMEN_LATENCY_EFFECT", default_value = "0", value_parser = amount)]
    latency_effect: f64,
    /// Seconds from the first request to the faults below
    #[arg(long, env = "SPECIMEN_ONSET_S", default_value = "0", value_parser = amount)]
    onset_s: f64,
    /// Share of requests that are answered by 500 from then on
    #[arg(long, env = "SPECIMEN_FAULT_ERRORS", value_parser = share)]
    fault_errors: Option<f64>,
    /// Latency is multiplied by this
    #[arg(long, env = "SPECIMEN_FAULT_SLOWER", value_parser = amount)]
    fault_slower: Option<f64>,
    /// Share of requests that are never answered
    #[arg(long, env = "SPECIMEN_FAULT_HANG", default_value = "0", value_parser = share)]
    fault_hang: f64,
    /// Seconds from the onset until the process ends with status 70
    #[arg(long, env = "SPECIMEN_FAULT_CRASH_S", value_parser = amount)]
    fault_crash_s: Option<f64>,
    /// The same request number gets the same answer in each run with this
    #[arg(long, env = "SPECIMEN_SEED")]
    seed: Option<u64>,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=1.0).contains(&value).then_some(value).ok_or("not between 0 and 1".to_owned())
}

fn amount(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // Beyond that a time in seconds or a factor means nothing, and the arithmetic would not hold it.
    (0.0..=1e6).contains(&value).then_some(value).ok_or("not between 0 and a million".to_owned())
}

impl Arguments {
    fn settings(&self) -> Settings {
        Settings {
            errors: self.errors,
            p50: Duration::from_secs_f64(self.p50_ms / 1000.0),
            spread: self.spread,
            errors_effect: self.errors_effect,
            latency_effect: self.latency_effect,
            faults: Faults {
                onset: Duration::from_secs_f64(self.onset_s),
                errors: self.fault_errors,
                slower: self.fault_slower,
                hang: self.fault_hang,
                crash_after: self.fault_crash_s.map(Duration::from_secs_f64),
            },
            seed: self.seed,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let usage = error.use_stderr();
        // With nobody on the other side there is nobody to tell.
        let _ = error.print();
        std::process::exit(if usage { 64 } else { 0 })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let served = runtime.block_on(run(&arguments));
        // A request that hangs must not hold the process.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "specimen: {problem}");
            ExitCode::from(1)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    let listener = TcpListener::bind((arguments.host, arguments.port))
        .await
        .map_err(|error| format!("cannot listen on port {}: {error}", arguments.port))?;
    let _ = writeln!(std::io::stderr(), "specimen: listening on port {}", arguments.port);
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| format!("cannot handle SIGTERM: {error}"))?;
    let identity = Identity {
        version: arguments.version_name.clone(),
        health: arguments.health.clone(),
        metrics: arguments.metrics.clone(),
    };
    let shutdown = async {
        terminate.recv().await;
    };
    serve(listener, identity, Behaviour::new(arguments.settings()), shutdown).await;
    Ok(())
}
