//! Encryption at rest as its owner, a thief and an operator see it, on both databases.

#[path = "sealing/bao.rs"]
mod bao;
mod harness;
#[path = "sealing/same.rs"]
mod same;
#[path = "sealing/stolen.rs"]
mod stolen;

use std::process::Output;
use std::time::Duration;

use harness::database::Database;
use harness::{Answer, Running};
use serde_json::{Value, json};

const KEY: (&str, &str) = ("NEUROCA_SECRET_KEY", "a key of thirty-two letters, and more");
const OTHER: (&str, &str) = ("NEUROCA_SECRET_KEY", "another key of thirty-two letters too");
const PREVIOUS: (&str, &str) = ("NEUROCA_SECRET_KEY_PREVIOUS", KEY.1);
/// Where the exit code for a configuration that cannot work is documented: docs/service-encryption.md.
const MISCONFIGURED: i32 = 64;
const JSON: (&str, &str) = ("content-type", "application/json");
const MEMORIES: usize = 300;

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn tell(running: &Running, content: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({
        "content": content, "tier": "long_term", "subject": "ann",
        "metadata": {"note": format!("{content} too")},
    });
    running.post(headers, &body.to_string())
}

fn search(running: &Running, question: &str) -> Vec<String> {
    let body = json!({ "query": question, "limit": 50 }).to_string();
    let answer = running.connect().request("POST", "/v1/search", &[], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let found = answer.json();
    let items = found["items"].as_array().expect("items");
    items.iter().map(|hit| hit["memory"]["content"].as_str().expect("text").into()).collect()
}

fn told(number: usize) -> String {
    format!("Ann keeps parcel{number} in drawer{}", number % 7)
}

/// `MEMORIES` of them, some with a history.
fn fill(running: &Running) {
    let all: Vec<Value> = (0..MEMORIES)
        .map(|number| json!({"content": told(number), "tier": "long_term", "subject": "ann"}))
        .collect();
    for some in all.chunks(100) {
        let body = json!({ "items": some }).to_string();
        let answer = running.connect().request("POST", "/v1/memories:batch", &[], &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        for memory in answer.json()["items"].as_array().expect("items").iter().step_by(10) {
            let path = format!("/v1/memories/{}", memory["id"].as_str().expect("an id"));
            let change = json!({"metadata": {"seen": true}}).to_string();
            let answer = running.connect().request("PATCH", &path, &[JSON], &change);
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
}

/// Every memory that was told, each once, with its history.
fn is_whole(running: &Running) {
    let answer = running.get("/v1/subjects/ann/export?limit=1000");
    assert_eq!(answer.status, 200, "{answer:?}");
    let export = answer.json();
    let items = export["items"].as_array().expect("items");
    let text = |memory: &Value| memory["content"].as_str().expect("text").to_owned();
    let mut contents: Vec<String> = items.iter().map(|item| text(&item["memory"])).collect();
    contents.sort();
    let earlier = items.iter().map(|item| item["earlier"].as_array().expect("versions").len());
    assert_eq!(earlier.sum::<usize>(), MEMORIES / 10);
    let mut expected: Vec<String> = (0..MEMORIES).map(told).collect();
    expected.sort();
    assert_eq!(contents, expected);
}

#[test]
fn the_wrong_key_is_told_at_the_start_and_nothing_is_written() {
    for database in Database::each_with(&[KEY]) {
        let running = database.serve(&[]);
        assert_eq!(tell(&running, "Ann likes tea", &[]).status, 201);
        drop(running);
        let before = stolen::rows(&database);
        for (env, says) in [
            (&[OTHER][..], "give it back, or give it as NEUROCA_SECRET_KEY_PREVIOUS"),
            (&[], "neither NEUROCA_SECRET_KEY nor NEUROCA_KMS_* is given"),
        ] {
            for words in [&["serve"][..], &["worker"], &["keys", "list"], &["keys", "rekey"]] {
                let mut command = database.command(words[0]);
                command.env_remove(KEY.0).args(&words[1..]).envs(env.iter().copied());
                let output = command.output().expect("it runs");
                assert_eq!(
                    output.status.code(),
                    Some(MISCONFIGURED),
                    "{words:?}: {}",
                    text(&output)
                );
                assert!(text(&output).contains(says), "{words:?}: {}", text(&output));
            }
        }
        assert_eq!(stolen::rows(&database), before);
        let running = database.serve(&[]);
        assert_eq!(search(&running, "tea"), ["Ann likes tea"]);
    }
}

/// `neuroca keys rekey` killed once it has sealed some: whether it was.
fn killed_in_the_middle(database: &Database, env: &[(&str, &str)], newest: i64) -> bool {
    let mut command = database.command("keys");
    command.arg("rekey").envs(env.iter().copied());
    command.stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("it runs");
    loop {
        if child.try_wait().expect("a state").is_some() {
            return false;
        }
        let done = stolen::sealed_under(database, newest);
        if done > 0 && done < MEMORIES as i64 {
            child.kill().expect("SIGKILL");
            child.wait().expect("it ends");
            return stolen::sealed_under(database, newest) < MEMORIES as i64;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn rekeyed(database: &Database, env: &[(&str, &str)]) -> String {
    let mut command = database.command("keys");
    let output = command.arg("rekey").envs(env.iter().copied()).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
fn what_was_there_is_sealed_while_others_serve_and_again_under_another_key() {
    for database in Database::each() {
        // From before encryption.
        let running = database.serve(&[]);
        fill(&running);
        drop(running);
        let database = database.with(&[KEY]);
        let running = database.serve(&[]);
        is_whole(&running);
        assert_eq!(stolen::sealed_under(&database, 0), MEMORIES as i64, "only a rekeying seals");
        assert!(killed_in_the_middle(&database, &[], 1));
        // Half of it is sealed, and everything is there and is found.
        is_whole(&running);
        for number in [0, MEMORIES / 2, MEMORIES - 1] {
            // What stands beside it comes after it.
            assert_eq!(search(&running, &format!("parcel{number}"))[0], told(number));
        }
        let drawer = search(&running, "drawer3");
        assert_eq!(drawer.iter().filter(|content| content.ends_with("drawer3")).count(), 43);
        let said = rekeyed(&database, &[]);
        assert!(said.contains("going on where an earlier run was ended"), "{said}");
        assert_eq!(stolen::versions(&database), [1]);
        is_whole(&running);

        // Another secret, and new keys.
        let both = database.with(&[OTHER, PREVIOUS]);
        let running = both.serve(&[]);
        let writing = std::thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let writer = scope.spawn(move || {
                let mut written = 0;
                let stopped = || stopped.recv_timeout(Duration::from_millis(2));
                while stopped() == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    let body = json!({"content": format!("Bob counts sheep{written}")});
                    let answer = running.post(&[], &body.to_string());
                    assert_eq!(answer.status, 201, "{answer:?}");
                    written += 1;
                }
                (running, written)
            });
            assert!(killed_in_the_middle(&both, &[], 2));
            rekeyed(&both, &[]);
            stop.send(()).expect("it writes");
            writer.join().expect("every write was accepted")
        });
        let (running, written) = writing;
        assert!(written > 0);
        is_whole(&running);
        let last = format!("Bob counts sheep{}", written - 1);
        assert_eq!(search(&running, &last)[0], last);
        drop(running);
        assert_eq!(stolen::versions(&both), [2]);
        let only = both.with(&[OTHER]);
        is_whole(&only.serve(&[]));
        let old = only.with(&[KEY]).command("serve").output().expect("it runs");
        assert_eq!(old.status.code(), Some(MISCONFIGURED), "{}", text(&old));
    }
}

#[test]
fn the_wrapping_key_alone_is_changed_without_sealing_anew() {
    for database in Database::each_with(&[KEY]) {
        let running = database.serve(&[]);
        assert_eq!(tell(&running, "Ann likes tea", &[]).status, 201);
        let both = database.with(&[OTHER, PREVIOUS]);
        let mut command = both.command("keys");
        let output = command.args(["rekey", "--wrapping-only"]).output().expect("it runs");
        assert!(text(&output).contains("1 keys of 1 tenants"), "{}", text(&output));
        assert_eq!(stolen::versions(&both), [1]);
        let only = both.with(&[OTHER]);
        assert_eq!(search(&only.serve(&[]), "tea"), ["Ann likes tea"]);
    }
}

#[test]
fn a_repeated_request_is_known_again_and_another_one_under_its_key_is_refused() {
    for database in Database::each_with(&[KEY]) {
        let running = database.serve(&[]);
        let once = [("idempotency-key", "k")];
        let first = tell(&running, "Ann likes tea", &once);
        assert_eq!(first.status, 201);
        rekeyed(&database, &[]);
        assert_eq!(tell(&running, "Ann likes tea", &once).json()["id"], first.json()["id"]);
        assert_eq!(tell(&running, "Ann likes coffee", &once).status, 422);
    }
}
