//! SIGKILL in the middle of writing, a few times on each database; figure 6 of the service does it a
//! hundred times.

mod harness;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::database::Database;
use harness::{Answer, Connection, Running};
use serde_json::{Value, json};

const ROUNDS: usize = 3;
const CLIENTS: usize = 4;
/// Writes of a round before the kill.
const WRITES: usize = 60;
/// Memories of one write, all or none.
const BATCH: usize = 3;

/// What one client was told, and what it had no answer to.
#[derive(Default)]
struct Told {
    acknowledged: Vec<(String, Value)>,
    open: Option<(String, Value)>,
}

fn batch(key: &str) -> Value {
    let items: Vec<Value> = (0..BATCH)
        .map(|n| json!({"content": format!("{key} number {n}"), "subject": key, "tier": "long_term"}))
        .collect();
    json!({ "items": items })
}

fn send(connection: &mut Connection, key: &str, body: &Value) -> std::io::Result<Answer> {
    let headers = [("idempotency-key", key)];
    connection.try_request("POST", "/v1/memories:batch", &headers, &body.to_string())
}

fn client(service: &Running, name: &str, answered: &AtomicUsize) -> Told {
    let mut connection = service.connect();
    let mut told = Told::default();
    for turn in 0.. {
        let (key, body) = (format!("{name}-{turn}"), batch(&format!("{name}-{turn}")));
        match send(&mut connection, &key, &body) {
            Ok(answer) if answer.status == 201 => told.acknowledged.push((key, answer.json())),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => {
                told.open = Some((key, body));
                break;
            }
        }
        if answered.fetch_add(1, Ordering::Relaxed) == WRITES {
            service.signal("KILL");
        }
    }
    told
}

fn of_subject(connection: &mut Connection, subject: &str) -> Vec<Value> {
    let path = format!("/v1/memories?subject={subject}");
    let page = connection.request("GET", &path, &[], "").json();
    page["items"].as_array().expect("items").clone()
}

#[test]
fn what_was_acknowledged_is_there_and_the_rest_is_whole_or_absent() {
    for database in Database::each() {
        let mut there: HashMap<String, usize> = HashMap::new();
        for round in 0..ROUNDS {
            let mut service = database.serve(&[]);
            let answered = AtomicUsize::new(0);
            let told: Vec<Told> = std::thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|n| {
                        let (service, answered) = (&service, &answered);
                        scope.spawn(move || client(service, &format!("r{round}c{n}"), answered))
                    })
                    .collect();
                clients.into_iter().map(|one| one.join().expect("no panic")).collect()
            });
            assert!(!service.wait().success());
            let service = database.serve(&[]);
            let mut connection = service.connect();
            for one in told {
                for (key, answer) in one.acknowledged {
                    let mut made = answer["items"].as_array().expect("items").clone();
                    made.reverse();
                    assert_eq!(of_subject(&mut connection, &key), made, "{key}");
                    there.insert(key, BATCH);
                }
                let (key, body) = one.open.expect("each was waiting");
                let found = of_subject(&mut connection, &key).len();
                assert!(found == 0 || found == BATCH, "{key}: {found}");
                let again = send(&mut connection, &key, &body).expect("an answer");
                assert_eq!(again.status, 201, "{again:?}");
                assert_eq!(of_subject(&mut connection, &key).len(), BATCH, "{key} was made twice");
                there.insert(key, BATCH);
            }
        }
        let service = database.serve(&[]);
        let all: usize = there.values().sum();
        assert_eq!(service.get("/v1/stats").json()["items"], all);
    }
}
