//! The binary `load`: parse, run, verify, print.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use neuroca_load::{Load, Outcome, Verified, run, verify};

/// Sends requests and never sends one twice. Ends by itself, or at SIGTERM or SIGINT, with a report.
/// Exit: 0 nothing failed and everything verified, 1 something did, 64 usage.
#[derive(Parser)]
#[command(name = "load", version)]
struct Arguments {
    /// Where to send: http://HOST:PORT
    #[arg(long)]
    url: String,
    /// Stop after so many seconds (10 if neither this nor --requests is given)
    #[arg(long)]
    seconds: Option<f64>,
    /// Stop after so many requests
    #[arg(long)]
    requests: Option<u64>,
    /// HTTP/1.1 keep-alive connections
    #[arg(long, default_value_t = 8)]
    h1_connections: usize,
    /// HTTP/2 connections (prior knowledge)
    #[arg(long, default_value_t = 2)]
    h2_connections: usize,
    /// Requests at a time on each HTTP/2 connection
    #[arg(long, default_value_t = 4)]
    h2_concurrency: usize,
    /// Long-lived server-sent event streams
    #[arg(long, default_value_t = 0)]
    streams: usize,
    /// Where the streams are
    #[arg(long, default_value = "/v1/events?only=heartbeat")]
    stream_path: String,
    /// Long-lived WebSockets
    #[arg(long, default_value_t = 0)]
    websockets: usize,
    /// Where the WebSockets are
    #[arg(long, default_value = "/ws")]
    websocket_path: String,
    /// Requests a second over all connections; unlimited if not given
    #[arg(long)]
    rate: Option<f64>,
    /// Share of requests that are POSTs
    #[arg(long, default_value_t = 0.5)]
    post_fraction: f64,
    /// Where to POST, and to GET unless --get-path says otherwise
    #[arg(long, default_value = "/v1/memories")]
    path: String,
    /// What to GET
    #[arg(long)]
    get_path: Option<String>,
    /// Milliseconds until a request without an answer has failed
    #[arg(long, default_value_t = 30_000)]
    timeout_ms: u64,
    /// Decides which requests are POSTs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Afterwards, look whether each acknowledged POST exists exactly once
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let usage = error.use_stderr();
        // With nobody on the other side there is nobody to tell.
        let _ = error.print();
        std::process::exit(if usage { 64 } else { 0 })
    });
    let load = match load_of(&arguments) {
        Ok(load) => load,
        Err(problem) => return fail(64, &problem),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    match runtime.block_on(measure(&load, arguments.verify)) {
        Ok((outcome, verified)) => {
            let text = if arguments.json {
                as_json(&outcome, verified.as_ref())
            } else {
                as_text(&outcome, verified.as_ref())
            };
            let told = writeln!(std::io::stdout(), "{text}").is_ok();
            let good = outcome.report.failed == 0
                && outcome.report.requests + outcome.report.streams.opened > 0
                && outcome.report.streams.ended_broken == 0
                && outcome.report.websockets.ended_broken == 0
                && verified.is_none_or(|verified| verified.holds());
            if good && told { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(problem) => fail(1, &problem),
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "load: {text}");
    ExitCode::from(code)
}

fn load_of(arguments: &Arguments) -> Result<Load, String> {
    let authority = arguments
        .url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| !rest.is_empty() && !rest.contains('/'))
        .ok_or("--url is not http://HOST:PORT")?;
    if !(0.0..=1.0).contains(&arguments.post_fraction) {
        return Err("--post-fraction is not between 0 and 1".into());
    }
    if arguments.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err("--rate is not above 0".into());
    }
    let duration = match arguments.seconds.map(Duration::try_from_secs_f64) {
        Some(Err(_)) => return Err("--seconds is not a time".into()),
        Some(Ok(duration)) => Some(duration),
        None => None,
    };
    Ok(Load {
        authority: authority.to_owned(),
        duration,
        requests: arguments.requests,
        h1_connections: arguments.h1_connections,
        h2_connections: arguments.h2_connections,
        h2_concurrency: arguments.h2_concurrency,
        streams: arguments.streams,
        stream_path: arguments.stream_path.clone(),
        websockets: arguments.websockets,
        websocket_path: arguments.websocket_path.clone(),
        rate: arguments.rate,
        post_fraction: arguments.post_fraction,
        path: arguments.path.clone(),
        get_path: arguments.get_path.clone().unwrap_or_else(|| arguments.path.clone()),
        timeout: Duration::from_millis(arguments.timeout_ms),
        seed: arguments.seed,
    })
}

async fn measure(load: &Load, check: bool) -> Result<(Outcome, Option<Verified>), String> {
    let handler = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
    let (mut terminate, mut interrupt) =
        (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let outcome = run(load, stop).await;
    let verified = if check { Some(verify(load, &outcome).await?) } else { None };
    Ok((outcome, verified))
}

fn as_json(outcome: &Outcome, verified: Option<&Verified>) -> String {
    let mut value = serde_json::json!({
        "run_id": outcome.run_id,
        "acknowledged_posts": outcome.acknowledged.len(),
        "report": outcome.report,
    });
    if let Some(verified) = verified {
        value["verified"] = serde_json::json!(verified);
    }
    value.to_string()
}

fn as_text(outcome: &Outcome, verified: Option<&Verified>) -> String {
    let report = &outcome.report;
    let latency = &report.latency_ms;
    let mut lines = vec![
        format!(
            "{} requests ({} POST, {} over HTTP/2) in {:.1} s, {} failed",
            report.requests, report.posts, report.http2_requests, report.seconds, report.failed
        ),
        format!(
            "latency ms: p50 {:.2}, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        ),
    ];
    for (revision, seen) in &report.revisions {
        lines.push(format!(
            "revision {revision}: {} responses, {} not good, {:.0} to {:.0} ms",
            seen.responses, seen.failed, seen.first_ms, seen.last_ms
        ));
    }
    for (name, streams) in [("streams", &report.streams), ("websockets", &report.websockets)] {
        if streams.opened + streams.refused > 0 {
            lines.push(format!(
                "{name}: {} opened, {} refused, {} messages, {} ended, {} broken",
                streams.opened,
                streams.refused,
                streams.messages,
                streams.ended_clean,
                streams.ended_broken
            ));
        }
    }
    for failure in &report.failures {
        lines.push(format!(
            "failed at {:.0} ms: {} {}: {}",
            failure.failed_ms, failure.method, failure.kind, failure.detail
        ));
    }
    if let Some(verified) = verified {
        lines.push(format!(
            "verified: {} of {} acknowledged exactly once ({} missing, {} duplicated)",
            verified.exactly_once, verified.acknowledged, verified.missing, verified.duplicated
        ));
    }
    lines.join("\n")
}
