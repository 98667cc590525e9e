//! What `rbac` prints is enough for every day and not more, and the cluster itself refuses who has been succeeded.
//!
//! The policies stay: they say nothing about any other namespace, and an API server whose last policy with a parameter
//! was removed does not follow the parameters of the next one.

use crate::project::{Project, config};

#[test]
fn the_least_that_is_allowed_is_enough_for_everything() {
    let Some(mut project) = Project::new("least") else { return };
    project.write("kubernetes/a.yaml", &(config("a", "x", "1") + &config("b", "x", "1")));
    let printed = project.run(0, &["rbac", "staging"]);
    project.kubectl_apply(&printed, &[]);
    project.becomes_the_account();
    for value in ["2", "3"] {
        project.write("kubernetes/a.yaml", &config("a", "x", value));
        project.run(2, &["plan", "staging", "--detailed-exitcode"]);
        project.apply(0);
        assert_eq!(project.value("a", "x"), value);
    }
    project.run(0, &["rollback", "staging", "-y"]);
    assert_eq!(project.value("a", "x"), "2");
    let account = format!("--as=system:serviceaccount:{}:neuroca-deploy", project.namespace);
    for words in [
        ["get", "secrets", "-nkube-system"],
        ["create", "clusterroles", "-ndefault"],
        ["delete", "nodes", "-ndefault"],
    ] {
        let answer =
            project.kubectl_answer(&["auth", "can-i", words[0], words[1], words[2], &account]);
        assert!(answer.starts_with("no"), "{words:?}: {answer}");
    }
    project.run(0, &["destroy", "staging", "-y", "--purge"]);
    assert_eq!(project.names("configmap"), [""; 0]);
    assert_eq!(project.names("lease"), [""; 0]);
}

#[test]
fn the_cluster_refuses_the_writes_of_a_driver_that_was_succeeded() {
    let Some(project) = Project::new("fenced") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    let printed = project.run(0, &["rbac", "staging"]);
    project.kubectl_apply(&printed, &[]);
    // Two runs: the lock has its second epoch.
    project.apply(0);
    project.write("kubernetes/a.yaml", &config("a", "x", "2"));
    project.apply(0);
    let write = |epoch: &str| {
        let object = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: late, annotations: {{neuroca-deploy/epoch: \"{epoch}\"}}}}\n"
        );
        project.kubectl_tries(&object, &["--server-side", "--field-manager=neuroca-deploy"])
    };
    let mut refused = write("1");
    // A policy that is new takes a moment to be known to the API server.
    for _ in 0..50 {
        if refused.is_err() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        refused = write("1");
    }
    let why = refused.expect_err("an old epoch");
    assert!(why.contains("another driver took the lock over: the lock has epoch 2"), "{why}");
    write("2").expect("the epoch of the lock");
    project.kubectl(&["create", "configmap", "somebodys"]);
}
