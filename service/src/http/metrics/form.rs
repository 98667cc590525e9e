//! The two forms in which metrics are asked for: the text of Prometheus, and OpenMetrics, which has a place for
//! exemplars: one trace for each bucket of a histogram.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::memory::Moment;

/// A request that can be looked up.
#[derive(Debug, Clone)]
pub(super) struct Exemplar {
    pub(super) trace: String,
    pub(super) seconds: f64,
    pub(super) at: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// OpenMetrics for who names it.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let names = |value: &str| value.contains("application/openmetrics-text");
        let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if accepted.any(names) { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Behind the value of a bucket.
    pub(super) fn exemplar(self, exemplar: Option<&Exemplar>) -> String {
        match (self, exemplar) {
            (Self::OpenMetrics, Some(Exemplar { trace, seconds, at })) => {
                let at = at.0 as f64 / 1000.0;
                format!(" # {{trace_id=\"{trace}\"}} {seconds} {at}")
            }
            _ => String::new(),
        }
    }

    /// OpenMetrics names a counter without the suffix of its samples, and says where the text ends.
    pub(super) fn finished(self, text: String) -> String {
        if self == Self::Prometheus {
            return text;
        }
        let mut all = String::with_capacity(text.len());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let counts = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
            let of_counter = counts(line)
                || line.starts_with("# HELP ") && lines.peek().is_some_and(|next| counts(next));
            let line = if of_counter { line.replacen("_total ", " ", 1) } else { line.to_owned() };
            all.push_str(&line);
            all.push('\n');
        }
        all.push_str("# EOF\n");
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_names_counters_without_their_suffix_and_ends() {
        let text = "# HELP a_total Of a_total things.\n# TYPE a_total counter\na_total{r=\"x\"} 1\n\
                    # HELP b Seconds.\n# TYPE b gauge\nb 2\n";
        assert_eq!(Form::Prometheus.finished(text.into()), text);
        assert_eq!(
            Form::OpenMetrics.finished(text.into()),
            "# HELP a Of a_total things.\n# TYPE a counter\na_total{r=\"x\"} 1\n\
             # HELP b Seconds.\n# TYPE b gauge\nb 2\n# EOF\n"
        );
    }
}
