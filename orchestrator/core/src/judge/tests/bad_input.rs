//! Whatever it is fed, the judge neither panics nor comes to a verdict by nonsense.

use proptest::prelude::*;

use super::*;

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![0..40_u64, Just(0), Just(u64::MAX), any::<u64>(), 0..3_000_000_000_u64]
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let slower = (0..9_u64, any_count(), any_count()).prop_map(|(k, of, slower)| Slower {
        bound_us: [0, 1, 1_000, 1_150, 1_323, 2_000, 9_000_000, u64::MAX - 1, u64::MAX][k as usize],
        of,
        slower,
    });
    let ratio = (any_count(), any_count()).prop_map(|(of, bad)| Ratio { of, bad });
    (
        any_count(),
        any_count(),
        prop::collection::vec(slower, 0..6),
        prop::collection::btree_map("[a-b]", ratio, 0..2),
    )
        .prop_map(|(requests, errors, latency, ratios)| Counts {
            requests,
            errors,
            latency,
            ratios,
        })
}

fn any_window() -> impl Strategy<Value = Window> {
    let end = prop_oneof![0..600_000_u64, Just(u64::MAX), any::<u64>()];
    let sides = (any_counts(), any_counts()).prop_map(|(canary, stable)| Sides { canary, stable });
    (end, prop::collection::btree_map("api|web|other", sides, 0..3))
        .prop_map(|(end_ms, components)| Window { end_ms, components })
}

fn with_ratio() -> Analysis {
    let query = || "sum(x)".to_string();
    let ratio = RatioQueries { of: query(), bad: query() };
    Analysis {
        prometheus: Some(Prometheus {
            url: "http://127.0.0.1:9090".into(),
            token_file: None,
            interval: crate::config::units::Millis(15_000),
            requests: query(),
            errors: query(),
            latency: Some(query()),
            ratios: [("a".to_string(), ratio)].into(),
        }),
        ..Analysis::default()
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(windows in prop::collection::vec(any_window(), 0..40), ratio: bool) {
        let analysis = if ratio { with_ratio() } else { Analysis::default() };
        let mut judge = Judge::new(&analysis, ["api".to_string(), "web".into()]).alone(["web"]);
        for window in &windows {
            judge.take(window);
            judge.verdict();
            judge.lacks(25);
        }
        let text = serde_json::to_string(&judge.evidence()).expect("finite numbers");
        prop_assert!(!text.contains("null,\"worse_bound"), "{text}");
        prop_assert!(judge.alarm().is_none_or(|alarm| alarm.evidence.is_finite()));
    }

    #[test]
    fn counts_that_cannot_be_move_nothing(
        requests in 0..50_u64, more in 1..50_u64, stable in 0..500_u64, looks in 1..60_u64,
    ) {
        let mut judge = judge();
        let latency = vec![Slower { bound_us: 1_000, of: requests, slower: requests + more }];
        let canary = Counts { latency, ..counts(requests, requests + more) };
        for look in 1..=looks {
            judge.take(&window(look, canary.clone(), counts(stable, 0)));
        }
        prop_assert_eq!(judge.verdict(), Verdict::Inconclusive);
        let evidence = judge.evidence();
        prop_assert_eq!(evidence.refused, 2 * looks);
        prop_assert_eq!(evidence.components["api"].canary.requests, 0);
    }

    #[test]
    fn a_window_counts_once_and_time_does_not_go_back(seed: u64, again in 0..30_usize) {
        let mut stream = Stream::new(&Traffic::new(100.0, 0.02), seed);
        let windows: Vec<Window> = (0..30).map(|_| stream.window(0.2)).collect();
        let (mut once, mut twice) = (judge(), judge());
        for window in &windows {
            once.take(window);
            twice.take(window);
            twice.take(&windows[again.min(29)].clone());
            twice.take(window);
        }
        // What came early is taken where it came; here only those that are not newer.
        if again == 0 {
            prop_assert_eq!(twice.evidence().components, once.evidence().components);
            prop_assert_eq!(twice.evidence().ignored, 60);
        }
        prop_assert!(twice.evidence().windows <= 30);
    }
}

#[test]
fn no_traffic_is_no_verdict_however_long() {
    let mut judge = judge();
    for look in 1..=2_000 {
        judge.take(&window(look, counts(0, 0), counts(180, 1)));
        assert_eq!(judge.verdict(), Verdict::Inconclusive);
    }
    assert_eq!(judge.accepts(1), Acceptance::Missing("api: nothing was counted yet".into()));
    assert_eq!(Judge::new(&Analysis::default(), []).verdict(), Verdict::Inconclusive);
}
