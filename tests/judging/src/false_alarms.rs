//! Figure 2: how often a release that is the same as the old one is turned back.

use std::collections::BTreeMap;

use neuroca_deploy_core::judge::{Analysis, Metric};
use neuroca_deploy_core::traffic::{Clients, Incident, Traffic};
use serde::Serialize;
use serde_json::json;

use crate::figure::{Figure, Share};
use crate::parallel::{each, seed};
use crate::watch::{Seen, Weights, judge, ordinary, until_alarm};

const HALF_AN_HOUR_MS: u64 = 1_800_000;
const TOLERATED: f64 = 0.01;
const STEADY: &Weights = &[(0, 10)];
const STEPS: &Weights = &[(0, 5), (600_000, 25), (1_200_000, 50)];

struct Case {
    name: &'static str,
    traffic: Traffic,
    weights: &'static Weights,
    /// Whether the target holds for it; others are reported.
    held_to_it: bool,
    /// One in so many runs: those which take long.
    one_in: u32,
}

#[derive(Serialize)]
struct Found {
    name: &'static str,
    held_to_it: bool,
    false_alarms: Share,
    by_metric: BTreeMap<String, usize>,
}

/// Two minutes with a hundred times the errors and three times the latency, on both sides; a step begins in it.
fn incident() -> Vec<Incident> {
    vec![Incident { from_ms: 1_140_000, until_ms: 1_260_000, errors: 100.0, slower: 3.0 }]
}

fn cases() -> Vec<Case> {
    let plain = ordinary(100.0, 0.001);
    let uneven = |traffic: Traffic, pods: (u32, u32)| Traffic {
        pod_error_sigma: 0.3,
        pod_latency_sigma: 0.05,
        canary_pods: pods.0,
        stable_pods: pods.1,
        ..traffic
    };
    let with_incident = |traffic: Traffic| Traffic { incidents: incident(), ..traffic };
    let sticky = |as_units: bool| Traffic {
        clients: Some(Clients { count: 2_000, exponent: 1.0, error_sigma: 1.0, as_units }),
        latency: None,
        ..ordinary(100.0, 0.01)
    };
    let case = |name, traffic, weights, held_to_it, one_in| Case {
        name,
        traffic,
        weights,
        held_to_it,
        one_in,
    };
    vec![
        case("steady_10_percent", plain.clone(), STEADY, true, 1),
        case("steps_and_incident", with_incident(plain.clone()), STEPS, true, 1),
        case("uneven_pods_1_and_9", uneven(ordinary(100.0, 0.01), (1, 9)), STEADY, true, 1),
        case(
            "uneven_pods_steps_and_incident",
            uneven(with_incident(plain.clone()), (1, 9)),
            STEPS,
            true,
            1,
        ),
        case("uneven_pods_1_and_1", uneven(ordinary(100.0, 0.01), (1, 1)), STEADY, false, 2),
        case("uneven_pods_1000_rps", uneven(ordinary(1_000.0, 0.001), (1, 9)), STEADY, false, 10),
        case("sticky_clients_as_units", sticky(true), STEADY, false, 2),
        case("sticky_clients_by_requests", sticky(false), STEADY, false, 2),
    ]
}

/// `runs` runs of half an hour for each case.
pub fn measure(runs: u32, from: u64) -> Figure {
    let judge = judge(&Analysis::default());
    let found: Vec<Found> = cases()
        .into_iter()
        .map(|case| {
            let runs = (runs / case.one_in).max(1);
            let seen: Vec<Option<Seen>> = each(runs, |run| {
                let seed = seed(from, case.name, run);
                until_alarm(&judge, &case.traffic, case.weights, HALF_AN_HOUR_MS, seed)
            });
            let mut by_metric = BTreeMap::new();
            for seen in seen.iter().flatten() {
                *by_metric.entry(name_of(&seen.metric)).or_default() += 1;
            }
            let alarms = seen.iter().flatten().count();
            Found {
                name: case.name,
                held_to_it: case.held_to_it,
                false_alarms: Share::new(alarms, seen.len()),
                by_metric,
            }
        })
        .collect();
    Figure {
        title: "False alarms".into(),
        target: format!(
            "a release that is the same as the old one is turned back in at most 1 % of {runs} runs of 30 \
             minutes with looks by default (every second): at a steady weight, with weight steps and a shared x100 \
             incident, with pods that differ (log-odds of errors .3, log-latency .05; 1 and 9 pods)"
        ),
        pass: found.iter().filter(|f| f.held_to_it).all(|f| f.false_alarms.share <= TOLERATED),
        result: json!({ "cases": found }),
    }
}

fn name_of(metric: &Metric) -> String {
    metric.to_string()
}
