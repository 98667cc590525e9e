//! What wins over what, and how people find out.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::config::units::Millis;

#[test]
fn a_flag_beats_a_variable_beats_a_file_beats_its_base_beats_the_default() {
    let base = format!("{}rollout: {{watch: 1s, deadline: 1h}}\n", web("replicas: 2\ndrain: 1s"));
    let over = "rollout: {watch: 2s}\ncomponents: {web: {replicas: 3}}\n";
    let given = Inputs {
        variables: vec![("NEUROCA_DEPLOY_SET".into(), "components.web.replicas=4".into())],
        sets: vec!["components.web.replicas=5".into(), "components.web.replicas=6".into()],
        ..inputs(&[&base, over])
    };
    let found = resolve(&given).expect("valid");
    assert_eq!(found.environment.components["web"].replicas, 6);
    assert_eq!(found.environment.rollout.watch, Millis(2_000));
    assert_eq!(found.environment.rollout.deadline, Millis(3_600_000));
    let origin = |path: &str| found.origins.get(path);
    assert_eq!(origin("components.web.replicas").as_deref(), Some("--set"));
    assert_eq!(origin("components.web.drain").as_deref(), Some("environments/0.yaml:7"));
    assert_eq!(origin("rollout.watch").as_deref(), Some("environments/1.yaml:1"));
    assert_eq!(origin("rollout.rollback_window").as_deref(), Some("default"));
    assert_eq!(origin("rollout.nothing"), None);
    let without = Inputs { sets: Vec::new(), ..given };
    let found = resolve(&without).expect("valid");
    assert_eq!(found.environment.components["web"].replicas, 4);
    assert_eq!(
        found.origins.get("components.web.replicas").as_deref(),
        Some("variable NEUROCA_DEPLOY_SET")
    );
}

