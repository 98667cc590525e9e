//! What the API does with memories, over a real socket, on SQLite; the contract test has shown that
//! PostgreSQL does the same.

mod harness;

use harness::{Answer, Running, migrated};
use serde_json::{Value, json};

fn ask(
    service: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.connect().request(method, path, &all, &body)
}

fn add(service: &Running, body: &Value) -> String {
    let made = ask(service, "POST", "/v1/memories", &[], body);
    assert_eq!(made.status, 201, "{made:?}");
    made.header("location").expect("a location").to_owned()
}

#[test]
fn a_change_is_a_new_version_and_a_stale_one_is_refused() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let path = add(&service, &json!({"content": "lives in Paris", "tier": "long_term"}));
    let first = service.get(&path);
    assert_eq!(first.header("etag"), Some("\"1\""));
    let known = [("if-none-match", "\"1\"")];
    assert_eq!(ask(&service, "GET", &path, &known, &Value::Null).status, 304);

    let patch = |tag: &str, body: &Value| ask(&service, "PATCH", &path, &[("if-match", tag)], body);
    let second = patch("\"1\"", &json!({"content": "lives in Oslo"}));
    assert_eq!((second.status, second.header("etag")), (200, Some("\"2\"")));
    for tag in ["\"1\"", "W/\"2\"", "\"x\""] {
        assert_eq!(patch(tag, &json!({"importance": 1})).problem(), "stale", "{tag}");
    }
    assert_eq!(patch("*", &json!({})).problem(), "invalid");
    assert_eq!(patch("*", &json!({"importance": 2})).problem(), "invalid");
    assert_eq!(patch("*", &json!({"tier": "working"})).problem(), "invalid");
    let stale = ask(&service, "DELETE", &path, &[("if-match", "\"1\"")], &Value::Null);
    assert_eq!(stale.problem(), "stale");

    let history = service.get(&format!("{path}/history")).json();
    let texts: Vec<_> =
        history["versions"].as_array().expect("versions").iter().map(|v| &v["content"]).collect();
    assert_eq!(texts, ["lives in Paris", "lives in Oslo"]);
    assert_eq!(history["versions"][0]["cause"], "changed");
    assert_eq!(service.get("/v1/memories/nothing/history").problem(), "no-such-memory");
}

#[test]
fn a_transfer_begins_the_time_of_the_new_tier() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[("NEUROCA_MEMORY_LONG_TERM_SIZE", "1")]);
    let path = add(&service, &json!({"content": "moves"}));
    let transfer = format!("{path}/transfer");
    let to = |path: &str, tier: &str| ask(&service, "POST", path, &[], &json!({"tier": tier}));
    let moved = to(&transfer, "long_term").json();
    assert_eq!((&moved["tier"], &moved["expires_at"]), (&json!("long_term"), &Value::Null));
    assert_eq!(to(&transfer, "nowhere").problem(), "invalid");
    let other = add(&service, &json!({"content": "stays"}));
    assert_eq!(to(&format!("{other}/transfer"), "long_term").problem(), "quota-reached");
    let full =
        ask(&service, "POST", "/v1/memories", &[], &json!({"content": "x", "tier": "long_term"}));
    assert_eq!((full.status, full.problem()), (409, "quota-reached".into()));
    let stats = service.get("/v1/stats").json();
    let items: Vec<_> =
        stats["tiers"].as_array().expect("tiers").iter().map(|t| &t["items"]).collect();
    assert_eq!(items, [&json!(1), &json!(0), &json!(1)]);
}

