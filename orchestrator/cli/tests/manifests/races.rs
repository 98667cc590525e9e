//! What changes between a plan and its apply is not written over.

use crate::project::{Project, config};

#[test]
fn a_saved_plan_is_done_exactly_or_not_at_all() {
    let Some(project) = Project::new("saved") else { return };
    project.write("kubernetes/a.yaml", &(config("a", "x", "1") + &config("b", "x", "1")));
    project.apply(0);
    project.write("kubernetes/a.yaml", &(config("a", "x", "2") + &config("b", "x", "2")));
    let plan = project.path("staging.plan");
    project.run(0, &["plan", "staging", "--out", &plan]);
    let text = std::fs::read_to_string(&plan).expect("saved");
    project.kubectl(&[
        "patch",
        "configmap",
        "b",
        "--type=merge",
        "-p",
        r#"{"data":{"x":"theirs"}}"#,
    ]);
    let stale = project.run(3, &["apply", "--plan", &plan, "-y"]);
    assert!(
        stale.contains("have changed since it was made") && stale.contains("data.x  theirs → 2"),
        "{stale}"
    );
    assert_eq!((project.value("a", "x"), project.value("b", "x")), ("1".into(), "theirs".into()));

    project.run(0, &["plan", "staging", "--out", &plan]);
    assert_ne!(
        std::fs::read_to_string(&plan).expect("saved"),
        text,
        "another state, another digest"
    );
    project.run(0, &["apply", "--plan", &plan, "-y"]);
    assert_eq!((project.value("a", "x"), project.value("b", "x")), ("2".into(), "2".into()));
}

#[test]
fn an_object_that_somebody_makes_meanwhile_is_not_written_over() {
    let Some(project) = Project::new("meanwhile") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.apply(0);
    project.write("kubernetes/a.yaml", &(config("a", "x", "1") + &config("late", "x", "ours")));
    let plan = project.path("staging.plan");
    project.run(0, &["plan", "staging", "--out", &plan]);
    project.kubectl(&["create", "configmap", "late", "--from-literal=x=theirs"]);
    let stale = project.run(3, &["apply", "--plan", &plan, "-y"]);
    assert!(stale.contains("late is there already, and belongs to `kubectl-create`"), "{stale}");
    assert_eq!(project.value("late", "x"), "theirs");
}

/// Before our write an edit makes the plan stale, after it the edit stands: at no time may it be lost.
#[test]
fn no_edit_that_comes_while_a_plan_is_applied_is_lost() {
    let Some(project) = Project::new("edits") else { return };
    let names: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let all = |value: &str| names.iter().map(|name| config(name, "x", value)).collect::<String>();
    project.write("kubernetes/a.yaml", &all("0"));
    project.apply(0);
    let plan = project.path("staging.plan");
    let mut exits = Vec::new();
    for round in 1..=6_u64 {
        project.write("kubernetes/a.yaml", &all(&round.to_string()));
        project.run(0, &["plan", "staging", "--out", &plan]);
        let mut child = project
            .command(&["apply", "--plan", &plan, "-y"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it runs");
        let edited = [&names[round as usize], &names[round as usize + 5]];
        for name in edited {
            std::thread::sleep(std::time::Duration::from_millis(round * 60));
            let patch = format!("{{\"data\":{{\"x\":\"theirs-{round}\"}}}}");
            project.kubectl(&["patch", "configmap", name, "--type=merge", "-p", &patch]);
        }
        exits.push(child.wait().expect("it ends").code().expect("an exit code"));
        for name in edited {
            assert_eq!(project.value(name, "x"), format!("theirs-{round}"), "{exits:?}");
        }
    }
    assert!(exits.iter().all(|code| [0, 3].contains(code)), "{exits:?}");
}

/// Whatever somebody does to an object after the plan was made, it is the last word: either the plan is stale, or it came
/// after our write.
#[test]
fn an_edit_of_any_kind_stands() {
    let Some(project) = Project::new("kinds") else { return };
    let names: Vec<String> = (0..16).map(|n| format!("c{n:02}")).collect();
    let all = |value: u32| {
        names.iter().map(|name| config(name, "x", &value.to_string())).collect::<String>()
    };
    let plan = project.path("staging.plan");
    let found = |name: &str, field: &str| {
        let field = format!("jsonpath={{{field}}}");
        project.kubectl(&["get", "configmap", name, "--ignore-not-found", "-o", &field])
    };
    let (mut edits, mut exits) = (0, Vec::new());
    for round in 1..=8_u32 {
        project.write("kubernetes/a.yaml", &all(round));
        // What was made by hand in the round before becomes ours again.
        project.run(0, &["apply", "staging", "-y", "--adopt"]);
        project.write("kubernetes/a.yaml", &all(round + 100));
        project.run(0, &["plan", "staging", "--out", &plan]);
        let mut child = project
            .command(&["apply", "--plan", &plan, "-y"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it runs");
        // Later each round: before, during and after the writes.
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round - 1) * 70));
        let object = |n: u32| names[((round * 5 + n) % 16) as usize].as_str();
        let theirs = format!("theirs-{round}");
        let data = format!("{{\"data\":{{\"x\":\"{theirs}\"}}}}");
        project.kubectl(&["patch", "configmap", object(0), "--type=merge", "-p", &data]);
        project.kubectl(&["label", "--overwrite", "configmap", object(1), &format!("of={theirs}")]);
        project.kubectl(&["delete", "configmap", object(2)]);
        project.kubectl(&["delete", "configmap", object(3)]);
        project.kubectl(&["create", "configmap", object(3), &format!("--from-literal=x={theirs}")]);
        edits += 5;
        exits.push(child.wait().expect("it ends").code().expect("an exit code"));
        assert_eq!(found(object(0), ".data.x"), theirs, "{exits:?}");
        assert_eq!(found(object(1), ".metadata.labels.of"), theirs, "{exits:?}");
        assert_eq!(found(object(2), ".metadata.name"), "", "{exits:?}");
        assert_eq!(found(object(3), ".data.x"), theirs, "{exits:?}");
    }
    assert!(edits >= 40 && exits.iter().all(|code| [0, 3].contains(code)), "{exits:?}");
    assert!(exits.contains(&3), "no edit came before a write: {exits:?}");
}
