use super::*;
use crate::config::{Inputs, SourceFile, resolve};
use crate::judge::{Counts, Sides, Window};

fn environment(rollout: &str) -> Environment {
    let text = format!(
        "project: shop\nrollout: {{strategy: canary, {rollout}}}\ncomponents:\n  web:\n    artifact: dist\n    \
         command: [./web]\n"
    );
    let files = vec![SourceFile { name: "environments/production.yaml".into(), text }];
    resolve(&Inputs { files, ..Inputs::default() }).expect("valid").environment
}

fn trial(rollout: &str, rps: f64) -> Trial {
    let given = Given { rps, error_rate: 0.001, latency_p50_ms: 50.0, pods: None, seed: 1 };
    Trial::new(&environment(rollout), given).expect("a canary")
}

/// A few runs of each scenario.
fn preview(trial: &Trial, runs: usize) -> Preview {
    let of = |scenario: &Scenario| (0..runs).map(|n| trial.run(*scenario, n)).collect();
    trial.summary(&Scenario::ALL.iter().map(of).collect::<Vec<_>>())
}

fn warned(rollout: &str, rps: f64, error_rate: f64) -> Vec<String> {
    warnings(&walk::spec(&environment(rollout)), rps, error_rate)
}

const NO_LATENCY: &str = "analysis: {latency: {judged: false}}";

#[test]
fn the_same_seed_gives_the_same_runs_and_another_one_others() {
    let one = trial("", 100.0);
    let walks = |trial: &Trial| (0..5).map(|n| trial.run(Scenario::Errors(10.0), n)).collect();
    let (first, again): (Vec<Walk>, Vec<Walk>) = (walks(&one), walks(&one));
    assert_eq!(first, again);
    let other = Trial { given: Given { seed: 2, ..one.given.clone() }, ..one };
    assert_ne!(first, walks(&other));
}

#[test]
fn a_good_release_is_promoted_and_a_bad_one_turned_back() {
    let preview = preview(&trial(NO_LATENCY, 200.0), 15);
    assert_eq!(preview.healthy.turned_back.hits, 0);
    assert_eq!(preview.healthy.promoted.hits, 15);
    let to_promote = preview.healthy.seconds_to_promote.median.expect("promoted");
    assert!((180.0..300.0).contains(&to_promote), "three minutes of pauses: {to_promote}");
    let ten = &preview.faults[2];
    assert_eq!((ten.fault, ten.turned_back.hits), (Scenario::Errors(10.0), 15));
    assert!(ten.seconds_to_see.median.expect("seen") < to_promote);
    assert!(ten.requests_exposed.median.expect("some") > 0.0);
    // Twice the errors are tolerated by default.
    assert_eq!(preview.faults[0].turned_back.hits, 0);
}

#[test]
fn latency_is_seen_when_it_is_judged_and_only_then() {
    let judged = trial("", 200.0);
    assert!((0..5).all(|n| judged.run(Scenario::Latency(2.0), n).end == End::Worse));
    let not_judged = trial(NO_LATENCY, 200.0);
    assert!((0..5).all(|n| not_judged.run(Scenario::Latency(2.0), n).end == End::Promoted));
}

#[test]
fn without_enough_traffic_a_step_is_inconclusive_and_the_policy_says_what_then() {
    for (then, turned_back) in [("pause", false), ("rollback", true)] {
        let policy = format!("analysis: {{decide_within: 2m, on_inconclusive: {then}}}");
        let walk = trial(&policy, 0.5).run(Scenario::Healthy, 0);
        assert_eq!((walk.end, walk.step), (End::Undecided { turned_back }, 0));
    }
    let promoted = trial("analysis: {decide_within: 2m, on_inconclusive: promote}", 0.5);
    assert_eq!(promoted.run(Scenario::Healthy, 0).end, End::Promoted);
}

#[test]
fn gates_open_and_steps_without_a_judge_take_their_time() {
    let policy =
        "steps: [{weight: 10, pause: 30s, gate: true}, {weight: 50, pause: 60s, analysis: false}]";
    let walk = trial(policy, 1000.0).run(Scenario::Healthy, 0);
    assert_eq!(walk.end, End::Promoted);
    assert!((90.0..110.0).contains(&walk.seconds), "{walk:?}");
}

#[test]
fn pods_that_differ_are_as_many_as_said() {
    let given = Given { pods: Some(1), ..trial("", 100.0).given };
    let one = Trial::new(&environment(""), given).expect("a canary");
    assert_ne!(one.run(Scenario::Healthy, 0), trial("", 100.0).run(Scenario::Healthy, 0));
}

#[test]
fn what_cannot_be_tried_out_is_said() {
    let given = trial("", 1.0).given;
    let not = |environment: &Environment| Trial::new(environment, given.clone()).map(|_| ());
    let mut plain = environment("");
    plain.rollout.strategy = crate::config::model::Strategy::BlueGreen;
    assert_eq!(not(&plain), Err(Unfit::NotCanary));
    let unjudged = environment("steps: [{weight: 10, analysis: false}]");
    assert_eq!(not(&unjudged), Err(Unfit::NoJudge));
    let mut deaf = environment("");
    deaf.components.values_mut().for_each(|component| component.port = false);
    assert_eq!(not(&deaf), Err(Unfit::NothingListens));
}

/// Numbers stand for what the judge's constants make of them.
fn without_numbers(said: &[String]) -> String {
    let mut text = String::new();
    for c in said.join("\n").chars() {
        match c {
            '0'..='9' if text.ends_with('#') => {}
            '.' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            c => text.push(c),
        }
    }
    text
}

