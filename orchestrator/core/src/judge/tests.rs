//! What whoever feeds it windows sees of the judge.

mod bad_input;
mod latency;
mod null;
mod policy;

use super::*;
use crate::traffic::{Fault, Incident, LatencyLaw, Stream, Traffic};

fn counts(requests: u64, errors: u64) -> Counts {
    Counts { requests, errors, ..Counts::default() }
}

fn window(look: u64, canary: Counts, stable: Counts) -> Window {
    named(look, &[("api", canary, stable)])
}

fn named(look: u64, components: &[(&str, Counts, Counts)]) -> Window {
    let sides = |(name, canary, stable): &(&str, Counts, Counts)| {
        (name.to_string(), Sides { canary: canary.clone(), stable: stable.clone() })
    };
    Window { end_ms: look * 2_000, components: components.iter().map(sides).collect() }
}

fn judge() -> Judge {
    Judge::new(&Analysis::default(), ["api".to_string()])
}

fn errors_only() -> Analysis {
    let mut analysis = Analysis::default();
    analysis.latency.judged = false;
    analysis
}

/// Feeds windows until there is an alarm; how many it took.
fn until_alarm(judge: &mut Judge, stream: &mut Stream, weight: f64, most: usize) -> Option<usize> {
    (1..=most).find(|_| {
        judge.take(&stream.window(weight));
        judge.alarm().is_some()
    })
}

#[test]
fn a_release_that_fails_often_is_worse_in_seconds_and_says_why() {
    let mut judge = judge();
    let mut looks = 0;
    while judge.alarm().is_none() {
        looks += 1;
        judge.take(&window(looks, counts(20, 1), counts(180, 0)));
        assert!(looks < 20, "{:?}", judge.evidence());
    }
    assert_eq!(judge.verdict(), Verdict::Worse);
    let alarm = judge.alarm().expect("one").clone();
    assert_eq!((alarm.at_ms, &alarm.metric), (looks * 2_000, &Metric::Errors));
    let said = alarm.to_string();
    let expected = format!(
        "api has more errors: {looks} of {} (5.00 %) on the new release, 0 of {} (0 %) on the old (evidence ",
        20 * looks,
        180 * looks
    );
    assert!(said.starts_with(&expected), "{said}");
    // It stays, and nothing is accepted any more.
    for look in looks + 1..looks + 500 {
        judge.take(&window(look, counts(20, 0), counts(180, 0)));
    }
    assert_eq!(judge.alarm(), Some(&alarm));
    assert_eq!(judge.accepts(5), Acceptance::Missing(said));
}

#[test]
fn an_alarm_shows_what_the_fault_did_and_not_what_was_before_it() {
    let mut judge = judge();
    for look in 1..=600 {
        judge.take(&window(look, counts(20, 0), counts(180, 0)));
    }
    for look in 601..=630 {
        judge.take(&window(look, counts(20, 1), counts(180, 0)));
    }
    let alarm = judge.alarm().expect("one");
    assert!((3..=12).contains(&alarm.canary.bad), "{alarm}");
    assert!(alarm.canary.of <= 20 * 120, "{alarm}");
    assert!(judge.evidence().components["api"].canary.requests > 20 * 600);
}

#[test]
fn clean_requests_are_enough_and_what_is_missing_is_said() {
    let mut judge = Judge::new(&errors_only(), ["api".to_string()]);
    assert_eq!(judge.accepts(5), Acceptance::Missing("api: nothing was counted yet".into()));
    judge.take(&window(1, counts(20, 0), counts(180, 0)));
    let Acceptance::Missing(what) = judge.accepts(25) else { panic!("after 20 requests") };
    assert!(what.starts_with("api: the new release answered 20 of at least 50 requests"), "{what}");
    let mut accepted = BTreeMap::new();
    for look in 2..=60 {
        judge.take(&window(look, counts(20, 0), counts(180, 0)));
        for weight in [25, 50, 100] {
            if judge.accepts(weight) == Acceptance::Accepted {
                accepted.entry(weight).or_insert(look * 20);
            }
        }
    }
    // More is asked where more is at stake.
    assert!(accepted[&25] < accepted[&50] && accepted[&50] < accepted[&100], "{accepted:?}");
    assert!((400..=600).contains(&accepted[&100]), "{accepted:?}");
    assert_eq!(judge.verdict(), Verdict::BetterOrEqual);
    // What it does now counts, however good it was before.
    for look in 61..=70 {
        judge.take(&window(look, counts(20, 4), counts(180, 16)));
    }
    assert_eq!(judge.alarm(), None);
    let Acceptance::Missing(what) = judge.accepts(100) else {
        panic!("with two and a half times the errors")
    };
    assert!(what.starts_with("api: evidence that errors did not get worse is "), "{what}");
}

