use super::*;
use crate::judge::Slower;

fn read(lines: &[&str]) -> Result<Vec<Window>, Refused> {
    read_for(&["api"], lines)
}

fn read_for(components: &[&str], lines: &[&str]) -> Result<Vec<Window>, Refused> {
    let mut recorded =
        Recorded::new(components.iter().map(ToString::to_string), ["cache".to_string()]);
    let mut windows = Vec::new();
    for line in lines {
        windows.extend(recorded.line(line)?);
    }
    windows.extend(recorded.end());
    Ok(windows)
}

fn side(text: &str) -> String {
    format!(r#"{{"t": 2, "canary": {text}, "stable": {{"requests": 9, "errors": 0}}}}"#)
}

#[test]
fn a_window_is_its_counts() {
    let line =
        r#"{"t": 2.5, "canary": {"requests": 10, "errors": 1, "slower_than": {"1": 2, "0.1": 3e0}},
        "stable": {"requests": 90, "errors": 0, "slower_than": {"0.1": 9, "1.0": 4}}}"#
            .replace('\n', " ");
    let windows = read(&["", &line]).expect("valid");
    let sides = &windows[0].components["api"];
    assert_eq!(windows[0].end_ms, 2500);
    assert_eq!((sides.canary.requests, sides.canary.errors), (10, 1));
    let slower = |bound_us, slower| Slower { bound_us, of: 10, slower };
    assert_eq!(sides.canary.latency, [slower(100_000, 3), slower(1_000_000, 2)]);
    assert_eq!(sides.stable.latency[1], Slower { bound_us: 1_000_000, of: 90, slower: 4 });
}

