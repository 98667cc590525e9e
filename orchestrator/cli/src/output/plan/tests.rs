use neuroca_deploy_core::config::{Inputs, SourceFile, resolve};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::plan::{Base, InForce, Plan};
use neuroca_deploy_core::release::{ComponentRelease, Release, SecretVersion};

use super::*;

const BASE: &str = "
project: shop
components:
  web:
    artifact: dist
    command: [./web, serve]
    replicas: 2
    env: {LOG_LEVEL: info}
  jobs:
    artifact: dist
    command: [./web, jobs]
    port: false
";

fn release(text: &str, secret: Option<&str>) -> (Release, impl Fn(&str) -> Option<String>) {
    let files = vec![SourceFile { name: "environments/production.yaml".into(), text: text.into() }];
    let resolved = resolve(&Inputs { files, ..Inputs::default() }).expect("valid");
    let environment = resolved.environment;
    let components = environment.components.into_iter().map(|(name, spec)| {
        let version = |v: &str| SecretVersion { reference: "env:TOKEN".into(), version: v.into() };
        let secrets = secret.map(|v| ("TOKEN".to_string(), version(v))).into_iter().collect();
        let artifact = Digest::of(&spec.artifact);
        (name, ComponentRelease { artifact, spec, secrets, restarted: None })
    });
    let release = Release {
        project: environment.project,
        environment: "production".into(),
        version: None,
        components: components.collect(),
        edge: environment.edge,
        rollout: environment.rollout,
        retention: environment.retention,
        kubernetes: None,
        manifests: Vec::new(),
        rendered: BTreeMap::new(),
    };
    (release, move |path: &str| resolved.origins.get(path))
}

fn shown(old: Option<(&str, Option<&str>)>, new: (&str, Option<&str>), rollback: bool) -> String {
    let old = old.map(|(text, secret)| release(text, secret).0);
    let (new, origin) = release(new.0, new.1);
    let base = match &old {
        Some(old) => Base { release: Some(old.id()), sequence: 7, stranded: Vec::new() },
        None => Base::default(),
    };
    let made =
        Plan::new(base, InForce { release: old.as_ref(), stranded: &[] }, new, rollback, &origin);
    plan(&made, Show { paint: Paint(false), defaults: false })
}

#[test]
fn a_first_release() {
    insta::assert_snapshot!(shown(None, (BASE, None), false));
}

#[test]
fn a_change_with_its_origin() {
    let new = BASE.replace("info", "debug").replace("replicas: 2", "replicas: 2\n    drain: 10s");
    insta::assert_snapshot!(shown(Some((BASE, None)), (&new, None), false));
}

#[test]
fn no_time_at_all_is_in_seconds() {
    let new = BASE.replace("info", "0ms") + "rollout: {rollback_window: 0s}\n";
    let text = shown(Some((BASE, None)), (&new, None), false);
    let line = |setting: &str| text.lines().find(|line| line.contains(setting)).expect("a line");
    assert!(line("rollback_window").contains("1h → 0s"), "{text}");
    assert!(line("env.LOG_LEVEL").contains("info → 0ms"), "{text}");
}

#[test]
fn more_replicas_move_no_request() {
    let new = BASE.replace("replicas: 2", "replicas: 5");
    insta::assert_snapshot!(shown(Some((BASE, None)), (&new, None), false));
}

#[test]
fn a_component_goes() {
    let new = &BASE[..BASE.find("  jobs").expect("it is there")];
    insta::assert_snapshot!(shown(Some((BASE, None)), (new, None), false));
}

#[test]
fn recreate_says_that_it_stops_first() {
    let new = format!("{}rollout: {{strategy: recreate}}\n", BASE.replace("info", "debug"));
    insta::assert_snapshot!(shown(Some((BASE, None)), (&new, None), false));
}

#[test]
fn a_secret_is_never_shown() {
    let text = shown(Some((BASE, Some("aaaa"))), (BASE, Some("bbbb")), false);
    assert!(!text.contains("aaaa") && !text.contains("bbbb"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_to_do() {
    insta::assert_snapshot!(shown(Some((BASE, None)), (BASE, None), false));
}

#[test]
fn a_value_cannot_write_to_the_terminal() {
    let new = BASE.replace("info", "\"\\e[31mred\\nnext\"");
    let text = shown(Some((BASE, None)), (&new, None), false);
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains("·[31mred·next"), "{text}");
}
