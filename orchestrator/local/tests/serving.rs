//! From nothing to answered requests, and through the deaths of our own processes.

mod common;

use std::time::Duration;

use common::{Machine, kill, seen};
use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_engine::ports::{Epoch, Target, TargetError};
use neuroca_deploy_local::control;

#[tokio::test]
async fn a_release_is_started_becomes_ready_and_answers_through_the_edge() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    assert_eq!(machine.who().1, "one");
    let observed = machine.target.observe().await.expect("observed");
    assert_eq!(observed.traffic, Some(machine.all_on(&release)));
    let revision = release.revision("api").expect("there");
    assert_eq!(seen(&observed, &revision).requests, 1);

    let refused = machine
        .perform(Effect::StopRevision { component: "api".into(), revision: revision.clone() });
    let refused = refused.await.expect_err("it is routed");
    assert!(refused.to_string().contains("sends requests to"), "{refused}");
    let route = Effect::Route { traffic: machine.all_on(&release) };
    let late = machine.target.perform(Epoch(0), &route).await;
    assert!(matches!(late, Err(TargetError::Fenced(_))), "{late:?}");

    let next = machine.release(&[("api", machine.server("two"))]);
    machine.deploy(&next).await;
    assert_eq!(machine.who().1, "two");
    machine
        .perform(Effect::KeepWarm {
            component: "api".into(),
            revision: revision.clone(),
            for_ms: 1_000,
        })
        .await
        .expect("kept");
    machine.until("retired", |o| !o.revisions.contains_key(&revision)).await;
    assert_eq!(machine.who().1, "two");
}

#[tokio::test]
async fn only_the_newest_are_kept_warm() {
    let machine = Machine::new().await;
    let mut revisions: Vec<RevisionId> = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let release = machine.release(&[("api", machine.server(name))]);
        machine.deploy(&release).await;
        if let Some(before) = revisions.last().cloned() {
            let (component, for_ms) = ("api".into(), 600_000);
            let warm = Effect::KeepWarm { component, revision: before, for_ms };
            machine.perform(warm).await.expect("kept");
        }
        revisions.push(release.revision("api").expect("there"));
    }
    let left = machine.until("retired", |o| !o.revisions.contains_key(&revisions[0])).await;
    let left: Vec<&RevisionId> = left.revisions.keys().collect();
    let mut wanted: Vec<&RevisionId> = revisions[1..].iter().collect();
    wanted.sort();
    assert_eq!(left, wanted);
    assert_eq!(machine.who().1, "four");
}

#[tokio::test]
async fn no_death_of_ours_ends_a_component_or_a_request() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let revision = release.revision("api").expect("there");
    let (component, _) = machine.who();
    let status = control::status(&machine.state).expect("running");

    kill(status.supervisor.as_ref().expect("there").pid);
    assert_eq!(machine.who().0, component, "while it is away");
    let version = machine.until("back", |o| seen(o, &revision).is_ready()).await.version;
    assert!(version > 0);
    assert_eq!(machine.who().0, component, "the process was adopted");

    kill(status.keeper.pid);
    assert_eq!(machine.who().0, component);
    // The supervisor would start one within seconds; a command does so at once.
    machine
        .until("adopted by whoever looks", |_| {
            control::ensure_running(&machine.state, &machine.exe).is_ok()
                && control::status(&machine.state).is_ok()
        })
        .await;
    let after = control::status(&machine.state).expect("a new keeper");
    assert_ne!(after.keeper.pid, status.keeper.pid);
    let edges = after.edges.iter().map(|edge| edge.pid).eq(status.edges.iter().map(|e| e.pid));
    assert!(edges, "the edge was not touched");
    assert_eq!(machine.who().0, component);

    kill(after.edges[0].pid);
    let started = std::time::Instant::now();
    // The socket is held: this waits for the next edge rather than being refused.
    assert_eq!(machine.who().0, component);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

    let next = machine.release(&[("api", machine.server("two"))]);
    machine.deploy(&next).await;
    assert_eq!(machine.who().1, "two");
}

#[tokio::test]
async fn an_upgrade_replaces_our_processes_and_nothing_else() {
    let machine = Machine::new().await;
    let mut server = machine.server("one");
    server.drain = common::millis(5_000);
    let release = machine.release(&[("api", server)]);
    machine.deploy(&release).await;
    let (component, _) = machine.who();
    let before = control::status(&machine.state).expect("running");
    let port = machine.port;
    let slow = std::thread::spawn(move || common::get(port, "/slow"));
    machine.until("in flight", |o| o.revisions.values().any(|r| r.in_flight == 1)).await;
    let after = control::upgrade(&machine.state, &machine.exe).expect("upgraded");
    assert_eq!(after.keeper.pid, before.keeper.pid);
    assert_ne!(after.supervisor, before.supervisor);
    assert_ne!(after.edges.last(), before.edges.last());
    assert_eq!(machine.who().0, component);
    assert_eq!(slow.join().expect("no panic").expect("answered").0, 200);
    machine
        .until("drained", |_| control::status(&machine.state).is_ok_and(|s| s.edges.len() == 1))
        .await;
}

#[tokio::test]
async fn a_keeper_comes_back_without_anybody_asking() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let (component, _) = machine.who();
    let before = control::status(&machine.state).expect("running");
    kill(before.keeper.pid);
    machine
        .until("a new keeper", |_| {
            control::status(&machine.state).is_ok_and(|now| now.keeper.pid != before.keeper.pid)
        })
        .await;
    assert_eq!(machine.who().0, component);
}

#[tokio::test]
async fn a_component_whose_shim_is_killed_is_started_anew() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let (component, _) = machine.who();
    kill(common::parent(component));
    machine
        .until("another process", |_| {
            machine.get("/").is_ok_and(|(status, body)| {
                status == 200 && !body.starts_with(&format!("{component} "))
            })
        })
        .await;
    machine
        .until("the old one is gone", |_| !machine.left_in_artifacts().contains(&component))
        .await;
}

#[tokio::test]
async fn stopping_ends_everything_and_starting_brings_it_back() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    assert!(control::stop(&machine.state, &machine.exe).expect("stopped"));
    assert_eq!(machine.left_in_artifacts(), Vec::<i32>::new());
    assert!(machine.get("/").is_err(), "nobody listens");
    assert!(!control::stop(&machine.state, &machine.exe).expect("nothing to stop"));

    control::ensure_running(&machine.state, &machine.exe).expect("started");
    machine.until("served again", |_| machine.get("/").is_ok_and(|a| a.0 == 200)).await;
    let observed = machine.target.observe().await.expect("observed");
    assert_eq!(observed.traffic, Some(machine.all_on(&release)));
}

#[tokio::test]
async fn an_address_that_cannot_be_had_moves_no_traffic() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let mut next = machine.release(&[("api", machine.server("two"))]);
    machine.start(&next).await;
    let revision = next.revision("api").expect("there");
    machine.until("ready", |o| seen(o, &revision).is_ready()).await;
    next.edge.listen = other.local_addr().expect("bound").to_string();
    machine.record(&next).await;
    let refused = machine.perform(Effect::Route { traffic: machine.all_on(&next) }).await;
    assert!(refused.expect_err("in use").to_string().contains("in use"));
    assert_eq!(machine.who().1, "one");
    drop(other);
    machine.perform(Effect::Route { traffic: machine.all_on(&next) }).await.expect("free now");
    let port = next.edge.listen.rsplit_once(':').and_then(|(_, p)| p.parse().ok()).expect("a port");
    assert!(common::get(port, "/").expect("an answer").1.ends_with("two"));
    assert!(machine.get("/").is_err(), "the old address is given back");
}
