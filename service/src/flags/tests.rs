//! What comes of flags, against the vectors of flagd's own test suite (open-feature/flagd-testbed, the
//! evaluator's features at its state of July 2026; fractional in its second, integer form).

use serde_json::{Value, json};

use super::*;

const NOW: Moment = Moment(1_800_000_000_000);

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), json!(name))).collect::<Map<_, _>>().into()
}

fn flag(variants: &[&str], default: Option<&str>, targeting: Value) -> Value {
    let mut flag = json!({ "state": "ENABLED", "variants": named(variants) });
    if let Some(default) = default {
        flag["defaultVariant"] = json!(default);
    }
    if !targeting.is_null() {
        flag["targeting"] = targeting;
    }
    flag
}

fn set(flags: Value) -> FlagSet {
    let document = json!({ "flags": flags, "$evaluators": {
        "is_ballmer": { "==": ["ballmer@macrosoft.com", { "var": ["email"] }] } } });
    let document: Document = serde_json::from_value(document).expect("flags");
    let set = FlagSet { document, experiments: Experiments::new() };
    set.check().expect("flags that can be used");
    set
}

/// The variant, or the reason why there is none.
fn outcome(set: &FlagSet, key: &str, context: &Value) -> String {
    let context = context.as_object().expect("an object");
    match set.evaluate(key, context, NOW) {
        Ok(Evaluation { variant: Some((name, _)), .. }) => name,
        Ok(Evaluation { reason, .. }) => format!("{reason:?}"),
        Err(code) => format!("{code:?}"),
    }
}

fn all_are(set: &FlagSet, key: &str, expected: &[(Value, &str)]) {
    for (context, expected) in expected {
        assert_eq!(outcome(set, key, context), *expected, "{key} for {context}");
    }
}

#[test]
fn lots_fall_as_flagd_draws_them() {
    let suits = ["clubs", "diamonds", "hearts", "spades", "wild"];
    let quarters = |seed: Value| {
        let by = json!({ "cat": [seed, { "var": "user.name" }] });
        let rule = json!({ "fractional":
            [by, ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]] });
        flag(&suits, Some("wild"), rule)
    };
    let by_key = |shares: &[Value]| {
        let all: Vec<Value> =
            [json!({ "var": "targetingKey" })].iter().chain(shares).cloned().collect();
        json!({ "fractional": all })
    };
    let halves = by_key(&[json!(["lower", 50]), json!(["upper", 50])]);
    let premium = json!({ "==": [{ "var": "tier" }, "premium"] });
    let name = json!({ "if": [premium, "premium", "standard"] });
    let weight = json!({ "if": [premium, 100, 0] });
    let set = set(json!({
        "fractional-flag": quarters(json!({ "var": "$flagd.flagKey" })),
        "shared-seed": quarters(json!("shared-seed")),
        "fractional-flag-shorthand": flag(&["heads", "tails", "draw"], Some("draw"),
            json!({ "fractional": [["heads"], ["tails", 1]] })),
        "edges": flag(&["lower", "upper"], Some("lower"), halves),
        "nested-name": flag(&["premium", "standard"], Some("standard"),
            by_key(&[json!([name, 50]), json!(["standard", 50])])),
        "nested-weight": flag(&["red", "blue"], Some("blue"),
            by_key(&[json!(["red", weight]), json!(["blue", 10])])),
        "nested-var": flag(&["red", "green", "blue", "other"], Some("other"),
            by_key(&[json!([{ "var": "color" }, 50]), json!(["blue", 50])])),
        "only-one": flag(&["single", "other"], Some("other"), json!({ "fractional": [["single", 1]] })),
        "zero": flag(&["one", "two", "other"], Some("other"), by_key(&[json!(["one", 0]), json!(["two", 0])])),
        "below-zero": flag(&["one", "two"], Some("one"), by_key(&[json!(["one", -50]), json!(["two", 100])])),
        "broken": flag(&["one", "two", "other"], Some("other"),
            by_key(&[json!(["one", 0.5]), json!(["two", 1])])),
        "condition": flag(&["big", "small"], Some("small"),
            json!({ "if": [{ "fractional": [[false, 0], [true, 100]] }, "big", "small"] })),
        "no-key": flag(&["one", "other"], Some("other"),
            json!({ "fractional": [{ "var": "missing" }, ["one", 50]] })),
    }));
    let user = |name: &str| json!({ "user": { "name": name } });
    let key = |key: &str| json!({ "targetingKey": key });
    all_are(
        &set,
        "fractional-flag",
        &[
            (user("jack"), "hearts"),
            (user("queen"), "spades"),
            (user("ten"), "clubs"),
            (user("nine"), "diamonds"),
            (json!({ "user": { "name": 3 } }), "clubs"),
        ],
    );
    all_are(
        &set,
        "shared-seed",
        &[
            (user("seven"), "hearts"),
            (user("eight"), "diamonds"),
            (user("nine"), "clubs"),
            (user("two"), "spades"),
        ],
    );
    all_are(
        &set,
        "fractional-flag-shorthand",
        &[
            (key("jon@company.com"), "heads"),
            (key("jane@company.com"), "tails"),
            (json!({}), "draw"),
        ],
    );
    // Keys whose hashes are 0, 1, and on both sides of the middle and of the end.
    all_are(
        &set,
        "edges",
        &[
            (key("ejOoVL"), "lower"),
            (key("bY9fO-"), "lower"),
            (key("SI7p-"), "lower"),
            (key("6LvT0"), "upper"),
            (key("ceQdGm"), "upper"),
        ],
    );
    let jon = |field: &str, value: &str| json!({ "targetingKey": "jon@company.com", field: value });
    let user1 = |field: &str, value: &str| json!({ "targetingKey": "user1", field: value });
    all_are(
        &set,
        "nested-name",
        &[
            (jon("tier", "premium"), "premium"),
            (jon("tier", "basic"), "standard"),
            (user1("tier", "premium"), "standard"),
        ],
    );
    all_are(
        &set,
        "nested-weight",
        &[
            (jon("tier", "premium"), "red"),
            (jon("tier", "basic"), "blue"),
            (user1("tier", "premium"), "red"),
            (user1("tier", "basic"), "blue"),
        ],
    );
    all_are(
        &set,
        "nested-var",
        &[
            (jon("color", "red"), "red"),
            (jon("color", "green"), "green"),
            (user1("color", "red"), "blue"),
            (jon("color", "yellow"), "General"),
            (key("jon@company.com"), "other"),
        ],
    );
    let anybody = key("some-targeting-key");
    for (flag, expected) in [
        ("only-one", "single"),
        ("zero", "other"),
        ("below-zero", "two"),
        ("broken", "other"),
        ("condition", "big"),
        ("no-key", "other"),
    ] {
        let context = if flag == "no-key" { &json!({}) } else { &anybody };
        assert_eq!(outcome(&set, flag, context), expected, "{flag}");
    }
}

