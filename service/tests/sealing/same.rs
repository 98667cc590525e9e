//! A search finds the same whether memories are encrypted or not, and in the middle of being sealed anew.

use std::sync::Arc;

use neuroca::config::{Capacity, Database, Server};
use neuroca::memory::{Draft, Memory, Metadata, Moment, Tier};
use neuroca::sealing::{SealingSettings, WrappedBy};
use neuroca::search::{Hit, Searcher, Wish};
use neuroca::store::{Behind, NewMemories, Part, Repository, migrate, open, open_with};
use neuroca::tenant::Tenant;
use uuid::Uuid;

use super::harness::database::Database as Test;

const NOW: Moment = Moment(1_800_000_000_000);
const ROOMY: Capacity = Capacity { working: 1000, short_term: 1000, long_term: 1_000_000 };
const WORDS: [&str; 24] = [
    "ann",
    "bob",
    "parcel",
    "drawer",
    "biscuit",
    "lisbon",
    "oslo",
    "allergic",
    "peanuts",
    "tea",
    "coffee",
    "yesterday",
    "birthday",
    "sister",
    "brother",
    "engineer",
    "guitar",
    "walking",
    "chocolate",
    "42",
    "1999",
    "überraschung",
    "日本",
    "naïve",
];

fn phrase(random: &mut fastrand::Rng, words: usize) -> String {
    let word = |random: &mut fastrand::Rng| {
        let mut word: Vec<char> = WORDS[random.usize(..WORDS.len())].chars().collect();
        // As people write.
        if word.len() > 5 && random.u8(..8) == 0 {
            let at = random.usize(1..word.len() - 1);
            word.swap(at, at + 1);
        }
        word.into_iter().collect::<String>()
    };
    (0..words).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

fn memories(random: &mut fastrand::Rng) -> Vec<Memory> {
    (0..80)
        .map(|number| {
            let words = random.usize(2..12);
            let draft = Draft {
                content: phrase(random, words),
                tier: if number % 4 == 0 { Tier::ShortTerm } else { Tier::LongTerm },
                importance: f64::from(random.u8(..=10)) / 10.0,
                subject: (number % 3 == 0).then(|| "ann".into()),
                pinned: false,
                occurred_at: Some(NOW.plus(-86_400_000 * random.i64(0..40))),
                metadata: Metadata::default(),
            };
            draft.into_memory(Uuid::now_v7(), NOW.plus(number))
        })
        .collect()
}

async fn filled(repository: &dyn Repository, memories: &[Memory]) {
    for memory in memories {
        let memories = vec![memory.clone()];
        let new = NewMemories { memories, idempotency: None, capacity: ROOMY };
        repository.create(&Tenant::default(), new).await.expect("creates");
    }
}

async fn hits(repository: &dyn Repository, wish: &Wish) -> Vec<Hit> {
    // A searcher of its own each time: what one has counted is a second old.
    Searcher::default().search(repository, &Tenant::default(), wish).await.expect("finds").hits
}

fn wish(random: &mut fastrand::Rng) -> Wish {
    let words = random.usize(1..6);
    Wish {
        text: phrase(random, words),
        subject: (random.u8(..3) == 0).then(|| "ann".into()),
        tier: (random.u8(..4) == 0).then_some(Tier::LongTerm),
        limit: random.usize(1..30),
        now: NOW.plus(1000),
    }
}

fn database(test: &Test) -> Database {
    match test.url.strip_prefix("sqlite://") {
        Some(path) => Database::Sqlite(path.into()),
        None => Database::Postgres(Box::new(Server::new(test.url.parse().expect("a URL")))),
    }
}

async fn compared(clear: Test, encrypted: Test, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let sealing = SealingSettings { current: WrappedBy::Secret("a secret".into()), previous: None };
    let (clear, encrypted) = (database(&clear), database(&encrypted));
    for database in [&clear, &encrypted] {
        migrate(database).await.expect("migrates");
    }
    let clear: Arc<dyn Repository> = open(&clear).await.expect("opens");
    let encrypted = open_with(&encrypted, Some(&sealing)).await.expect("opens");
    let told = memories(&mut random);
    let (before, after) = told.split_at(40);
    filled(&*clear, &told).await;
    // Some from before encryption, some from after it, and some of those sealed anew.
    filled(&*encrypted, before).await;
    let of = Tenant::default();
    let since = encrypted.begin_rekeying(Moment::now()).await.expect("begins");
    encrypted.renew_key(&of, since).await.expect("a key");
    filled(&*encrypted, after).await;
    let sealed = encrypted.reseal(&of, Part::Memories, Behind::default(), 15).await;
    assert_eq!(sealed.expect("seals").0, 15);
    for stage in ["in the middle", "afterwards"] {
        for _ in 0..15 {
            let wish = wish(&mut random);
            let expected = hits(&*clear, &wish).await;
            assert_eq!(hits(&*encrypted, &wish).await, expected, "{stage}, seed {seed}: {wish:?}");
        }
        encrypted.reseal(&of, Part::Memories, Behind::default(), 1000).await.expect("seals");
        assert!(encrypted.retire_keys(&of).await.expect("retires"));
    }
    clear.close().await;
    encrypted.close().await;
}

#[tokio::test]
async fn a_search_finds_the_same_as_in_the_clear() {
    for round in 0..2 {
        let (clear, encrypted) = (Test::each(), Test::each());
        for (clear, encrypted) in clear.into_iter().zip(encrypted) {
            compared(clear, encrypted, 4711 + round).await;
        }
    }
}
