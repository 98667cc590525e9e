//! The published figures 2, 3, 5, 7 and 9 of the service, small enough for every run and with room for a machine that does
//! other things at the same time; `make prove AREA=service` measures them whole. Those of the others are in
//! tests/prove/README.md.

mod harness;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::database::Database;
use harness::{Connection, Running, migrated};
use neuroca_load::{Load, run, verify};
use serde_json::{Value, json};

const BOXES: usize = 1000;
/// A debug build takes long to open one: a password is hashed 4096 times.
const FEW_CONNECTIONS: (&str, &str) = ("NEUROCA_DB_POOL_SIZE", "3");

/// One at a time: each of them is about what happens when there is much to do.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    // Whoever failed has said so.
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn add_all(service: &Running, drafts: &[Value]) -> Vec<String> {
    let mut connection = service.connect();
    let mut ids = Vec::new();
    for some in drafts.chunks(100) {
        let body = json!({ "items": some }).to_string();
        let made = connection.request("POST", "/v1/memories:batch", &[], &body);
        assert_eq!(made.status, 201, "{made:?}");
        let items = made.json();
        let items = items["items"].as_array().expect("items");
        ids.extend(items.iter().map(|memory| memory["id"].as_str().expect("an id").to_owned()));
    }
    ids
}

fn draft(content: &str, subject: &str) -> Value {
    json!({"content": content, "subject": subject, "tier": "long_term"})
}

fn p95(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 95 / 100]
}

/// One search for a box that is there and one write, and how long each took.
fn turn(connection: &mut Connection, client: usize, turn: usize) -> [Duration; 2] {
    let wanted = (client * 61 + turn * 7) % BOXES;
    let question = json!({"query": format!("what is in box {wanted}?")}).to_string();
    let begun = Instant::now();
    let found = connection.request("POST", "/v1/search", &[], &question);
    let search = begun.elapsed();
    assert_eq!(found.status, 200, "{found:?}");
    let best = found.json()["items"][0]["memory"]["content"].to_string();
    assert!(best.contains(&format!("box {wanted} ")), "{wanted}: {best}");
    let body = draft(&format!("client c{client} says r{turn}"), "bob").to_string();
    let begun = Instant::now();
    let made = connection.request("POST", "/v1/memories", &[], &body);
    assert_eq!(made.status, 201, "{made:?}");
    [search, begun.elapsed()]
}

/// Figure 2. How fast a debug build is on a machine that others use says nothing; sixteen clients may take as long as sixteen
/// one after the other, four times over, and not as long as whoever waits for a lock.
#[test]
fn sixteen_clients_search_and_write_without_waiting_for_each_other() {
    let _alone = alone();
    for database in Database::each() {
        let service = database.serve(&[FEW_CONNECTIONS]);
        let drafts: Vec<Value> = (0..BOXES)
            .map(|n| draft(&format!("box {n} holds thing t{}", n * 7919 % 1009), "ann"))
            .collect();
        add_all(&service, &drafts);
        let mut connection = service.connect();
        let by_itself: Vec<[Duration; 2]> = (0..5).map(|n| turn(&mut connection, 16, n)).collect();
        let together: Vec<[Duration; 2]> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..16)
                .map(|client| {
                    let mut connection = service.connect();
                    scope.spawn(move || {
                        (0..5).map(|n| turn(&mut connection, client, n)).collect::<Vec<_>>()
                    })
                })
                .collect();
            clients.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
        });
        for (place, what) in ["search", "write"].into_iter().enumerate() {
            let longest = by_itself.iter().map(|times| times[place]).max().expect("some");
            let bound = longest * 64 + Duration::from_secs(1);
            let seen = p95(together.iter().map(|times| times[place]).collect());
            assert!(seen < bound, "{}: {what}: {seen:?}, by itself {longest:?}", database.url);
        }
    }
}

/// What two people said, turn by turn.
const DIALOGUE: [&str; 24] = [
    "Ann: I finally adopted a dog from the shelter last month",
    "Bob: Lovely! What did you call it?",
    "Ann: Biscuit, because of the colour",
    "Bob: My week was all about moving the office",
    "Ann: Where did you move to?",
    "Bob: We are in the old brewery by the river now",
    "Ann: My sister Clara is getting married in June",
    "Bob: Will you travel there?",
    "Ann: Yes, we booked flights to Lisbon",
    "Bob: I have started to learn the cello",
    "Ann: Isn't that hard at our age?",
    "Bob: My teacher says that I have a good ear",
    "Ann: I cannot eat peanuts, by the way, they make me swell up",
    "Bob: Noted, no satay at the party then",
    "Ann: The doctor changed my pills to the blue ones",
    "Bob: Do they help with the migraine?",
    "Ann: So far yes, three weeks without an attack",
    "Bob: I sold the old Volvo on Tuesday",
    "Ann: What do you drive now?",
    "Bob: A bicycle, to be honest",
    "Ann: We painted the kitchen yellow",
    "Bob: I prefer it to the grey",
    "Ann: Mother said the same thing",
    "Bob: She has taste, your mother",
];
/// Questions with the turn that answers each.
const ASKED: [(&str, usize); 10] = [
    ("What is the name of Ann's dog?", 2),
    ("Where is Bob's office now?", 5),
    ("Who is getting married?", 6),
    ("Where are they flying to for the wedding?", 8),
    ("Which instrument is Bob learning?", 9),
    ("What is Ann allergic to?", 12),
    ("Which migrane pills does Ann take?", 14),
    ("How long has Ann had no attacks?", 16),
    ("What happened to Bob's Volvo?", 17),
    ("What colour is the kitchen?", 20),
];

