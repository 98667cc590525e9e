//! Where spans go, and which: the names are OpenTelemetry's own.

use hyper::Uri;
use opentelemetry_sdk::trace::Sampler;

/// Which traces are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampledBy {
    /// All.
    Always,
    /// None; ids still travel.
    Never,
    /// So many of a million, chosen by their id, so that all services choose the same.
    Share(u32),
}

/// How traces leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT` and `/v1/traces`.
    pub endpoint: Uri,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampled_by: Decision,
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether somebody who called decides for what was called.
    pub parent_based: bool,
    /// What decides else.
    pub root: SampledBy,
}

impl Decision {
    pub(super) fn sampler(self) -> Sampler {
        let root = match self.root {
            SampledBy::Always => Sampler::AlwaysOn,
            SampledBy::Never => Sampler::AlwaysOff,
            SampledBy::Share(millionths) => Sampler::TraceIdRatioBased(f64::from(millionths) / 1e6),
        };
        if self.parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
    }
}
