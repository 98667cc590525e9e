//! One JSON object a line on stdout.
//!
//! Decides form and level only; what is worth a line is decided where it happens.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::{Telemetry, trace_id};

/// Sends everything up to `level` to stdout, and spans to `telemetry`.
pub fn start(level: tracing::Level, telemetry: Option<&Telemetry>) {
    let form =
        Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Traced(form))
        .fmt_fields(JsonFields::new())
        // When whoever reads our output is gone, complaining on stderr would panic: the
        // service has to outlive its reader.
        .log_internal_errors(false)
        .with_filter(LevelFilter::from_level(level))
        // Nobody pays for spans that go nowhere.
        .with_filter(filter_fn(|what| what.is_event()));
    let spans = telemetry.map(|telemetry| {
        tracing_opentelemetry::layer()
            .with_tracer(telemetry.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            // Lines of the log stay in the log.
            .with_filter(filter_fn(|what| {
                what.is_span() && what.target().starts_with(env!("CARGO_CRATE_NAME"))
            }))
    });
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
}

/// The same line, with the trace that it belongs to.
struct Traced(Format<Json>);

impl<S, N> FormatEvent<S, N> for Traced
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(trace) = trace_id() else { return self.0.format_event(context, out, event) };
        let mut line = String::with_capacity(256);
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(open) => writeln!(out, "{open},\"trace_id\":\"{trace}\"}}"),
            None => out.write_str(&line),
        }
    }
}
