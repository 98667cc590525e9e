//! What comes out of templates, and what people see when nothing does.

mod kubernetes;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{RenderErrors, RenderedFile, render, render_environment};
use crate::config::{Inputs, SourceFile, defaults, model::Environment, resolve};

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.into(), text: text.into() }
}

fn one(text: &str, context: Value) -> Result<String, RenderErrors> {
    render(&[file("templates/a.tera", text)], &context).map(|mut files| files.remove(0).text)
}

fn shipped() -> Vec<SourceFile> {
    let templates = defaults().iter().filter(|(path, _)| !path.starts_with("environments/"));
    templates.map(|(path, text)| file(path, text)).collect()
}

fn environment(text: &str) -> Environment {
    let files = vec![file("environments/test.yaml", text)];
    let found = resolve(&Inputs { files, ..Inputs::default() });
    found.unwrap_or_else(|errors| panic!("{errors}")).environment
}

fn document<'a>(files: &'a [RenderedFile], path: &str) -> &'a str {
    let found = files.iter().find(|file| file.path == path);
    &found.unwrap_or_else(|| panic!("no {path}")).text
}

/// With everything that needs care: quotes, dollars, both kinds of secret, a name with a dash.
const SHOP: &str = r#"
project: shop
edge: {listen: "127.0.0.1:8080", metrics_listen: "127.0.0.1:9090"}
components:
  api:
    artifact: bundled
    command: [./neuroca, serve]
    migrate: [./neuroca, migrate]
    env: {NEUROCA_DB_URL: "sqlite://${data_dir}/nca.db", GREETING: "no \"$HOME\": #1"}
    secrets: {NEUROCA_SECRET_KEY: file:/etc/key, TOKEN: env:SHOP_TOKEN, OTHER: file:/etc/other}
    limits: {memory: 512MiB, open_files: 1024, processes: 64}
  web-2:
    artifact: ./web
    command: [./run, --title, "a | b"]
    routes: [{path: /shop}, {path: /, host: shop.example}]
    replicas: 2
  worker: {artifact: bundled, command: [./neuroca, worker], port: false}
"#;

