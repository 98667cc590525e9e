//! Searches find by words, by spelling and by the time that is named.

use super::*;

pub(super) async fn finds_by_the_time_that_is_named(repository: &Shared, of: &Tenant) {
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
    let during = async |filter: Filter, from: i64, most| {
        repository.look(of).during(&filter, NOW.plus(-from * day), NOW, most).await
    };
    let hers = during(before.clone(), 300, 10).await.expect("finds");
    assert_eq!(hers.iter().map(|one| one.id).collect::<Vec<_>>(), [made[1]]);
    let none = Filter { tier: Some(Tier::Working), ..before.clone() };
    assert!(during(none, 300, 10).await.expect("finds").is_empty());
    let anybody = Filter { subject: None, tier: None, now: NOW };
    let newest = during(anybody.clone(), 300, 2).await.expect("finds");
    assert_eq!(newest.iter().map(|one| one.id).collect::<Vec<_>>(), [made[3], made[1]]);
    let others = repository.look(&tenant("else")).during(&anybody, Moment(0), NOW, 10).await;
    assert!(others.expect("finds").is_empty());
    clear(repository, of).await;
}

pub(super) async fn finds_by_words_and_by_spelling(repository: &Shared, of: &Tenant) {
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

/// The rarest word of the question is in hundreds of memories: those with both words are the answer, and where
/// there are few of them, those with one follow.
pub(super) async fn finds_what_has_two_common_words(repository: &Shared, of: &Tenant) {
    let texts = (0..305).flat_map(|n| [format!("quarry k{n}"), format!("lantern k{n}")]);
    let both = (0..5).map(|n| format!("a quarry with a lantern k{n}"));
    let memories: Vec<Memory> =
        texts.chain(both).map(|text| memory(&text, Tier::LongTerm, 0.5)).collect();
    let both: BTreeSet<Uuid> = memories.iter().rev().take(5).map(|one| one.id).collect();
    let new = NewMemories { memories, idempotency: None, capacity: ROOMY };
    repository.create(of, new).await.expect("creates");
    let found = found(repository, of, "Which quarry has a lantern?").await;
    assert_eq!(found.len(), 10);
    assert_eq!(found.iter().take(5).copied().collect::<BTreeSet<_>>(), both);
    clear(repository, of).await;
}

pub(super) async fn looks_up_words_together(repository: &Shared, of: &Tenant) {
    let texts = ["red kite", "red boat", "green boat", "red boat, green kite"];
    let memories = texts.map(|text| memory(text, Tier::LongTerm, 0.5));
    let made = memories.each_ref().map(|one| one.id);
    let new = NewMemories { memories: memories.into(), idempotency: None, capacity: ROOMY };
    repository.create(of, new).await.expect("creates");
    let mut look = repository.look(of);
    let vocabulary = look.vocabularies().await.expect("words").remove(0);
    let terms = |text: &str| Query::new(text, &vocabulary).words.iter().map(|w| w.term).collect();
    let filter = Filter { subject: None, tier: None, now: NOW };
    for (these, also, expected) in [
        ("red", "", vec![made[0], made[1], made[3]]),
        ("red", "kite boat", vec![made[0], made[1], made[3]]),
        ("red", "kite", vec![made[0], made[3]]),
        ("kite boat", "green", vec![made[2], made[3]]),
        ("kite", "owl", vec![]),
    ] {
        let wanted = Wanted { terms: terms(these), also: terms(also) };
        let found = look.with_terms(&filter, wanted, 10).await.expect("finds");
        let found: BTreeSet<Uuid> = found.into_iter().map(|one| one.id).collect();
        assert_eq!(found, expected.into_iter().collect(), "{these} and {also}");
    }
    drop(look);
    clear(repository, of).await;
}
