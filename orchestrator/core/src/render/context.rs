//! What templates can use.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kubernetes;
use crate::config::model::{Component, Environment};
use crate::config::service_parameters;

/// Beyond draining: what does not end is killed, and a step that was begun is ended.
const STOPPING_SECONDS: u64 = 60;

/// The context of an environment:
///
/// - `environment`: its name; `project`, `target`, `edge`, `rollout`, `retention`: as in its file, with
///   every default filled in;
/// - `components`: a list, sorted by `name`, each as in the file but `env` a list of `name` and `value`,
///   `secrets` a list of `name`, `source` (`env` or `file`) and `from`, `secret_files` those of them that
///   the component can read from a file itself (`NAME_FILE`), and `front` whether it answers `/`;
/// - `migrating` and `reading_files`: names of the components that migrate, and of those with `secret_files`;
/// - where there is a `kubernetes:` section, `kubernetes` with its `namespace`, `instance` (of the labels)
///   and `claim` filled in, `routes` (a list of `name`, `hosts`, and `rules` of `path` and `component`),
///   and for each component `kubernetes` with every default filled in, `instance` (the name of
///   its Deployment and Service), `revision` (null unless it is one of several), `config_name` and `secret_name`;
/// - `stop_seconds`: how long it takes at most to stop all of it;
/// - `host`: the conventional places on a machine: `binary`, `project` (its folder), `state` (the
///   folder of `--state-dir`), `user`, `path` (where programs are looked for). Who knows better replaces
///   them.
///
/// No secret value is in it.
pub fn context(name: &str, environment: &Environment) -> Value {
    let mut context = serde_json::to_value(environment).unwrap_or_default();
    context["environment"] = json!(name);
    context["components"] =
        environment.components.iter().map(|(name, component)| describe(name, component)).collect();
    let names = |wanted: &dyn Fn(&Value) -> bool| -> Value {
        let all = context["components"].as_array().into_iter().flatten();
        all.filter(|c| wanted(c)).map(|c| c["name"].clone()).collect()
    };
    let migrating = names(&|c| !c["migrate"].is_null());
    let reading = names(&|c| c["secret_files"].as_array().is_some_and(|files| !files.is_empty()));
    context["migrating"] = migrating;
    context["reading_files"] = reading;
    // The edge drains, then the components do.
    let drain_ms = environment.components.values().map(|c| c.drain.0).max().unwrap_or(0);
    context["stop_seconds"] = json!(2 * drain_ms.div_ceil(1000) + STOPPING_SECONDS);
    context["host"] = json!({
        "binary": "/usr/local/bin/neuroca-deploy",
        "project": format!("/etc/neuroca-deploy/{}", environment.project),
        "state": "/var/lib/neuroca-deploy",
        "user": "neuroca-deploy",
        "path": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
    });
    kubernetes::describe(&mut context, name, environment);
    context
}

fn describe(name: &str, component: &Component) -> Value {
    let mut described = serde_json::to_value(component).unwrap_or_default();
    described["name"] = json!(name);
    described["front"] = json!(
        component.port
            && (component.routes.is_empty()
                || component.routes.iter().any(|route| route.path == "/" && route.host.is_none()))
    );
    described["env"] = pairs(&component.env, |value| json!({ "value": value }));
    described["secrets"] = pairs(&component.secrets, |reference| {
        let (source, from) = reference.split_once(':').unwrap_or(("", reference));
        json!({ "source": source, "from": from })
    });
    let files = described["secrets"].as_array().into_iter().flatten();
    let readable = files.filter(|s| s["source"] == "file").filter(|s| {
        let name = s["name"].as_str().unwrap_or_default();
        service_parameters::takes(&format!("{name}_FILE")).is_some()
    });
    described["secret_files"] = readable.cloned().collect();
    described
}

fn pairs(map: &BTreeMap<String, String>, describe: impl Fn(&str) -> Value) -> Value {
    let pair = |(name, value): (&String, &String)| {
        let mut pair = describe(value);
        pair["name"] = json!(name);
        pair
    };
    map.iter().map(pair).collect()
}
