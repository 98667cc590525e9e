//! Figure 5: this judge beside others, on the same streams.

use neuroca_deploy_core::traffic::{Fault, Incident, Stream, Traffic};
use serde::Serialize;
use serde_json::json;

use crate::figure::{Figure, Share, Times};
use crate::parallel::{each, seed};
use crate::promotion::STEPS;
use crate::rivals::{ALL, Rival};
use crate::watch::{Weights, weight};

const HALF_AN_HOUR_MS: u64 = 1_800_000;
const TEN_MINUTES_MS: u64 = 600_000;
const STEADY: &Weights = &[(0, 10)];

#[derive(Serialize)]
struct Row {
    rival: &'static str,
    settings: &'static str,
    /// Of releases that are the same as the old one, over half an hour.
    false_alarms: Vec<(&'static str, Share)>,
    /// Seconds until it is turned back; never within half an hour is null.
    detection: Vec<(&'static str, Times)>,
    promotion: Times,
    /// Healthy releases that it turned back on the way through the steps.
    promotion_turned_back: Share,
}

/// Streams of healthy releases.
fn healthy() -> Vec<(&'static str, Traffic, &'static Weights)> {
    let incident = Incident { from_ms: 1_140_000, until_ms: 1_260_000, errors: 100.0, slower: 1.0 };
    vec![
        ("0.1 %, 100 rps", Traffic::new(100.0, 0.001), STEADY),
        (
            "weights 5, 25, 50 % and a shared x100 incident",
            Traffic { incidents: vec![incident], ..Traffic::new(100.0, 0.001) },
            &[(0, 5), (600_000, 25), (1_200_000, 50)],
        ),
        (
            "1 %, pods that differ by sigma .3",
            Traffic { pod_error_sigma: 0.3, ..Traffic::new(100.0, 0.01) },
            STEADY,
        ),
    ]
}

/// Streams of releases that are worse: from what rate, to what rate, since when.
fn worse() -> Vec<(&'static str, Traffic, u64)> {
    let fault = |onset_ms: u64, rate: f64| Traffic {
        fault: Some(Fault { error_rate: Some(rate), ..Fault::at(onset_ms) }),
        ..Traffic::new(100.0, 0.001)
    };
    vec![
        ("0.1 to 5 %", fault(0, 0.05), 0),
        ("0.1 to 5 % after 10 min", fault(TEN_MINUTES_MS, 0.05), TEN_MINUTES_MS),
        ("0.1 to 1 %", fault(0, 0.01), 0),
    ]
}

/// `runs` runs of each stream, the same ones for all.
pub fn measure(runs: u32, from: u64) -> Figure {
    let rows: Vec<Row> = ALL
        .iter()
        .map(|(rival, settings, make)| {
            let alarm = |name: &str, traffic: &Traffic, weights: &Weights, onset_ms: u64| {
                each(runs, |run| {
                    let until_ms = onset_ms + HALF_AN_HOUR_MS;
                    until_alarm(make().as_mut(), traffic, weights, until_ms, seed(from, name, run))
                })
            };
            let false_alarms = healthy().into_iter().map(|(name, traffic, weights)| {
                let seen = alarm(name, &traffic, weights, 0);
                (name, Share::new(seen.iter().flatten().count(), seen.len()))
            });
            let detection = worse().into_iter().map(|(name, traffic, onset_ms)| {
                let seen = alarm(name, &traffic, STEADY, onset_ms);
                let after = |at_ms: Option<u64>| {
                    at_ms.map_or(f64::INFINITY, |ms| (ms as f64 - onset_ms as f64) / 1_000.0)
                };
                // An alarm before the fault is a false one.
                let late = seen.into_iter().map(after).filter(|seconds| *seconds > 0.0);
                (name, Times::new(late.collect()))
            });
            let (false_alarms, detection) = (false_alarms.collect(), detection.collect());
            let ends = each(runs, |run| walk(make().as_mut(), seed(from, "promotion", run)));
            let back = ends.iter().filter(|end| **end == Some(f64::INFINITY)).count();
            Row {
                rival,
                settings,
                false_alarms,
                detection,
                promotion: Times::new(
                    ends.iter().map(|end| end.unwrap_or(f64::INFINITY)).collect(),
                ),
                promotion_turned_back: Share::new(back, ends.len()),
            }
        })
        .collect();
    Figure {
        title: "Side by side".into(),
        target: "a fixed threshold as Flagger's, Argo's failureLimit, Kayenta's Mann-Whitney, a naive z-test and mSPRT on \
                 the same streams: one table of false alarms, detection and time to promote"
            .into(),
        pass: rows.len() == ALL.len(),
        result: json!({ "rows": rows }),
    }
}

fn until_alarm(
    rival: &mut dyn Rival,
    traffic: &Traffic,
    weights: &Weights,
    until_ms: u64,
    seed: u64,
) -> Option<u64> {
    let mut stream = Stream::new(traffic, seed);
    let mut now_ms = 0;
    while now_ms < until_ms {
        let window = stream.window(weight(weights, now_ms));
        now_ms = window.end_ms;
        rival.take(&window);
        if rival.alarm() {
            return Some(now_ms);
        }
    }
    None
}

/// A healthy release with 10 requests a second on the canary, through the default steps. Seconds until it has
/// everything; infinite when it is turned back, `None` when it does not get there within the hour.
fn walk(rival: &mut dyn Rival, seed: u64) -> Option<f64> {
    let mut stream = Stream::new(&Traffic::new(10.0, 0.001), seed);
    let mut now_ms = 0;
    for (n, (weight, least_ms)) in STEPS.iter().enumerate() {
        let next = STEPS.get(n + 1).map_or(100, |(weight, _)| *weight);
        let began_ms = now_ms;
        stream.set_rps(1_000.0 / f64::from(*weight));
        while now_ms - began_ms < *least_ms || !rival.goes_on(next) {
            let window = stream.window(f64::from(*weight) / 100.0);
            now_ms = window.end_ms;
            rival.take(&window);
            if rival.alarm() {
                return Some(f64::INFINITY);
            }
            if now_ms > 2 * HALF_AN_HOUR_MS {
                return None;
            }
        }
    }
    Some(now_ms as f64 / 1_000.0)
}
