//! The figures with few runs: enough to see when the judge breaks its promises, in seconds.

use neuroca_judging::figure::Figure;
use neuroca_judging::{detection, false_alarms, promotion, side_by_side};
use serde_json::Value;

fn case<'a>(figure: &'a Figure, name: &str) -> &'a Value {
    let cases = figure.result["cases"].as_array().expect("cases");
    cases.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("no case {name}"))
}

#[test]
fn a_healthy_release_is_not_turned_back() {
    let figure = false_alarms::measure(20, 1);
    assert!(figure.pass, "{:#}", figure.result);
    assert_eq!(case(&figure, "steps_and_incident")["false_alarms"]["found"], 0);
}

#[test]
fn a_worse_release_is_turned_back_in_time() {
    let figure = detection::measure(60, 1);
    assert!(figure.pass, "{:#}", figure.result);
    assert_eq!(figure.result["without_metrics"]["verdicts"], 0);
    assert_eq!(case(&figure, "errors_to_5_percent_at_50_percent")["seconds"]["never"], 0);
}

#[test]
fn a_healthy_release_is_promoted_in_time_and_a_bad_one_is_not() {
    let figure = promotion::measure(200, 1);
    assert!(figure.pass, "{:#}", figure.result);
    // `beta` promises at most one in twenty.
    let bad = &case(&figure, "bad_1_to_3_percent_10_rps_in_all")["seconds"];
    let count = |name: &str| bad[name].as_u64().expect("a count");
    let promoted = count("runs") - count("never");
    assert!(count("runs") >= 40 && promoted * 20 <= count("runs"), "{bad}");
    let quick = &case(&figure, "without_errors_10_rps_in_all")["within_10_min"];
    assert!(quick["share"].as_f64() >= Some(0.9), "{quick}");
}

#[test]
fn others_fail_where_this_judge_does_not() {
    let figure = side_by_side::measure(20, 1);
    let rows = figure.result["rows"].as_array().expect("rows");
    let false_alarms = |rival: &str, stream: usize| {
        let row = rows.iter().find(|row| row["rival"] == rival).expect("a row");
        row["false_alarms"][stream][1]["share"].as_f64().expect("a share")
    };
    for stream in 0..3 {
        assert_eq!(false_alarms("this judge", stream), 0.0, "{stream}");
    }
    // What is known of them, so that a broken rival is not taken for a bad one.
    assert_eq!(false_alarms("Flagger's threshold", 0), 0.0);
    assert!(false_alarms("Flagger's threshold", 2) > 0.5);
    assert!(false_alarms("mSPRT", 1) > 0.9 && false_alarms("mSPRT", 0) < 0.1);
    assert!(false_alarms("naive z-test", 0) > 0.05);
}

#[test]
fn a_seed_gives_the_same_figure() {
    let text = |seed| detection::measure(10, seed).result.to_string();
    assert_eq!(text(3), text(3));
    assert_ne!(text(3), text(4));
}
