//! Components that do what they should not: what is seen of it, and what becomes of them.

mod common;

use std::time::{Duration, Instant};

use common::{Machine, millis, seen};
use neuroca_deploy_core::config::model::Component;
use neuroca_deploy_core::effect::{Effect, Hook};
use neuroca_deploy_core::release::{Release, RevisionId};

async fn started(machine: &Machine, component: Component) -> (Release, RevisionId) {
    let release = machine.release(&[("api", component)]);
    machine.start(&release).await;
    let revision = release.revision("api").expect("there");
    (release, revision)
}

#[tokio::test]
async fn one_that_dies_at_once_is_a_crash_loop_with_its_last_words() {
    let machine = Machine::new().await;
    let dies = machine.component(&["sh", "-c", "echo out of luck >&2; exit 3"]);
    let (_, revision) = started(&machine, dies).await;
    let observed = machine.until("a crash loop", |o| seen(o, &revision).crash_loop).await;
    let trouble = seen(&observed, &revision).trouble.expect("evidence");
    assert_eq!(trouble.what, "exited with status 3");
    assert!(trouble.log_lines.iter().any(|l| l == "out of luck"), "{trouble:?}");
    assert!(!seen(&observed, &revision).is_ready());
}

#[tokio::test]
async fn one_that_cannot_be_started_says_why() {
    let machine = Machine::new().await;
    let (_, revision) = started(&machine, machine.component(&["./nothing-there"])).await;
    let observed = machine.until("a crash loop", |o| seen(o, &revision).crash_loop).await;
    let what = seen(&observed, &revision).trouble.expect("evidence").what;
    assert!(what.contains("./nothing-there") && what.contains("No such file"), "{what}");
}

