//! SIGKILL of the supervisor before and after each of its effects: the same effect again, and all
//! is as if nothing had happened.

mod common;

use std::collections::BTreeSet;

use common::{Machine, seen};
use neuroca_deploy_core::effect::{Effect, Hook};
use neuroca_deploy_local::control;

/// Performs the effect with a supervisor that dies at it, on the side named.
async fn with_a_death(machine: &Machine, when: &str, effect: Effect) {
    let file = machine.state.path().join("kill-point");
    let before = control::status(&machine.state).expect("running").supervisor;
    std::fs::write(&file, format!("supervisor {when} {}", effect.kind())).expect("written");
    let kind = effect.kind();
    machine.perform(effect).await.unwrap_or_else(|e| panic!("{when} {kind}: {e}"));
    assert!(!file.exists(), "{when} {kind}: nobody died");
    let after = control::status(&machine.state).expect("running").supervisor;
    assert_ne!(before.map(|p| p.pid), after.map(|p| p.pid), "{when} {kind}");
}

#[tokio::test]
async fn every_effect_survives_the_death_of_the_supervisor_on_either_side() {
    for when in ["before", "after"] {
        let machine = Machine::new().await;
        let old = machine.release(&[("api", machine.server("old"))]);
        machine.deploy(&old).await;
        let old_revision = old.revision("api").expect("there");
        let (old_pid, _) = machine.who();

        let mut server = machine.server("new");
        let said = machine.folder.path().join("said");
        let say = |word: &str| {
            let text = format!("echo {word} >> {}", said.display());
            vec!["sh".to_string(), "-c".into(), text]
        };
        server.hooks.pre_deploy = Some(say("hook"));
        server.migrate = Some(say("migrate"));
        let new = machine.release(&[("api", server)]);
        let id = machine.stored(&new).await;
        let revision = new.revision("api").expect("there");
        let component = || "api".to_string();
        let hook =
            Effect::RunHook { release: id.clone(), component: component(), hook: Hook::PreDeploy };
        with_a_death(&machine, when, hook).await;
        let migrate = Effect::Migrate { release: id.clone(), component: component() };
        with_a_death(&machine, when, migrate).await;
        let start = Effect::StartRevision {
            release: id,
            component: component(),
            revision: revision.clone(),
        };
        with_a_death(&machine, when, start).await;
        machine.until("ready", |o| seen(o, &revision).is_ready()).await;
        assert_eq!(machine.who().0, old_pid, "the old one was not touched");
        with_a_death(&machine, when, Effect::Route { traffic: machine.all_on(&new) }).await;
        assert_eq!(machine.who().1, "new");
        let end = Effect::EndStreams { component: component(), revision: old_revision.clone() };
        with_a_death(&machine, when, end).await;
        let warm = Effect::KeepWarm {
            component: component(),
            revision: old_revision.clone(),
            for_ms: 600_000,
        };
        with_a_death(&machine, when, warm).await;
        let kept = |o: &_| {
            let seen = seen(o, &old_revision);
            seen.warm_until_ms.is_some() && seen.is_ready()
        };
        machine.until("kept warm", kept).await;
        let stop = Effect::StopRevision { component: component(), revision: old_revision.clone() };
        with_a_death(&machine, when, stop).await;

        let (new_pid, _) = machine.who();
        let observed = machine.until("only the new one", |o| o.revisions.len() == 1).await;
        assert!(seen(&observed, &revision).is_ready());
        assert_eq!(observed.traffic, Some(machine.all_on(&new)));
        let left: BTreeSet<i32> = machine.left_in_artifacts().into_iter().collect();
        assert_eq!(left, BTreeSet::from([new_pid]), "no process too many");
        let said = std::fs::read_to_string(&said).expect("there");
        let times = |word: &str| said.lines().filter(|l| *l == word).count();
        assert!((1..=2).contains(&times("hook")) && (1..=2).contains(&times("migrate")), "{said}");
    }
}
