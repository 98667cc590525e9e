//! Traces: what a request waited for, told to a receiver of OpenTelemetry by OTLP over HTTP.
//!
//! Knows how spans leave and how their ids travel; what is worth a span is decided where it happens. No
//! attribute holds what somebody said, a key, or the name of a tenant.

mod carry;
mod queue;
mod settings;
mod transport;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter as _};

pub use carry::{continue_from, sampled_trace_id, trace_id, with_trace};
pub use queue::{Dropped, dropped};
pub use settings::{Decision, SampledBy, TelemetrySettings};

/// An exporter that does not answer is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is left at the end has so long: others wait for this process to go.
const FLUSH: Duration = Duration::from_secs(3);

/// The way out of spans.
pub struct Telemetry {
    provider: SdkTracerProvider,
    queue: queue::Handle,
}

impl Telemetry {
    /// Begins to send; has to be called inside the runtime.
    pub fn start(settings: &TelemetrySettings, revision: &str) -> Result<Self, String> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(transport::Transport::new(PATIENCE))
            .with_endpoint(settings.endpoint.to_string())
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("neuroca.revision", revision.to_owned()),
            ])
            .build();
        exporter.set_resource(&resource);
        let (queue, processor) = queue::start(exporter);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(settings.sampled_by.sampler())
            .with_resource(resource)
            .build();
        Ok(Self { provider, queue })
    }

    /// Makes spans.
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("neuroca")
    }

    /// Sends what is left, as far as it goes.
    pub async fn flush(self) {
        if tokio::time::timeout(FLUSH, self.queue.end()).await.is_err() {
            tracing::warn!("the receiver of traces did not take the last ones in time");
        }
    }
}
