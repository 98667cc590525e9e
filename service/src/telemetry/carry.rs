//! How a trace goes from one process to the next: the headers of W3C Trace Context, in and out.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersOut<'a>(&'a mut HeaderMap);

impl Injector for HeadersOut<'_> {
    fn set(&mut self, name: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// Makes `span` a part of the trace that a caller's headers name, if they do.
pub fn continue_from(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    if context.span().span_context().is_valid() {
        // Fails only where no spans are made at all.
        let _ = span.set_parent(context);
    }
}

/// Names the present trace in the headers of a request to somebody else.
pub fn with_trace(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject(&mut HeadersOut(headers));
}

/// The present trace, if there is one.
pub fn trace_id() -> Option<String> {
    present(|_| true)
}

/// The present trace, if it is one that is sent: somebody may look for it.
pub fn sampled_trace_id() -> Option<String> {
    present(SpanContext::is_sampled)
}

fn present(wanted: impl Fn(&SpanContext) -> bool) -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let found = span.span_context();
        (found.is_valid() && wanted(found)).then(|| found.trace_id().to_string())
    })
}
