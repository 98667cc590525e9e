//! What every repository has to do, on SQLite always and on PostgreSQL when
//! `NEUROCA_TEST_POSTGRES_URL` names a server on which databases may be made.

#[path = "contract/replica.rs"]
mod replica;
#[path = "contract/vectors.rs"]
mod vectors;

use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;

use futures::FutureExt;
use neuroca::audit::{Act, broken};
use neuroca::auth::{ApiKey, Role};
use neuroca::config::{Capacity, Database, Server};
use neuroca::consolidate::{Consolidated, consolidate, promote};
use neuroca::flags::{Experiment, FlagSet};
use neuroca::maintenance::{Mode, Notice, Notices, Scope};
use neuroca::memory::{Change, Draft, Memory, Moment, Tier};
use neuroca::schema::SCHEMA_MAX;
use neuroca::sealing::{SealingSettings, WrappedBy};
use neuroca::search::{Searcher, Wish};
use neuroca::store::{
    Access, Changed, Created, Deleted, Edit, Evicted, Filter, Idempotency, KEY_LIFE_MILLIS,
    Migrated, NewMemories, NewVector, OpenError, Page, Receipt, Removed, Repository, Task,
    TaskState, migrate, open, open_with, rollback, status,
};
use neuroca::tenant::Tenant;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use uuid::Uuid;

const NOW: Moment = Moment(1_800_000_000_000);
const ROOMY: Capacity = Capacity { working: 100, short_term: 1000, long_term: 1_000_000 };

type Shared = Arc<dyn Repository>;

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).expect("a name")
}

fn memory(content: &str, tier: Tier, importance: f64) -> Memory {
    let text = r#"{"a": [1, 2.5, "x"], "z": {"ü": null}}"#;
    let draft = Draft {
        content: content.into(),
        tier,
        importance,
        subject: Some("ann".into()),
        pinned: false,
        occurred_at: Some(NOW.plus(-86_400_000)),
        metadata: serde_json::from_str(text).expect("JSON"),
    };
    draft.into_memory(Uuid::now_v7(), NOW)
}

fn plain(memory: &Memory) -> NewMemories {
    NewMemories { memories: vec![memory.clone()], idempotency: None, capacity: ROOMY }
}

fn keyed(memory: &Memory, key: &str, fingerprint: &str) -> NewMemories {
    let idempotency = Idempotency { key: key.into(), fingerprint: fingerprint.into() };
    NewMemories { idempotency: Some(idempotency), ..plain(memory) }
}

fn act(action: &'static str) -> Act {
    Act { actor: "ann".into(), action, target: "t".into(), at: NOW }
}

fn new() -> Created {
    Created::New { evicted: Vec::new() }
}

fn all() -> Page {
    Page { before: None, tier: None, subject: None, limit: 1000, now: NOW }
}

fn edit(memory: &Memory, change: &str) -> Edit {
    Edit {
        id: memory.id,
        version: None,
        change: serde_json::from_str(change).expect("a change"),
        tier: None,
        cause: "changed",
        now: NOW.plus(1000),
        capacity: ROOMY,
    }
}

async fn ids(repository: &Shared, of: &Tenant, page: Page) -> Vec<Uuid> {
    let found = repository.list(of, page).await.expect("a page");
    found.into_iter().map(|memory| memory.id).collect()
}

async fn clear(repository: &Shared, of: &Tenant) {
    for id in ids(repository, of, all()).await {
        let done = repository.delete(of, id, None, NOW).await.expect("deletes");
        assert_eq!(done, Deleted::Done);
    }
    assert_eq!(repository.counts(of).await.expect("counts"), [0, 0, 0]);
}

/// Each database keeps it in the clear and encrypted.
fn sealing() -> SealingSettings {
    SealingSettings { current: WrappedBy::Secret("a secret".into()), previous: None }
}

async fn contract(database: &Database, sealing: Option<&SealingSettings>) {
    assert!(matches!(open(database).await, Err(OpenError::Incompatible(_))), "no schema yet");
    assert!(status(database).await.expect("a status").iter().all(|one| !one.applied));
    let (one, other) = tokio::join!(migrate(database), migrate(database));
    let mut done = [one.expect("migrates"), other.expect("migrates")];
    done.sort_by_key(|done| done.from);
    let nothing = Migrated { from: SCHEMA_MAX, to: SCHEMA_MAX };
    assert_eq!(done[1].to, SCHEMA_MAX);
    assert_eq!(migrate(database).await.expect("migrates"), nothing);
    assert!(status(database).await.expect("a status").iter().all(|one| one.applied));

    let repository = open_with(database, sealing).await.expect("opens");
    if sealing.is_some() {
        repository.seal_from_now_on().await.expect("seals");
        assert!(matches!(open(database).await, Err(OpenError::Key(_))), "no key is given");
    }
    let of = &Tenant::default();
    reads_back_what_was_written(&repository, of).await;
    pages_newest_first(&repository, of).await;
    a_key_makes_one_memory(&repository, of).await;
    a_batch_is_whole(&repository, of).await;
    changes_keep_what_was(&repository, of).await;
    moves_between_tiers(&repository, of).await;
    a_full_tier_lets_the_least_worthy_go(&repository, of).await;
    long_term_memory_refuses_when_it_is_full(&repository, of).await;
    accesses_strengthen(&repository, of).await;
    the_expired_are_gone(&repository, of).await;
    finds_by_words_and_by_spelling(&repository, of).await;
    finds_by_the_time_that_is_named(&repository, of).await;
    a_subject_is_handed_out_and_forgotten(&repository, of).await;
    the_worthy_go_up_and_duplicates_end(&repository, of).await;
    the_unseen_go_only_when_asked(&repository, of).await;
    tasks_are_kept(&repository, of).await;
    one_leads(&repository, database, sealing).await;
    keys_and_the_log_of_acts(&repository).await;
    a_budget_is_spent_once(&repository, of).await;
    notices_are_put_up_and_taken_down(&repository).await;
    of_two_changes_of_the_flags_one_is_told(&repository).await;
    vectors::vectors_go_with_their_memories(&repository, of).await;
    tenants_do_not_meet(&repository).await;
    repository.close().await;
    if sealing.is_some() {
        assert!(rollback(database).await.is_err(), "the keys would be lost");
        assert_eq!(migrate(database).await.expect("migrates"), nothing);
        return;
    }
    let back = rollback(database).await.expect("rolls back");
    assert_eq!(back, Migrated { from: SCHEMA_MAX, to: SCHEMA_MAX - 1 });
    let again = migrate(database).await.expect("migrates");
    assert_eq!(again, Migrated { from: SCHEMA_MAX - 1, to: SCHEMA_MAX });
    assert!(repository.create(of, plain(&memory("late", Tier::LongTerm, 0.5))).await.is_err());
}

