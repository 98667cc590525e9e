//! Memories are written, read back, changed and deleted.

use super::*;

pub(super) async fn reads_back_what_was_written(repository: &Shared, of: &Tenant) {
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

pub(super) async fn pages_newest_first(repository: &Shared, of: &Tenant) {
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

pub(super) async fn a_key_makes_one_memory(repository: &Shared, of: &Tenant) {
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

pub(super) async fn a_batch_is_whole(repository: &Shared, of: &Tenant) {
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

pub(super) async fn changes_keep_what_was(repository: &Shared, of: &Tenant) {
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
