use super::*;
use crate::config::units::Millis;

fn scrape() -> Scrape {
    Scrape {
        path: "/metrics".into(),
        interval: Millis(2_000),
        requests: r#"http_requests_total{route!~"/health.*|/metrics"}"#.into(),
        errors: r#"http_requests_total{route!~"/health.*|/metrics",status=~"5.."}"#.into(),
        latency: Some("http_request_duration_seconds_bucket".into()),
    }
}

/// What a process tells that has answered so much.
fn text(good: u64, bad: u64, slow: u64) -> String {
    let all = good + bad;
    format!(
        "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n\
         http_requests_total{{route=\"/\",status=\"200\"}} {good}\n\
         http_requests_total{{route=\"/\",status=\"500\",}} {bad} 1700000000000\n\
         http_requests_total{{route=\"/health/ready\",status=\"200\"}} 12345\n\
         http_request_duration_seconds_bucket{{le=\"0.1\"}} {}\n\
         http_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n\n",
        all - slow
    )
}

fn told(all: &[(&str, &str, String)]) -> Told {
    let mut told = Told::new();
    for (revision, process, text) in all {
        let of = told.entry(RevisionId((*revision).into())).or_default();
        of.insert((*process).into(), text.clone());
    }
    told
}

fn compared() -> Vec<Compared> {
    let revision = |name: &str| RevisionId(name.into());
    vec![Compared {
        component: "api".into(),
        canary: revision("new"),
        stable: Some(revision("old")),
    }]
}

#[test]
fn a_window_is_what_each_process_has_added() {
    let mut scraped = Scraped::new(&scrape()).expect("selectors");
    let first = told(&[("new", "n-1", text(10, 0, 0)), ("old", "o-1", text(1000, 5, 3))]);
    assert_eq!(scraped.window(1, &compared(), &first), Ok(None), "nothing to compare with yet");
    let second = told(&[
        ("new", "n-1", text(16, 2, 1)),
        // Met for the first time: its past is not of this window.
        ("new", "n-2", text(500, 0, 0)),
        ("old", "o-1", text(1040, 6, 3)),
    ]);
    let window = scraped.window(2, &compared(), &second).expect("read").expect("a window");
    let api = &window.components["api"];
    assert_eq!((api.canary.requests, api.canary.errors), (8, 2));
    assert_eq!((api.stable.requests, api.stable.errors), (41, 1));
    assert_eq!(api.canary.latency, [Slower { bound_us: 100_000, of: 8, slower: 1 }]);
    assert_eq!(api.stable.latency, [Slower { bound_us: 100_000, of: 41, slower: 0 }]);
    // One begins anew, one is away and comes back.
    let third = told(&[("new", "n-1", text(3, 1, 0)), ("old", "o-1", text(1040, 6, 3))]);
    let api = scraped.window(3, &compared(), &third).expect("read").expect("one").components;
    assert_eq!((api["api"].canary.requests, api["api"].canary.errors), (4, 1));
    let fourth = told(&[("new", "n-2", text(520, 0, 0)), ("old", "o-1", text(1041, 6, 3))]);
    let api = scraped.window(4, &compared(), &fourth).expect("read").expect("one").components;
    assert_eq!(api["api"].canary.requests, 20);
}

#[test]
fn a_side_that_tells_nothing_gives_no_window() {
    let mut scraped = Scraped::new(&scrape()).expect("selectors");
    let both = |n| told(&[("new", "n", text(n, 0, 0)), ("old", "o", text(n, 0, 0))]);
    scraped.window(1, &compared(), &both(1)).expect("read");
    let alone = told(&[("old", "o", text(9, 0, 0))]);
    assert_eq!(scraped.window(2, &compared(), &alone), Ok(None));
    assert!(scraped.window(3, &compared(), &both(9)).expect("read").is_some());
}

#[test]
fn what_is_no_count_is_named_with_its_process() {
    let mut scraped = Scraped::new(&scrape()).expect("selectors");
    let mut said = |text: &str| {
        let told = told(&[("new", "pod n-1", text.into())]);
        scraped.window(1, &compared(), &told).expect_err("refused")
    };
    assert!(
        said("<html>").contains("pod n-1 tells no counters in Prometheus' text format: line 1")
    );
    assert!(said("other 1").contains("tells no counter that `http_requests_total{"));
    assert!(said("http_requests_total 1.5").contains("1.5"));
    let no_histogram =
        said("http_requests_total 1\nhttp_request_duration_seconds_bucket{le=\"1\"} 1");
    assert!(no_histogram.contains("+Inf"), "{no_histogram}");
}

#[test]
fn a_selector_is_a_name_with_matchers() {
    for wrong in
        ["", "rate(a[1m])", "a{b}", "a{b=c}", "a{b=\"c\"", "a{b=~\"(\"}", "a{b=\"c\" d=\"e\"}"]
    {
        assert!(Selector::parse(wrong).is_err(), "{wrong}");
    }
    let selects = |selector: &str, line: &str| {
        let sample = samples(line).expect("a line").remove(0);
        Selector::parse(selector).expect("a selector").selects(&sample)
    };
    assert!(selects(r#"a{b="c\"d"}"#, r#"a{b="c\"d"} 1"#));
    assert!(selects(r#"a{b!="c"}"#, "a 1"), "a label that is not there is empty");
    assert!(selects(r#"a{b=~"4..|5.."}"#, r#"a{b="503"} 1"#));
    assert!(!selects(r#"a{b=~"50"}"#, r#"a{b="503"} 1"#), "of the whole value");
    assert!(!selects("a", "ab 1"));
}
