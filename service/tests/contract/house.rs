//! What stands beside the memories: tasks, keys, the log of acts, who works, budgets, flags and notices.

use super::*;

pub(super) async fn tasks_are_kept(repository: &Shared, of: &Tenant) {
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

pub(super) async fn keys_and_the_log_of_acts(repository: &Shared) {
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

pub(super) async fn one_leads(
    repository: &Shared,
    database: &Database,
    sealing: Option<&SealingSettings>,
) {
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

pub(super) async fn a_budget_is_spent_once(repository: &Shared, of: &Tenant) {
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

pub(super) fn flags(variant: &str) -> FlagSet {
    let document = serde_json::json!({ "flags": { "f": { "state": "ENABLED",
        "variants": { variant: "it's \"x\"" }, "defaultVariant": variant } } });
    let experiment = Experiment::following(None, "f".into(), "?".into(), true, NOW);
    FlagSet {
        document: serde_json::from_value(document).expect("flags"),
        experiments: [("e".to_owned(), experiment)].into(),
    }
}

pub(super) async fn of_two_changes_of_the_flags_one_is_told(repository: &Shared) {
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

pub(super) async fn notices_are_put_up_and_taken_down(repository: &Shared) {
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