async fn reads_back_what_was_written(repository: &Shared, of: &Tenant) {
    let long = memory("it's a \"test\" — 日本\n", Tier::LongTerm, 0.25);
    assert_eq!(repository.create(of, plain(&long)).await.expect("creates"), new());
    assert_eq!(repository.get(of, long.id, NOW).await.expect("reads"), Some(long.clone()));
    assert!(repository.create(of, plain(&long)).await.is_err(), "an id exists once");
    assert_eq!(repository.counts(of).await.expect("counts"), [0, 0, 1]);
    assert_eq!(repository.totals().await.expect("counts"), [0, 0, 1]);
    let delete = |version| repository.delete(of, long.id, version, NOW);
    assert_eq!(delete(Some(7)).await.expect("answers"), Deleted::Stale);
    assert_eq!(delete(Some(1)).await.expect("answers"), Deleted::Done);
    assert_eq!(delete(None).await.expect("answers"), Deleted::Missing);
    assert_eq!(delete(Some(1)).await.expect("answers"), Deleted::Missing);
    assert_eq!(repository.get(of, long.id, NOW).await.expect("reads"), None);
}

async fn pages_newest_first(repository: &Shared, of: &Tenant) {
    let mut made = Vec::new();
    for number in 0..7 {
        let tier = if number % 2 == 0 { Tier::LongTerm } else { Tier::ShortTerm };
        let mut memory = memory(&format!("m{number}"), tier, 0.5);
        if number == 3 {
            memory.subject = Some("bob".into());
        }
        repository.create(of, plain(&memory)).await.expect("creates");
        made.push(memory.id);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut page = Page { limit: 3, ..all() };
    loop {
        let some = ids(repository, of, page.clone()).await;
        let Some(last) = some.last() else { break };
        page.before = Some(*last);
        seen.extend(some);
    }
    assert_eq!(seen, made);
    let short = Page { tier: Some(Tier::ShortTerm), ..all() };
    assert_eq!(ids(repository, of, short.clone()).await, [made[1], made[3], made[5]]);
    let bob = Page { subject: Some("bob".into()), ..all() };
    assert_eq!(ids(repository, of, bob).await, [made[3]]);
    let both = Page { subject: Some("ann".into()), ..short };
    assert_eq!(ids(repository, of, both).await, [made[1], made[5]]);
    clear(repository, of).await;
}

async fn a_key_makes_one_memory(repository: &Shared, of: &Tenant) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (repository, of) = (repository.clone(), of.clone());
        tasks.spawn(async move {
            let new = keyed(&memory("once", Tier::LongTerm, 0.5), "key", "print");
            repository.create(&of, new).await.expect("creates")
        });
    }
    let results = tasks.join_all().await;
    let existing = repository.list(of, all()).await.expect("a page");
    assert_eq!(existing.len(), 1);
    assert_eq!(results.iter().filter(|done| **done == new()).count(), 1, "{results:?}");
    let replay = Created::Replayed(existing);
    assert_eq!(results.iter().filter(|done| **done == replay).count(), 15, "{results:?}");

    let other = keyed(&memory("other", Tier::LongTerm, 0.5), "key", "another");
    assert_eq!(repository.create(of, other.clone()).await.expect("answers"), Created::KeyReused);
    let elsewhere = repository.create(&tenant("else"), other).await.expect("creates");
    assert_eq!(elsewhere, new(), "a key belongs to a tenant");
    clear(repository, &tenant("else")).await;
    clear(repository, of).await;
    let late = keyed(&memory("once", Tier::LongTerm, 0.5), "key", "print");
    assert_eq!(repository.create(of, late).await.expect("answers"), Created::ReplayedGone);

    let tomorrow = NOW.plus(KEY_LIFE_MILLIS);
    let mut again = keyed(&memory("again", Tier::LongTerm, 0.5), "key", "new print");
    again.memories[0].created_at = tomorrow;
    let done = repository.create(of, again).await.expect("creates");
    assert_eq!(done, new(), "a key lives for a day, swept or not");
    let swept = repository.remove_expired(tomorrow.plus(KEY_LIFE_MILLIS), 100).await;
    assert_eq!(swept.expect("sweeps"), Removed { memories: 0, keys: 2 });
    clear(repository, of).await;
}

