//! Who comes in, what they may do, and that tenants do not meet, over a real socket.

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::model::Model;
use harness::{Answer, REQUIRED, Running, key, migrated, neuroca};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

fn ask(service: &Running, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.connect().request(method, path, &headers, &body)
}

#[test]
fn a_key_opens_what_its_role_allows_until_it_ends() {
    let dir = migrated();
    let (viewer, agent) = (key(dir.path(), "acme", "viewer"), key(dir.path(), "acme", "agent"));
    let admin = key(dir.path(), "acme", "tenant_admin");
    let service = Running::serve(dir.path(), &[REQUIRED]);
    let nobody = service.get("/v1/memories");
    assert_eq!((nobody.status, nobody.problem()), (401, "unauthorized".into()));
    assert!(nobody.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    for path in ["/health/ready", "/metrics", "/version", "/openapi.json"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    let wrong = format!("{}0", &viewer[..viewer.len() - 1]);
    let wrong = if wrong == viewer { format!("{}1", &viewer[..viewer.len() - 1]) } else { wrong };
    for token in ["", "nonsense", &wrong, &viewer.replacen("acme", "other", 1), "a.b.c"] {
        assert_eq!(
            ask(&service, token, "GET", "/v1/memories", &Value::Null).status,
            401,
            "{token}"
        );
    }
    let memory = json!({"content": "x"});
    assert_eq!(ask(&service, &viewer, "GET", "/v1/memories", &Value::Null).status, 200);
    assert_eq!(ask(&service, &viewer, "POST", "/v1/memories", &memory).problem(), "forbidden");
    assert_eq!(ask(&service, &agent, "POST", "/v1/memories", &memory).status, 201);
    assert_eq!(
        ask(&service, &agent, "POST", "/v1/consolidations", &Value::Null).problem(),
        "forbidden"
    );

    let too_much = json!({"name": "k", "role": "platform_admin"});
    assert_eq!(ask(&service, &admin, "POST", "/v1/admin/keys", &too_much).problem(), "forbidden");
    let made =
        ask(&service, &admin, "POST", "/v1/admin/keys", &json!({"name": "k", "role": "viewer"}));
    let (token, id) = (made.json()["token"].clone(), made.json()["key"]["id"].clone());
    let (token, id) = (token.as_str().expect("a token"), id.as_str().expect("an id"));
    assert_eq!(ask(&service, token, "GET", "/v1/memories", &Value::Null).status, 200);
    let rotate = format!("/v1/admin/keys/{id}/rotate");
    let rotated = ask(&service, &admin, "POST", &rotate, &json!({"grace_seconds": 0})).json();
    let newer = rotated["token"].as_str().expect("a token");
    assert_eq!(ask(&service, token, "GET", "/v1/memories", &Value::Null).status, 401);
    assert_eq!(ask(&service, newer, "GET", "/v1/memories", &Value::Null).status, 200);
    let newer_id = rotated["key"]["id"].as_str().expect("an id");
    let path = format!("/v1/admin/keys/{newer_id}");
    assert_eq!(ask(&service, &admin, "DELETE", &path, &Value::Null).status, 204);
    assert_eq!(ask(&service, &admin, "DELETE", &path, &Value::Null).problem(), "no-such-key");
    assert_eq!(ask(&service, newer, "GET", "/v1/memories", &Value::Null).status, 401);

    let list = ask(&service, &admin, "GET", "/v1/admin/keys", &Value::Null);
    assert_eq!(list.json()["items"].as_array().map(Vec::len), Some(5));
    let secret = newer.rsplit('.').next().expect("a secret");
    assert!(!list.body.contains(secret), "a secret is shown once");
    let log = ask(&service, &admin, "GET", "/v1/admin/audit", &Value::Null).json();
    let actions: Vec<_> =
        log["items"].as_array().expect("items").iter().map(|entry| &entry["action"]).collect();
    let created = "key.create";
    assert_eq!(actions, [created, created, created, created, created, "key.rotate", "key.revoke"]);
    let checked =
        neuroca(dir.path(), "audit").args(["--tenant", "acme"]).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let last = log["items"][6]["hash"].as_str().expect("a hash").to_owned();
    for (hash, whole) in [(last, true), ("0".repeat(64), false)] {
        let arguments = ["--tenant", "acme", "--expect", &hash];
        let checked = neuroca(dir.path(), "audit").args(arguments).output().expect("it runs");
        assert_eq!(checked.status.success(), whole, "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn production_asks_and_a_limit_limits() {
    let dir = migrated();
    let agent = key(dir.path(), "default", "agent");
    let env = [("NEUROCA_ENV", "production"), ("NEUROCA_RATE_LIMIT_PER_MINUTE", "3")];
    let service = Running::serve(dir.path(), &env);
    assert_eq!(service.get("/v1/memories").status, 401);
    for _ in 0..3 {
        assert_eq!(ask(&service, &agent, "GET", "/v1/stats", &Value::Null).status, 200);
    }
    let limited = ask(&service, &agent, "GET", "/v1/stats", &Value::Null);
    assert_eq!((limited.status, limited.problem()), (429, "rate-limit".into()));
    let wait: u64 = limited.header("retry-after").expect("seconds").parse().expect("a number");
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(service.get("/health/ready").status, 200);
    let mut off = neuroca(dir.path(), "serve");
    off.env("NEUROCA_ENV", "production").env("NEUROCA_AUTH", "off");
    let output = off.output().expect("it runs");
    assert_eq!(output.status.code(), Some(64));
}

/// An OIDC issuer on a socket, whose keys can be changed.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<(String, Ed25519KeyPair)>>>,
    asked: Arc<AtomicU32>,
}

fn pair() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).expect("a key");
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key")
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let keys = Arc::new(Mutex::new(vec![("1".to_owned(), pair())]));
        let asked = Arc::new(AtomicU32::new(0));
        let served = (url.clone(), keys.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                let _ = reader.read_line(&mut line);
                let (url, keys, asked) = &served;
                let body = if line.contains("openid-configuration") {
                    json!({"issuer": url, "jwks_uri": format!("{url}/jwks")})
                } else {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let keys = keys.lock().expect("not poisoned");
                    let all: Vec<Value> = keys
                        .iter()
                        .map(|(kid, pair)| {
                            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
                        })
                        .collect();
                    json!({"keys": all})
                }
                .to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { url, keys, asked }
    }

    fn token(&self, change: &Value) -> String {
        let keys = self.keys.lock().expect("not poisoned");
        let (kid, pair) = keys.last().expect("a key");
        let mut claims = json!({"iss": self.url, "aud": "nca", "sub": "ann", "exp": 4_000_000_000u64,
            "tenant": "acme", "role": "agent"});
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "EdDSA", "kid": kid}).to_string();
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

#[test]
fn a_token_of_the_issuer_opens_its_tenant() {
    let dir = migrated();
    let issuer = Issuer::start();
    let env = [("NEUROCA_OIDC_ISSUER", issuer.url.as_str()), ("NEUROCA_OIDC_AUDIENCE", "nca")];
    let service = Running::serve(dir.path(), &env);
    let list = |token: &str| ask(&service, token, "GET", "/v1/memories", &Value::Null);
    let good = issuer.token(&json!({}));
    let made = ask(&service, &good, "POST", "/v1/memories", &json!({"content": "of acme"}));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(list(&good).json()["items"].as_array().map(Vec::len), Some(1));
    let other = issuer.token(&json!({"tenant": "other", "role": ["unknown", "viewer"]}));
    assert_eq!(list(&other).json()["items"].as_array().map(Vec::len), Some(0));
    for wrong in [
        json!({"aud": "somebody"}),
        json!({"iss": "http://127.0.0.1:1"}),
        json!({"exp": 1_000_000_000}),
        json!({"tenant": null}),
        json!({"tenant": "a'b"}),
        json!({"role": "king"}),
    ] {
        let refused = list(&issuer.token(&wrong));
        assert_eq!(refused.status, 401, "{wrong}");
        assert!(refused.header("www-authenticate").is_some());
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "keys are kept");
}

fn example_flag() -> Value {
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
        "targeting": {"fractional": [["on", 10], ["off", 90]]}})
}

