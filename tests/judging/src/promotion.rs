//! Figure 4: how soon a healthy release has all of the traffic.

use neuroca_deploy_core::judge::{Acceptance, Analysis, Judge};
use neuroca_deploy_core::traffic::{Fault, LatencyLaw, Stream, Traffic};
use serde::Serialize;
use serde_json::json;

use crate::figure::{Figure, Share, Times};
use crate::parallel::{each, seed};
use crate::watch::{judge, ordinary};

/// The default steps: so many percent, for so long at least.
pub const STEPS: [(u32, u64); 3] = [(5, 60_000), (25, 60_000), (50, 60_000)];
const HOUR_MS: u64 = 3_600_000;
const TEN_MINUTES: f64 = 600.0;

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// All of the traffic, after so long.
    Promoted(u64),
    TurnedBack(u64),
    /// Still at this step when the time was over, for this reason.
    Waiting(u32, String),
}

/// What "10 requests a second" is about.
#[derive(Debug, Clone, Copy)]
pub enum Rate {
    /// The canary gets so many, whatever its weight.
    Canary(f64),
    /// Both sides together.
    Total(f64),
}

impl Rate {
    fn total(self, weight: u32) -> f64 {
        match self {
            Self::Canary(rps) => rps * 100.0 / f64::from(weight),
            Self::Total(rps) => rps,
        }
    }
}

/// Walks the steps as the rollout machine does: time and evidence at each, an alarm at any time.
pub fn walk(judge: &Judge, traffic: &Traffic, rate: Rate, seed: u64) -> End {
    let mut judge = judge.clone();
    let mut stream = Stream::new(traffic, seed);
    let mut now_ms = 0;
    for (n, (weight, least_ms)) in STEPS.iter().enumerate() {
        let next = STEPS.get(n + 1).map_or(100, |(weight, _)| *weight);
        let began_ms = now_ms;
        stream.set_rps(rate.total(*weight));
        loop {
            let window = stream.window(f64::from(*weight) / 100.0);
            now_ms = window.end_ms;
            judge.take(&window);
            if judge.alarm().is_some() {
                return End::TurnedBack(now_ms);
            }
            match judge.accepts(next) {
                Acceptance::Accepted if now_ms - began_ms >= *least_ms => break,
                Acceptance::Missing(what) if now_ms >= HOUR_MS => {
                    return End::Waiting(*weight, what);
                }
                _ => {}
            }
        }
    }
    End::Promoted(now_ms)
}

struct Case {
    name: &'static str,
    traffic: Traffic,
    rate: Rate,
    /// Whether the target holds for it; others are reported.
    held_to_it: bool,
    one_in: u32,
}

#[derive(Serialize)]
struct Found {
    name: &'static str,
    held_to_it: bool,
    seconds: Times,
    within_10_min: Share,
    turned_back: Share,
}

fn cases() -> Vec<Case> {
    use Rate::{Canary, Total};
    let case =
        |name, traffic, rate, held_to_it, one_in| Case { name, traffic, rate, held_to_it, one_in };
    let narrow = LatencyLaw { p50_ms: 20.0, sigma: 0.0 };
    let faulty = |rate: f64, canary: f64| Traffic {
        fault: Some(Fault { error_rate: Some(canary), ..Fault::at(0) }),
        ..ordinary(10.0, rate)
    };
    vec![
        case("healthy_0.1_percent", ordinary(10.0, 0.001), Canary(10.0), true, 1),
        case("without_errors", ordinary(10.0, 0.0), Canary(10.0), true, 1),
        case("healthy_0.3_percent", ordinary(10.0, 0.003), Canary(10.0), false, 1),
        case("healthy_1_percent", ordinary(10.0, 0.01), Canary(10.0), false, 1),
        case("healthy_3_percent", ordinary(10.0, 0.03), Canary(10.0), false, 1),
        case(
            "always_as_slow",
            Traffic { latency: Some(narrow), ..ordinary(10.0, 0.001) },
            Canary(10.0),
            false,
            1,
        ),
        case("healthy_0.1_percent_10_rps_in_all", ordinary(10.0, 0.001), Total(10.0), false, 1),
        case("without_errors_10_rps_in_all", ordinary(10.0, 0.0), Total(10.0), false, 1),
        case("healthy_1_percent_10_rps_in_all", ordinary(10.0, 0.01), Total(10.0), false, 1),
        // What promotion has to keep out: more than the budget, and three times the old rate.
        case("bad_1_to_3_percent_10_rps_in_all", faulty(0.01, 0.03), Total(10.0), false, 5),
        case("bad_0.3_to_1_percent_10_rps_in_all", faulty(0.0033, 0.01), Total(10.0), false, 5),
    ]
}

/// `runs` rollouts of each case.
pub fn measure(runs: u32, from: u64) -> Figure {
    let judge = judge(&Analysis::default());
    let found: Vec<Found> = cases()
        .iter()
        .map(|case| {
            let runs = (runs / case.one_in).max(1);
            let ends = each(runs, |run| {
                walk(&judge, &case.traffic, case.rate, seed(from, case.name, run))
            });
            let seconds: Vec<f64> = ends
                .iter()
                .map(|end| match end {
                    End::Promoted(ms) => *ms as f64 / 1_000.0,
                    _ => f64::INFINITY,
                })
                .collect();
            let quick = seconds.iter().filter(|s| **s <= TEN_MINUTES).count();
            let back = ends.iter().filter(|end| matches!(end, End::TurnedBack(_))).count();
            Found {
                name: case.name,
                held_to_it: case.held_to_it,
                within_10_min: Share::new(quick, ends.len()),
                turned_back: Share::new(back, ends.len()),
                seconds: Times::new(seconds),
            }
        })
        .collect();
    let met =
        |f: &Found| f.within_10_min.share >= 0.99 && f.seconds.within(TEN_MINUTES, TEN_MINUTES);
    Figure {
        title: "Promotion".into(),
        target: "a healthy canary at 10 requests a second is promoted through 5, 25, 50 and 100 % with the default \
                 policy within 10 minutes, one without any errors too: at least 99 % of the runs"
            .into(),
        pass: found.iter().filter(|f| f.held_to_it).all(met),
        result: json!({ "steps": STEPS, "cases": found }),
    }
}