async fn a_batch_is_whole(repository: &Shared, of: &Tenant) {
    let twice = memory("twice", Tier::LongTerm, 0.5);
    let broken = NewMemories {
        memories: vec![memory("first", Tier::LongTerm, 0.5), twice.clone(), twice],
        ..keyed(&memory("", Tier::LongTerm, 0.5), "batch", "print")
    };
    assert!(repository.create(of, broken).await.is_err());
    assert!(ids(repository, of, all()).await.is_empty());
    let whole = NewMemories {
        memories: (0..3).map(|n| memory(&format!("m{n}"), Tier::LongTerm, 0.5)).collect(),
        ..keyed(&memory("", Tier::LongTerm, 0.5), "batch", "print")
    };
    assert_eq!(repository.create(of, whole.clone()).await.expect("creates"), new());
    let again = repository.create(of, whole.clone()).await.expect("answers");
    assert_eq!(again, Created::Replayed(whole.memories));
    clear(repository, of).await;
}

async fn changes_keep_what_was(repository: &Shared, of: &Tenant) {
    let first = memory("I live in Paris", Tier::LongTerm, 0.5);
    repository.create(of, plain(&first)).await.expect("creates");
    let stale = Edit { version: Some(2), ..edit(&first, r#"{"importance":1}"#) };
    assert_eq!(repository.edit(of, stale).await.expect("answers"), Changed::Stale);
    let moved = Edit { version: Some(1), ..edit(&first, r#"{"content":"I live in Oslo"}"#) };
    let Changed::Done { memory: second, .. } = repository.edit(of, moved).await.expect("edits")
    else {
        panic!("not changed")
    };
    assert_eq!((second.version, second.updated_at), (2, NOW.plus(1000)));
    let read = repository.get(of, first.id, NOW).await.expect("reads");
    assert_eq!(read.as_ref(), Some(&*second));
    let history = repository.history(of, first.id, NOW).await.expect("a history");
    let told: Vec<_> = history
        .iter()
        .map(|one| (one.version, one.content.as_str(), one.valid_to, one.cause.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "I live in Paris", Some(NOW.plus(1000)), Some("changed")),
            (2, "I live in Oslo", None, None)
        ]
    );
    assert_eq!(found(repository, of, "Oslo").await, [first.id]);
    assert!(found(repository, of, "Paris").await.is_empty());
    let nobody = memory("never written", Tier::LongTerm, 0.5);
    let missing = repository.edit(of, edit(&nobody, r#"{"pinned":true}"#)).await;
    assert_eq!(missing.expect("answers"), Changed::Missing);
    assert!(repository.history(of, nobody.id, NOW).await.expect("answers").is_empty());
    clear(repository, of).await;
}

async fn moves_between_tiers(repository: &Shared, of: &Tenant) {
    let first = memory("moves", Tier::Working, 0.5);
    repository.create(of, plain(&first)).await.expect("creates");
    let to = |tier| Edit {
        tier: Some(tier),
        change: Change::default(),
        cause: "transferred",
        ..edit(&first, r#"{"pinned":true}"#)
    };
    for (tier, life) in [(Tier::ShortTerm, Some(86_400_000)), (Tier::LongTerm, None)] {
        let Changed::Done { memory, .. } = repository.edit(of, to(tier)).await.expect("moves")
        else {
            panic!("not moved")
        };
        assert_eq!(memory.tier, tier);
        assert_eq!(memory.expires_at, life.map(|life| NOW.plus(1000 + life)));
    }
    assert_eq!(repository.counts(of).await.expect("counts"), [0, 0, 1]);
    let history = repository.history(of, first.id, NOW).await.expect("a history");
    let tiers: Vec<_> = history.iter().map(|one| one.tier).collect();
    assert_eq!(tiers, [Tier::Working, Tier::ShortTerm, Tier::LongTerm]);
    clear(repository, of).await;
}

async fn a_full_tier_lets_the_least_worthy_go(repository: &Shared, of: &Tenant) {
    let limited = |memory: &Memory| NewMemories {
        capacity: Capacity { working: 3, ..ROOMY },
        ..plain(memory)
    };
    let kept = memory("important", Tier::Working, 0.9);
    let lost = memory("unimportant", Tier::Working, 0.1);
    let mut foreign = memory("of somebody else", Tier::Working, 0.0);
    foreign.subject = None;
    let mut pinned = memory("pinned", Tier::Working, 0.0);
    pinned.pinned = true;
    for memory in [&kept, &lost, &foreign, &pinned] {
        assert_eq!(repository.create(of, limited(memory)).await.expect("creates"), new());
    }
    let newest = memory("new and of no importance", Tier::Working, 0.0);
    let done = repository.create(of, limited(&newest)).await.expect("creates");
    assert_eq!(done, Created::New { evicted: vec![Evicted { tier: Tier::Working, count: 1 }] });
    let left = ids(repository, of, all()).await;
    assert!(!left.contains(&lost.id));
    for memory in [&kept, &newest, &foreign, &pinned] {
        assert!(left.contains(&memory.id), "{}", memory.content);
    }
    clear(repository, of).await;
}

async fn long_term_memory_refuses_when_it_is_full(repository: &Shared, of: &Tenant) {
    let limited = |memory: &Memory, key: &str| NewMemories {
        capacity: Capacity { long_term: 2, ..ROOMY },
        ..keyed(memory, key, "print")
    };
    for key in ["one", "two"] {
        let fits = limited(&memory(key, Tier::LongTerm, 0.5), key);
        assert_eq!(repository.create(of, fits).await.expect("creates"), new());
    }
    let third = memory("three", Tier::LongTerm, 0.5);
    let full = repository.create(of, limited(&third, "three")).await.expect("answers");
    assert_eq!(full, Created::QuotaReached);
    let again = repository.create(of, limited(&third, "three")).await.expect("answers");
    assert_eq!(again, Created::QuotaReached, "the key was not used up");
    let working = memory("elsewhere", Tier::Working, 0.5);
    assert_eq!(repository.create(of, limited(&working, "four")).await.expect("creates"), new());
    let up = Edit {
        tier: Some(Tier::LongTerm),
        change: Change::default(),
        capacity: Capacity { long_term: 2, ..ROOMY },
        ..edit(&working, r#"{"pinned":true}"#)
    };
    assert_eq!(repository.edit(of, up).await.expect("answers"), Changed::QuotaReached);
    clear(repository, of).await;
    repository.remove_expired(NOW.plus(KEY_LIFE_MILLIS), 100).await.expect("sweeps");
}

async fn accesses_strengthen(repository: &Shared, of: &Tenant) {
    let working = memory("seen", Tier::Working, 0.7);
    repository.create(of, plain(&working)).await.expect("creates");
    let later = NOW.plus(20 * 60_000);
    let gone = Access { id: Uuid::now_v7(), times: 1, at: later };
    let access = Access { id: working.id, times: 3, at: later };
    repository.touch(of, vec![gone, access]).await.expect("touches");
    let page = Page { tier: Some(Tier::Working), now: later, ..all() };
    let present = repository.tier(of, page).await.expect("a tier");
    let [only] = present.as_slice() else { panic!("{present:?}") };
    assert_eq!((only.activation.access_count, only.activation.strength_at), (3, later));
    assert_eq!(only.activation.strength, 1.0);
    assert!(only.activation.is_worth_keeping(false));
    // Half an hour from then on, and the version is the same.
    assert_eq!(only.memory.expires_at, Some(later.plus(30 * 60_000)));
    assert_eq!(only.memory.version, 1);
    clear(repository, of).await;
}

async fn the_expired_are_gone(repository: &Shared, of: &Tenant) {
    let short = memory("short", Tier::Working, 0.5);
    let long = memory("long", Tier::LongTerm, 0.5);
    for memory in [&short, &long] {
        repository.create(of, plain(memory)).await.expect("creates");
    }
    let end = short.expires_at.expect("it expires");
    assert!(repository.get(of, short.id, end.plus(-1)).await.expect("reads").is_some());
    assert_eq!(repository.get(of, short.id, end).await.expect("reads"), None);
    assert_eq!(ids(repository, of, Page { now: end, ..all() }).await, [long.id]);
    let gone = repository.delete(of, short.id, None, end).await.expect("answers");
    assert_eq!(gone, Deleted::Missing);
    let early = repository.remove_expired(end.plus(-1), 100).await.expect("sweeps");
    assert_eq!(early, Removed::default());
    let late = repository.remove_expired(end, 100).await.expect("sweeps");
    assert_eq!(late, Removed { memories: 1, keys: 0 });
    clear(repository, of).await;
}

async fn found(repository: &Shared, of: &Tenant, text: &str) -> Vec<Uuid> {
    let wish = Wish { text: text.into(), subject: None, tier: None, limit: 10, now: NOW };
    let found = Searcher::default().search(&**repository, of, &wish).await.expect("searches");
    found.hits.into_iter().map(|hit| hit.memory.id).collect()
}

async fn finds_by_the_time_that_is_named(repository: &Shared, of: &Tenant) {
    let day = 86_400_000;
    // NOW is a Friday, 15 January 2027.
    let told = [
        ("Ann went hiking near the lake", 200),
        ("Ann went hiking in the hills", 8),
        ("Bob baked bread", 9),
        ("Ann went hiking with Bob", 1),
        ("Ann repaired her bicycle", 620),
    ];
    let mut made = Vec::new();
    for (number, (text, ago)) in told.into_iter().enumerate() {
        let mut memory = memory(text, Tier::LongTerm, 0.5);
        memory.occurred_at = NOW.plus(-ago * day);
        memory.subject = Some(format!("s{number}"));
        repository.create(of, plain(&memory)).await.expect("creates");
        made.push(memory.id);
    }
    let first = async |question: &str| found(repository, of, question).await[0];
    assert_eq!(first("Where did Ann go hiking last week?").await, made[1]);
    assert_eq!(first("Where did Ann go hiking yesterday?").await, made[3]);
    assert_eq!(first("Where did Ann go hiking in June 2026?").await, made[0]);
    assert_eq!(first("Did Ann go hiking before 2026?").await, made[4], "nobody hiked then");
    // Nothing but a time: all of it, newest first, and nothing else.
    assert_eq!(found(repository, of, "What did I do last week?").await, [made[1], made[2]]);
    let before = Filter { subject: Some("s1".into()), tier: Some(Tier::LongTerm), now: NOW };
    let during = |filter: Filter, from: i64, most| {
        repository.during(of, filter, NOW.plus(-from * day), NOW, most)
    };
    let hers = during(before.clone(), 300, 10).await.expect("finds");
    assert_eq!(hers.iter().map(|one| one.id).collect::<Vec<_>>(), [made[1]]);
    let none = Filter { tier: Some(Tier::Working), ..before.clone() };
    assert!(during(none, 300, 10).await.expect("finds").is_empty());
    let anybody = Filter { subject: None, tier: None, now: NOW };
    let newest = during(anybody.clone(), 300, 2).await.expect("finds");
    assert_eq!(newest.iter().map(|one| one.id).collect::<Vec<_>>(), [made[3], made[1]]);
    let others = repository.during(&tenant("else"), anybody, Moment(0), NOW, 10).await;
    assert!(others.expect("finds").is_empty());
    clear(repository, of).await;
}

async fn finds_by_words_and_by_spelling(repository: &Shared, of: &Tenant) {
    let texts = [
        "Caroline adopted a small dog called Biscuit",
        "The dog likes to run in the park",
        "Melanie paints sunsets with oil colours",
        "We talked about the weather and the news",
        "Alexandra moved to Lisbon for a new job",
    ];
    let mut made = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let mut memory = memory(text, Tier::LongTerm, 0.5);
        // Nothing stands beside anything.
        memory.subject = Some(format!("s{number}"));
        repository.create(of, plain(&memory)).await.expect("creates");
        made.push(memory.id);
    }
    assert_eq!(found(repository, of, "Which dogs did Caroline adopt?").await[0], made[0]);
    assert_eq!(found(repository, of, "painting sunset").await, [made[2]]);
    assert_eq!(found(repository, of, "alexnadra").await, [made[4]], "a word misspelt");
    assert!(found(repository, of, "zebra").await.is_empty());
    assert!(found(repository, of, "?!").await.is_empty());
    assert!(found(repository, &tenant("else"), "dog").await.is_empty());
    let wish = |subject: &str, tier| Wish {
        text: "dog".into(),
        subject: Some(subject.into()),
        tier: Some(tier),
        limit: 10,
        now: NOW,
    };
    let searcher = Searcher::default();
    let found_in = searcher.search(&**repository, of, &wish("s1", Tier::LongTerm)).await;
    assert_eq!(found_in.expect("searches").hits.len(), 1);
    let found_in = searcher.search(&**repository, of, &wish("s1", Tier::Working)).await;
    assert_eq!(found_in.expect("searches").hits.len(), 0);
    clear(repository, of).await;
    assert!(found(repository, of, "dog").await.is_empty());
}

async fn a_subject_is_handed_out_and_forgotten(repository: &Shared, of: &Tenant) {
    let first = memory("what ann said", Tier::LongTerm, 0.5);
    let second = memory("what ann did", Tier::Working, 0.5);
    let mut other = memory("what bob said", Tier::LongTerm, 0.5);
    other.subject = Some("bob".into());
    repository.create(of, keyed(&first, "of ann", "print")).await.expect("creates");
    repository.create(of, plain(&second)).await.expect("creates");
    repository.create(of, keyed(&other, "of bob", "print")).await.expect("creates");
    repository
        .edit(of, edit(&first, r#"{"content":"what ann really said"}"#))
        .await
        .expect("edits");
    let all_of_ann = repository.of_subject(of, "ann", None, 10).await.expect("an export");
    let told: Vec<_> =
        all_of_ann.iter().map(|one| (one.memory.content.as_str(), one.earlier.len())).collect();
    assert_eq!(told, [("what ann really said", 1), ("what ann did", 0)]);
    let rest = repository.of_subject(of, "ann", Some(first.id), 10).await.expect("an export");
    assert_eq!(rest.len(), 1);
    let taken_back = memory("what ann took back", Tier::LongTerm, 0.5);
    repository.create(of, keyed(&taken_back, "taken back", "print")).await.expect("creates");
    let done = repository.delete(of, taken_back.id, None, NOW).await.expect("deletes");
    assert_eq!(done, Deleted::Done);
    let receipt = repository.forget(of, "ann", act("subject.delete")).await.expect("forgets");
    assert_eq!(receipt, Receipt { memories: 2, versions: 1, idempotency_keys: 1 });
    // A key that knew a hash of what was said would refuse another request.
    let created = repository.create(of, keyed(&taken_back, "taken back", "another")).await;
    assert_eq!(created.expect("creates"), new());
    let done = repository.delete(of, taken_back.id, None, NOW).await.expect("deletes");
    assert_eq!(done, Deleted::Done);
    assert_eq!(
        repository.forget(of, "ann", act("subject.delete")).await.expect("forgets"),
        Receipt::default()
    );
    assert_eq!(ids(repository, of, all()).await, [other.id]);
    clear(repository, of).await;
    repository.remove_expired(NOW.plus(KEY_LIFE_MILLIS), 100).await.expect("sweeps");
}

async fn the_worthy_go_up_and_duplicates_end(repository: &Shared, of: &Tenant) {
    let mut worthy = memory("worth keeping", Tier::Working, 0.6);
    let idle = memory("nobody asks for it", Tier::Working, 0.9);
    let mut pinned = memory("pinned", Tier::ShortTerm, 0.0);
    pinned.pinned = true;
    worthy.subject = None;
    for memory in [&worthy, &idle, &pinned] {
        repository.create(of, plain(memory)).await.expect("creates");
    }
    let access = Access { id: worthy.id, times: 3, at: NOW };
    repository.touch(of, vec![access]).await.expect("touches");
    let elsewhere = Some(tenant("else"));
    for (of, expected) in [(elsewhere.as_ref(), 0), (None, 2)] {
        let promoted = promote(&**repository, of, ROOMY, NOW).await.expect("promotes");
        assert_eq!(promoted, expected);
    }
    let tier =
        |id| async move { repository.get(of, id, NOW).await.expect("reads").expect("there").tier };
    assert_eq!(tier(worthy.id).await, Tier::ShortTerm);
    assert_eq!(tier(pinned.id).await, Tier::LongTerm);
    assert_eq!(tier(idle.id).await, Tier::Working);
    clear(repository, of).await;

    let told = memory("Ann likes green tea", Tier::LongTerm, 0.3);
    let again = memory("ann likes  GREEN tea!", Tier::LongTerm, 0.8);
    let longer = memory("Ann really likes green tea a lot", Tier::LongTerm, 0.1);
    let other = memory("Ann does not like green tea", Tier::LongTerm, 0.1);
    let mut bobs = memory("Ann likes green tea", Tier::LongTerm, 0.5);
    bobs.subject = Some("bob".into());
    for memory in [&told, &again, &longer, &other, &bobs] {
        repository.create(of, plain(memory)).await.expect("creates");
    }
    let done = consolidate(&**repository, &Searcher::default(), of, ROOMY, NOW).await;
    assert_eq!(done.expect("consolidates"), Consolidated { promoted: 0, superseded: 2 });
    let left = ids(repository, of, all()).await;
    assert_eq!(left, [bobs.id, other.id, longer.id]);
    let ended = repository.get(of, told.id, NOW).await.expect("reads").expect("still there");
    assert_eq!(ended.valid_to, Some(NOW));
    assert!(ended.superseded_by.is_some());
    assert_eq!(ended.content, told.content, "nothing is overwritten");
    let stays = repository.get(of, longer.id, NOW).await.expect("reads").expect("there");
    assert_eq!(stays.importance, 0.8, "what made the other important");
    let late = repository.edit(of, edit(&told, r#"{"pinned":true}"#)).await.expect("answers");
    assert_eq!(late, Changed::Superseded);
    let again = consolidate(&**repository, &Searcher::default(), of, ROOMY, NOW).await;
    assert_eq!(again.expect("consolidates"), Consolidated::default());

    // Whoever has ended a twin goes on to the next one: here each of the first two has one of its own.
    let told = [
        "Bob moved to Oslo",
        "Actually Bob moved to Oslo",
        "bob moved to OSLO!",
        "actually, bob moved to oslo",
    ]
    .map(|text| memory(text, Tier::LongTerm, 0.5));
    for memory in &told {
        repository.create(of, plain(memory)).await.expect("creates");
    }
    let done = consolidate(&**repository, &Searcher::default(), of, ROOMY, NOW).await;
    assert_eq!(done.expect("consolidates"), Consolidated { promoted: 0, superseded: 3 });
    assert!(ids(repository, of, all()).await.contains(&told[1].id), "it says most");
    let receipt = repository.forget(of, "ann", act("subject.delete")).await.expect("forgets");
    assert_eq!(receipt.memories, 8, "the superseded go too");
    clear(repository, of).await;
}

async fn the_unseen_go_only_when_asked(repository: &Shared, of: &Tenant) {
    let old = memory("old", Tier::LongTerm, 0.5);
    let mut pinned = memory("pinned", Tier::LongTerm, 0.5);
    pinned.pinned = true;
    for memory in [&old, &pinned] {
        repository.create(of, plain(memory)).await.expect("creates");
    }
    assert_eq!(repository.remove_unseen(NOW, 10).await.expect("removes"), 0);
    assert_eq!(repository.remove_unseen(NOW.plus(1), 10).await.expect("removes"), 1);
    assert_eq!(ids(repository, of, all()).await, [pinned.id]);
    clear(repository, of).await;
}

async fn tasks_are_kept(repository: &Shared, of: &Tenant) {
    let mut task = Task {
        id: Uuid::now_v7(),
        tenant: of.clone(),
        state: TaskState::Pending,
        created_at: NOW,
        finished_at: None,
        promoted: 0,
        superseded: 0,
    };
    assert_eq!(repository.next_task().await.expect("answers"), None);
    repository.add_task(&task).await.expect("adds");
    assert_eq!(repository.next_task().await.expect("answers").as_ref(), Some(&task));
    assert_eq!(repository.task(&tenant("else"), task.id).await.expect("answers"), None);
    task = Task { state: TaskState::Done, finished_at: Some(NOW), promoted: 3, ..task };
    repository.save_task(&task).await.expect("saves");
    assert_eq!(repository.next_task().await.expect("answers"), None);
    assert_eq!(repository.task(of, task.id).await.expect("answers").as_ref(), Some(&task));
    repository.remove_tasks(NOW.plus(1)).await.expect("removes");
    assert_eq!(repository.task(of, task.id).await.expect("answers"), None);
}

async fn keys_and_the_log_of_acts(repository: &Shared) {
    let (a, b) = (tenant("a"), tenant("b"));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (repository, a) = (repository.clone(), a.clone());
        tasks.spawn(async move {
            let key = ApiKey {
                id: Uuid::now_v7(),
                tenant: a,
                name: format!("k{number}"),
                role: Role::Agent,
                created_at: NOW,
                expires_at: None,
                revoked_at: None,
            };
            repository.add_key(&key, vec![number; 32], act("key.create")).await.expect("adds");
            (key, number)
        });
    }
    let made = tasks.join_all().await;
    let (first, number) = &made[0];
    let found = repository.key(&a, first.id).await.expect("reads");
    assert_eq!(found, Some((first.clone(), vec![*number; 32])));
    assert_eq!(repository.key(&b, first.id).await.expect("reads"), None);
    assert_eq!(repository.keys(&a).await.expect("reads").len(), 8);
    let end = |of, end| repository.end_key(of, first.id, end, act("key.revoke"));
    assert!(!end(&b, NOW).await.expect("answers"));
    assert!(end(&a, NOW.plus(1000)).await.expect("answers"), "later");
    assert!(end(&a, NOW).await.expect("answers"), "now");
    assert!(!end(&a, NOW).await.expect("answers"), "it has ended");
    let (ended, _) = repository.key(&a, first.id).await.expect("reads").expect("there");
    assert_eq!((ended.expires_at, ended.revoked_at), (Some(NOW.plus(1000)), Some(NOW)));
    let log = repository.audit_log(&a, 0, 100).await.expect("reads");
    assert_eq!((log.len(), broken(&log)), (10, None), "one chain, whoever writes at once");
    assert_eq!(repository.audit_log(&a, 9, 100).await.expect("reads").len(), 1);
    assert!(repository.audit_log(&b, 0, 100).await.expect("reads").is_empty());
}

async fn one_leads(repository: &Shared, database: &Database, sealing: Option<&SealingSettings>) {
    let other = open_with(database, sealing).await.expect("opens");
    let mut lead = repository.lead().await.expect("answers").expect("nobody leads");
    assert!(lead.holds().await);
    assert!(other.lead().await.expect("answers").is_none());
    drop(lead);
    // The server notices the end of a connection by and by.
    for _ in 0..200 {
        if other.lead().await.expect("answers").is_some() {
            other.close().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody can lead any more");
}

async fn tenants_do_not_meet(repository: &Shared) {
    let (a, b) = (tenant("a"), tenant("b"));
    let hers = memory("a secret of a", Tier::LongTerm, 0.5);
    repository.create(&a, plain(&hers)).await.expect("creates");
    assert_eq!(repository.get(&b, hers.id, NOW).await.expect("reads"), None);
    assert!(ids(repository, &b, all()).await.is_empty());
    let taken = repository.edit(&b, edit(&hers, r#"{"content":"mine"}"#)).await.expect("answers");
    assert_eq!(taken, Changed::Missing);
    let gone = repository.delete(&b, hers.id, None, NOW).await.expect("answers");
    assert_eq!(gone, Deleted::Missing);
    assert_eq!(
        repository.forget(&b, "ann", act("subject.delete")).await.expect("forgets"),
        Receipt::default()
    );
    assert!(repository.of_subject(&b, "ann", None, 10).await.expect("answers").is_empty());
    assert!(repository.around(&b, vec![hers.id]).await.expect("answers").is_empty());
    assert!(repository.by_ids(&b, vec![hers.id], NOW).await.expect("answers").is_empty());
    assert_eq!(repository.sample(&b, 100).await.expect("answers").documents.len(), 0);
    // The same id in another tenant is another memory.
    repository.create(&b, plain(&hers)).await.expect("creates");
    clear(repository, &b).await;
    assert_eq!(repository.get(&a, hers.id, NOW).await.expect("reads"), Some(hers));
    clear(repository, &a).await;
}

async fn a_budget_is_spent_once(repository: &Shared, of: &Tenant) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (repository, of) = (repository.clone(), of.clone());
        tasks.spawn(async move { repository.spend(&of, 7, 30, Some(100)).await.expect("spends") });
    }
    let taken = tasks.join_all().await.into_iter().filter(|taken| *taken).count();
    assert_eq!((taken, repository.spent(of, 7).await.expect("reads")), (3, 90));
    assert!(
        !repository.spend(of, 8, 101, Some(100)).await.expect("answers"),
        "more than a day has"
    );
    repository.correct(of, 7, -20).await.expect("corrects");
    assert!(repository.spend(of, 7, 30, Some(100)).await.expect("spends"));
    assert_eq!(repository.spent(&tenant("else"), 7).await.expect("reads"), 0);
    repository.correct(of, 7, -1000).await.expect("corrects");
    assert_eq!(repository.spent(of, 7).await.expect("reads"), 0);
    assert!(repository.spend(of, 8, 5, None).await.expect("spends"));
    assert!(repository.spend(of, 8 + 91, 1, None).await.expect("spends"));
    assert_eq!(repository.spent(of, 8).await.expect("reads"), 0, "old days are not kept");
}

fn flags(variant: &str) -> FlagSet {
    let document = serde_json::json!({ "flags": { "f": { "state": "ENABLED",
        "variants": { variant: "it's \"x\"" }, "defaultVariant": variant } } });
    let experiment = Experiment::following(None, "f".into(), "?".into(), true, NOW);
    FlagSet {
        document: serde_json::from_value(document).expect("flags"),
        experiments: [("e".to_owned(), experiment)].into(),
    }
}

async fn of_two_changes_of_the_flags_one_is_told(repository: &Shared) {
    let (a, b) = (tenant("flag-a"), tenant("flag-b"));
    assert_eq!(repository.flags(&a).await.expect("reads").version, 0);
    let save = async |of: &Tenant, flags: &FlagSet, after| {
        repository.save_flags(of, flags, after, act("flag.put")).await.expect("answers")
    };
    let (first, second) = (flags("one"), flags("two"));
    let (won, lost) = tokio::join!(save(&a, &first, 0), save(&a, &second, 0));
    assert_ne!(won, lost, "both began at the same version");
    let stored = repository.flags(&a).await.expect("reads");
    assert_eq!((stored.version, &stored.flags), (1, if won { &first } else { &second }));
    assert!(!save(&a, &second, 7).await && save(&a, &second, 1).await);
    let stored = repository.flags(&a).await.expect("reads");
    assert_eq!((stored.version, stored.flags), (2, second));
    assert_eq!(repository.flags(&b).await.expect("reads").version, 0);
    let log = repository.audit_log(&a, 0, 100).await.expect("reads");
    assert_eq!((log.len(), broken(&log)), (2, None), "what was refused is not an act");
}

fn notice(mode: Mode, reason: &str) -> Notice {
    Notice { mode, reason: reason.into(), retry_after_seconds: 60, since: NOW }
}

async fn notices_are_put_up_and_taken_down(repository: &Shared) {
    let (a, b) = (tenant("notice-a"), tenant("notice-b"));
    let put = async |of: &Tenant, scope, notice: &Notice| {
        repository
            .put_up(of, scope, notice.clone(), act("maintenance.set"))
            .await
            .expect("puts up");
        repository.notices().await.expect("reads")
    };
    let (first, second) = (notice(Mode::Full, "it's \"x\""), notice(Mode::ReadOnly, ""));
    put(&a, Scope::Tenant, &first).await;
    put(&a, Scope::Tenant, &second).await;
    put(&a, Scope::Service, &second).await;
    put(&a, Scope::Service, &first).await;
    let all = put(&b, Scope::Tenant, &first).await;
    let tenants = [(a.clone(), second), (b.clone(), first.clone())].into();
    assert_eq!(all, Notices { service: Some(first), tenants });
    let off = notice(Mode::Off, "");
    put(&a, Scope::Tenant, &off).await;
    put(&b, Scope::Tenant, &off).await;
    assert_eq!(put(&b, Scope::Service, &off).await, Notices::default());
    let log = repository.audit_log(&a, 0, 100).await.expect("reads");
    assert_eq!((log.len(), broken(&log)), (5, None));
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("sub/neuroca.db");
    contract(&Database::Sqlite(path.clone()), None).await;
    let sealed = dir.path().join("sealed.db");
    contract(&Database::Sqlite(sealed), Some(&sealing())).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut raw = options.connect().await.expect("connects");
    for forbidden in ["UPDATE audit_log SET actor = 'bob'", "DELETE FROM audit_log WHERE seq = 1"] {
        let error = raw.execute(forbidden).await.expect_err("nobody can");
        assert!(error.to_string().contains("append-only"), "{forbidden}: {error}");
    }
    raw.close().await.expect("closes");
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    on_postgres(None).await;
    on_postgres(Some(&sealing())).await;
}

async fn on_postgres(sealing: Option<&SealingSettings>) {
    let Ok(url) = std::env::var("NEUROCA_TEST_POSTGRES_URL") else { return };
    let server = PgConnectOptions::from_str(&url).expect("a postgres:// URL");
    let mut admin = server.connect().await.expect("NEUROCA_TEST_POSTGRES_URL answers");
    let name = format!("neuroca_test_{}", Uuid::now_v7().simple());
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    admin.execute(create).await.expect("creates a database");
    let database = Database::Postgres(Box::new(Server::new(server.clone().database(&name))));
    let options = server.clone().database(&name);
    // The database goes whatever comes of it.
    let outcome = AssertUnwindSafe(async {
        contract(&database, sealing).await;
        if sealing.is_some() {
            return;
        }
        replica::reads_survive_the_replica(&options).await;
        the_database_itself_keeps_tenants_apart(&database, &options).await;
    })
    .catch_unwind()
    .await;
    let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    admin.execute(drop).await.expect("drops the database");
    admin.close().await.expect("closes");
    outcome.expect("the contract is kept");
}

/// Whatever a statement forgets to say: the role of `neuroca serve` sees one tenant, or none.
async fn the_database_itself_keeps_tenants_apart(database: &Database, options: &PgConnectOptions) {
    let repository = open(database).await.expect("opens");
    for name in ["a", "b"] {
        let hers = memory(&format!("of {name}"), Tier::LongTerm, 0.5);
        repository.create(&tenant(name), keyed(&hers, "k", "p")).await.expect("creates");
        let change = edit(&hers, r#"{"pinned":true}"#);
        repository.edit(&tenant(name), change).await.expect("edits");
        let task = Task {
            id: Uuid::now_v7(),
            tenant: tenant(name),
            state: TaskState::Pending,
            created_at: NOW,
            finished_at: None,
            promoted: 0,
            superseded: 0,
        };
        repository.add_task(&task).await.expect("adds");
        let key = ApiKey {
            id: Uuid::now_v7(),
            tenant: tenant(name),
            name: "k".into(),
            role: Role::Agent,
            created_at: NOW,
            expires_at: None,
            revoked_at: None,
        };
        repository.add_key(&key, vec![0; 32], act("key.create")).await.expect("adds");
        assert!(repository.spend(&tenant(name), 1, 1, None).await.expect("spends"));
        let notice = notice(Mode::Full, "");
        let act = act("maintenance.set");
        repository
            .put_up(&tenant(name), Scope::Tenant, notice, act.clone())
            .await
            .expect("puts up");
        let saved = repository.save_flags(&tenant(name), &FlagSet::default(), 0, act).await;
        assert!(saved.expect("saves"));
        let vector = NewVector { memory: hers.id, version: 2, components: vec![1.0] };
        repository.save_vectors(&tenant(name), "m", vec![vector], NOW).await.expect("saves");
    }
    let mut raw = options.connect().await.expect("connects");
    for forbidden in [
        "UPDATE audit_log SET actor = 'bob'",
        "DELETE FROM audit_log WHERE seq = 1",
        "TRUNCATE audit_log",
    ] {
        let error = raw.execute(forbidden).await.expect_err("even whoever owns it cannot");
        assert!(error.to_string().contains("append-only"), "{forbidden}: {error}");
    }
    raw.execute("SET ROLE neuroca_app").await.expect("a member of the role");
    let tables = raw
        .fetch_all(
            "SELECT c.table_name::text FROM information_schema.columns c \
             WHERE c.column_name = 'tenant' AND c.table_schema = current_schema()",
        )
        .await
        .expect("tables");
    assert!(tables.len() >= 5);
    for row in &tables {
        let table: String = row.get(0);
        for (set, expected) in [("SET neuroca.tenant = 'a'", 1), ("RESET neuroca.tenant", 0)] {
            raw.execute(set).await.expect("sets");
            let sql = format!("SELECT count(DISTINCT tenant) FROM {table}");
            let count: i64 = raw.fetch_one(AssertSqlSafe(sql)).await.expect("counts").get(0);
            assert!(count <= expected, "{table} after {set}: {count}");
        }
        raw.execute("SET neuroca.tenant = 'a'").await.expect("sets");
        let steal = format!("UPDATE {table} SET tenant = 'b'");
        assert!(raw.execute(AssertSqlSafe(steal)).await.is_err(), "{table}");
    }
    for forbidden in [
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'bob'",
        "DELETE FROM api_keys",
        "ALTER TABLE memories DISABLE ROW LEVEL SECURITY",
        "DROP TABLE memories",
    ] {
        assert!(raw.execute(forbidden).await.is_err(), "{forbidden}");
    }
    raw.close().await.expect("closes");
    repository.close().await;
}
