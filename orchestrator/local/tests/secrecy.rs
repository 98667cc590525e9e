//! Secret values are in the component's own environment and nowhere else.

mod common;

use std::path::Path;

use common::{Machine, kill, seen};
use neuroca_deploy_core::effect::{Effect, Hook};
use neuroca_deploy_local::control;

const CANARY: &str = "canary-7f3a91c2d8";

/// Files below `folder` that hold the canary.
fn hits(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let kind = entry.file_type().expect("known");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).expect("readable");
                if bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()) {
                    found.push(entry.path());
                }
            }
        }
    }
    found
}

/// Processes other than `component` that show the canary in their command line or environment.
fn showing(component: i32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<i32>().is_ok_and(|pid| pid != component) {
            for file in ["cmdline", "environ"] {
                let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
                if bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()) {
                    found.push(format!("{name}/{file}"));
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn a_secret_reaches_the_component_alone_and_outlives_its_source() {
    let machine = Machine::new().await;
    let source = machine.folder.path().join("token");
    std::fs::write(&source, format!("{CANARY}\n")).expect("written");
    let mut server = machine.server("one");
    server.secrets.insert("TOKEN".into(), "file:token".into());
    let text = "echo said $TOKEN; tr '\\0' '\\n' < /proc/$$/environ; exit 9".to_string();
    server.hooks.pre_deploy = Some(vec!["sh".into(), "-c".into(), text]);
    let release = machine.release(&[("api", server)]);
    machine.deploy(&release).await;
    std::fs::remove_file(&source).expect("removed");

    let hook =
        Effect::RunHook { release: release.id(), component: "api".into(), hook: Hook::PreDeploy };
    let refused = machine.perform(hook).await.expect_err("9").to_string();
    assert!(refused.contains("said [hidden]") && !refused.contains(CANARY), "{refused}");

    let (pid, _) = machine.who();
    let environment = machine.get("/env").expect("an answer").1;
    assert!(environment.contains(&format!("TOKEN={CANARY}")), "it has its secret");
    let given = refused.lines().filter_map(|l| Some(l.strip_prefix("  | ")?.split_once('=')?.0));
    let allowed = ["HOME", "LANG", "NAME", "PATH", "TOKEN", "TZ"];
    let given: Vec<&str> = given.collect();
    assert!(given.contains(&"NAME") && given.iter().all(|n| allowed.contains(n)), "{given:?}");
    assert_eq!(hits(machine.state.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(showing(pid), Vec::<String>::new());

    // Neither the supervisor that comes back nor a new process needs the source.
    let supervisor = control::status(&machine.state).expect("running").supervisor.expect("there");
    kill(supervisor.pid);
    kill(pid);
    let revision = release.revision("api").expect("there");
    machine.until("started again", |o| seen(o, &revision).is_ready()).await;
    machine.until("served", |_| machine.get("/env").is_ok_and(|a| a.1.contains(CANARY))).await;
    assert_eq!(hits(machine.state.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_secret_that_changed_since_the_plan_is_refused_without_a_value() {
    let machine = Machine::new().await;
    let source = machine.folder.path().join("token");
    std::fs::write(&source, CANARY).expect("written");
    let mut server = machine.server("one");
    server.secrets.insert("TOKEN".into(), "file:token".into());
    let release = machine.release(&[("api", server)]);
    let id = machine.record(&release).await;
    std::fs::write(&source, format!("{CANARY}-2")).expect("written");
    let refused = machine.perform(Effect::SealSecrets { release: id }).await;
    let refused = refused.expect_err("changed").to_string();
    assert!(refused.contains("file:token has changed") && !refused.contains(CANARY), "{refused}");
}
