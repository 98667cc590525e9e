//! Figure 3: how soon a release that is worse is turned back.

use neuroca_deploy_core::judge::slots::TOLD_AFTER_MS;
use neuroca_deploy_core::judge::{Analysis, Counts, Judge, Sides, Verdict, Window};
use neuroca_deploy_core::traffic::{Fault, Stream, Traffic};
use serde::Serialize;
use serde_json::json;

use crate::figure::{Figure, Times};
use crate::parallel::{each, seed};
use crate::watch::{Weights, judge, ordinary, until_alarm};

const TEN_MINUTES_MS: u64 = 600_000;
/// A fault that was not seen by then is never seen.
const PATIENCE_MS: u64 = 3_600_000;

#[derive(Debug, Clone, Copy)]
enum Onset {
    AtOnce,
    AfterTenMinutes,
    /// After ten to twelve minutes: no moment at which the judge happens to start afresh.
    AnyTime,
}

struct Case {
    name: &'static str,
    traffic: Traffic,
    weights: &'static Weights,
    onset: Onset,
    /// Median and 95th percentile in seconds; reported when absent.
    target: Option<(f64, f64)>,
    one_in: u32,
}

#[derive(Serialize)]
struct Found {
    name: &'static str,
    target: Option<(f64, f64)>,
    met: Option<bool>,
    seconds: Times,
    /// Alarms before there was a fault.
    too_early: usize,
}

fn cases() -> Vec<Case> {
    use Onset::{AfterTenMinutes, AnyTime, AtOnce};
    let errors = |canary_rps: f64, weight: f64, rate: f64| Traffic {
        fault: Some(Fault { error_rate: Some(rate), ..Fault::at(0) }),
        ..ordinary(canary_rps / weight, 0.001)
    };
    let slower = |factor: f64| Traffic {
        fault: Some(Fault { slower: factor, ..Fault::at(0) }),
        ..ordinary(1_000.0, 0.001)
    };
    let hangs =
        Traffic { fault: Some(Fault { hangs: true, ..Fault::at(0) }), ..ordinary(100.0, 0.001) };
    let case = |name, traffic: &Traffic, weights, onset, target, one_in| Case {
        name,
        traffic: traffic.clone(),
        weights,
        onset,
        target,
        one_in,
    };
    let (ten, errors_target) = (&[(0, 10)], Some((15.0, 30.0)));
    let never = f64::INFINITY;
    let (five, one) = (errors(10.0, 0.1, 0.05), errors(10.0, 0.1, 0.01));
    vec![
        case("errors_to_5_percent_at_once", &five, ten, AtOnce, errors_target, 1),
        case("errors_to_5_percent_after_10_min", &five, ten, AfterTenMinutes, errors_target, 1),
        case("errors_to_5_percent_at_any_time", &five, ten, AnyTime, None, 1),
        case(
            "errors_to_5_percent_at_25_percent",
            &errors(10.0, 0.25, 0.05),
            &[(0, 25)],
            AtOnce,
            None,
            2,
        ),
        case(
            "errors_to_5_percent_at_50_percent",
            &errors(10.0, 0.5, 0.05),
            &[(0, 50)],
            AtOnce,
            None,
            2,
        ),
        case("errors_to_1_percent_at_once", &one, ten, AtOnce, None, 2),
        case("errors_to_1_percent_at_any_time", &one, ten, AnyTime, None, 4),
        case("latency_x1.2_at_once", &slower(1.2), ten, AtOnce, Some((never, 120.0)), 5),
        case(
            "latency_x1.2_after_10_min",
            &slower(1.2),
            ten,
            AfterTenMinutes,
            Some((never, 120.0)),
            5,
        ),
        case("latency_x1.2_at_any_time", &slower(1.2), ten, AnyTime, None, 5),
        case("latency_x2_at_once", &slower(2.0), ten, AtOnce, None, 5),
        case("hangs_at_once", &hangs, ten, AtOnce, Some((30.0, 30.0)), 2),
        case("hangs_after_10_min", &hangs, ten, AfterTenMinutes, Some((30.0, 30.0)), 2),
    ]
}

