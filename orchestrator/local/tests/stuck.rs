//! Processes of ours that are stopped, or that are gone so that nobody can be asked: what runs goes on,
//! and everything can still be stopped.

mod common;

use common::{Machine, kill, seen};
use neuroca_deploy_local::control;
use rustix::process::{Pid, Signal, kill_process};

fn stop(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::STOP).expect("stopped");
}

#[tokio::test]
async fn one_that_was_stopped_is_woken() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let revision = release.revision("api").expect("there");
    let before = control::status(&machine.state).expect("running");
    let (component, _) = machine.who();

    stop(before.edges[0].pid);
    // The client waits, and is not refused.
    assert_eq!(machine.who().0, component);
    stop(before.supervisor.as_ref().expect("there").pid);
    machine.until("it answers", |o| seen(o, &revision).is_ready()).await;
    stop(before.keeper.pid);
    let after = control::status(&machine.state).expect("it answers");
    let pids = |s: &control::KeeperStatus| {
        let edges: Vec<i32> = s.edges.iter().map(|e| e.pid).collect();
        (s.keeper.pid, s.supervisor.as_ref().map(|s| s.pid), edges)
    };
    assert_eq!(pids(&before), pids(&after), "nobody was replaced");
}

#[tokio::test]
async fn components_are_stopped_though_no_supervisor_can_come_up() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::write(machine.state.path().join(format!("state.db{end}")), "damaged");
    }
    kill(control::status(&machine.state).expect("running").supervisor.expect("there").pid);
    assert_eq!(machine.who().1, "one", "it goes on");
    assert!(control::stop(&machine.state, &machine.exe).expect("stopped"));
    assert_eq!(machine.left_in_artifacts(), Vec::<i32>::new());
    assert!(machine.get("/").is_err(), "nobody listens");
}

#[tokio::test]
async fn what_lost_its_state_directory_ends_and_touches_nothing_at_its_place() {
    let machine = Machine::new().await;
    let mut deaf = machine.server("one");
    deaf.drain = common::millis(300);
    let release = machine.release(&[("api", deaf)]);
    machine.deploy(&release).await;
    let (component, _) = machine.who();
    let status = control::status(&machine.state).expect("running");
    let edges = status.edges.iter().map(|e| e.pid);
    let supervisor = status.supervisor.map(|s| s.pid);
    let all: Vec<i32> =
        [status.keeper.pid, component].into_iter().chain(edges).chain(supervisor).collect();
    // Moved rather than removed at once, which would race with what is being written.
    std::fs::rename(machine.state.path(), machine.folder.path().join("removed")).expect("moved");
    // Somebody begins anew at the same place.
    let again = neuroca_deploy_local::StateDir::create(machine.state.path()).expect("made");
    let other = std::os::unix::net::UnixListener::bind(again.supervisor_socket()).expect("bound");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let lives = |pid: &i32| neuroca_deploy_local::process_id::ProcessId::of(*pid).is_some();
    while all.iter().any(lives) {
        let left: Vec<&i32> = all.iter().filter(|pid| lives(pid)).collect();
        assert!(std::time::Instant::now() < until, "{left:?} of {all:?} are left");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(machine.get("/").is_err(), "nobody listens");
    assert!(again.supervisor_socket().exists(), "it is not theirs");
    drop(other);
}

#[tokio::test]
async fn what_lost_its_keeper_is_found_and_stopped() {
    let machine = Machine::new().await;
    let release = machine.release(&[("api", machine.server("one"))]);
    machine.deploy(&release).await;
    let status = control::status(&machine.state).expect("running");
    // The keeper first: it would start another supervisor.
    kill(status.keeper.pid);
    kill(status.supervisor.expect("there").pid);
    assert_eq!(machine.who().1, "one", "it goes on");
    assert!(control::stop(&machine.state, &machine.exe).expect("stopped"));
    assert_eq!(machine.left_in_artifacts(), Vec::<i32>::new());
    assert!(machine.get("/").is_err(), "nobody listens");
}
