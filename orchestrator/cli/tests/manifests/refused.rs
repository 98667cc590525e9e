//! What a cluster refuses, holds or does not answer: told with its cause and the next step, and nothing is lost.

use std::time::{Duration, Instant};

use crate::project::{Project, config};
use crate::webhook::Webhook;

/// Waits for something that other programs bring about.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_finalizer_that_never_ends_is_named_and_what_was_there_is_not_lost() {
    let Some(project) = Project::new("held") else { return };
    let held = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: held, finalizers: [example.com/hold]}}\nimmutable: true\n\
             data: {{x: \"{value}\"}}\n---\n"
        )
    };
    let free = "-p={\"metadata\":{\"finalizers\":null}}";
    project.write("kubernetes/a.yaml", &(held("1") + &config("other", "x", "1")));
    project.apply(0);
    project.write("kubernetes/a.yaml", &(held("2") + &config("other", "x", "2")));
    let told = project.apply(1);
    assert!(told.contains("ConfigMap held was told to go, and does not"), "{told}");
    assert!(told.contains("hint: a finalizer holds it: kubectl get configmaps held"), "{told}");
    assert_eq!(project.value("other", "x"), "1", "taken back");
    assert_eq!(project.value("held", "x"), "1");

    // Once it is let go the same apply goes through.
    project.kubectl(&["patch", "configmap", "held", "--type=merge", free]);
    until("the end of the old object", || !project.names("configmap").contains(&"held".into()));
    project.apply(0);
    assert_eq!((project.value("held", "x"), project.value("other", "x")), ("2".into(), "2".into()));
    // Not named any more, it is told to go, and its finalizer takes whatever time it takes.
    project.write("kubernetes/a.yaml", &config("other", "x", "2"));
    project.apply(0);
    project.run(0, &["plan", "staging", "--detailed-exitcode"]);
    project.kubectl(&["patch", "configmap", "held", "--type=merge", free]);
}

#[test]
fn a_webhook_that_refuses_is_quoted_and_what_was_written_is_taken_back() {
    let Some(project) = Project::new("hooked") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.apply(0);
    let hook = Webhook::refusing("no Friday deployments");
    hook.register(&project, "services");
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n";
    project.write("kubernetes/a.yaml", &(config("a", "x", "2") + service));
    until("the webhook", || project.run_any(&["plan", "staging"]).1.contains("Friday"));
    let told = project.run(64, &["plan", "staging"]);
    assert!(told.contains("the cluster refuses Service") && told.contains("no Friday"), "{told}");
    // It is asked at the write; what had been written by then is as it was.
    let told = project.apply(1);
    assert!(told.contains("no Friday deployments"), "{told}");
    assert!(!told.contains("a Role in the namespace"), "it is no matter of rights: {told}");
    assert_eq!(project.value("a", "x"), "1");
    assert_eq!(project.names("service"), [""; 0]);
    hook.remove(&project);
}

#[test]
fn a_webhook_that_does_not_answer_ends_in_an_error_that_names_it() {
    let Some(project) = Project::new("silent") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.apply(0);
    let hook = Webhook::silent();
    hook.register(&project, "services");
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n";
    project.write("kubernetes/a.yaml", &(config("a", "x", "2") + service));
    until("the webhook", || project.run_any(&["plan", "staging"]).0 != Some(0));
    let told = project.apply(1);
    assert!(told.contains("failed calling webhook") && told.contains(&hook.name), "{told}");
    assert!(told.contains("hint:") && told.contains("validatingwebhookconfigurations"), "{told}");
    assert_eq!(project.value("a", "x"), "1", "taken back");
    let status = project.json(&["rollout", "status", "staging"]);
    assert_eq!(status["running"], false, "no journal stays open: {status}");
    hook.remove(&project);
}

#[test]
fn nothing_is_begun_in_a_namespace_that_is_going_away() {
    let Some(project) = Project::new("going") else { return };
    project.kubectl(&["create", "namespace", &project.namespace]);
    project.kubectl_apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last, finalizers: [example.com/hold]}\n",
        &[],
    );
    project.kubectl(&["delete", "namespace", "--wait=false", &project.namespace]);
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    let told = project.apply(1);
    assert!(told.contains("the namespace is going away; wait until it has gone"), "{told}");
    assert_eq!(project.names("configmap"), ["last"]);
    let free = "-p={\"metadata\":{\"finalizers\":null}}";
    project.kubectl(&["patch", "configmap", "last", "--type=merge", free]);
}

#[test]
fn a_quota_that_is_reached_half_way_leaves_things_as_they_were() {
    let Some(project) = Project::new("quota") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.apply(0);
    // Room for one more than there are: those two, and the one that every namespace has.
    project.kubectl(&["create", "quota", "small", "--hard=count/configmaps=3"]);
    until("the quota", || {
        project.kubectl(&["get", "quota", "small", "-o", "jsonpath={.status.used}"]).contains("2")
    });
    let more: String = (0..3).map(|n| config(&format!("more-{n}"), "x", "1")).collect();
    project.write("kubernetes/a.yaml", &(config("a", "x", "2") + &more));
    let told = project.apply(1);
    assert!(told.contains("exceeded quota: small"), "{told}");
    assert!(told.contains("hint: ask for more") && told.contains("describe quota"), "{told}");
    assert_eq!(project.names("configmap"), ["a"]);
    assert_eq!(project.value("a", "x"), "1");
}

#[test]
fn what_this_user_may_not_write_is_named_before_the_first_write() {
    let Some(mut project) = Project::new("forbidden") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    let printed = project.run(0, &["rbac", "staging"]);
    project.kubectl_apply(&printed, &[]);
    project.becomes_the_account();
    let quota = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: []}\n";
    project.write("kubernetes/a.yaml", &(config("a", "x", "1") + quota));
    // It may not even look; and with the right to look it may not write.
    let told = project.apply(1);
    assert!(told.contains("limitranges") && told.contains("list"), "{told}");
    project.kubectl(&["create", "role", "looks", "--verb=get,list", "--resource=limitranges"]);
    let account = format!("--serviceaccount={}:neuroca-deploy", project.namespace);
    project.kubectl(&["create", "rolebinding", "looks", "--role=looks", &account]);
    until("the right to look", || project.run_any(&["plan", "staging"]).0 == Some(0));
    let told = project.apply(1);
    for verb in ["create", "patch", "delete"] {
        let missing = format!("{verb} limitranges in {}", project.namespace);
        assert!(told.contains(&missing), "{told}");
    }
    assert!(told.contains("nothing was done") && !told.contains("configmaps"), "{told}");
    assert_eq!(project.names("configmap"), [""; 0]);
    assert_eq!(project.names("lease"), [""; 0], "not even the lock");
}
