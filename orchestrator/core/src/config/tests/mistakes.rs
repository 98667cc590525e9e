//! Mistakes in a file: each with its place, all at once, with a way out.

use insta::assert_snapshot;

use super::*;

#[test]
fn all_mistakes_of_all_files_come_at_once_in_order() {
    let base = "project: demo\nedge:\n  lisen: 127.0.0.1:1\ncomponents:\n  web:\n    artifact: ./web\n    command: ./run\n";
    let over = "rollout:\n  strategy: bluegreen\n  watch: 30\ncomponents:\n  web:\n    replcias: 2\n    replicas: two\n    port: yes\n    limits:\n      memory: 1GB\n    wibble: 1\n";
    assert_snapshot!(errors(&[base, over]), @r"
    environments/0.yaml:3:3: unknown key `lisen` in `edge`
      hint: did you mean `listen`?
    environments/0.yaml:7:14: `components.web.command` must be a list, not `./run`
    environments/1.yaml:2:13: `rollout.strategy` cannot be `bluegreen`
      hint: did you mean `blue_green`?
    environments/1.yaml:3:10: `rollout.watch`: `30` needs a whole number and one of ms, s, m, h, d, for example `30s`
    environments/1.yaml:6:5: unknown key `replcias` in `components.web`
      hint: did you mean `replicas`?
    environments/1.yaml:7:15: `components.web.replicas` must be a whole number, not `two`
      hint: digits only: no sign, point, separator, exponent or leading zero
    environments/1.yaml:8:11: `components.web.port` must be true or false, not `yes`
    environments/1.yaml:10:15: `components.web.limits.memory`: `1GB` needs a whole number and one of B, KiB, MiB, GiB, TiB, for example `64KiB`
    environments/1.yaml:11:5: unknown key `wibble` in `components.web`
      hint: known: artifact, command, drain, env, health, hooks, kubernetes, limits, logs, migrate, port, replicas, restart, routes, secrets
    ");
}

#[test]
fn what_is_missing_is_said_where_it_should_be() {
    assert_snapshot!(errors(&["project: demo\n", "components:\n  web:\n    port: true\n"]), @r"
    environments/1.yaml:2:3: `components.web.artifact` is missing
      hint: File or directory that is stored by digest and run from there; `bundled` is the NCA service that comes with this tool
    environments/1.yaml:2:3: `components.web.command` is missing
      hint: Program and arguments, run inside the artifact
    ");
    assert_snapshot!(errors(&["edge:\n  access_log: false\n"]), @r"
    environments/0.yaml:1:1: `project` is missing
      hint: The project that this environment belongs to; names its state on the target
    environments/0.yaml:1:1: `components` is missing
      hint: What is deployed, by name
    ");
    assert_snapshot!(errors(&[""]), @r"
    environments/0.yaml:1:1: `project` is missing
      hint: The project that this environment belongs to; names its state on the target
    environments/0.yaml:1:1: `components` is missing
      hint: What is deployed, by name
    ");
}

#[test]
fn inside_of_a_list_nothing_may_be_missing() {
    let text = format!(
        "{SMALL}edge:\n  header_routes:\n    - {{header: x-beta, vaule: '1'}}\n    - x-beta\n"
    );
    assert_snapshot!(errors(&[&text]), @r"
    environments/0.yaml:8:7: `edge.header_routes.0.value` is missing
      hint: The exact value
    environments/0.yaml:8:7: `edge.header_routes.0.to` is missing
      hint: Which side answers
    environments/0.yaml:8:24: unknown key `vaule` in `edge.header_routes.0`
      hint: did you mean `value`?
    environments/0.yaml:9:7: `edge.header_routes.1` must be a map, not `x-beta`
    ");
}

#[test]
fn a_choice_takes_exactly_one_key() {
    let both = format!("{SMALL}edge:\n  sticky: {{cookie: a, header: b}}\n");
    assert_snapshot!(errors(&[&both]), @"environments/0.yaml:7:11: `edge.sticky` needs exactly one of `cookie`, `header`");
    let other = format!("{SMALL}edge:\n  sticky:\n    coookie: a\n");
    assert_snapshot!(errors(&[&other]), @r"
    environments/0.yaml:8:5: unknown key `coookie` in `edge.sticky`
      hint: did you mean `cookie`?
    ");
}

#[test]
fn the_wrong_kind_of_value_is_named() {
    let text =
        web("command: {a: b}\nenv: [A=b]\nreplicas: '2'\nroutes: /\nhealth:\nport: 1\ndrain: [5s]");
    let text = text.replace("    command: [./run]\n", "");
    assert_snapshot!(errors(&[&text]), @r#"
    environments/0.yaml:5:14: `components.web.command` must be a list, not a map
    environments/0.yaml:6:10: `components.web.env` must be a map, not a list
    environments/0.yaml:7:15: `components.web.replicas` must be a whole number without quotes, not the text "2"
    environments/0.yaml:8:13: `components.web.routes` must be a list, not `/`
    environments/0.yaml:9:11: `components.web.health` must be a map, not nothing
    environments/0.yaml:10:11: `components.web.port` must be true or false, not `1`
    environments/0.yaml:11:12: `components.web.drain` must be a duration such as `30s`, not a list
    "#);
    assert_snapshot!(errors(&["- a\n"]), @"environments/0.yaml:1:1: the document must be a map, not a list");
}

#[test]
fn numbers_have_limits() {
    let text =
        format!("{}edge:\n  mirror_percent: 300\n", web("replicas: 5000000000\nlogs: {keep: -1}"));
    assert_snapshot!(errors(&[&text]), @r"
    environments/0.yaml:6:15: `components.web.replicas` must be from 0 to 4294967295, not 5000000000
    environments/0.yaml:7:18: `components.web.logs.keep` must be from 0 to 4294967295, not -1
    environments/0.yaml:9:19: `edge.mirror_percent` must be from 0 to 255, not 300
    ");
    let text = format!("{SMALL}edge:\n  mirror_percent: 101\n");
    assert_snapshot!(errors(&[&text]), @"environments/0.yaml:7:19: `edge.mirror_percent` must be from 0 to 100, not 101");
}

#[test]
fn extends_stands_at_the_top_only() {
    assert_snapshot!(errors(&[&web("extends: other.yaml")]), @r"
    environments/0.yaml:6:5: unknown key `extends` in `components.web`
      hint: `extends` stands at the top of a file only
    ");
    let top = file("environments/a.yaml", "extends: base.yaml\n");
    assert_eq!(extends_of(&top), Ok(Some("base.yaml".into())));
    assert_eq!(extends_of(&file("a.yaml", SMALL)), Ok(None));
    let wrong = extends_of(&file("environments/a.yaml", "# one\nextends: [base.yaml]\n"));
    assert_snapshot!(wrong.unwrap_err(), @r"
    environments/a.yaml:2:10: `extends` must be the name of a file, not a list
      hint: for example `extends: base.yaml`
    ");
}

#[test]
fn a_chain_of_files_stays_in_the_project_and_ends() {
    let base = |name: &str, text: &str| base_of(&[file(name, text)]);
    assert_eq!(
        base("environments/a.yaml", "extends: base.yaml"),
        Ok(Some("environments/base.yaml".into()))
    );
    assert_eq!(
        base("environments/eu/a.yaml", "extends: ../base.yaml"),
        Ok(Some("environments/base.yaml".into()))
    );
    assert_eq!(
        base("environments/a.yaml", "extends: base"),
        Ok(Some("environments/base.yaml".into()))
    );
    assert_eq!(base("environments/a.yaml", "project: x"), Ok(None));
    assert_snapshot!(base("environments/a.yaml", "extends: ../../etc/base.yaml").unwrap_err(), @"environments/a.yaml:1:10: `extends: ../../etc/base.yaml` leads out of the project");
    assert_snapshot!(base("environments/a.yaml", "extends: /etc/base.yaml").unwrap_err(), @"environments/a.yaml:1:10: `extends: /etc/base.yaml` must be relative to this file");
    let cycle = [
        file("environments/a.yaml", "extends: b.yaml"),
        file("environments/b.yaml", "extends: a.yaml"),
    ];
    assert_snapshot!(base_of(&cycle).unwrap_err(), @"environments/b.yaml:1:10: `extends: a.yaml` leads back to environments/a.yaml, which is extended already");
}

#[test]
fn names_addresses_and_numbers_have_to_make_sense() {
    let text = "project: Demo Shop\nedge:\n  listen: localhost:8080\n  metrics_listen: 9090\n  preview_header: 'x preview'\nrollout: {watch: 1h, deadline: 1m}\ncomponents:\n  Web_1:\n    artifact: ''\n    command: []\n    replicas: 0\n    health: {path: ready, failure_threshold: 0, interval: 0s}\n    restart: {backoff: 1m, max_backoff: 1s}\n    hooks: {smoke_test: ['']}\n";
    assert_snapshot!(errors(&[text]), @r#"
    environments/0.yaml:1:10: the project `Demo Shop` is not a valid name
      hint: lower-case letters, digits and `-`, a letter first, 40 at the most
    environments/0.yaml:3:11: `edge.listen` must be address:port, not `localhost:8080`
      hint: for example `127.0.0.1:8080`, or `[::]:8080` for every address
    environments/0.yaml:4:19: `edge.metrics_listen` must be text, but `9090` without quotes is a number to some readers of YAML
      hint: put quotes around it: "9090"
    environments/0.yaml:5:19: `edge.preview_header`: "x preview" is not a name that HTTP allows
      hint: letters, digits and `-`
    environments/0.yaml:6:32: `rollout.deadline` must be longer than `rollout.watch`
      hint: the deadline covers start, shift and watch
    environments/0.yaml:8:3: the component `Web_1` is not a valid name
      hint: lower-case letters, digits and `-`, a letter first, 40 at the most
    environments/0.yaml:9:15: `Web_1` has no artifact
      hint: a file, a directory, or `bundled`
    environments/0.yaml:10:14: the command of `Web_1` is empty
      hint: for example `[./neuroca, serve]`
    environments/0.yaml:11:15: `Web_1` listens, so it needs at least one replica
      hint: to take it out of service, remove the component
    environments/0.yaml:12:20: `components.Web_1.health.path` must start with `/`, not `ready`
    environments/0.yaml:12:46: `components.Web_1.health.failure_threshold` must be at least 1
    environments/0.yaml:12:59: `components.Web_1.health.interval` must be more than 0ms
    environments/0.yaml:13:41: `components.Web_1.restart.max_backoff` (1s) is shorter than `backoff` (1m)
    environments/0.yaml:14:25: the hooks.smoke_test of `Web_1` names no program
      hint: for example `[./neuroca, serve]`
    "#);
    let text = format!("{SMALL}edge: {{listen: '0.0.0.0:80', metrics_listen: '127.0.0.1:80'}}\n");
    assert_snapshot!(errors(&[&text]), @r"
    environments/0.yaml:6:46: `edge.metrics_listen` has the port of `edge.listen`
      hint: give the metrics a port of their own
    ");
    assert_snapshot!(errors(&["project: demo\ncomponents: {}\n"]), @r"
    environments/0.yaml:2:13: there is no component to deploy
      hint: describe one under `components:`
    ");
}

#[test]
fn only_one_component_answers_a_path() {
    let text = "project: demo\ncomponents:\n  api: {artifact: a, command: [a]}\n  job: {artifact: a, command: [a], port: false, routes: [{path: /}]}\n  v1: {artifact: a, command: [a], routes: [{path: /v1/}, {path: v2}, {host: 'https://x', path: /}]}\n  v2: {artifact: a, command: [a], routes: [{path: /v1}, {path: /}]}\n";
    assert_snapshot!(errors(&[text]), @r"
    environments/0.yaml:4:49: `job` does not listen (`port: false`), so it cannot have routes
      hint: remove the routes or `port: false`
    environments/0.yaml:5:65: the route `v2` of `v1` must be a path that starts with `/`
    environments/0.yaml:5:77: the host `https://x` of `v1` must be a plain host name
      hint: no scheme, no port, no wildcard
    environments/0.yaml:6:44: `v1` and `v2` both answer `/v1`
      hint: give one of them `routes:` of its own
    environments/0.yaml:6:57: `api` and `v2` both answer `/`
      hint: give one of them `routes:` of its own
    ");
}

#[test]
fn names_of_variables_are_checked() {
    let text = web(
        "env:\n  NEUROCA_DB_PASWORD: x\n  NEUROCA_ENV: prod\n  NEUROCA_DB_PORT: '0'\n  NEUROCA_DEPLOY_SET: x\n  NEUROCA_API_SERVICE_HOST: x\n  PORT: '80'\n  2BAD: x\n  DATA: ${data-dir}/x\n  OTHER: ${HOME}\n  NEUROCA_SECRET_KEY_FILE: /run/key\nsecrets:\n  OTHER: env:OTHER\n  NEUROCA_SECRET_KEY: env:KEY\n  NEUROCA_LLM_API_KEE_FILE: file:x",
    );
    assert_snapshot!(errors(&[&text]), @r"
    environments/0.yaml:7:7: `NEUROCA_DB_PASWORD` is not a parameter of the service, which refuses to start with it
      hint: did you mean `NEUROCA_DB_PASSWORD`?
    environments/0.yaml:8:20: `NEUROCA_ENV` must be one of development, staging, production, not `prod`
    environments/0.yaml:9:24: `NEUROCA_DB_PORT` must be a number from 1 to 65535, not `0`
    environments/0.yaml:10:7: `NEUROCA_DEPLOY_SET` is a name of this tool's own and is never passed to a component
      hint: use another name
    environments/0.yaml:11:7: `NEUROCA_API_SERVICE_HOST` is not a parameter of the service, which refuses to start with it
      hint: the known names are in the deployment guide; names without NEUROCA_ are free
    environments/0.yaml:12:7: `PORT` of `web` is chosen for each process and cannot be set
      hint: the address for clients is `edge.listen`
    environments/0.yaml:13:7: `2BAD` cannot be the name of an environment variable
      hint: letters, digits and `_`, no digit first
    environments/0.yaml:14:13: `DATA` has an unknown placeholder `${data-dir}`
      hint: did you mean `${data_dir}`?
    environments/0.yaml:16:7: `web` gives both `NEUROCA_SECRET_KEY` and `NEUROCA_SECRET_KEY_FILE`
      hint: keep one of them
    environments/0.yaml:18:7: `OTHER` is in `env` and in `secrets` of `web`
      hint: keep one of them
    environments/0.yaml:20:7: `NEUROCA_LLM_API_KEE_FILE` is not a parameter of the service, which refuses to start with it
      hint: did you mean `NEUROCA_LLM_API_KEY_FILE`?
    ");
}

#[test]
fn a_secret_is_never_shown() {
    let canary = "hunter2-canary";
    let digits = "98127634";
    let texts = [
        web(&format!(
            "secrets:\n  API_TOKEN: {canary}\n  B: vault:{canary}\n  C: 'env:{canary} x'"
        )),
        web(&format!("secrets: {canary}")),
        web(&format!("secrets: [{canary}]")),
        web(&format!("secrets:\n  A: {digits}")),
        web(&format!(
            "env:\n  DB_PASSWORD: {digits}\n  NEUROCA_DB_PASSWORD: {canary}\n  NEUROCA_SECRET_KEY: {canary}"
        )),
        web(&format!("env:\n  NEUROCA_DB_URL: postgres://u:{canary}@db/neuroca")),
        web(&format!("secrets:\n  A: '{canary}\n")),
        web(&format!("secrets:\n  A: \"{canary}\\q\"\n")),
        web(&format!("secrets:\n  A: *{canary}\n").replace("*hunter2-canary", "@hunter2-canary")),
    ];
    for text in &texts {
        let shown = errors(&[text]).to_string();
        assert!(!shown.contains(canary) && !shown.contains(digits), "{shown}");
    }
    for set in [
        format!("components.web.secrets.A={canary}"),
        format!("components.web.secrets={{A: {canary}"),
        format!("components.web.env.NEUROCA_SECRET_KEY={canary}"),
        format!("components.web.secrets.A:{canary}"),
    ] {
        let given = Inputs { sets: vec![set], ..inputs(&[SMALL]) };
        let shown = resolve(&given).unwrap_err().to_string();
        assert!(!shown.contains(canary), "{shown}");
    }
    assert_snapshot!(errors(&[&texts[0]]), @r"
    environments/0.yaml:7:18: `API_TOKEN` is not a reference to a secret
      hint: `env:API_TOKEN` or `file:PATH`; a secret itself must not be written here, and one that was is not secret any more
    environments/0.yaml:8:10: `B` is not a reference to a secret
      hint: `env:B` or `file:PATH`; a secret itself must not be written here, and one that was is not secret any more
    environments/0.yaml:9:10: `C` is not a reference to a secret
      hint: `env:C` or `file:PATH`; a secret itself must not be written here, and one that was is not secret any more
    ");
    assert_snapshot!(errors(&[&texts[4]]), @r"
    environments/0.yaml:7:20: `components.web.env.DB_PASSWORD` must be text, but this without quotes is a number to some readers of YAML
      hint: put quotes around it
    environments/0.yaml:8:28: `NEUROCA_DB_PASSWORD` is a secret and must not be written here
      hint: put a reference under `components.web.secrets`, for example `NEUROCA_DB_PASSWORD: env:NEUROCA_DB_PASSWORD`
    environments/0.yaml:9:27: `NEUROCA_SECRET_KEY` is a secret and must not be written here
      hint: put a reference under `components.web.secrets`, for example `NEUROCA_SECRET_KEY: env:NEUROCA_SECRET_KEY`
    ");
}