#[test]
fn a_side_without_requests_need_not_name_bounds() {
    let canary = r#"{"requests": 10, "errors": 0, "slower_than": {"0.1": 3}}"#;
    let none = r#"{"requests": 0, "errors": 0}"#;
    for line in [
        format!(r#"{{"t": 0, "canary": {canary}}}"#),
        format!(r#"{{"t": 0, "canary": {canary}, "stable": {none}}}"#),
        format!(r#"{{"t": 0, "canary": {none}, "stable": {canary}}}"#),
    ] {
        let windows = read(&[&line]).expect("valid");
        let sides = &windows[0].components["api"];
        assert_eq!(sides.canary.latency.len(), 1, "{line}");
        assert_eq!(sides.stable.latency.len(), 1, "{line}");
    }
}

#[test]
fn components_that_end_together_are_one_window() {
    let line = |t: u64, name: &str| {
        format!(r#"{{"t": {t}, "component": "{name}", "canary": {{"requests": 1, "errors": 0}}}}"#)
    };
    let lines = [line(2, "api"), line(2, "web"), line(4, "api"), line(6, "web")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let windows = read_for(&["api", "web"], &lines).expect("valid");
    let seen: Vec<(u64, usize)> = windows.iter().map(|w| (w.end_ms, w.components.len())).collect();
    assert_eq!(seen, [(2000, 2), (4000, 1), (6000, 1)]);
}

#[test]
fn further_proportions_are_taken_by_their_names() {
    let line = side(r#"{"requests": 9, "errors": 0, "ratios": {"cache": {"of": 5, "bad": 2}}}"#);
    let windows = read(&[&line]).expect("valid");
    let ratios = &windows[0].components["api"].canary.ratios;
    assert_eq!(ratios["cache"], crate::judge::Ratio { of: 5, bad: 2 });
}

#[test]
fn a_component_whose_first_window_has_no_stable_side_is_alone() {
    let both = side(r#"{"requests": 1, "errors": 0}"#);
    let lone = r#"{"t": 4, "canary": {"requests": 1, "errors": 0}}"#;
    for (first, alone) in [(both.as_str(), 0), (lone, 1)] {
        let mut recorded = Recorded::new(["api".to_string()], []);
        recorded.line(first).expect("valid");
        recorded.line(&lone.replace('4', "6")).expect("a side without requests may be left out");
        assert_eq!(recorded.alone().count(), alone);
    }
}

#[test]
fn a_window_is_given_as_soon_as_it_is_complete() {
    let mut recorded = Recorded::new(["api".to_string()], []);
    let given = recorded.line(r#"{"t": 1, "canary": {"requests": 1, "errors": 0}}"#);
    assert_eq!(given.expect("valid").len(), 1);
}

#[test]
fn running_totals_are_suspected() {
    let mut totals = Recorded::new(["api".to_string()], []);
    let mut counts = Recorded::new(["api".to_string()], []);
    for n in 1..20 {
        let line = |canary: u64, stable: u64| {
            format!(
                r#"{{"t": {n}, "canary": {{"requests": {canary}, "errors": 0}}, "stable": {{"requests": {stable}, "errors": 0}}}}"#
            )
        };
        totals.line(&line(10 * n, 90 * n)).expect("valid");
        counts.line(&line(10 + n % 3, 90)).expect("valid");
    }
    assert_eq!(totals.notes(None).len(), 1);
    assert!(counts.notes(None).is_empty());
}

#[test]
fn every_bad_line_is_explained() {
    let two = r#"{"t": 2, "canary": {"requests": 1, "errors": 0}}"#;
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("not JSON", vec!["t=2 canary=5".into()]),
        ("NaN", vec![side(r#"{"requests": 10, "errors": NaN}"#)]),
        ("pretty-printed", vec!["{".into()]),
        ("a list", vec!["[1, 2]".into()]),
        ("cut off", vec![r#"{"t": 2, "canary": {"requests": 1"#.into()]),
        ("null", vec![side(r#"{"requests": 10, "errors": null}"#)]),
        ("text", vec![side(r#"{"requests": "10", "errors": 0}"#)]),
        ("negative", vec![side(r#"{"requests": -10, "errors": 0}"#)]),
        ("negative and fractional", vec![side(r#"{"requests": -0.5, "errors": 0}"#)]),
        ("fractional", vec![side(r#"{"requests": 10.5, "errors": 0}"#)]),
        ("huge", vec![side(r#"{"requests": 1e300, "errors": 0}"#)]),
        ("more errors", vec![side(r#"{"requests": 10, "errors": 12}"#)]),
        ("more slow", vec![side(r#"{"requests": 10, "errors": 0, "slower_than": {"0.1": 11}}"#)]),
        (
            "rising with the bound",
            vec![side(r#"{"requests": 10, "errors": 0, "slower_than": {"0.1": 1, "0.2": 3}}"#)],
        ),
        ("bad bound", vec![side(r#"{"requests": 9, "errors": 0, "slower_than": {"100ms": 1}}"#)]),
        ("infinite", vec![side(r#"{"requests": 9, "errors": 0, "slower_than": {"+Inf": 0}}"#)]),
        (
            "bound twice",
            vec![side(r#"{"requests": 9, "errors": 0, "slower_than": {"0.1": 0, "0.10": 0}}"#)],
        ),
        ("no bounds", vec![side(r#"{"requests": 9, "errors": 0, "slower_than": 3}"#)]),
        ("lone bound", vec![side(r#"{"requests": 9, "errors": 0, "slower_than": {"0.1": 0}}"#)]),
        (
            "unknown ratio",
            vec![side(r#"{"requests": 9, "errors": 0, "ratios": {"cach": {"of": 1, "bad": 0}}}"#)],
        ),
        (
            "half a ratio",
            vec![side(r#"{"requests": 9, "errors": 0, "ratios": {"cache": {"of": 1}}}"#)],
        ),
        (
            "bad ratio",
            vec![side(r#"{"requests": 9, "errors": 0, "ratios": {"cache": {"of": 1, "bad": 2}}}"#)],
        ),
        ("typing error", vec![side(r#"{"request": 10, "errors": 0}"#)]),
        ("unknown", vec![two.replace("\"t\"", "\"window\": 3, \"t\"")]),
        ("twice", vec![two.replace("\"t\"", "\"t\": 1, \"t\"")]),
        ("no errors", vec![side(r#"{"requests": 10}"#)]),
        ("no canary", vec![r#"{"t": 2}"#.into()]),
        ("no t", vec![two.replace("\"t\": 2,", "")]),
        ("t is text", vec![two.replace("2,", "\"2\",")]),
        ("t is negative", vec![two.replace("2,", "-2,")]),
        ("t in milliseconds", vec![two.replace("2,", "1700000000000,")]),
        ("falling t", vec![two.into(), two.replace("2,", "1.5,")]),
        ("the same t", vec![two.into(), two.into()]),
        (
            "a stable side that comes later",
            vec![
                two.into(),
                side(r#"{"requests": 1, "errors": 0}"#).replace("\"t\": 2", "\"t\": 4"),
            ],
        ),
        ("another component", vec![two.replace("\"t\"", "\"component\": \"apii\", \"t\"")]),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(name, lines)| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let refused = read(&lines).expect_err(name);
            format!("{name}:\n  {refused}")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn with_several_components_a_line_says_which() {
    let line = r#"{"t": 2, "canary": {"requests": 1, "errors": 0}}"#;
    let refused = read_for(&["api", "web"], &[line]).expect_err("which one?");
    assert_eq!(refused.hint, "say which one: api, web");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(lines in proptest::collection::vec(".{0,80}", 0..5)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let _ = read(&lines);
    }
}
