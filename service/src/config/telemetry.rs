//! Where traces go. The names are OpenTelemetry's own, which every other service of a house knows, too; others of
//! them than these are left to whoever they are meant for.

use super::source::Source;
use super::url::http_url;
use crate::telemetry::{Decision, SampledBy, TelemetrySettings};

const EXAMPLE: &str = "http://127.0.0.1:4318";

pub(super) fn read(source: &mut Source) -> Option<TelemetrySettings> {
    let of_traces = source.open("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let of_all = source.open("OTEL_EXPORTER_OTLP_ENDPOINT");
    let protocol = source.open("OTEL_EXPORTER_OTLP_PROTOCOL");
    let service_name = source.open("OTEL_SERVICE_NAME").unwrap_or_else(|| "neuroca".into());
    let sampled_by = decision(source);
    let (name, address) = match (of_traces, of_all) {
        (Some(address), _) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address),
        (None, Some(address)) => {
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}/v1/traces", address.trim_end_matches('/')))
        }
        (None, None) => return None,
    };
    if protocol.is_some_and(|protocol| protocol != "http/protobuf") {
        source.problem(
            "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf, which is what is spoken here",
        );
    }
    let endpoint = http_url(source, name, &address, EXAMPLE)?;
    Some(TelemetrySettings { endpoint, service_name, sampled_by })
}

fn decision(source: &mut Source) -> Decision {
    let sampler = source.open("OTEL_TRACES_SAMPLER");
    let argument = source.open("OTEL_TRACES_SAMPLER_ARG");
    let sampler = sampler.as_deref().unwrap_or("parentbased_always_on");
    let (parent_based, root) = match sampler.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, sampler),
    };
    let root = match root {
        "always_on" => SampledBy::Always,
        "always_off" => SampledBy::Never,
        "traceidratio" => share(source, argument.as_deref()),
        _ => {
            source.problem(
                "OTEL_TRACES_SAMPLER is not one of always_on, always_off, traceidratio, or one of these behind \
                 parentbased_",
            );
            SampledBy::Always
        }
    };
    Decision { parent_based, root }
}

fn share(source: &mut Source, argument: Option<&str>) -> SampledBy {
    match argument.map_or(Ok(1.0), str::parse::<f64>) {
        Ok(share) if (0.0..=1.0).contains(&share) => SampledBy::Share((share * 1e6) as u32),
        _ => {
            source.problem("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1");
            SampledBy::Always
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;
    use crate::telemetry::{Decision, SampledBy, TelemetrySettings};

    fn read(pairs: &[(&str, &str)]) -> Result<Option<TelemetrySettings>, String> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::from_variables(pairs)
            .map(|settings| settings.telemetry)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_standard_names_say_where_traces_go() {
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "x")]), Ok(None));
        let read = |pairs: &[_]| read(pairs).expect("valid").expect("an endpoint");
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        let plain = read(&[all]);
        assert_eq!(plain.endpoint.to_string(), "http://c:4318/v1/traces");
        assert_eq!(plain.service_name, "neuroca");
        assert_eq!(plain.sampled_by, Decision { parent_based: true, root: SampledBy::Always });
        let own = read(&[all, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x")]);
        assert_eq!(own.endpoint.to_string(), "https://t/x");
        let tenth =
            [all, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")];
        let expected = Decision { parent_based: false, root: SampledBy::Share(100_000) };
        assert_eq!(read(&tenth).sampled_by, expected);
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ] {
            let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
            let pairs = if name == endpoint.0 {
                vec![(name, value)]
            } else {
                vec![endpoint, (name, value)]
            };
            let problem = read(&pairs).expect_err("a problem");
            assert!(problem.contains(name), "{problem}");
        }
    }
}