#[test]
fn maps_are_merged_lists_and_choices_replaced() {
    let base = format!(
        "{}edge: {{sticky: {{cookie: a}}}}\n",
        web("env: {A: one, B: two}\nroutes: [{path: /a}, {path: /b}]")
    );
    let over = "edge: {sticky: {header: x-user}}\ncomponents: {web: {env: {B: three}, routes: [{path: /c}], command: [./other]}}\n";
    let found = resolved(&[&base, over]).environment;
    let web = &found.components["web"];
    assert_eq!((web.env["A"].as_str(), web.env["B"].as_str()), ("one", "three"));
    assert_eq!(web.routes.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/c"]);
    assert_eq!(web.command, ["./other"]);
    assert_eq!(found.edge.sticky, Some(crate::config::model::Sticky::Header("x-user".into())));
}

#[test]
fn null_takes_back_what_a_base_gives() {
    let base = format!(
        "{}  job: {{artifact: a, command: [a], port: false}}\nedge: {{metrics_listen: '127.0.0.1:9'}}\n",
        web("env: {A: one, B: two}")
    );
    let over = "edge: {metrics_listen: null}\ncomponents: {job: null, web: {env: {A: null}}}\n";
    let found = resolved(&[&base, over]).environment;
    assert_eq!(found.components.keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(found.components["web"].env.keys().collect::<Vec<_>>(), ["B"]);
    assert_eq!(found.edge.metrics_listen, None);
    assert_snapshot!(errors(&[SMALL, "components: {wbe: null}\n"]), @r"
    environments/1.yaml:1:19: `components.wbe` is null, but nothing before gives it
      hint: null removes what an earlier file gives; leave it out
    ");
}

#[test]
fn overrides_mean_what_their_setting_expects() {
    let sets = [
        "components.web.env.FLAG=no",
        "components.web.env.TEXT=a=b, c: d",
        "components.web.port=true",
        "components.web.command=[./run, '012', --fast]",
        "components.web.routes=[{path: /api}]",
        "components.web.limits.memory=1GiB",
        "edge.metrics_listen=null",
        "edge.sticky={cookie: c}",
        "components.job={artifact: a, command: [a], port: false}",
    ];
    let sets = sets.map(String::from).to_vec();
    let found =
        resolve(&Inputs { sets, ..inputs(&[SMALL]) }).unwrap_or_else(|e| panic!("{e}")).environment;
    let web = &found.components["web"];
    assert_eq!((web.env["FLAG"].as_str(), web.env["TEXT"].as_str()), ("no", "a=b, c: d"));
    assert_eq!(web.command, ["./run", "012", "--fast"]);
    assert_eq!(web.routes[0].path, "/api");
    assert_eq!(web.limits.memory.map(|m| m.0), Some(1 << 30));
    assert!(!found.components["job"].port);
}

#[test]
fn a_wrong_override_is_named() {
    let sets = [
        "components.web.replcias=3",
        "components.web.replicas=three",
        "components.web.port=no",
        "components.web.command.0=./run",
        "components.web.command=./run",
        "components.web.drain=30",
        "components.web.drain.x=30",
        "components..x=1",
        "nonsense",
        "project=",
        "components.web.routes=[{path: /",
    ];
    let sets = sets.map(String::from).to_vec();
    let variables = vec![("NEUROCA_DEPLOY_SET".into(), "projcet=x".into())];
    let shown = resolve(&Inputs { sets, variables, ..inputs(&[SMALL]) }).unwrap_err();
    assert_snapshot!(shown, @r"
    variable NEUROCA_DEPLOY_SET, projcet: unknown key `projcet`
      hint: did you mean `project`?
    --set components.web.command.0: `components.web.command` is a list; it is set as a whole
      hint: for example `components.web.command=[first, second]`
    --set components.web.drain.x: `components.web.drain` is a single value; there is no `x` in it
    --set components..x: a part of the path is empty
    --set: an override is PATH=VALUE, but one has no `=`
      hint: for example `components.api.replicas=3`
    --set components.web.routes: this is not valid YAML: unclosed bracket '{'
    --set components.web.replcias: unknown key `replcias` in `components.web`
      hint: did you mean `replicas`?
    --set components.web.replicas: `components.web.replicas` must be a whole number, not `three`
      hint: digits only: no sign, point, separator, exponent or leading zero
    --set components.web.port: `components.web.port` must be true or false, not `no`
    --set components.web.command: `components.web.command` must be a list, not `./run`
    --set components.web.drain: `components.web.drain`: `30` needs a whole number and one of ms, s, m, h, d, for example `30s`
    ");
}

#[test]
fn explain_says_where_each_value_came_from() {
    let given = Inputs {
        sets: vec!["edge.listen=127.0.0.1:1".into()],
        ..inputs(&[SMALL, "components: {web: {env: {A: x}}}\n"])
    };
    let found = resolve(&given).expect("valid");
    let lines = found.explain();
    assert!(lines.is_sorted_by_key(|line| line.path.clone()));
    let written: Vec<String> = lines
        .iter()
        .filter(|line| line.origin != "default" || line.path.starts_with("edge.t"))
        .map(|line| format!("{} = {}  ({})", line.path, line.value, line.origin))
        .collect();
    assert_snapshot!(written.join("\n"), @r#"
    components.web.artifact = ./web  (environments/0.yaml:4)
    components.web.command = ["./run"]  (environments/0.yaml:5)
    components.web.env.A = x  (environments/1.yaml:1)
    edge.listen = 127.0.0.1:1  (--set)
    edge.tls = (not set)  (default)
    project = demo  (environments/0.yaml:1)
    "#);
}

/// One layer over the base, by what it gives.
#[derive(Debug, Clone)]
struct Layer {
    replicas: Option<u32>,
    watch: Option<u64>,
    env: std::collections::BTreeMap<String, String>,
}

impl Layer {
    fn text(&self) -> String {
        let mut component = serde_json::json!({ "env": self.env });
        if let Some(replicas) = self.replicas {
            component["replicas"] = replicas.into();
        }
        let mut layer = serde_json::json!({ "components": { "web": component } });
        if let Some(watch) = self.watch {
            layer["rollout"] = serde_json::json!({ "watch": Millis(watch) });
        }
        serde_yaml::to_string(&layer).expect("YAML")
    }
}

prop_compose! {
    fn layer()(
        replicas in prop::option::of(1u32..9),
        watch in prop::option::of(1u64..500_000),
        env in prop::collection::btree_map("[A-D]", "\\PC{0,12}", 0..4),
    ) -> Layer {
        Layer { replicas, watch, env }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_last_that_gives_a_value_wins(layers in prop::collection::vec(layer(), 1..4)) {
        let texts: Vec<String> = std::iter::once(SMALL.to_string()).chain(layers.iter().map(Layer::text)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = resolved(&texts).environment;
        let web = &found.components["web"];
        let replicas = layers.iter().rev().find_map(|l| l.replicas).unwrap_or(1);
        prop_assert_eq!(web.replicas, replicas);
        let watch = layers.iter().rev().find_map(|l| l.watch).unwrap_or(5_000);
        prop_assert_eq!(found.rollout.watch, Millis(watch));
        for name in ["A", "B", "C", "D"] {
            let last = layers.iter().rev().find_map(|l| l.env.get(name));
            prop_assert_eq!(web.env.get(name), last);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z:{}\\[\\]&*!|>'\"#%@,\\- \n0-9_]{0,80}") {
        let _ = resolve(&inputs(&[&text]));
        let _ = resolve(&Inputs { sets: vec![text], ..inputs(&[SMALL]) });
    }
}
