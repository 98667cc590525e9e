//! One JSON object a line on stdout.
//!
//! Decides form and level only; what is worth a line is decided where it happens.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends everything up to `level` to stdout.
pub fn start(level: tracing::Level) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        // When whoever reads our output is gone, complaining on stderr would panic: the
        // service has to outlive its reader.
        .log_internal_errors(false);
    let level = LevelFilter::from_level(level);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(level).with(lines).try_init();
}