#[test]
fn versions_and_texts_compare_as_in_flagd() {
    let says = |rule: Value| flag(&["true", "false", "other"], Some("other"), rule);
    let version = |operator: &str, with: &str| {
        says(json!({ "sem_ver": [{ "var": "version" }, operator, with] }))
    };
    let set = set(json!({
        "equal": version("=", "2.0.0"), "greater": version(">", "2.0.0"), "less": version("<", "2.0.0"),
        "minor": version("~", "3.0.0"), "major": version("^", "3.0.0"), "bad": version("===", "1.0.0"),
        "v": version("=", "v1.0.0"), "partial": version("^", "1"), "build": version("=", "1.0.0+build"),
        "numeric": version(">", "1.1"),
        "two": says(json!({ "sem_ver": [{ "var": "version" }, "="] })),
        "starts": says(json!({ "starts_with": [{ "var": "id" }, "abc"] })),
        "ends": says(json!({ "ends_with": [{ "var": "id" }, "xyz"] })),
        "one": says(json!({ "starts_with": ["abc"] })),
    }));
    for (flag, version, expected) in [
        ("equal", json!("2.0.0"), "true"),
        ("greater", json!("2.1.0"), "true"),
        ("less", json!("1.9.0"), "true"),
        ("less", json!("2.0.0-alpha"), "true"),
        ("equal", json!("2.0.0.0"), "other"),
        ("minor", json!("3.0.1"), "true"),
        ("minor", json!("3.1.0"), "false"),
        ("major", json!("3.1.0"), "true"),
        ("major", json!("4.0.0"), "false"),
        ("equal", json!("not-a-version"), "other"),
        ("bad", json!("1.0.0"), "other"),
        ("v", json!("1.0.0"), "true"),
        ("v", json!("V1.0.0"), "true"),
        ("v", json!("2.0.0"), "false"),
        ("partial", json!("1.5.0"), "true"),
        ("partial", json!("1.0"), "true"),
        ("partial", json!("1"), "true"),
        ("partial", json!(1), "true"),
        ("partial", json!(1.0), "true"),
        ("partial", json!(1.2), "true"),
        ("partial", json!("2.0.0"), "false"),
        ("numeric", json!(1.2), "true"),
        ("numeric", json!(1.1), "false"),
        ("numeric", json!(2), "true"),
        ("numeric", json!(1), "false"),
        ("build", json!("1.0.0+other"), "true"),
        ("build", json!("2.0.0"), "false"),
        ("two", json!("1.0.0"), "other"),
    ] {
        let context = json!({ "version": version });
        assert_eq!(outcome(&set, flag, &context), expected, "{flag} {version}");
    }
    for (flag, id, expected) in [
        ("starts", json!("abcdef"), "true"),
        ("starts", json!("lmnopq"), "false"),
        ("ends", json!("uvwxyz"), "true"),
        ("starts", json!(123), "other"),
        ("ends", json!(123), "other"),
        ("one", json!("abc"), "other"),
    ] {
        assert_eq!(outcome(&set, flag, &json!({ "id": id })), expected, "{flag} {id}");
    }
}