#[test]
fn an_incident_that_both_sides_share_is_no_alarm_at_any_weight() {
    let incidents =
        vec![Incident { from_ms: 20_000, until_ms: 140_000, errors: 100.0, slower: 5.0 }];
    let latency = Some(LatencyLaw { p50_ms: 50.0, sigma: 0.5 });
    let mut stream = Stream::new(&Traffic { incidents, latency, ..Traffic::new(200.0, 0.002) }, 5);
    let mut judge = judge();
    for look in 0..150 {
        judge.take(&stream.window([0.05, 0.25, 0.5][look / 50]));
    }
    assert_eq!(judge.alarm(), None);
    assert!(judge.evidence().components["api"].canary.error_rate > Some(0.02));
}

#[test]
fn without_an_old_release_errors_above_the_budget_are_an_alarm() {
    let mut judge = judge().alone(["api"]);
    for look in 1..=200 {
        judge.take(&window(look, counts(20, 1), counts(0, 0)));
    }
    let said = judge.alarm().expect("5 % with a budget of 1 %").to_string();
    assert!(said.contains("on the new release and no old release to compare with"), "{said}");
    // Within it, they are accepted.
    let mut judge = self::judge().alone(["api"]);
    for look in 1..=200 {
        judge.take(&window(look, counts(20, u64::from(look % 50 == 0)), counts(0, 0)));
    }
    assert_eq!((judge.alarm(), judge.verdict()), (None, Verdict::BetterOrEqual));
}

#[test]
fn an_old_release_without_requests_says_nothing_and_errors_are_no_alarm() {
    let mut judge = judge();
    for look in 1..=500 {
        judge.take(&window(look, counts(20, 1), counts(0, 0)));
    }
    assert_eq!((judge.alarm(), judge.verdict()), (None, Verdict::Inconclusive));
    let mut judge = self::judge();
    for look in 1..=40 {
        judge.take(&window(look, counts(20, 0), counts(0, 0)));
    }
    assert_eq!(judge.verdict(), Verdict::BetterOrEqual);
}

#[test]
fn of_several_components_any_can_raise_the_alarm_and_each_has_to_be_good() {
    let both = ["api".to_string(), "web".to_string()];
    let mut judge = Judge::new(&errors_only(), both.clone());
    let clean = || (counts(20, 0), counts(180, 0));
    for look in 1..=100 {
        let ((a, b), stable) = (clean(), counts(180, 0));
        judge.take(&named(look, &[("api", a, b), ("web", counts(0, 0), stable)]));
    }
    assert_eq!(judge.verdict(), Verdict::Inconclusive);
    let [lack] = &judge.lacks(100)[..] else { panic!("{:?}", judge.lacks(100)) };
    assert_eq!((lack.component.as_str(), &lack.what), ("web", &Lacking::Windows));
    for look in 101..=150 {
        let (a, b) = clean();
        judge.take(&named(look, &[("api", a, b), ("web", counts(20, 2), counts(180, 0))]));
    }
    assert_eq!(judge.alarm().expect("web").component, "web");
    // The chance of a false alarm is divided.
    let one = Judge::new(&errors_only(), ["api".to_string()]).evidence().components["api"].metrics
        [0]
    .worse_bound;
    let two = Judge::new(&errors_only(), both).evidence().components["api"].metrics[0].worse_bound;
    assert!((one - 100.0).abs() < 1e-9 && (two - 200.0).abs() < 1e-9, "{one} {two}");
}

#[test]
fn faults_that_come_late_are_seen_in_time() {
    let fault = Some(Fault { error_rate: Some(0.2), ..Fault::at(1_200_000) });
    let traffic = Traffic { fault, interval_ms: 2_000, ..Traffic::new(100.0, 0.001) };
    let mut stream = Stream::new(&traffic, 3);
    let looks = until_alarm(&mut judge(), &mut stream, 0.1, 700).expect("an alarm");
    assert!((601..=608).contains(&looks), "{looks}");
}

#[test]
fn evidence_is_there_for_people_and_programs() {
    let latency = Some(LatencyLaw { p50_ms: 50.0, sigma: 0.5 });
    let traffic = Traffic { latency, interval_ms: 2_000, ..Traffic::new(500.0, 0.01) };
    let mut stream = Stream::new(&traffic, 2);
    let mut judge = judge();
    for _ in 0..60 {
        judge.take(&stream.window(0.2));
    }
    let evidence = judge.evidence();
    let api = &evidence.components["api"];
    assert_eq!((evidence.windows, evidence.end_ms), (60, Some(120_000)));
    let metrics: Vec<_> = api.metrics.iter().map(|m| m.metric.to_string()).collect();
    assert_eq!(metrics, ["errors", "latency"]);
    let (p50, p99) =
        (api.stable.latency.p50_us.expect("known"), api.stable.latency.p99_us.expect("known"));
    assert!((48_000..52_000).contains(&p50) && (145_000..180_000).contains(&p99), "{p50} {p99}");
    let text = serde_json::to_string(&evidence).expect("JSON");
    let read: Evidence = serde_json::from_str(&text).expect("the same");
    let counts = |e: &Evidence| {
        let api = &e.components["api"];
        (e.verdict, api.canary.requests, api.stable.errors, api.stable.latency)
    };
    assert_eq!(counts(&read), counts(&evidence));
}