#[test]
fn a_batch_is_added_whole_and_once() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let items: Vec<Value> =
        (0..5).map(|n| json!({"content": format!("m{n}"), "tier": "long_term"})).collect();
    let send = |items: &Value| {
        let key = [("idempotency-key", "batch-1")];
        ask(&service, "POST", "/v1/memories:batch", &key, &json!({"items": items}))
    };
    let (first, again) = (send(&json!(items)), send(&json!(items)));
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());
    assert_eq!(send(&json!(items[..2])).problem(), "idempotency-key-reused");
    assert_eq!(send(&json!([])).problem(), "invalid");
    let bad = json!([items[0], {"content": ""}]);
    let refused = send(&bad);
    assert_eq!(refused.problem(), "invalid");
    assert!(refused.body.contains("items[1]"), "{refused:?}");
    assert_eq!(service.get("/v1/memories").json()["items"].as_array().map(Vec::len), Some(5));
}

#[test]
fn questions_are_answered_and_a_context_fits() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    for (subject, content) in [
        ("ann", "Ann adopted a dog called Biscuit"),
        ("ann", "Ann is allergic to peanuts"),
        ("bob", "Bob's dog is called Rex"),
    ] {
        add(&service, &json!({"content": content, "subject": subject, "tier": "long_term"}));
    }
    let search = |body: Value| ask(&service, "POST", "/v1/search", &[], &body);
    let hits = search(json!({"query": "What is the name of Ann's dog?"})).json();
    assert_eq!(hits["items"][0]["memory"]["content"], "Ann adopted a dog called Biscuit");
    assert_eq!(hits["items"][0]["why"]["words"], 1);
    let bob = search(json!({"query": "dog", "subject": "bob"})).json();
    assert_eq!(bob["items"].as_array().map(Vec::len), Some(1));
    let typo = search(json!({"query": "Biscit"})).json();
    assert_eq!(typo["items"][0]["why"]["spelling"], 1);
    for bad in
        [json!({}), json!({"query": ""}), json!({"query": "x", "limit": 0}), json!({"query": 1})]
    {
        assert_eq!(search(bad).problem(), "invalid");
    }

    let context = |tokens: u32| {
        let body = json!({"query": "dog peanuts", "subject": "ann", "max_tokens": tokens});
        ask(&service, "POST", "/v1/context", &[], &body).json()
    };
    let all = context(1000);
    let text = all["text"].as_str().expect("text");
    assert!(
        text.contains("Biscuit") && text.contains("peanuts") && !text.contains("Rex"),
        "{text}"
    );
    let little = context(16);
    assert_eq!(little["memories"].as_array().map(Vec::len), Some(1));
    assert_eq!(little["left_out"], 1);
    assert!(little["estimated_tokens"].as_u64() <= Some(16));
}

#[test]
fn what_is_looked_at_is_counted() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let path = add(&service, &json!({"content": "seen", "importance": 0.7}));
    for _ in 0..3 {
        service.get(&path);
    }
    let seen = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let tier = service.get("/v1/memory/working").json();
        tier["items"][0]["access_count"] == 3 && tier["items"][0]["promoted_next"] == true
    });
    assert!(seen, "{:?}", service.get("/v1/memory/working"));
    assert_eq!(service.get("/v1/memory/attic").problem(), "no-such-tier");
}

#[test]
fn a_subject_is_exported_and_leaves_nothing() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let key = [("idempotency-key", "k1")];
    let body = json!({"content": "canary-of-ann", "subject": "ann b", "tier": "long_term"});
    let made = ask(&service, "POST", "/v1/memories", &key, &body);
    let path = made.header("location").expect("a location");
    ask(&service, "PATCH", path, &[], &json!({"content": "canary-of-ann, again"}));
    let export = service.get("/v1/subjects/ann%20b/export").json();
    assert_eq!(export["items"][0]["memory"]["content"], "canary-of-ann, again");
    assert_eq!(export["items"][0]["earlier"][0]["content"], "canary-of-ann");
    let gone = ask(&service, "DELETE", "/v1/subjects/ann%20b", &[], &Value::Null);
    let removed = &gone.json()["removed"];
    assert_eq!(removed, &json!({"memories": 1, "versions": 1, "idempotency_keys": 1}));
    let again = ask(&service, "DELETE", "/v1/subjects/ann%20b", &[], &Value::Null);
    assert_eq!(again.problem(), "no-such-subject");
    assert_eq!(service.get("/v1/subjects/ann%20b/export").problem(), "no-such-subject");
    let log = service.get("/v1/admin/audit").json();
    let acts: Vec<_> =
        log["items"].as_array().expect("items").iter().map(|act| &act["action"]).collect();
    assert_eq!(acts, ["subject.export", "subject.delete"]);
    assert!(!log.to_string().contains("ann"), "whoever is forgotten is not named in the log");
}

