//! Maintenance over a real socket: who is refused, who is not, and that every replica knows.

mod harness;

use std::path::Path;

use harness::{Answer, Running, key, migrated, neuroca};
use serde_json::{Value, json};

const REQUIRED: (&str, &str) = ("NEUROCA_AUTH", "required");
const PATH: &str = "/v1/admin/maintenance";

fn ask(service: &Running, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.connect().request(method, path, &headers, &body)
}

fn set(service: &Running, token: &str, wanted: &Value) -> Answer {
    ask(service, token, "PUT", PATH, wanted)
}

fn command(dir: &Path, arguments: &[&str]) -> String {
    let output = neuroca(dir, "maintenance").args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn read_only_lets_readers_through_on_every_replica() {
    let dir = migrated();
    let one = Running::serve(dir.path(), &[]);
    let mut other = Running::serve(dir.path(), &[]);
    let memory = json!({"content": "Ann adopted a dog", "tier": "long_term"});
    let made = ask(&one, "", "POST", "/v1/memories", &memory);
    let path = made.header("location").expect("a location").to_owned();

    let wanted = json!({"mode": "read_only", "reason": "moving house", "retry_after_seconds": 7});
    let standing = set(&one, "", &wanted);
    assert_eq!((standing.status, &standing.json()["mode"]), (200, &json!("read_only")));
    other.line("maintenance");
    for service in [&one, &other] {
        let refused = ask(service, "", "POST", "/v1/memories", &memory);
        assert_eq!((refused.status, refused.problem()), (503, "maintenance".into()));
        assert_eq!(refused.header("retry-after"), Some("7"));
        assert!(refused.body.contains("moving house"), "{refused:?}");
        for (method, path, body) in [
            ("PATCH", path.as_str(), json!({"importance": 1})),
            ("DELETE", &path, Value::Null),
            ("POST", "/v1/consolidations", Value::Null),
            ("POST", "/v1/llm/conversation", json!({"message": "hello"})),
            ("DELETE", "/v1/subjects/ann", Value::Null),
        ] {
            let refused = ask(service, "", method, path, &body);
            assert_eq!(refused.problem(), "maintenance", "{method} {path}");
        }
        assert_eq!(service.get(&path).status, 200);
        let found = ask(service, "", "POST", "/v1/search", &json!({"query": "dog"}));
        assert_eq!(found.json()["items"].as_array().map(Vec::len), Some(1));
        let call = |tool: &str, arguments: Value| {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": tool, "arguments": arguments}});
            ask(service, "", "POST", "/v1/mcp", &message).json()["result"].clone()
        };
        assert_ne!(call("search", json!({"query": "dog"}))["isError"], true);
        let added = call("add", json!({"content": "x"}));
        assert_eq!(added["structuredContent"]["type"], "urn:neuroca:problem:maintenance");
    }

    set(&other, "", &json!({"mode": "off"}));
    assert_eq!(ask(&other, "", "POST", "/v1/memories", &memory).status, 201);
}

#[test]
fn full_refuses_everything_but_its_end() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    set(&service, "", &json!({"mode": "full", "scope": "service"}));
    let document = service.get("/openapi.json").json();
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let target = path.replace(['{', '}'], "");
            let method = method.to_ascii_uppercase();
            let served = operation.get("security").is_some() && !path.starts_with("/v1/admin/");
            if served {
                let answer = ask(&service, "", &method, &target, &json!({}));
                assert_eq!(answer.status, 503, "{method} {target}");
                assert_eq!(answer.problem(), "maintenance", "{method} {target}");
                refused += 1;
            } else if method == "GET" {
                assert_ne!(service.get(&target).status, 503, "{target}");
            }
        }
    }
    assert!(refused >= 18, "{refused}");
    assert_eq!(service.get("/health").json()["maintenance"], "full");
    let metrics = service.get("/metrics").body;
    let service_mode = "neuroca_maintenance_mode{scope=\"service\",revision=\"v0.1.0\"} 2\n";
    assert!(metrics.contains(service_mode), "{metrics}");
    // Started in the middle of it, a replica does not begin with a moment without it.
    let late = Running::serve(dir.path(), &[]);
    assert_eq!(late.get("/v1/memories").problem(), "maintenance");
    drop(late);
    set(&service, "", &json!({"mode": "off", "scope": "service"}));
    assert_eq!(service.get("/v1/memories").status, 200);
}