#[test]
fn without_a_variant_the_caller_decides() {
    let email =
        json!({ "if": [{ "==": ["jobs@orange.com", { "var": ["email"] }] }, "special", null] });
    let mut disabled = flag(&["on"], Some("on"), Value::Null);
    disabled["state"] = json!("DISABLED");
    let set = set(json!({
        "static": flag(&["hi", "bye"], Some("hi"), Value::Null),
        "empty-rule": flag(&["hi", "bye"], Some("hi"), json!({})),
        "none": flag(&["hi"], None, Value::Null),
        "targeted": flag(&["normal", "special"], None, email),
        "disabled": disabled,
        "shared": flag(&["hi", "bye"], Some("bye"), json!({ "if": [{ "$ref": "is_ballmer" }, "hi", "bye"] })),
        "no-variant": flag(&["hi"], Some("hi"), json!("ho")),
    }));
    let reason = |key: &str, context: Value| {
        let context = context.as_object().expect("an object").clone();
        set.evaluate(key, &context, NOW)
            .map(|done| (done.variant.map(|(name, _)| name), done.reason))
    };
    let some = |name: &str, reason| Ok((Some(name.to_owned()), reason));
    assert_eq!(reason("static", json!({})), some("hi", Reason::Static));
    assert_eq!(reason("empty-rule", json!({})), some("hi", Reason::Static));
    assert_eq!(reason("none", json!({})), Ok((None, Reason::Default)));
    assert_eq!(
        reason("targeted", json!({ "email": "wozniak@orange.com" })),
        Ok((None, Reason::Default))
    );
    let jobs = json!({ "email": "jobs@orange.com" });
    assert_eq!(reason("targeted", jobs), some("special", Reason::TargetingMatch));
    assert_eq!(reason("disabled", json!({})), Ok((None, Reason::Disabled)));
    let ballmer = json!({ "email": "ballmer@macrosoft.com" });
    assert_eq!(reason("shared", ballmer), some("hi", Reason::TargetingMatch));
    assert_eq!(reason("shared", json!({ "email": "x" })), some("bye", Reason::TargetingMatch));
    assert_eq!(reason("no-variant", json!({})), Err(ErrorCode::General));
    assert_eq!(reason("nothing", json!({})), Err(ErrorCode::FlagNotFound));
}

#[test]
fn operators_are_those_of_flagds_engine() {
    let engine = |rule: Value, data: Value| {
        let evaluators = Evaluators::new();
        Logic::new(&evaluators, data).value(&rule)
    };
    let data = json!({ "a": { "b": [1, "two"] }, "n": 5, "s": "abc" });
    for (rule, expected) in [
        (json!({ "var": "a.b.1" }), json!("two")),
        (json!({ "var": ["a.x", "else"] }), json!("else")),
        (json!({ "var": "" }), data.clone()),
        (json!({ "in": ["b", { "var": "s" }] }), json!(true)),
        (json!({ "in": [{ "var": "n" }, [1, "5"]] }), json!(true)),
        (json!({ "in": [{ "var": "n" }, [[1, 4], [5, 9]]] }), json!(true)),
        (json!({ "in": ["x", ["a", "b"]] }), json!(false)),
        (json!({ "<": [1, { "var": "n" }, 9] }), json!(true)),
        (json!({ "<=": [1, 1, 0] }), json!(false)),
        (json!({ ">=": ["10", 9] }), json!(true)),
        (json!({ "==": ["1", 1] }), json!(true)),
        (json!({ "===": ["1", 1] }), json!(false)),
        (json!({ "!=": [null, 0] }), json!(true)),
        (json!({ "!": [[]] }), json!(true)),
        (json!({ "!!": "0" }), json!(true)),
        (json!({ "and": [1, "", 2] }), json!("")),
        (json!({ "or": [0, "x", 2] }), json!("x")),
        (json!({ "and": [] }), json!(null)),
        (json!({ "if": [false, 1, 0, 2, 3] }), json!(3)),
        (json!({ "if": [] }), json!(null)),
        (json!({ "cat": [" a", 1, null, "b "] }), json!("a1b")),
        (json!({ "cat": [1.5] }), json!("1.5")),
        (json!({ "two": 1, "keys": 2 }), json!({ "two": 1, "keys": 2 })),
    ] {
        assert_eq!(engine(rule.clone(), data.clone()), Ok(expected), "{rule}");
    }
    for rule in [
        json!({ "in": [1, "text"] }),
        json!({ "cat": [true] }),
        json!({ "<": 1 }),
        json!({ "and": 1 }),
        json!({ "var": [1] }),
        json!({ "nonsense": [] }),
    ] {
        assert!(engine(rule.clone(), data.clone()).is_err(), "{rule}");
    }
}