/// A body that the schema allows.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(&reference[1..]).expect("it resolves");
        return example(document, found);
    }
    if let Some(first) = schema["examples"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if let Some(first) =
        schema["oneOf"].as_array().or(schema["anyOf"].as_array()).and_then(|all| all.first())
    {
        return example(document, first);
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let mut object = json!({});
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            for (name, schema) in properties {
                // Where nothing is required, something has to be said all the same.
                if required.iter().any(|one| *one == name)
                    || (required.is_empty() && name == "importance")
                {
                    object[&name] = example(document, &schema);
                }
            }
            object
        }
        Some("array") => json!([example(document, &schema["items"])]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("string") => json!("canary words"),
        _ => json!(1),
    }
}

#[test]
fn no_route_of_the_document_lets_tenants_meet() {
    let dir = migrated();
    let (hers, his) =
        (key(dir.path(), "a", "platform_admin"), key(dir.path(), "b", "platform_admin"));
    // Says all that it was given, so that a memory in the wrong prompt is seen.
    let model = Model::echo();
    let llm = model.variables("openai");
    let mut env: Vec<(&str, &str)> =
        llm.iter().map(|(name, value)| (*name, value.as_str())).collect();
    env.push(REQUIRED);
    let service = Running::serve(dir.path(), &env);
    let secret = "canary-7c1f of tenant a";
    let body = json!({"content": secret, "subject": "s1", "tier": "long_term"});
    let memory = ask(&service, &hers, "POST", "/v1/memories", &body).json();
    let task = ask(&service, &hers, "POST", "/v1/consolidations", &Value::Null).json();
    let made =
        ask(&service, &hers, "POST", "/v1/admin/keys", &json!({"name": secret, "role": "viewer"}));
    let made = made.json()["key"].clone();
    let flag = json!({"state": "ENABLED", "variants": {"on": secret, "off": "x"},
        "targeting": {"fractional": [["on", 1], ["off", 1]]}});
    let experiment = json!({"flag": "new-search", "running": false, "description": secret});
    // He has a flag, too, with which he can try something; only hers have this key.
    for (token, path, body) in [
        (&hers, "/v1/admin/flags/hers", &flag),
        (&hers, "/v1/admin/flags/new-search", &flag),
        (&hers, "/v1/admin/experiments/hers", &experiment),
        (&his, "/v1/admin/flags/new-search", &example_flag()),
    ] {
        assert_eq!(ask(&service, token, "PUT", path, body).status, 200, "{path}");
    }
    let all_of_hers = || {
        let paths = ["/v1/subjects/s1/export", "/v1/admin/flags", "/v1/admin/experiments"];
        paths.map(|path| ask(&service, &hers, "GET", path, &Value::Null).json())
    };
    let before = all_of_hers();
    let document = service.get("/openapi.json").json();
    let mut owners = Vec::new();
    // Reads first and deletions last, so that each route finds what it is for.
    for wave in ["get", "post", "patch", "put", "delete"] {
        for (path, methods) in document["paths"].as_object().expect("paths") {
            let Some(operation) = methods.get(wave).filter(|one| one.get("security").is_some())
            else {
                continue;
            };
            if operation["operationId"] == "events" {
                continue; // Never ends; `Events` are compared by tenant.
            }
            let id = match path {
                path if path.contains("consolidations") => &task["id"],
                path if path.contains("keys") => &made["id"],
                _ => &memory["id"],
            };
            let target = path
                .replace("{id}", id.as_str().expect("an id"))
                .replace("{subject}", "s1")
                .replace("{key}", "hers")
                .replace("{tier}", "long-term");
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let mut body = if schema.is_null() { Value::Null } else { example(&document, schema) };
            if operation["operationId"] == "llmConversation" {
                body["stream"] = json!(false); // All of it in one answer, so that all of it is read.
            }
            let method = wave.to_ascii_uppercase();
            let foreign = ask(&service, &his, &method, &target, &body);
            assert!(!foreign.body.contains("canary-7c1f"), "{method} {target}: {foreign:?}");
            // What is put under a key is his own from then on, whoever else has the same key.
            let own = path.contains("{key}") && ["put", "delete"].contains(&wave);
            if path.contains('{') && !path.contains("{tier}") && !own {
                assert_eq!(foreign.status, 404, "{method} {target}: {foreign:?}");
            } else {
                assert!(foreign.status < 300, "{method} {target} {body}: {foreign:?}");
            }
            owners.push((method, target, body));
        }
    }
    assert_eq!(before, all_of_hers(), "nothing of hers has changed");
    assert!(owners.len() >= 18, "{}", owners.len());
    let well = owners
        .iter()
        .filter(|(method, path, body)| ask(&service, &hers, method, path, body).status < 300)
        .count();
    assert!(well * 10 >= owners.len() * 9, "{well} of {}", owners.len());
}