#[test]
fn a_tenant_is_refused_alone_and_its_operator_cannot_stop_the_others() {
    let dir = migrated();
    let (operator, agent) = (key(dir.path(), "a", "operator"), key(dir.path(), "a", "agent"));
    let other = key(dir.path(), "b", "tenant_admin");
    let service = Running::serve(dir.path(), &[REQUIRED]);
    assert_eq!(set(&service, &agent, &json!({"mode": "full"})).problem(), "forbidden");
    for token in [&operator, &other] {
        let all = json!({"mode": "full", "scope": "service"});
        assert_eq!(set(&service, token, &all).problem(), "forbidden");
    }
    for bad in [
        json!({"mode": "sleepy"}),
        json!({"mode": "full", "retry_after_seconds": 0}),
        json!({"mode": "full", "reason": "x".repeat(513)}),
    ] {
        assert_eq!(set(&service, &operator, &bad).problem(), "invalid", "{bad}");
    }
    let standing = set(&service, &operator, &json!({"mode": "full"})).json();
    assert_eq!((&standing["service"], &standing["tenant"]["mode"]), (&Value::Null, &json!("full")));
    let list = |token: &str| ask(&service, token, "GET", "/v1/memories", &Value::Null);
    assert_eq!(list(&agent).problem(), "maintenance");
    assert_eq!(list(&other).status, 200);
    assert_eq!(list("nonsense").status, 401);
    let seen = ask(&service, &other, "GET", PATH, &Value::Null).json();
    assert_eq!(seen, json!({"mode": "off", "service": null, "tenant": null}));
    let metrics = service.get("/metrics").body;
    for line in [
        "neuroca_maintenance_mode{scope=\"service\",revision=\"v0.1.0\"} 0\n",
        "neuroca_maintenance_mode{scope=\"tenant\",revision=\"v0.1.0\"} 2\n",
        "neuroca_maintenance_tenants{revision=\"v0.1.0\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let admin = key(dir.path(), "a", "tenant_admin");
    let log = ask(&service, &admin, "GET", "/v1/admin/audit", &Value::Null).json();
    let acts = log["items"].as_array().expect("items");
    assert!(
        acts.iter().any(|act| act["action"] == "maintenance.set" && act["target"] == "tenant:full"),
        "{acts:?}"
    );
}

#[test]
fn the_command_switches_all_and_the_worker_waits() {
    let dir = migrated();
    let mut service = Running::serve(dir.path(), &[]);
    assert_eq!(command(dir.path(), &[]), "all tenants: off\n");
    let asked = ask(&service, "", "POST", "/v1/consolidations", &Value::Null);
    let task = asked.header("location").expect("a location").to_owned();
    let told = command(dir.path(), &["read-only", "--reason", "backup"]);
    assert_eq!(told, "all tenants: read_only  backup\n");
    service.line("maintenance");
    assert_eq!(ask(&service, "", "POST", "/v1/memories", &json!({"content": "x"})).status, 503);

    let mut worker = Running::start(neuroca(dir.path(), "worker"));
    assert_eq!(worker.line("maintenance")["mode"], "read_only");
    assert_eq!(service.get(&task).json()["state"], "pending");
    command(dir.path(), &["off"]);
    // In this order: a worker that had not waited would have said the second before the first.
    assert_eq!(worker.line("maintenance")["mode"], "off");
    worker.line("a consolidation ended");
    let audit = neuroca(dir.path(), "audit").output().expect("it runs");
    let audit = String::from_utf8(audit.stdout).expect("UTF-8");
    assert!(audit.contains("service:read_only") && audit.contains("service:off"), "{audit}");
}
