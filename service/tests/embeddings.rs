//! Search by meaning, over real sockets: what nobody finds by its words, and what happens while nothing
//! computes vectors.

mod harness;

use std::path::Path;
use std::time::{Duration, Instant};

use harness::embedder::Embedder;
use harness::{Answer, Running, migrated, neuroca};
use serde_json::{Value, json};

type Variables = Vec<(&'static str, String)>;

fn borrowed(own: &Variables) -> Vec<(&str, &str)> {
    own.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn worker(dir: &Path, own: &Variables) -> Running {
    let mut command = neuroca(dir, "worker");
    command.envs(borrowed(own));
    Running::start(command)
}

fn post(service: &Running, path: &str, body: &Value) -> Answer {
    service.connect().request("POST", path, &[], &body.to_string())
}

fn add(service: &Running, content: &str, subject: &str) -> String {
    let body = json!({ "content": content, "subject": subject, "tier": "long_term" });
    let made = post(service, "/v1/memories", &body);
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["id"].as_str().expect("an id").to_owned()
}

fn search(service: &Running, query: &str) -> Value {
    let found = post(service, "/v1/search", &json!({ "query": query }));
    assert_eq!(found.status, 200, "{found:?}");
    found.json()
}

fn contents(found: &Value) -> Vec<&str> {
    let items = found["items"].as_array().expect("items");
    items.iter().filter_map(|item| item["memory"]["content"].as_str()).collect()
}

/// Asks again until the answer is as it should be: vectors come some time after a write.
fn until(service: &Running, query: &str, good: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let found = search(service, query);
        if good(&found) {
            return found;
        }
        assert!(Instant::now() < until, "{found}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_says_the_same_in_other_words_is_found() {
    let (dir, embedder) = (migrated(), Embedder::start());
    let own = embedder.variables();
    let service = Running::serve(dir.path(), &borrowed(&own));
    let _worker = worker(dir.path(), &own);
    let puppy = add(&service, "Ann adopted a puppy", "ann");
    let violin = add(&service, "Bob plays the violin", "bob");
    add(&service, "A poison that no model takes", "ann");
    let first_is = |id: &str| {
        let id = id.to_owned();
        move |found: &Value| found["items"][0]["memory"]["id"] == id.as_str()
    };
    let found = until(&service, "Who has a hound?", first_is(&puppy));
    assert_eq!(found["items"][0]["why"]["meaning"], 1, "{found}");
    assert!(found.get("degraded").is_none(), "{found}");
    until(&service, "an instrument", first_is(&violin));
    // Words lead: what has the word comes before what means the same.
    let hound = add(&service, "The word hound was in a crossword", "ann");
    until(&service, "hound", first_is(&hound));

    let other = json!({ "query": "Who has a hound?", "subject": "bob" });
    let other = post(&service, "/v1/search", &other).json();
    assert!(!contents(&other).iter().any(|text| text.contains("puppy")), "{other}");
    // The refused text kept no other from its vector, and is found by its words.
    assert!(contents(&search(&service, "poison")).contains(&"A poison that no model takes"));
    let metrics = service.get("/metrics").body;
    assert!(metrics.contains("neuroca_searches_degraded_total{"), "{metrics}");
    assert!(metrics.contains("outcome=\"answered\",source=\"server\""), "{metrics}");
}

#[test]
fn a_vector_follows_its_memory() {
    let (dir, embedder) = (migrated(), Embedder::start());
    let own = embedder.variables();
    let service = Running::serve(dir.path(), &borrowed(&own));
    let _worker = worker(dir.path(), &own);
    let id = add(&service, "Ann adopted a puppy", "ann");
    add(&service, "Bob baked bread", "bob");
    let first_is = |text: &'static str| move |found: &Value| contents(found).first() == Some(&text);
    until(&service, "hound", first_is("Ann adopted a puppy"));
    let path = format!("/v1/memories/{id}");
    let change = json!({ "content": "Ann plays the violin" }).to_string();
    let kind = [("content-type", "application/json")];
    let changed = service.connect().request("PATCH", &path, &kind, &change);
    assert_eq!(changed.status, 200, "{changed:?}");
    until(&service, "instrument", first_is("Ann plays the violin"));
    assert!(embedder.inputs().contains(&"Ann plays the violin".to_owned()));
    let deleted = service.connect().request("DELETE", "/v1/subjects/ann", &[], "");
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let found = search(&service, "instrument");
    assert_eq!(contents(&found), ["Bob baked bread"]);
}

#[test]
fn without_the_server_search_goes_by_words_and_says_so() {
    let (dir, embedder) = (migrated(), Embedder::start());
    let own = embedder.variables();
    let service = Running::serve(dir.path(), &borrowed(&own));
    let _worker = worker(dir.path(), &own);
    add(&service, "Ann adopted a puppy", "ann");
    until(&service, "hound", |found| !contents(found).is_empty());

    let address = embedder.stop();
    let found = search(&service, "Ann's puppy");
    assert_eq!(contents(&found), ["Ann adopted a puppy"]);
    assert_eq!(found["degraded"], true, "{found}");
    // Writes do not know of it, and the service stays ready.
    add(&service, "Bob baked bread", "bob");
    assert_eq!(service.get("/health/ready").status, 200);
    let context = post(&service, "/v1/context", &json!({ "query": "puppy" })).json();
    assert_eq!(context["degraded"], true, "{context}");

    let _embedder = Embedder::start_at(address);
    // What was written meanwhile has its vector now, too.
    let found =
        until(&service, "bakery", |found| contents(found).first() == Some(&"Bob baked bread"));
    assert!(found.get("degraded").is_none(), "{found}");
}

#[test]
fn without_embeddings_an_answer_is_what_it_was() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    add(&service, "Ann adopted a puppy", "ann");
    let found = search(&service, "puppy");
    let keys =
        |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), ["items"]);
    assert_eq!(keys(&found["items"][0]["why"]), ["spelling", "time", "words"]);
    let nothing = search(&service, "?!");
    assert_eq!(nothing, json!({ "items": [] }));
    assert!(!service.get("/metrics").body.contains("embedding"));
}

#[test]
fn a_directory_without_a_model_is_said_at_the_start() {
    let dir = migrated();
    for verb in ["serve", "worker"] {
        let mut command = neuroca(dir.path(), verb);
        command.env("NEUROCA_EMBEDDINGS_PATH", dir.path());
        let output = command.output().expect("neuroca runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("config.json: No such file"), "{text}");
        assert!(text.contains("BERT sentence-transformer"), "{text}");
    }
}

/// With `NEUROCA_TEST_MODEL`, a directory that holds all-MiniLM-L6-v2.
#[test]
fn a_model_of_a_directory_finds_what_means_the_same() {
    let Ok(model) = std::env::var("NEUROCA_TEST_MODEL") else { return };
    let dir = migrated();
    // A build for tests is slow: it computes, all the same.
    let own = vec![
        ("NEUROCA_EMBEDDINGS_PATH", model),
        ("NEUROCA_EMBEDDINGS_TIMEOUT_MS", "30000".to_owned()),
    ];
    let service = Running::serve(dir.path(), &borrowed(&own));
    let _worker = worker(dir.path(), &own);
    for told in ["Ann adopted a puppy", "Bob repairs bicycles", "Eve cannot stand broccoli"] {
        add(&service, told, "friends");
    }
    for (question, answer) in [
        ("Which vegetable does she dislike?", "Eve cannot stand broccoli"),
        ("Who owns a dog?", "Ann adopted a puppy"),
    ] {
        let first = |found: &Value| contents(found).first() == Some(&answer);
        until(&service, question, first);
    }
}