/// Figure 3. Two of the questions have no word of their answer; they count only as what is not found.
#[test]
fn questions_find_the_turns_that_answer_them() {
    let _alone = alone();
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let drafts: Vec<Value> = DIALOGUE.iter().map(|turn| draft(turn, "ann and bob")).collect();
    let ids = add_all(&service, &drafts);
    let mut connection = service.connect();
    let places: Vec<Option<usize>> = ASKED
        .iter()
        .map(|(question, evidence)| {
            let body = json!({"query": question, "limit": 10}).to_string();
            let found = connection.request("POST", "/v1/search", &[], &body).json();
            let items = found["items"].as_array().expect("items");
            items.iter().position(|hit| hit["memory"]["id"] == ids[*evidence].as_str())
        })
        .collect();
    let found = places.iter().flatten().count();
    let first = places.iter().filter(|place| **place == Some(0)).count();
    assert!(found >= 8 && first >= 5, "{places:?}");
}

/// Figure 5: each fact in several ways, of which one stays.
#[test]
fn what_is_told_again_is_kept_once_and_no_fact_is_lost() {
    let _alone = alone();
    let facts: Vec<(&str, &str, &str)> = vec![
        ("likes green tea", "really likes green tea", "enjoys green tea"),
        ("lives in Lisbon", "is living in Lisbon", "resides in Lisbon"),
        ("lives in Oslo", "is living in Oslo", "resides in Oslo"),
        ("has a dog called Biscuit", "has a dog named Biscuit", "has a dog called Biscuit!"),
        ("does not like oat milk", "doesn't like oat milk", "dislikes oat milk"),
        ("was born on 4 May 1980", "was born on 4 May 1980.", "was born on  4 May 1980"),
    ];
    for database in Database::each() {
        let service = database.serve(&[]);
        let mut told = Vec::new();
        for person in ["Zobati", "Mowati", "Keketi"] {
            for (plain, otherwise, again) in &facts {
                let first = format!("{person} {plain}");
                let ways = [
                    first.clone(),
                    first.clone(),
                    first.to_uppercase(),
                    format!("- {first};"),
                    format!("Please remember that {first}"),
                    format!("{person} {otherwise}"),
                    format!("{person} {again}"),
                ];
                told.extend(ways.iter().map(|text| draft(text, person)));
            }
        }
        add_all(&service, &told);
        let mut worker = Running::start(database.command("worker"));
        assert_eq!(service.connect().request("POST", "/v1/consolidations", &[], "").status, 202);
        worker.line("a consolidation ended");
        for person in ["Zobati", "Mowati", "Keketi"] {
            let left = service.get(&format!("/v1/memories?subject={person}&limit=100")).json();
            let left = left["items"].as_array().expect("items");
            assert_eq!(left.len(), facts.len(), "{}: {left:#?}", database.url);
        }
    }
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Figure 7, with one binary for both versions: it works on the schema before its own, too.
#[test]
fn a_migration_and_its_undoing_lose_no_request_of_two_services() {
    let _alone = alone();
    for database in Database::each() {
        let services = [database.serve(&[FEW_CONNECTIONS]), database.serve(&[FEW_CONNECTIONS])];
        let loads = services.each_ref().map(|service| Load {
            requests: Some(400),
            h1_connections: 2,
            h2_connections: 1,
            ..Load::new(&service.address)
        });
        let over = AtomicBool::new(false);
        let (first, second, turns) = std::thread::scope(|scope| {
            let turning = scope.spawn(|| {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return turn;
                    }
                    let verb = ["rollback", "migrate"][turn % 2];
                    let output = database.command(verb).output().expect("neuroca runs");
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                }
                unreachable!("it ends when the load does")
            });
            let [one, other] = &loads;
            let (first, second) = on_runtime(async {
                tokio::join!(run(one, std::future::pending()), run(other, std::future::pending()))
            });
            over.store(true, Ordering::Relaxed);
            (first, second, turning.join().expect("no panic"))
        });
        assert!(turns >= 2, "{}: {turns} turns", database.url);
        for (load, outcome) in loads.iter().zip([&first, &second]) {
            assert_eq!(
                (outcome.report.requests, outcome.report.failed),
                (400, 0),
                "{}: {:?}",
                database.url,
                outcome.report.failures
            );
            let verified = on_runtime(verify(load, outcome)).expect("pages");
            assert!(verified.holds() && verified.acknowledged > 0, "{verified:?}");
        }
    }
}

fn resident_mib(service: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
    kib.expect("a number") / 1024
}

/// Figure 9, of a debug build: it is larger and slower than what is released.
#[test]
fn it_is_small_when_idle_and_soon_ready() {
    let _alone = alone();
    let dir = migrated();
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let mut service = Running::serve(dir.path(), &[]);
        times.push(begun.elapsed());
        assert_eq!(service.get("/health/ready").status, 200);
        assert!(resident_mib(&service) <= 80, "{} MiB", resident_mib(&service));
        service.signal("TERM");
        assert!(service.wait().success());
    }
    times.sort();
    // The machine may be busy for a moment, not for five starts.
    assert!(times[0] < Duration::from_secs(2), "{times:?}");
}