#[test]
fn compose() {
    let files = render_environment("test", &environment(SHOP), &shipped()).unwrap();
    assert_snapshot!(document(&files, "compose/docker-compose.yml"), @r#"
    # shop (test) for Docker Compose. Rendered; change the environment file or the template.
    #
    # Compose replaces containers in place: there is no edge proxy, so a new version refuses requests while
    # it starts. Secrets come from the environment of `docker compose` or from files, never from here.
    name: "shop-test"

    x-api: &api
      image: "${NEUROCA_IMAGE:-neuroca:latest}"
      environment:
        "GREETING": "no \"$$HOME\": #1"
        "NEUROCA_DB_URL": "sqlite:///data/nca.db"
        # The content of "/etc/other".
        "OTHER": "${OTHER:?OTHER is not set}"
        "TOKEN": "${SHOP_TOKEN:?SHOP_TOKEN is not set}"
        "NEUROCA_SECRET_KEY_FILE": "/run/secrets/api-NEUROCA_SECRET_KEY"
        "HOST": "0.0.0.0"
        "PORT": "8000"
      secrets:
        - api-NEUROCA_SECRET_KEY
      volumes: ["data:/data"]

    x-web-2: &web-2
      # An image that runs "./web".
      image: "${WEB_2_IMAGE:?name an image that runs web-2}"
      environment:
        "HOST": "0.0.0.0"
        "PORT": "8000"
      volumes: ["data:/data"]

    x-worker: &worker
      image: "${NEUROCA_IMAGE:-neuroca:latest}"
      environment: {}
      volumes: ["data:/data"]

    services:
      api-migrate:
        <<: *api
        command: ["./neuroca","migrate"]
        restart: "no"

      api:
        <<: *api
        command: ["./neuroca","serve"]
        restart: unless-stopped
        depends_on:
          api-migrate: {condition: service_completed_successfully}
        stop_grace_period: 30s
        ports: ["127.0.0.1:8080:8000"]
        healthcheck:
          test: ["CMD-SHELL", "curl -fsS http://127.0.0.1:8000/health/ready"]
          interval: 1s
          timeout: 2s
          retries: 3
          start_period: 60s
        mem_limit: 536870912
        pids_limit: 64
        ulimits:
          nofile: 1024
        logging:
          driver: json-file
          options:
            max-size: "10485760"
            max-file: "6"

      web-2:
        <<: *web-2
        command: ["./run","--title","a | b"]
        restart: unless-stopped
        depends_on:
          api-migrate: {condition: service_completed_successfully}
        stop_grace_period: 30s
        expose: ["8000"]
        deploy:
          replicas: 2
        healthcheck:
          test: ["CMD-SHELL", "curl -fsS http://127.0.0.1:8000/health/ready"]
          interval: 1s
          timeout: 2s
          retries: 3
          start_period: 60s
        logging:
          driver: json-file
          options:
            max-size: "10485760"
            max-file: "6"

      worker:
        <<: *worker
        command: ["./neuroca","worker"]
        restart: unless-stopped
        depends_on:
          api-migrate: {condition: service_completed_successfully}
        stop_grace_period: 30s
        deploy:
          replicas: 1
        logging:
          driver: json-file
          options:
            max-size: "10485760"
            max-file: "6"

    volumes:
      data: {}

    secrets:
      api-NEUROCA_SECRET_KEY:
        file: "/etc/key"
    "#);
}

#[test]
fn summary_for_operators() {
    let files = render_environment("test", &environment(SHOP), &shipped()).unwrap();
    assert_snapshot!(document(&files, "local/components.md"), @r#"
    # shop: test

    Clients are served on `127.0.0.1:8080`. The edge's metrics are on `127.0.0.1:9090`.
    A new release takes over by `blue_green`, is watched for 5s and can be turned back
    at once for 1h.

    | component | command | answers | processes | drain | artifact |
    |---|---|---|---|---|---|
    | api | `./neuroca serve` | `/` | 1 | 30s | bundled |
    | web-2 | `./run --title a \| b` | `/shop`, `shop.example/` | 2 | 30s | ./web |
    | worker | `./neuroca worker` | nothing | 1 | 30s | bundled |

    ## api

    Ready when `/health/ready` answers 2xx (asked every 1s, 1m to start).

    Before traffic is shifted `./neuroca migrate` runs, under a lock.

    | variable | value |
    |---|---|
    | GREETING | `no "$HOME": #1` |
    | NEUROCA_DB_URL | `sqlite://${data_dir}/nca.db` |
    | NEUROCA_SECRET_KEY | secret, from the file `/etc/key` |
    | OTHER | secret, from the file `/etc/other` |
    | TOKEN | secret, from the variable `SHOP_TOKEN` of the command |

    ## web-2

    Ready when `/health/ready` answers 2xx (asked every 1s, 1m to start).

    ## worker

    Does not listen; one revision runs at a time.
    "#);
}

#[test]
fn unit_file() {
    let files = render_environment("test", &environment(SHOP), &shipped()).unwrap();
    assert_snapshot!(document(&files, "local/neuroca-deploy.service"), @r#"
    # The supervisor of shop (test) as a system service.
    # `neuroca-deploy local install test` writes this file with the places of its machine filled in.
    [Unit]
    Description=neuroca-deploy: shop (test)
    After=network-online.target
    Wants=network-online.target

    [Service]
    Type=exec
    User=neuroca-deploy
    WorkingDirectory=/etc/neuroca-deploy/shop
    # Where the programs of components are looked for.
    Environment="PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
    StateDirectory=neuroca-deploy
    StateDirectoryMode=0700
    ExecStart="/usr/local/bin/neuroca-deploy" --project "/etc/neuroca-deploy/shop" --state-dir "/var/lib/neuroca-deploy" local supervise "test"
    # Killed, it is started again; after `neuroca-deploy local stop` it stays stopped.
    Restart=on-failure
    RestartSec=1
    # Components, edge and keeper outlive the supervisor, so that its upgrade or its death is no outage.
    KillMode=process
    # Stopping it drains and stops all of them.
    TimeoutStopSec=120
    Delegate=yes
    LimitNOFILE=65536
    NoNewPrivileges=yes
    ProtectSystem=full

    [Install]
    WantedBy=multi-user.target
    "#);
}

#[test]
fn compose_is_read_back_as_it_was_meant() {
    let files = render_environment("test", &environment(SHOP), &shipped()).unwrap();
    let read: Value =
        serde_yaml::from_str(document(&files, "compose/docker-compose.yml")).expect("YAML");
    let api = &read["services"]["api"];
    assert_eq!(api["environment"]["GREETING"], "no \"$$HOME\": #1");
    assert_eq!(api["environment"]["NEUROCA_DB_URL"], "sqlite:///data/nca.db");
    assert_eq!(api["environment"]["TOKEN"], "${SHOP_TOKEN:?SHOP_TOKEN is not set}");
    assert_eq!(
        api["environment"]["NEUROCA_SECRET_KEY_FILE"],
        "/run/secrets/api-NEUROCA_SECRET_KEY"
    );
    assert_eq!(api["secrets"], json!(["api-NEUROCA_SECRET_KEY"]));
    assert_eq!(read["secrets"]["api-NEUROCA_SECRET_KEY"]["file"], "/etc/key");
    assert_eq!(api["depends_on"]["api-migrate"]["condition"], "service_completed_successfully");
    assert_eq!(read["services"]["web-2"]["image"], "${WEB_2_IMAGE:?name an image that runs web-2}");
    assert_eq!(read["services"]["web-2"]["deploy"]["replicas"], 2);
    assert!(read["services"]["worker"].get("healthcheck").is_none());
}

#[test]
fn an_undefined_variable_is_an_error_with_its_place() {
    let context = json!({ "edge": { "listen": "x" }, "project": "x" });
    assert_snapshot!(one("# one\n  {{ edge.lisen }}\n", context.clone()).unwrap_err(), @r"
    templates/a.tera:2:11: Field `lisen` is not defined. Available fields: listen
      hint: did you mean `listen`?
    ");
    assert_snapshot!(one("{{ projct }}", context.clone()).unwrap_err(), @r"
    templates/a.tera:1:4: Variable `projct` is not defined. Available variables: edge, project
      hint: did you mean `project`?
    ");
    assert_snapshot!(one("{% for c in components %}{% endfor %}", context).unwrap_err(), @r"
    templates/a.tera:1:13: Iteration not possible on type `undefined`
      hint: the name is not defined; check how it is spelt
    ");
}

#[test]
fn all_broken_templates_are_named() {
    let templates = [
        file("templates/a.tera", "{% if x %}"),
        file("templates/b.tera", "fine"),
        file("templates/c.tera", "\n{{ x | nosuch }}"),
        file("templates/d.tera", "{{ x + }}"),
    ];
    assert_snapshot!(render(&templates, &json!({ "x": 1 })).unwrap_err(), @r"
    templates/a.tera:1:11: Unexpected end of input
    templates/d.tera:1:8: Found `}}` but expected one of: integer, float, string, bool, ident, `-`, `not`, `<`, `{`, `[` or `(`
    ");
    let templates = [
        file("templates/a.tera", "{{ x }}"),
        file("templates/b.yaml.tera", "a: {{ y }}\n"),
        file("templates/c/a.yaml.tera", "a: {{ z }}"),
        file("templates/c/a.yaml", "a: b"),
        file("templates/c/b.yaml.tera", "a: b"),
    ];
    assert_snapshot!(render(&templates, &json!({ "y": "b: c", "z": 1 })).unwrap_err(), @r"
    templates/a.tera:1:4: Variable `x` is not defined. Available variables: y, z
    templates/b.yaml.tera:1:1: `b.yaml` would not be valid YAML at line 1, column 5: mapping values are not allowed in this context
      hint: put values through the filter `quoted`: {{ value | quoted }}
    templates/c/a.yaml:1:1: this and templates/c/a.yaml.tera both make `c/a.yaml`
      hint: rename one of them
    ");
}

#[test]
fn parts_are_included_and_files_without_suffix_taken_as_they_are() {
    let templates = [
        file("templates/b/page.txt.tera", "{% include \"templates/b/_head.tera\" %}{{ x }}\n"),
        file("templates/b/_head.tera", "head of {{ x }}: "),
        file("templates/a.txt", "{{ as it is }}\n"),
    ];
    let files = render(&templates, &json!({ "x": "<y>" })).unwrap();
    let all: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.text.as_str())).collect();
    assert_eq!(all, [("a.txt", "{{ as it is }}\n"), ("b/page.txt", "head of <y>: <y>\n")]);
}

#[test]
fn maps_come_in_the_order_of_their_keys() {
    let context = json!({ "map": { "z": 1, "a": 2, "m": 3, "b": 4 } });
    for _ in 0..20 {
        let text = one(
            "{% for k, v in map %}{{ k }}={{ v }} {% endfor %}{{ map | quoted }}",
            context.clone(),
        );
        assert_eq!(text.unwrap(), "a=2 b=4 m=3 z=1 {\"a\":2,\"b\":4,\"m\":3,\"z\":1}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rendering_twice_gives_the_same_bytes(
        env in prop::collection::btree_map("[A-F]", any::<String>(), 0..6),
        replicas in 1u32..9,
    ) {
        let mut environment = environment(SHOP);
        let web = environment.components.get_mut("web-2").unwrap();
        web.env = env.into_iter().map(|(name, value)| (name, value.replace('\0', ""))).collect();
        web.replicas = replicas;
        let first = render_environment("test", &environment, &shipped());
        let mut backwards = shipped();
        backwards.reverse();
        prop_assert!(first.is_ok(), "{:?}", first);
        prop_assert_eq!(first, render_environment("test", &environment, &backwards));
    }

    #[test]
    fn quoted_text_is_read_back_from_yaml(text in any::<String>()) {
        let context = json!({ "text": text });
        let yaml = one("a: {{ text | quoted }}\n", context).unwrap();
        let read: Value = serde_yaml::from_str(&yaml).expect("YAML");
        prop_assert_eq!(&read["a"], &json!(text));
    }
}