/// `runs` runs of each case (fewer of those which take long).
pub fn measure(runs: u32, from: u64) -> Figure {
    let judge = judge(&Analysis::default());
    let found: Vec<Found> = cases().iter().map(|case| detect(&judge, case, runs, from)).collect();
    let blind = blind();
    Figure {
        title: "Detection".into(),
        target: "errors from 0.1 to 5 % at 10 requests a second on a canary with 10 %, looks by default (every second), at once and \
                 after 10 minutes: median <= 15 s, p95 <= 30 s; latency x1.2 at 100 and 900 requests a second: \
                 p95 <= 120 s; a canary that hangs: <= 30 s; without metrics no verdict, and \
                 \"inconclusive\" with the first look"
            .into(),
        pass: blind.passes() && found.iter().all(|f| f.met != Some(false)),
        result: json!({ "cases": found, "without_metrics": blind }),
    }
}

fn detect(judge: &Judge, case: &Case, runs: u32, from: u64) -> Found {
    let runs = (runs / case.one_in).max(1);
    let seconds: Vec<f64> = each(runs, |run| {
        let seed = seed(from, case.name, run);
        let onset_ms = match case.onset {
            Onset::AtOnce => 0,
            Onset::AfterTenMinutes => TEN_MINUTES_MS,
            Onset::AnyTime => TEN_MINUTES_MS + seed % 120_000,
        };
        let fault = case.traffic.fault.map(|fault| Fault { onset_ms, ..fault });
        let traffic = Traffic { fault, ..case.traffic.clone() };
        until_alarm(judge, &traffic, case.weights, onset_ms + PATIENCE_MS, seed).map_or(
            f64::INFINITY,
            |seen| match seen.at_ms <= onset_ms {
                true => 0.0,
                false => (seen.at_ms + TOLD_AFTER_MS - onset_ms) as f64 / 1_000.0,
            },
        )
    });
    let too_early = seconds.iter().filter(|s| **s <= 0.0).count();
    // A false alarm is no detection, and no quick one either.
    let times = Times::new(seconds.into_iter().filter(|s| *s > 0.0).collect());
    Found {
        name: case.name,
        target: case
            .target
            .filter(|(median, _)| median.is_finite())
            .or(case.target.map(|(_, p95)| (p95, p95))),
        met: case.target.map(|(median, p95)| times.within(median, p95)),
        seconds: times,
        too_early,
    }
}

/// What a judge says when there is nothing to judge by.
#[derive(Serialize)]
struct Blind {
    looks: usize,
    verdicts: usize,
    accepted: usize,
    /// Looks after which it said what is missing.
    said: usize,
}

impl Blind {
    fn passes(&self) -> bool {
        self.verdicts == 0 && self.accepted == 0 && self.said == self.looks
    }
}

/// Half an hour without windows, with empty ones, and with a canary that gets no requests.
fn blind() -> Blind {
    let mut blind = Blind { looks: 0, verdicts: 0, accepted: 0, said: 0 };
    let mut stream = Stream::new(&ordinary(100.0, 0.02), 1);
    let of = |canary: Counts, stable: Counts| Sides { canary, stable };
    for way in 0..4 {
        let mut judge = judge(&Analysis::default());
        for look in 1..=1_800_u64 {
            let window = stream.window(0.0);
            let sides = &window.components["api"];
            let components = match way {
                0 => None,
                1 => Some([].into()),
                2 => Some([("api".to_string(), of(Counts::default(), Counts::default()))].into()),
                _ => Some([("api".to_string(), sides.clone())].into()),
            };
            if let Some(components) = components {
                judge.take(&Window { end_ms: look * 1_000, components });
            }
            blind.looks += 1;
            blind.verdicts += usize::from(judge.verdict() != Verdict::Inconclusive);
            blind.accepted += usize::from(judge.lacks(5).is_empty());
            blind.said += usize::from(!judge.lacks(5).is_empty());
        }
    }
    blind
}
