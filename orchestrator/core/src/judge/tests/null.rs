//! The promise on which everything rests, by enumeration: a release that is as good as tolerated gains
//! nothing on average, restarts and all.

use super::super::hypergeometric::Table;
use super::super::proportion::Proportion;
use super::super::wealth::Schedule;
use super::*;

fn ratio(bad: u64, of: u64) -> Ratio {
    Ratio { of, bad }
}

/// The law of the canary's bad units of a window, given how many there were together.
fn law(canary: u64, stable: u64, bad: u64, psi: f64) -> Vec<(u64, f64)> {
    let choose = |n: u64, k: u64| (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product::<f64>();
    let weights: Vec<(u64, f64)> = (bad.saturating_sub(stable)..=bad.min(canary))
        .map(|s| (s, choose(canary, s) * choose(stable, bad - s) * psi.powi(s as i32)))
        .collect();
    let sum: f64 = weights.iter().map(|(_, w)| w).sum();
    weights.into_iter().map(|(s, w)| (s, w / sum)).collect()
}

/// Mean evidence (worse, better) over everything that can come of windows with these margins.
fn mean(
    windows: &[(u64, u64, u64)],
    psi: f64,
    start: &Proportion,
    schedule: &Schedule,
) -> (f64, f64) {
    let Some(((canary, stable, bad), rest)) = windows.split_first() else {
        return (start.worse(schedule), start.better());
    };
    let mut schedule = schedule.clone();
    let mut start = start.clone();
    // Each window is far enough from the one before for another copy.
    let copy = 100_000 * (10 - rest.len() as u64);
    start.start(schedule.due(copy));
    law(*canary, *stable, *bad, psi).into_iter().fold((0.0, 0.0), |(worse, better), (s, p)| {
        let mut after = start.clone();
        assert!(after.take(ratio(s, *canary), ratio(bad - s, *stable), false));
        let (more, less) = mean(rest, psi, &after, &schedule);
        (worse + p * more, better + p * less)
    })
}

#[test]
fn evidence_of_a_tolerated_release_is_one_on_average() {
    let analysis = errors_only();
    let fresh = Proportion::new(&analysis, 1e6_f64.ln());
    let schedule = Schedule::new(100_000, 4);
    let windows = [(3, 7, 2), (2, 9, 4), (5, 5, 1), (1, 8, 3), (4, 4, 6)];
    let (worse, _) = mean(&windows, 2.0, &fresh, &schedule);
    assert!((worse - 1.0).abs() < 1e-9, "{worse}");
    for psi in [0.5, 1.0, 1.9] {
        let (worse, _) = mean(&windows, psi, &fresh, &schedule);
        assert!(worse < 1.0, "{psi}: {worse}");
    }
    // It does gain when the release is worse.
    assert!(mean(&windows, 20.0, &fresh, &schedule).0 > 2.0);
}

#[test]
fn the_law_used_here_is_that_of_the_counts() {
    let table = Table::new(ratio(1, 3), ratio(1, 7)).expect("possible");
    assert!(table.speaks());
    let sum: f64 = law(3, 7, 2, 5.0).iter().map(|(_, p)| p).sum();
    assert!((sum - 1.0).abs() < 1e-12);
}

#[test]
fn false_alarms_stay_below_alpha_when_one_looks_after_every_window() {
    // At the edge of what is tolerated, where the promise is tightest: twice the odds.
    let rate = 0.02;
    let twice = 2.0 * rate / (1.0 + rate);
    let fault = Some(Fault { error_rate: Some(twice), ..Fault::at(0) });
    let traffic = Traffic { fault, ..Traffic::new(100.0, rate) };
    let alarms = (0..200)
        .filter(|seed| {
            let mut stream = Stream::new(&traffic, *seed);
            let mut judge = Judge::new(&errors_only(), ["api".to_string()]);
            until_alarm(&mut judge, &mut stream, 0.2, 300).is_some()
        })
        .count();
    assert!(alarms <= 5, "{alarms} of 200 at 1 %");
}
