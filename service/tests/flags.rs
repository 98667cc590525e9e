//! Feature flags and experiments over a real socket, as an OpenFeature SDK asks.

mod harness;

use harness::{Answer, Running, key, migrated};
use serde_json::{Value, json};

const REQUIRED: (&str, &str) = ("NEUROCA_AUTH", "required");

fn ask(service: &Running, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    with(service, token, method, path, &[], body)
}

fn with(
    service: &Running,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut all = vec![("content-type", "application/json"), ("authorization", bearer.as_str())];
    all.extend(headers);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.connect().request(method, path, &all, &body)
}

fn new_search(on: u32, off: u32) -> Value {
    json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off",
        "targeting": { "fractional": [["on", on], ["off", off]] } })
}

fn who(key: &str) -> Value {
    json!({ "context": { "targetingKey": key } })
}

const EVALUATE: &str = "/ofrep/v1/evaluate/flags/new-search";

#[test]
fn a_flag_is_set_by_an_operator_and_asked_by_a_viewer() {
    let dir = migrated();
    let (operator, viewer) = (key(dir.path(), "a", "operator"), key(dir.path(), "a", "viewer"));
    let other = key(dir.path(), "b", "operator");
    let service = Running::serve(dir.path(), &[REQUIRED]);
    let path = "/v1/admin/flags/new-search";
    let put = ask(&service, &operator, "PUT", path, &new_search(1, 0));
    assert_eq!((put.status, put.header("etag")), (200, Some("\"1\"")), "{put:?}");
    assert_eq!(ask(&service, &viewer, "PUT", path, &new_search(0, 1)).problem(), "forbidden");

    let answer = ask(&service, &viewer, "POST", EVALUATE, &who("ann")).json();
    let expected = json!({ "key": "new-search", "value": true, "variant": "on",
        "reason": "TARGETING_MATCH", "metadata": {} });
    assert_eq!(answer, expected);
    let nobody = ask(&service, &viewer, "POST", EVALUATE, &json!({ "context": {} })).json();
    assert_eq!((&nobody["variant"], &nobody["reason"]), (&json!("off"), &json!("DEFAULT")));
    let foreign = ask(&service, &other, "POST", EVALUATE, &who("ann"));
    assert_eq!((foreign.status, &foreign.json()["errorCode"]), (404, &json!("FLAG_NOT_FOUND")));
    assert_eq!(ask(&service, &other, "GET", path, &Value::Null).problem(), "no-such-flag");
    for (body, code) in [("{", "PARSE_ERROR"), (r#"{"context": 1}"#, "INVALID_CONTEXT")] {
        let bearer = format!("Bearer {viewer}");
        let headers = [("authorization", bearer.as_str())];
        let refused = service.connect().request("POST", EVALUATE, &headers, body);
        assert_eq!((refused.status, &refused.json()["errorCode"]), (400, &json!(code)));
    }

    let stale = with(&service, &operator, "PUT", path, &[("if-match", "\"7\"")], &new_search(0, 1));
    assert_eq!(stale.problem(), "stale");
    let typo = json!({ "state": "ENABLED", "variants": { "on": true },
        "targeting": { "fractionl": [["on", 1]] } });
    let refused = ask(&service, &operator, "PUT", path, &typo);
    assert_eq!(refused.problem(), "invalid");
    assert!(refused.body.contains("did you mean"), "{refused:?}");
    let metrics = service.get("/metrics").body;
    for line in [
        "neuroca_flag_evaluations_total{reason=\"targeting_match\",revision=\"v0.1.0\"} 1\n",
        "neuroca_flag_evaluations_total{reason=\"default\",revision=\"v0.1.0\"} 1\n",
        "neuroca_flag_evaluations_total{reason=\"error\",revision=\"v0.1.0\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("new-search"), "the keys of tenants are theirs");
    assert_eq!(ask(&service, &operator, "DELETE", path, &Value::Null).status, 204);
    assert_eq!(ask(&service, &viewer, "POST", EVALUATE, &who("ann")).status, 404);
}

#[test]
fn all_flags_come_at_once_and_only_when_they_changed() {
    let dir = migrated();
    let one = Running::serve(dir.path(), &[]);
    let other = Running::serve(dir.path(), &[]);
    let file = json!({
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {
            "new-search": new_search(1, 1),
            "colour": { "state": "ENABLED", "variants": { "r": "red", "b": "blue" },
                "defaultVariant": "r", "targeting": { "if": [{ "$ref": "staff" }, "b"] },
                "metadata": { "team": "web" } },
            "off": { "state": "DISABLED", "variants": { "x": 1 }, "defaultVariant": "x" },
        },
        "$evaluators": { "staff": { "ends_with": [{ "var": "email" }, "@example.com"] } },
        "metadata": { "owner": "ann" },
    });
    let put = ask(&one, "", "PUT", "/v1/admin/flags", &file);
    assert_eq!((put.status, put.json()), (200, file.clone()), "as it was written");
    assert_eq!(ask(&one, "", "GET", "/v1/admin/flags", &Value::Null).json(), file);
    let bulk = |service: &Running, tag: &str, email: &str| {
        let context = json!({ "context": { "targetingKey": "ann", "email": email } });
        with(service, "", "POST", "/ofrep/v1/evaluate/flags", &[("if-none-match", tag)], &context)
    };
    let all = bulk(&one, "", "ann@example.com");
    let flags = all.json()["flags"].clone();
    let colour = json!({ "key": "colour", "value": "blue", "variant": "b",
        "reason": "TARGETING_MATCH", "metadata": { "owner": "ann", "team": "web" } });
    assert_eq!(flags[0], colour);
    let off = json!({ "key": "off", "reason": "DISABLED", "metadata": { "owner": "ann" } });
    assert_eq!((&flags[2], flags.as_array().map(Vec::len)), (&off, Some(3)));
    let tag = all.header("etag").expect("a tag").to_owned();
    assert_eq!(bulk(&other, &tag, "ann@example.com").status, 304, "any replica knows it");
    assert_eq!(bulk(&one, &tag, "ann@example.org").status, 200, "another context");
    // The other replica has read the flags a moment ago, and sees the change by itself.
    ask(&one, "", "DELETE", "/v1/admin/flags/colour", &Value::Null);
    assert_eq!(
        bulk(&one, &tag, "ann@example.com").json()["flags"].as_array().map(Vec::len),
        Some(2)
    );
    let seen = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        bulk(&other, &tag, "ann@example.com").status == 200
    });
    assert!(seen, "the other replica does not see the change");
}