#[tokio::test]
async fn one_that_is_never_ready_shows_the_last_answer() {
    let machine = Machine::new().await;
    let mut server = machine.server("never");
    server.health.path = "/missing".into();
    let (release, revision) = started(&machine, server).await;
    let answered = |o: &_| seen(o, &revision).trouble.is_some_and(|t| t.body.is_some());
    let observed = machine.until("an answer as evidence", answered).await;
    let trouble = seen(&observed, &revision).trouble.expect("evidence");
    assert_eq!(trouble.what, "GET /missing: 404 Not Found");
    assert!(trouble.body.expect("the answer").ends_with(" never"));
    assert!(trouble.log_lines.iter().any(|l| l == "listening"));
    let refused = machine.perform(Effect::Route { traffic: machine.all_on(&release) }).await;
    assert!(refused.expect_err("not ready").to_string().contains("no replica"));
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed_after_its_drain_time() {
    let machine = Machine::new().await;
    let mut deaf =
        machine.component(&["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
    deaf.port = false;
    deaf.drain = millis(400);
    let (_, revision) = started(&machine, deaf).await;
    machine.until("up", |o| seen(o, &revision).is_ready()).await;
    let asked = Instant::now();
    let stop = Effect::StopRevision { component: "api".into(), revision: revision.clone() };
    machine.perform(stop).await.expect("stopped");
    let took = asked.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(4)).contains(&took), "{took:?}");
    machine.until("gone", |o| !o.revisions.contains_key(&revision)).await;
    assert_eq!(machine.left_in_artifacts(), Vec::<i32>::new());
}

#[tokio::test]
async fn an_address_in_use_is_named_before_anything_is_shifted() {
    let machine = Machine::new().await;
    let other = std::net::TcpListener::bind(("127.0.0.1", machine.port)).expect("free");
    let release = machine.release(&[("api", machine.server("one"))]);
    let id = machine.stored(&release).await;
    let revision = release.revision("api").expect("there");
    let start = Effect::StartRevision { release: id, component: "api".into(), revision };
    let refused = machine.perform(start.clone()).await.expect_err("in use").to_string();
    assert!(refused.contains(&machine.port.to_string()) && refused.contains("in use"), "{refused}");
    drop(other);
    machine.perform(start).await.expect("free now");
}

#[tokio::test]
async fn a_failing_hook_is_refused_with_its_output_and_a_slow_one_is_stopped() {
    let machine = Machine::new().await;
    let mut server = machine.server("hooks");
    let command = |text: &str| Some(vec!["sh".to_string(), "-c".into(), text.into()]);
    server.hooks.pre_deploy = command("echo before; echo in $NAME; exit 4");
    server.hooks.smoke_test = command("test -n \"$PORT\" || exit 1; echo smoke on $PORT");
    server.hooks.post_deploy = command("echo waiting; sleep 60");
    server.hooks.timeout.0 = millis(1_000);
    server.migrate = command("echo up > ${PWD}/../../data/migrated");
    let release = machine.release(&[("api", server)]);
    machine.start(&release).await;
    let id = release.id();
    let revision = release.revision("api").expect("there");
    let hook = |hook| Effect::RunHook { release: id.clone(), component: "api".into(), hook };
    let refused = machine.perform(hook(Hook::PreDeploy)).await.expect_err("4").to_string();
    assert!(
        refused.contains("exited with status 4") && refused.contains("| in hooks"),
        "{refused}"
    );
    machine.until("ready", |o| seen(o, &revision).is_ready()).await;
    machine.perform(hook(Hook::SmokeTest)).await.expect("it has a port");
    let slow = Instant::now();
    let refused = machine.perform(hook(Hook::PostDeploy)).await.expect_err("slow").to_string();
    assert!(
        refused.contains("did not end within 1 s") && refused.contains("| waiting"),
        "{refused}"
    );
    assert!(slow.elapsed() < Duration::from_secs(10));
    let migrate = Effect::Migrate { release: id.clone(), component: "api".into() };
    machine.perform(migrate).await.expect("migrated");
    assert!(machine.state.data().join("migrated").exists());
}

#[tokio::test]
async fn readiness_that_is_lost_is_seen_and_a_dead_process_is_started_again() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let revision = release.revision("api").expect("there");
    let (pid, _) = machine.who();
    common::kill(pid);
    let crashed = machine.until("a crash", |o| seen(o, &revision).crashes == 1).await;
    let trouble = seen(&crashed, &revision).trouble;
    if let Some(trouble) = trouble {
        assert!(trouble.what.contains("SIGKILL"), "{trouble:?}");
    }
    let back = machine.until("ready again", |o| seen(o, &revision).is_ready()).await;
    assert!(!seen(&back, &revision).crash_loop, "once is not a loop");
    machine.until("served again", |_| machine.get("/").is_ok_and(|a| a.0 == 200)).await;
    assert_ne!(machine.who().0, pid);
}

#[tokio::test]
async fn fewer_replicas_lose_no_request_and_limits_are_set() {
    let machine = Machine::new().await;
    let mut server = machine.server("many");
    server.replicas = 3;
    server.limits.open_files = Some(77);
    let release = machine.release(&[("api", server.clone())]);
    machine.deploy(&release).await;
    let pids: std::collections::BTreeSet<i32> = (0..12).map(|_| machine.who().0).collect();
    assert_eq!(pids.len(), 3, "all of them answer");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pids.first().expect("one")));
    let limits = limits.expect("readable");
    let line = limits.lines().find(|l| l.starts_with("Max open files")).expect("there");
    assert!(line.contains(" 77 "), "{line}");

    server.replicas = 1;
    let smaller = machine.release(&[("api", server)]);
    assert_eq!(smaller.revision("api"), release.revision("api"), "the same processes go on");
    machine.start(&smaller).await;
    let revision = smaller.revision("api").expect("there");
    let mut answered = 0;
    machine
        .until("one is left", |o| {
            assert_eq!(machine.get("/").expect("an answer").0, 200);
            answered += 1;
            let r = seen(o, &revision);
            (r.wanted, r.alive, r.ready) == (1, 1, 1)
        })
        .await;
    assert!(answered > 1);
}