#[test]
fn a_rule_that_costs_too_much_ends() {
    let many = vec![json!({ "$ref": "long" }); 300];
    let document = json!({ "flags": { "f": flag(&["on"], Some("on"), json!({ "or": many })) },
        "$evaluators": { "long": { "and": vec![json!({ "!": [true] }); 1] } } });
    let mut document: Document = serde_json::from_value(document).expect("flags");
    let long = json!({ "==": [vec![json!({ "!": [true] }); 100], 1] });
    document.evaluators.insert("long".into(), long);
    let set = FlagSet { document, experiments: Experiments::new() };
    set.check().expect("nothing is wrong with it by its form");
    assert_eq!(outcome(&set, "f", &json!({})), "ParseError");
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let problem = |flags: Value, evaluators: Value| {
        let document = json!({ "flags": flags, "$evaluators": evaluators });
        let document: Document = serde_json::from_value(document).expect("flags");
        FlagSet { document, experiments: Experiments::new() }.check().expect_err("refused")
    };
    let rule = |rule: Value| problem(json!({ "f": flag(&["a"], Some("a"), rule) }), json!({}));
    assert_eq!(
        rule(json!({ "start_with": ["a", "b"] })),
        "flag \"f\": there is no operator \"start_with\"; did you mean \"starts_with\"?"
    );
    assert!(rule(json!({ "map": [] })).contains("there are !"));
    assert!(rule(json!({ "$ref": "nobody" })).contains("not one of $evaluators"));
    assert!(
        problem(json!({ "f": flag(&["a"], Some("b"), Value::Null) }), json!({})).contains("\"b\"")
    );
    assert!(problem(json!({ "f": flag(&[], None, Value::Null) }), json!({})).contains("variants"));
    let mixed = json!({ "state": "ENABLED", "variants": { "a": 1, "b": true } });
    assert!(problem(json!({ "f": mixed }), json!({})).contains("not all"));
    let itself = json!({ "x": { "$ref": "x" } });
    assert!(problem(json!({}), itself).contains("cannot name another"));
    assert!(
        serde_json::from_value::<Definition>(json!({ "state": "on", "variants": {} })).is_err()
    );
}

#[test]
fn an_experiment_needs_a_flag_that_draws_lots() {
    let lots = json!({ "if": [true, { "fractional": [["a", 1], ["b", 1]] }] });
    let mut set = set(json!({ "lots": flag(&["a", "b"], Some("a"), lots),
        "fixed": flag(&["a"], Some("a"), Value::Null) }));
    let running = |flag: &str| Experiment::following(None, flag.into(), String::new(), true, NOW);
    for (flag, why) in [("nobody", "does not exist"), ("fixed", "no fractional")] {
        set.experiments = [("e".to_owned(), running(flag))].into();
        assert!(set.check().expect_err("refused").contains(why), "{flag}");
    }
    set.experiments =
        [("e".to_owned(), running("lots")), ("other".to_owned(), running("lots"))].into();
    assert!(set.check().expect_err("refused").contains("both running"));
    let end =
        |before| Experiment::following(before, "lots".into(), String::new(), false, NOW.plus(5));
    let ended = end(Some(&running("lots")));
    assert_eq!((ended.started_at, ended.ended_at), (Some(NOW), Some(NOW.plus(5))));
    set.experiments.insert("other".into(), ended);
    set.check().expect("one of them has ended");
    assert_eq!((set.running("lots"), set.running("fixed")), (Some("e"), None));
}
