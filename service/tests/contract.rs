//! What every repository has to do, on SQLite always and on PostgreSQL when
//! `NEUROCA_TEST_POSTGRES_URL` names a server on which databases may be made.

use std::str::FromStr;
use std::sync::Arc;

use neuroca::config::Database;
use neuroca::memory::{Draft, Memory, Moment, Tier};
use neuroca::schema::SCHEMA_MAX;
use neuroca::store::{
    Created, Idempotency, KEY_LIFE_MILLIS, Migrated, NewMemory, OpenError, Page, Removed,
    Repository, migrate, open,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use uuid::Uuid;

const NOW: Moment = Moment(1_800_000_000_000);

fn memory(content: &str, tier: Tier, importance: f64) -> Memory {
    let text = r#"{"a": [1, 2.5, "x"], "z": {"ü": null}}"#;
    let draft = Draft {
        content: content.into(),
        tier,
        importance,
        subject: Some("ann".into()),
        metadata: serde_json::from_str(text).expect("JSON"),
    };
    draft.into_memory(Uuid::now_v7(), NOW)
}

fn plain(memory: &Memory) -> NewMemory {
    NewMemory { memory: memory.clone(), idempotency: None, capacity: None }
}

fn keyed(memory: &Memory, key: &str, fingerprint: &str) -> NewMemory {
    let idempotency = Idempotency { key: key.into(), fingerprint: fingerprint.into() };
    NewMemory { idempotency: Some(idempotency), ..plain(memory) }
}

fn all() -> Page {
    Page { before: None, tier: None, limit: 1000 }
}

async fn ids(repository: &Arc<dyn Repository>, page: Page, now: Moment) -> Vec<Uuid> {
    let found = repository.list(page, now).await.expect("a page");
    found.into_iter().map(|memory| memory.id).collect()
}

async fn clear(repository: &Arc<dyn Repository>) {
    for id in ids(repository, all(), NOW).await {
        assert!(repository.delete(id, NOW).await.expect("deletes"));
    }
}

async fn contract(database: &Database) {
    assert!(matches!(open(database).await, Err(OpenError::Incompatible(_))), "no schema yet");
    let (one, other) = tokio::join!(migrate(database), migrate(database));
    let mut done = [one.expect("migrates"), other.expect("migrates")];
    done.sort_by_key(|done| done.from);
    let nothing = Migrated { from: SCHEMA_MAX, to: SCHEMA_MAX };
    assert_eq!(done[1].to, SCHEMA_MAX);
    assert_eq!(migrate(database).await.expect("migrates"), nothing);

    let repository = open(database).await.expect("opens");
    reads_back_what_was_written(&repository).await;
    pages_newest_first(&repository).await;
    a_key_makes_one_memory(&repository).await;
    a_full_tier_lets_the_least_important_go(&repository).await;
    the_expired_are_gone(&repository).await;
    repository.close().await;
    assert!(repository.create(plain(&memory("late", Tier::LongTerm, 0.5))).await.is_err());
}

async fn reads_back_what_was_written(repository: &Arc<dyn Repository>) {
    let long = memory("it's a \"test\" — 日本\n", Tier::LongTerm, 0.25);
    assert_eq!(
        repository.create(plain(&long)).await.expect("creates"),
        Created::New { evicted: 0 }
    );
    assert_eq!(repository.get(long.id, NOW).await.expect("reads"), Some(long.clone()));
    assert!(repository.create(plain(&long)).await.is_err(), "an id exists once");
    assert!(repository.delete(long.id, NOW).await.expect("deletes"));
    assert!(!repository.delete(long.id, NOW).await.expect("deletes"));
    assert_eq!(repository.get(long.id, NOW).await.expect("reads"), None);
}

async fn pages_newest_first(repository: &Arc<dyn Repository>) {
    let mut made = Vec::new();
    for number in 0..7 {
        let tier = if number % 2 == 0 { Tier::LongTerm } else { Tier::ShortTerm };
        let memory = memory(&format!("m{number}"), tier, 0.5);
        repository.create(plain(&memory)).await.expect("creates");
        made.push(memory.id);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut page = Page { before: None, tier: None, limit: 3 };
    loop {
        let some = ids(repository, page, NOW).await;
        let Some(last) = some.last() else { break };
        page.before = Some(*last);
        seen.extend(some);
    }
    assert_eq!(seen, made);
    let short = Page { tier: Some(Tier::ShortTerm), ..all() };
    assert_eq!(ids(repository, short, NOW).await, [made[1], made[3], made[5]]);
    clear(repository).await;
}

async fn a_key_makes_one_memory(repository: &Arc<dyn Repository>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let repository = repository.clone();
        tasks.spawn(async move {
            let new = keyed(&memory("once", Tier::LongTerm, 0.5), "key", "print");
            repository.create(new).await.expect("creates")
        });
    }
    let results = tasks.join_all().await;
    let existing = repository.list(all(), NOW).await.expect("a page");
    assert_eq!(existing.len(), 1);
    let new = results.iter().filter(|done| matches!(done, Created::New { .. })).count();
    assert_eq!(new, 1, "{results:?}");
    let replay = Created::Replayed(Box::new(existing[0].clone()));
    assert_eq!(results.iter().filter(|done| **done == replay).count(), 15, "{results:?}");

    let other = keyed(&memory("other", Tier::LongTerm, 0.5), "key", "another");
    assert_eq!(repository.create(other).await.expect("answers"), Created::KeyReused);
    clear(repository).await;
    let late = keyed(&memory("once", Tier::LongTerm, 0.5), "key", "print");
    assert_eq!(repository.create(late).await.expect("answers"), Created::ReplayedGone);

    let tomorrow = NOW.plus(KEY_LIFE_MILLIS);
    let mut again = keyed(&memory("again", Tier::LongTerm, 0.5), "key", "new print");
    again.memory.created_at = tomorrow;
    let done = repository.create(again).await.expect("creates");
    assert_eq!(done, Created::New { evicted: 0 }, "a key lives for a day, swept or not");
    let swept = repository.remove_expired(tomorrow.plus(KEY_LIFE_MILLIS), 100).await;
    assert_eq!(swept.expect("sweeps"), Removed { memories: 0, keys: 1 });
    clear(repository).await;
}

async fn a_full_tier_lets_the_least_important_go(repository: &Arc<dyn Repository>) {
    let limited = |memory: &Memory| NewMemory { capacity: Some(3), ..plain(memory) };
    let kept = memory("important", Tier::Working, 0.9);
    let lost = memory("unimportant", Tier::Working, 0.1);
    let mut foreign = memory("of somebody else", Tier::Working, 0.0);
    foreign.subject = None;
    for memory in [&kept, &lost, &foreign, &memory("so so", Tier::Working, 0.5)] {
        let done = repository.create(limited(memory)).await.expect("creates");
        assert_eq!(done, Created::New { evicted: 0 });
    }
    let newest = memory("new and of no importance", Tier::Working, 0.0);
    let done = repository.create(limited(&newest)).await.expect("creates");
    assert_eq!(done, Created::New { evicted: 1 });
    let left = ids(repository, all(), NOW).await;
    assert!(!left.contains(&lost.id));
    for memory in [&kept, &newest, &foreign] {
        assert!(left.contains(&memory.id), "{}", memory.content);
    }
    clear(repository).await;
}

async fn the_expired_are_gone(repository: &Arc<dyn Repository>) {
    let short = memory("short", Tier::Working, 0.5);
    let long = memory("long", Tier::LongTerm, 0.5);
    for memory in [&short, &long] {
        repository.create(plain(memory)).await.expect("creates");
    }
    let end = short.expires_at.expect("it expires");
    assert!(repository.get(short.id, end.plus(-1)).await.expect("reads").is_some());
    assert_eq!(repository.get(short.id, end).await.expect("reads"), None);
    assert_eq!(ids(repository, all(), end).await, [long.id]);
    assert!(!repository.delete(short.id, end).await.expect("deletes"));
    let early = repository.remove_expired(end.plus(-1), 100).await.expect("sweeps");
    assert_eq!(early, Removed::default());
    let late = repository.remove_expired(end, 100).await.expect("sweeps");
    assert_eq!(late, Removed { memories: 1, keys: 0 });
    clear(repository).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a folder");
    contract(&Database::Sqlite(dir.path().join("sub/neuroca.db"))).await;
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    let Ok(url) = std::env::var("NEUROCA_TEST_POSTGRES_URL") else { return };
    let server = PgConnectOptions::from_str(&url).expect("a postgres:// URL");
    let mut admin = server.connect().await.expect("NEUROCA_TEST_POSTGRES_URL answers");
    let name = format!("neuroca_test_{}", Uuid::now_v7().simple());
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    admin.execute(create).await.expect("creates a database");
    let database = Database::Postgres(Box::new(server.clone().database(&name)));
    let outcome = tokio::spawn(async move { contract(&database).await }).await;
    let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    admin.execute(drop).await.expect("drops the database");
    admin.close().await.expect("closes");
    outcome.expect("the contract is kept");
}
