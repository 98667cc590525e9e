//! What every repository has to do, on SQLite always and on PostgreSQL when
//! `NEUROCA_TEST_POSTGRES_URL` names a server on which databases may be made.

#[path = "contract/finding.rs"]
mod finding;
#[path = "contract/house.rs"]
mod house;
#[path = "contract/replica.rs"]
mod replica;
#[path = "contract/tenants.rs"]
mod tenants;
#[path = "contract/tiers.rs"]
mod tiers;
#[path = "contract/vectors.rs"]
mod vectors;
#[path = "contract/writing.rs"]
mod writing;

use std::collections::BTreeSet;
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
use neuroca::schema::{SCHEMA_MAX, SCHEMA_MIN};
use neuroca::sealing::{SealingSettings, WrappedBy};
use neuroca::search::{Query, Searcher, Wish};
use neuroca::store::{
    Access, Changed, Created, Deleted, Edit, Evicted, Filter, Idempotency, KEY_LIFE_MILLIS,
    Migrated, NewMemories, NewVector, OpenError, Page, Receipt, Removed, Repository, Task,
    TaskState, Wanted, migrate, open, open_with, rollback, status,
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

async fn found(repository: &Shared, of: &Tenant, text: &str) -> Vec<Uuid> {
    let wish = Wish { text: text.into(), subject: None, tier: None, limit: 10, now: NOW };
    let found = Searcher::default().search(&**repository, of, &wish).await.expect("searches");
    found.hits.into_iter().map(|hit| hit.memory.id).collect()
}

fn notice(mode: Mode, reason: &str) -> Notice {
    Notice { mode, reason: reason.into(), retry_after_seconds: 60, since: NOW }
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
    writing::reads_back_what_was_written(&repository, of).await;
    writing::pages_newest_first(&repository, of).await;
    writing::a_key_makes_one_memory(&repository, of).await;
    writing::a_batch_is_whole(&repository, of).await;
    writing::changes_keep_what_was(&repository, of).await;
    tiers::moves_between_tiers(&repository, of).await;
    tiers::a_full_tier_lets_the_least_worthy_go(&repository, of).await;
    tiers::long_term_memory_refuses_when_it_is_full(&repository, of).await;
    tiers::accesses_strengthen(&repository, of).await;
    tiers::the_expired_are_gone(&repository, of).await;
    finding::finds_by_words_and_by_spelling(&repository, of).await;
    finding::finds_by_the_time_that_is_named(&repository, of).await;
    finding::finds_what_has_two_common_words(&repository, of).await;
    finding::looks_up_words_together(&repository, of).await;
    tenants::a_subject_is_handed_out_and_forgotten(&repository, of).await;
    tiers::the_worthy_go_up_and_duplicates_end(&repository, of).await;
    tiers::the_unseen_go_only_when_asked(&repository, of).await;
    house::tasks_are_kept(&repository, of).await;
    house::one_leads(&repository, database, sealing).await;
    house::keys_and_the_log_of_acts(&repository).await;
    house::a_budget_is_spent_once(&repository, of).await;
    house::notices_are_put_up_and_taken_down(&repository).await;
    house::of_two_changes_of_the_flags_one_is_told(&repository).await;
    vectors::vectors_go_with_their_memories(&repository, of).await;
    tenants::tenants_do_not_meet(&repository).await;
    repository.close().await;
    for from in (SCHEMA_MIN + 1..=SCHEMA_MAX).rev() {
        let back = rollback(database).await.expect("rolls back");
        assert_eq!(back, Migrated { from, to: from - 1 });
    }
    // The oldest schema that this binary works on.
    let older = open_with(database, sealing).await.expect("opens");
    finding::finds_what_has_two_common_words(&older, of).await;
    older.close().await;
    if sealing.is_some() {
        assert!(rollback(database).await.is_err(), "the keys would be lost");
    }
    let again = migrate(database).await.expect("migrates");
    assert_eq!(again, Migrated { from: SCHEMA_MIN, to: SCHEMA_MAX });
    assert!(repository.create(of, plain(&memory("late", Tier::LongTerm, 0.5))).await.is_err());
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
        tenants::the_database_itself_keeps_tenants_apart(&database, &options).await;
    })
    .catch_unwind()
    .await;
    let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    admin.execute(drop).await.expect("drops the database");
    admin.close().await.expect("closes");
    outcome.expect("the contract is kept");
}