#[test]
fn warnings_are_plain_and_name_a_way_out() {
    let one_step = "steps: [{weight: 10, pause: 5m}], analysis: {latency: {judged: false}}";
    let half = |within: &str, deadline: &str| {
        let analysis = format!("analysis: {{{within}, min_requests: 5}}");
        format!("deadline: {deadline}, steps: [{{weight: 50, pause: 1m}}], {analysis}")
    };
    let told = [
        ("no traffic", warned("", 0.0, 0.001)),
        ("no exposure", warned("analysis: {decide_within: 5m, min_requests: 500}", 20.0, 0.001)),
        ("no acceptance", warned(&half("decide_within: 2m", "30m"), 1.0, 0.001)),
        ("over the budget", warned(&half("decide_within: 2m", "30m"), 1.0, 0.02)),
        ("deadline", warned(&half("decide_within: 1h", "6m"), 1.0, 0.001)),
        ("one step", warned(one_step, 20.0, 0.001)),
        ("three steps", warned("", 50.0, 0.001)),
        ("hardly any errors", warned("", 100.0, 0.00001)),
    ];
    let told: Vec<String> =
        told.iter().map(|(name, said)| format!("{name}:\n{}", without_numbers(said))).collect();
    insta::assert_snapshot!(told.join("\n\n"));
    assert!(warned("", 5_000.0, 0.001).is_empty());
}

#[test]
fn numbers_for_people_are_short() {
    let short = [16.666_666, 100.0 / 6.0, 1_234.56, 300.0, 0.1, 0.062_518, 99.97, 0.0].map(plain);
    assert_eq!(short, ["16.7", "16.7", "1235", "300", "0.1", "0.0625", "100", "0"]);
    assert_eq!([16.666, 0.033_3, 120.0].map(number), ["17", "0.033", "120"]);
    let told = warned("", 50.0 / 3.0, 0.001).join("\n");
    assert!(told.contains("16.7 ") && !told.contains("16.66"), "{told}");
}

#[test]
fn more_traffic_sees_smaller_rises_sooner() {
    let policy = environment("");
    let spec = walk::spec(&policy);
    let rise = |rps: f64| {
        let arithmetic = arithmetic::Arithmetic {
            analysis: &spec.analysis,
            steps: &spec.steps,
            components: 1,
            rps,
            error_rate: 0.001,
        };
        (arithmetic.smallest_rise(), arithmetic.seconds_to_see(10.0, 25))
    };
    let found: Vec<_> = [100.0, 1_000.0, 10_000.0].into_iter().map(rise).collect();
    for pair in found.windows(2) {
        assert!(pair[0].0 > pair[1].0 && pair[0].1 > pair[1].1, "{found:?}");
    }
    // Less than what is tolerated is never seen.
    assert!(found[2].0.expect("seen") > 2.0);
}

#[test]
fn blue_green_has_no_steps_to_warn_about() {
    let mut plain = environment("");
    plain.rollout.strategy = crate::config::model::Strategy::BlueGreen;
    assert!(warnings(&walk::spec(&plain), 0.1, 0.001).is_empty());
}

#[test]
fn the_arithmetic_agrees_with_the_runs() {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (rps, weight, factor) in [(100.0, 10, 20.0), (300.0, 25, 10.0), (1000.0, 50, 8.0)] {
        let policy = format!(
            "deadline: 24h, steps: [{{weight: {weight}, pause: 2h}}], analysis: {{latency: {{judged: false}}}}"
        );
        let trial = trial(&policy, rps);
        let runs = (0..25).map(|n| trial.run(Scenario::Errors(factor), n));
        let mut seconds: Vec<f64> = runs.map(|walk| walk.seconds).collect();
        let arithmetic = arithmetic::Arithmetic {
            analysis: &trial.spec.analysis,
            steps: &trial.spec.steps,
            components: 1,
            rps,
            error_rate: 0.001,
        };
        let expected = arithmetic.seconds_to_see(factor, weight).expect("it is seen");
        let found = median(&mut seconds);
        assert!((0.6..1.7).contains(&(found / expected)), "{rps} {factor}: {found} {expected}");
    }
}

#[test]
fn the_new_release_gets_its_part_from_the_split_on_and_a_window_is_judged_when_it_can_be_told() {
    let spec = walk::spec(&environment("steps: [{weight: 40, pause: 10m}]"));
    let after_split = |split_ms: u64| {
        let mut weights = Vec::new();
        let mut end_ms = 0;
        let walk = walk::walk(&spec, split_ms, 1_000, |weight| {
            weights.push(weight);
            end_ms += 1_000;
            let requests = (weight * 1_000.0).round() as u64;
            let canary = Counts { requests, errors: requests / 2, ..Counts::default() };
            let stable = Counts { requests: 1_000 - requests, ..Counts::default() };
            let components = [("web".to_string(), Sides { canary, stable })].into();
            let window = Window { end_ms, components };
            Sent { to_canary: requests, window: Some(window).filter(|_| end_ms % 2_000 == 0) }
        });
        assert_eq!(walk.end, End::Worse);
        let sent: f64 = weights.iter().map(|weight| (weight * 1_000.0).round()).sum();
        assert_eq!(walk.exposed, sent as u64);
        (weights, walk.seconds)
    };
    let (weights, seconds) = after_split(2_300);
    let expected = [0.0, 0.0, 0.7 * 0.4, 0.4];
    assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{weights:?}");
    // The window ends 1.7 s after the split, is told 0.75 s later, and asked for once a second.
    assert!((2.45..3.65).contains(&seconds), "{seconds}");
    // One that ended before the split is not judged; the next one is.
    let (_, later) = after_split(1_990);
    assert!((2.76..3.96).contains(&later), "{later}");
}