#[test]
fn the_document_names_every_operation_and_resolves() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let document = service.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let printed = harness::neuroca(dir.path(), "openapi").output().expect("it runs");
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    assert_eq!(printed, document);
    let mut ids = std::collections::HashSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(ids.insert(operation["operationId"].clone()), "{method} {path}");
            let open = operation.get("security").is_none();
            let served = path.starts_with("/v1/") || path.starts_with("/ofrep/");
            assert_eq!(open, !served, "{method} {path}");
        }
    }
    assert!(ids.len() >= 20, "{}", ids.len());
    resolves(&document, &document);
}

#[test]
fn the_page_is_in_the_binary_and_speaks_to_nobody_else() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let page = service.get("/docs");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"),
        "{policy}"
    );
    for path in ["/docs/docs.js", "/docs/docs.css"] {
        assert!(page.body.contains(path));
        let part = service.get(path);
        assert_eq!((part.status, part.header("x-content-type-options")), (200, Some("nosniff")));
        assert!(!part.body.contains("://"), "{path} names another site");
    }
}

fn resolves(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            fields.values().for_each(|field| resolves(document, field));
        }
        Value::Array(items) => items.iter().for_each(|item| resolves(document, item)),
        _ => {}
    }
}

#[test]
fn a_consolidation_is_done_by_the_worker() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    for content in ["Ann likes green tea", "Ann really likes green tea"] {
        add(&service, &json!({"content": content, "tier": "long_term", "subject": "ann"}));
    }
    let asked = ask(&service, "POST", "/v1/consolidations", &[], &Value::Null);
    assert_eq!(asked.status, 202, "{asked:?}");
    let path = asked.header("location").expect("a location");
    assert_eq!(service.get(path).json()["state"], "pending");
    let mut worker = Running::start(harness::neuroca(dir.path(), "worker"));
    worker.line("a consolidation ended");
    let done = service.get(path).json();
    assert_eq!((&done["state"], &done["superseded"]), (&json!("done"), &json!(1)));
    let left = service.get("/v1/memories").json();
    assert_eq!(left["items"][0]["content"], "Ann really likes green tea");
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(service.get("/v1/consolidations/nothing").problem(), "no-such-task");
}

#[test]
fn what_must_not_be_kept_is_not() {
    let dir = migrated();
    let service = Running::serve(
        dir.path(),
        &[("NEUROCA_MASK", "email,card"), ("NEUROCA_MASK_PATTERNS", "badge=B-[0-9]{4}")],
    );
    let path = add(
        &service,
        &json!({"content": "ann@example.com has B-1234", "metadata": {"card": "4111 1111 1111 1111"}}),
    );
    let kept = service.get(&path).json();
    assert_eq!(kept["content"], "[email] has [badge]");
    assert_eq!(kept["metadata"]["card"], "[card]");
    let changed = ask(&service, "PATCH", &path, &[], &json!({"content": "bob@example.com"})).json();
    assert_eq!(changed["content"], "[email]");
    let file = std::fs::read(dir.path().join("neuroca.db")).expect("the database");
    let log = std::fs::read(dir.path().join("neuroca.db-wal")).expect("its log");
    for canary in ["example.com", "4111"] {
        for bytes in [&file, &log] {
            assert!(!bytes.windows(canary.len()).any(|some| some == canary.as_bytes()), "{canary}");
        }
    }
}
