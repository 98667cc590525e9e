//! Latency: which bounds are compared, and what comes of it.

use super::super::latency::known_after_us;
use super::*;

fn traffic(fault: Option<Fault>) -> Traffic {
    let latency = Some(LatencyLaw { p50_ms: 50.0, sigma: 0.5 });
    Traffic { fault, latency, interval_ms: 2_000, ..Traffic::new(500.0, 0.001) }
}

fn slower(factor: f64) -> Option<Fault> {
    Some(Fault { slower: factor, ..Fault::at(0) })
}

#[test]
fn what_is_tolerated_is_accepted_and_what_is_not_is_turned_back() {
    for (factor, worse) in [(1.0, false), (1.1, false), (1.4, true), (3.0, true)] {
        let mut judge = judge();
        let mut stream = Stream::new(&traffic(slower(factor)), 4);
        let alarm = until_alarm(&mut judge, &mut stream, 0.2, 150);
        assert_eq!(alarm.is_some(), worse, "{factor}");
        let verdict = if worse { Verdict::Worse } else { Verdict::BetterOrEqual };
        assert_eq!(judge.verdict(), verdict, "{factor}: {:?}", judge.lacks(100));
    }
}

#[test]
fn an_alarm_names_the_bounds_that_show_it() {
    let mut judge = judge();
    until_alarm(&mut judge, &mut Stream::new(&traffic(slower(1.5)), 4), 0.2, 150)
        .expect("an alarm");
    let alarm = judge.alarm().expect("one");
    let (canary_us, stable_us) = alarm.bounds_us.expect("bounds");
    assert!((canary_us as f64 / stable_us as f64 - 1.15).abs() < 0.01, "{alarm}");
    assert!(alarm.to_string().starts_with("api is slower: "), "{alarm}");
}

#[test]
fn a_canary_that_hangs_is_not_taken_for_one_without_traffic() {
    let fault = Some(Fault { hangs: true, ..Fault::at(60_000) });
    let mut judge = judge();
    let looks =
        until_alarm(&mut judge, &mut Stream::new(&traffic(fault), 4), 0.2, 60).expect("seen");
    assert!((31..=36).contains(&looks), "{looks}");
    assert_eq!(judge.alarm().expect("one").metric, Metric::Latency);
}

#[test]
fn a_service_whose_answers_all_take_the_same_can_be_promoted() {
    let latency = Some(LatencyLaw { p50_ms: 20.0, sigma: 0.0 });
    let mut stream = Stream::new(&Traffic { latency, ..traffic(None) }, 4);
    let mut judge = judge();
    for _ in 0..60 {
        judge.take(&stream.window(0.2));
    }
    assert_eq!(judge.verdict(), Verdict::BetterOrEqual, "{:?}", judge.lacks(100));
    // And turned back when it is slower by a step more than is tolerated.
    let latency = Some(LatencyLaw { p50_ms: 20.0, sigma: 0.0 });
    let mut stream = Stream::new(&Traffic { latency, ..traffic(slower(1.4)) }, 4);
    assert!(until_alarm(&mut self::judge(), &mut stream, 0.2, 60).is_some());
}

fn side(requests: u64, slower: &[(u64, u64)]) -> Counts {
    let latency = slower
        .iter()
        .map(|(bound_us, slower)| Slower { bound_us: *bound_us, of: requests, slower: *slower })
        .collect();
    Counts { latency, ..counts(requests, 0) }
}

#[test]
fn without_bounds_where_the_latencies_are_nothing_is_accepted() {
    let mut judge = judge();
    for look in 1..=100 {
        judge.take(&window(look, side(20, &[(5_000_000, 0)]), side(180, &[(5_000_000, 0)])));
    }
    let Acceptance::Missing(what) = judge.accepts(25) else { panic!("by what?") };
    assert_eq!(
        what,
        "api: no latency bound lies where the latencies are, so they cannot be compared"
    );
    let mut analysis = Analysis::default();
    analysis.latency.judged = false;
    let mut judge = Judge::new(&analysis, ["api".to_string()]);
    for look in 1..=100 {
        judge.take(&window(look, side(20, &[(5_000_000, 0)]), side(180, &[(5_000_000, 0)])));
    }
    assert_eq!(judge.accepts(100), Acceptance::Accepted);
}

#[test]
fn counts_of_different_units_are_not_compared() {
    // The end of an incident that both sides shared: of the bounds below 2 s a later second is counted
    // than of those above. Nothing is wrong with the canary, and no pair may say so.
    let bounds = [1_750_000, 2_012_500];
    assert!(known_after_us(bounds[0]) < known_after_us(bounds[1]));
    let mut judge = judge();
    for look in 1..=40 {
        let (early, late) = ((1_u64..=20).contains(&look), (2..=21).contains(&look));
        let at = |of: u64| {
            side(of, &[(bounds[0], u64::from(early) * of), (bounds[1], u64::from(late) * of)])
        };
        judge.take(&window(look, at(200), at(1_800)));
    }
    assert_eq!(judge.alarm(), None);
    // The same counts from a source that counts a request once are what they are: the pair is judged.
    assert_eq!(known_after_us(1_000_000), 1_000_000);
    assert_eq!(known_after_us(1_000_001), 2_000_000);
    assert_eq!(known_after_us(60_000_000), 64_000_000);
    assert_eq!((known_after_us(0), known_after_us(500_001)), (500_000, 1_000_000));
}
