//! Vectors go with their memories, whoever changes those.

use neuroca::memory::{Moment, Tier};
use neuroca::store::{Filter, NewVector, StoredVector};
use neuroca::tenant::Tenant;
use uuid::Uuid;

use super::{NOW, Shared, act, clear, edit, memory, plain};

const MODEL: &str = "test";

async fn all(repository: &Shared, of: &Tenant) -> Vec<StoredVector> {
    repository.vectors(of, MODEL, (Moment(0), None), 100).await.expect("vectors")
}

async fn missing(repository: &Shared, of: &Tenant) -> i64 {
    let all = repository.without_vectors(MODEL).await.expect("counts");
    all.into_iter().find(|(tenant, _)| tenant == of).map_or(0, |(_, items)| items)
}

pub async fn vectors_go_with_their_memories(repository: &Shared, of: &Tenant) {
    let mut made = Vec::new();
    for text in ["one", "two", "three", "four"] {
        let one = memory(text, Tier::LongTerm, 0.5);
        repository.create(of, plain(&one)).await.expect("creates");
        made.push(one);
    }
    assert_eq!(missing(repository, of).await, 4);
    let newest = repository.to_embed(of, MODEL, None, 1).await.expect("memories");
    assert_eq!(newest, [made[3].clone()]);
    let before = repository.to_embed(of, MODEL, Some(made[3].id), 9).await.expect("memories");
    assert_eq!(
        before.iter().map(|one| one.id).collect::<Vec<_>>(),
        [2, 1, 0].map(|n: usize| made[n].id)
    );

    let vector = |number: usize, version| NewVector {
        memory: made[number].id,
        version,
        components: vec![number as f32, -0.5],
    };
    let save = |vectors, model, at| repository.save_vectors(of, model, vectors, at);
    save(vec![vector(0, 1), vector(1, 1)], MODEL, NOW).await.expect("saves");
    // Another version than the one that the vector was made of, and one that is gone.
    let gone = NewVector { memory: Uuid::now_v7(), ..vector(3, 1) };
    save(vec![vector(2, 7), gone, vector(3, 1)], MODEL, NOW.plus(1)).await.expect("saves");
    save(vec![vector(2, 1)], "another", NOW).await.expect("saves");
    assert_eq!(missing(repository, of).await, 1);
    let found = all(repository, of).await;
    let stored = |number: usize, at| StoredVector {
        memory: made[number].id,
        subject: Some("ann".into()),
        embedded_at: at,
        components: vec![number as f32, -0.5],
    };
    assert_eq!(found, [stored(0, NOW), stored(1, NOW), stored(3, NOW.plus(1))]);
    let page = repository.vectors(of, MODEL, (NOW, Some(made[0].id)), 1).await.expect("vectors");
    assert_eq!(page, [stored(1, NOW)]);

    // Other words, another model, the end of a memory, its deletion, its subject's.
    repository.edit(of, edit(&made[0], r#"{"importance":0.9}"#)).await.expect("edits");
    assert_eq!(all(repository, of).await.len(), 3);
    repository.edit(of, edit(&made[0], r#"{"content":"uno"}"#)).await.expect("edits");
    assert_eq!(all(repository, of).await, [stored(1, NOW), stored(3, NOW.plus(1))]);
    assert_eq!(repository.remove_other_vectors(MODEL, 10).await.expect("removes"), 1);
    assert!(repository.supersede(of, made[1].id, made[3].id, NOW).await.expect("supersedes"));
    assert_eq!(all(repository, of).await, [stored(3, NOW.plus(1))]);
    assert_eq!(missing(repository, of).await, 2);

    let filter = Filter { subject: Some("ann".into()), tier: Some(Tier::LongTerm), now: NOW };
    let ids: Vec<Uuid> = made.iter().map(|one| one.id).collect();
    let facts = repository.look(of).facts(&filter, ids.clone()).await.expect("facts");
    let mut known: Vec<Uuid> = facts.into_iter().map(|fact| fact.id).collect();
    known.sort_unstable();
    assert_eq!(known, [ids[0], ids[2], ids[3]]);
    for filter in [
        Filter { subject: Some("bob".into()), ..filter.clone() },
        Filter { tier: Some(Tier::Working), ..filter },
    ] {
        let none = repository.look(of).facts(&filter, ids.clone()).await.expect("facts");
        assert_eq!(none, []);
    }
    let other = Tenant::new("elsewhere").expect("a name");
    assert_eq!(all(repository, &other).await, []);
    repository.save_vectors(&other, MODEL, vec![vector(2, 1)], NOW).await.expect("answers");
    assert_eq!(missing(repository, of).await, 2);

    repository.forget(of, "ann", act("subject.delete")).await.expect("forgets");
    assert_eq!(all(repository, of).await, []);
    clear(repository, of).await;
}