#[test]
fn an_experiment_counts_who_got_what_while_it_runs() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let path = "/v1/admin/experiments/search-2026";
    let run = |running: bool| {
        let wanted = json!({ "flag": "new-search", "running": running, "description": "faster?" });
        ask(&service, "", "PUT", path, &wanted)
    };
    assert!(run(true).body.contains("does not exist"));
    ask(&service, "", "PUT", "/v1/admin/flags/new-search", &new_search(50, 50));
    let begun = run(true).json();
    assert_eq!((&begun["running"], &begun["ended_at"]), (&json!(true), &Value::Null));
    let gone = ask(&service, "", "DELETE", "/v1/admin/flags/new-search", &Value::Null);
    assert_eq!(gone.problem(), "invalid", "a flag is not pulled away under an experiment");
    let mut got = [0, 0];
    for number in 0..40 {
        let answer = ask(&service, "", "POST", EVALUATE, &who(&format!("user-{number}"))).json();
        assert_eq!(answer["metadata"]["experiment"], "search-2026");
        got[usize::from(answer["value"] == true)] += 1;
    }
    // Who is not drawn is not part of it.
    ask(&service, "", "POST", EVALUATE, &json!({ "context": {} }));
    let count = |variant: &str| {
        let name = "neuroca_experiment_assignments_total";
        let labels = format!("experiment=\"search-2026\",variant=\"{variant}\"");
        let line = format!("{name}{{{labels},revision=\"v0.1.0\"}} ");
        let metrics = service.get("/metrics").body;
        metrics.lines().find_map(|one| one.strip_prefix(&line)?.parse::<u32>().ok())
    };
    assert_eq!([count("off"), count("on")], got.map(Some));
    assert!(got.iter().all(|some| *some > 8), "{got:?}");
    let ended = run(false).json();
    assert_eq!((&ended["running"], &ended["started_at"]), (&json!(false), &begun["started_at"]));
    assert!(ended["ended_at"].is_string());
    ask(&service, "", "POST", EVALUATE, &who("late"));
    assert_eq!([count("off"), count("on")], got.map(Some), "it has ended");
    let list = ask(&service, "", "GET", "/v1/admin/experiments", &Value::Null).json();
    assert_eq!(list["experiments"]["search-2026"], ended);
    assert_eq!(ask(&service, "", "DELETE", path, &Value::Null).status, 204);
    assert_eq!(ask(&service, "", "GET", path, &Value::Null).problem(), "no-such-experiment");
    let log = ask(&service, "", "GET", "/v1/admin/audit", &Value::Null).json();
    let acts: Vec<_> =
        log["items"].as_array().expect("items").iter().map(|act| &act["action"]).collect();
    assert_eq!(acts, ["flag.put", "experiment.put", "experiment.put", "experiment.delete"]);
}
