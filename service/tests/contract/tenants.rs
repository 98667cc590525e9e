//! What is one tenant's is nobody else's, and what there is of a subject goes with it.

use super::*;

pub(super) async fn a_subject_is_handed_out_and_forgotten(repository: &Shared, of: &Tenant) {
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

pub(super) async fn tenants_do_not_meet(repository: &Shared) {
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
    let mut look = repository.look(&b);
    assert!(look.around(vec![hers.id]).await.expect("answers").is_empty());
    assert!(look.by_ids(vec![hers.id], NOW).await.expect("answers").is_empty());
    assert_eq!(look.sample(100).await.expect("answers").documents.len(), 0);
    drop(look);
    // The same id in another tenant is another memory.
    repository.create(&b, plain(&hers)).await.expect("creates");
    clear(repository, &b).await;
    assert_eq!(repository.get(&a, hers.id, NOW).await.expect("reads"), Some(hers));
    clear(repository, &a).await;
}

/// Whatever a statement forgets to say: the role of `neuroca serve` sees one tenant, or none.
pub(super) async fn the_database_itself_keeps_tenants_apart(
    database: &Database,
    options: &PgConnectOptions,
) {
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
