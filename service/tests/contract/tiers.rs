//! Tiers: who moves, who leaves a full one, who expires, and what a consolidation makes of them.

use super::*;

pub(super) async fn moves_between_tiers(repository: &Shared, of: &Tenant) {
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

pub(super) async fn a_full_tier_lets_the_least_worthy_go(repository: &Shared, of: &Tenant) {
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

pub(super) async fn long_term_memory_refuses_when_it_is_full(repository: &Shared, of: &Tenant) {
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

pub(super) async fn accesses_strengthen(repository: &Shared, of: &Tenant) {
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

pub(super) async fn the_expired_are_gone(repository: &Shared, of: &Tenant) {
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

pub(super) async fn the_worthy_go_up_and_duplicates_end(repository: &Shared, of: &Tenant) {
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

pub(super) async fn the_unseen_go_only_when_asked(repository: &Shared, of: &Tenant) {
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
