//! The section of the environment file.

use super::*;
use crate::config::fractions::{Factor, Percent};

fn read(yaml: &str) -> Result<Analysis, String> {
    serde_yaml::from_str(yaml).map_err(|e| e.to_string())
}

#[test]
fn nothing_said_is_the_default_and_it_is_written_as_people_write_it() {
    assert_eq!(read("{}"), Ok(Analysis::default()));
    let json = serde_json::to_value(Analysis::default()).expect("JSON");
    assert_eq!(json["errors"]["budget"], "1%");
    assert_eq!(json["latency"]["tolerance"], "1.15");
    assert_eq!(json["alpha"], "1%");
    assert_eq!(serde_json::from_value::<Analysis>(json).ok(), Some(Analysis::default()));
}

#[test]
fn every_constant_is_a_setting() {
    let read = read(
        "{interval: 1s, alpha: 0.1%, beta: 2%, min_requests: 10, restart_every: 20s, horizon: 1h, decide_within: 5m, on_inconclusive: promote, errors: {odds_ratio: '3', not_worse: '4', budget: 0.5%}, latency: {judged: false, tolerance: '1.3', not_worse: '2.5'}}",
    )
    .expect("all known");
    assert_eq!(read.alpha, Percent(1_000));
    assert_eq!(read.latency.tolerance, Factor(1_300_000));
    assert_eq!(read.on_inconclusive, OnInconclusive::Promote);
    assert_eq!(read.copies(), 180);
    assert!(super::policy::read("{alhpa: 1%}").expect_err("a typo").contains("alhpa"));
}

#[test]
fn alpha_is_spent_once() {
    let with = Analysis::default();
    for components in 1..4 {
        let shares: f64 = [Metric::Errors, Metric::Latency]
            .iter()
            .map(|metric| components as f64 / with.alarm_bound(metric, components))
            .sum();
        assert!((shares - 0.01).abs() < 1e-12, "{shares}");
    }
    assert!((errors_only().alarm_bound(&Metric::Errors, 1) - 100.0).abs() < 1e-9);
}

#[test]
fn more_is_asked_where_more_is_at_stake_and_everything_for_everything() {
    let bounds: Vec<f64> =
        [0, 25, 50, 100, 200].map(|w| Analysis::default().acceptance_bound(w)).into();
    assert!((bounds[0] - 1.0).abs() < 1e-12 && (bounds[3] - 20.0).abs() < 1e-9, "{bounds:?}");
    assert!(bounds.is_sorted() && bounds[3] == bounds[4], "{bounds:?}");
}

#[test]
fn looser_settings_take_longer_to_raise_an_alarm() {
    let looks = |odds: u16| {
        let mut analysis = errors_only();
        analysis.errors.odds_ratio = Factor::whole(odds);
        let fault = Some(Fault { error_rate: Some(0.1), ..Fault::at(0) });
        let mut stream = Stream::new(&Traffic { fault, ..Traffic::new(100.0, 0.01) }, 9);
        let mut judge = Judge::new(&analysis, ["api".to_string()]);
        until_alarm(&mut judge, &mut stream, 0.2, 2_000)
    };
    assert!(looks(2) < looks(5), "{:?} {:?}", looks(2), looks(5));
    assert_eq!(looks(20), None);
}
