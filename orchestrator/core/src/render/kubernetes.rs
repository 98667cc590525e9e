//! What the manifests for a cluster need beyond the settings: names, and what follows from several
//! settings at once.
//!
//! Nothing here knows YAML; that is the templates' part.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::model::{Component, ComponentOnKubernetes, Environment, Health, Kubernetes};
use crate::config::service_parameters;
use crate::config::units::{Bytes, Millis};
use crate::digest::Digest;

/// Where a claim is mounted, and what `${data_dir}` stands for.
const DATA: &str = "/data";
/// Between the end of a pod and the last node that has heard of it; until then requests still come.
const ENDPOINTS_SECONDS: u64 = 5;
/// What a process takes to end after the last request.
const ENDING_SECONDS: u64 = 5;

/// Adds to the context of an environment, see [`super::context()`]. Nothing without a `kubernetes:` section.
pub(super) fn describe(context: &mut Value, name: &str, environment: &Environment) {
    let Some(settings) = &environment.kubernetes else { return };
    let instance = format!("{}-{name}", environment.project);
    context["kubernetes"] = cluster(settings, name, environment, &instance);
    context["routes"] = routes(settings, environment, &instance);
    let components = context["components"].as_array_mut().into_iter().flatten();
    for (described, (name, component)) in components.zip(&environment.components) {
        described["kubernetes"] = workload(name, component);
        described["instance"] = json!(name);
        described["revision"] = Value::Null;
        described["config_name"] = json!(versioned(&format!("{name}-config"), &config(component)));
        described["secret_name"] = json!(format!("{name}-secrets"));
    }
}

fn cluster(settings: &Kubernetes, name: &str, environment: &Environment, instance: &str) -> Value {
    let namespace = settings.namespace_of(&environment.project, name);
    let mut cluster = serde_json::to_value(settings).unwrap_or_default();
    if let Some(gateway) = &settings.gateway {
        let home = gateway.namespace.as_ref().unwrap_or(&namespace);
        cluster["gateway"]["namespace"] = json!(home);
    }
    cluster["namespace"] = json!(namespace);
    cluster["instance"] = json!(instance);
    cluster["claim"] = json!(format!("{instance}-data"));
    cluster["data"] = json!(environment.components.values().any(keeps_data));
    cluster["data_path"] = json!(DATA);
    cluster
}

fn workload(name: &str, component: &Component) -> Value {
    let on = &component.kubernetes;
    let bundled = component.artifact == "bundled";
    // A rule sees to it that only the bundled service comes without.
    let image =
        on.image.clone().unwrap_or_else(|| format!("neuroca:{}", env!("CARGO_PKG_VERSION")));
    let (mounted, variables): (Vec<&String>, Vec<&String>) =
        component.secrets.keys().partition(|name| {
            // The service reads these from a file itself, so that they are in no environment.
            service_parameters::takes(&format!("{name}_FILE")).is_some()
        });
    let drain = component.drain.0.div_ceil(1000);
    let mut workload = serde_json::to_value(on).unwrap_or_default();
    workload["image"] = json!(image);
    workload["config"] = config(component)
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    workload["mounted_secrets"] = json!(mounted);
    workload["variable_secrets"] = json!(variables);
    workload["data"] = json!(keeps_data(component));
    workload["migration_name"] = json!(migration_name(name, component, &image));
    workload["live_path"] = json!(bundled.then_some("/health/live"));
    workload["start_failures"] = json!(start_failures(&component.health));
    workload["endpoints_seconds"] = json!(ENDPOINTS_SECONDS);
    workload["grace_seconds"] = json!(ENDPOINTS_SECONDS + drain + ENDING_SECONDS);
    workload["memory_limit"] = json!(memory_limit(component));
    workload["several"] = json!(several(component, on));
    workload["holes"] = on
        .egress
        .iter()
        .map(|hole| match hole.to.strip_prefix("namespace:") {
            Some(namespace) => json!({ "namespace": namespace, "port": hole.port }),
            None => json!({ "range": hole.to, "port": hole.port }),
        })
        .collect();
    workload
}

fn keeps_data(component: &Component) -> bool {
    component.env.values().any(|value| value.contains("${data_dir}"))
}

fn config(component: &Component) -> BTreeMap<&str, String> {
    let env = component.env.iter();
    env.map(|(name, value)| (name.as_str(), value.replace("${data_dir}", DATA))).collect()
}

/// The name changes with the content, so that the content never changes under a running pod.
fn versioned(name: &str, content: &impl serde::Serialize) -> String {
    format!("{name}-{}", Digest::of(content).short(10))
}

fn migration_name(name: &str, component: &Component, image: &str) -> Option<String> {
    let command = component.migrate.as_ref()?;
    Some(versioned(&format!("{name}-migrate"), &(image, command, config(component))))
}

fn start_failures(health: &Health) -> u64 {
    // Both in whole seconds, as the kubelet counts.
    let seconds = |Millis(ms): Millis| ms.div_ceil(1000).max(1);
    seconds(health.start_timeout).div_ceil(seconds(health.interval))
}

fn memory_limit(component: &Component) -> Bytes {
    component.limits.memory.unwrap_or(Bytes(component.kubernetes.memory.0.saturating_mul(2)))
}

/// Whether one pod can go without the component being gone.
fn several(component: &Component, on: &ComponentOnKubernetes) -> bool {
    let least = on.autoscale.as_ref().map_or(component.replicas, |scale| scale.min);
    component.port && least > 1
}

/// One route a host, the one without a host first; each a list of path and component, longest path first.
///
/// A gateway looks at the host before it looks at the path, where the edge of the local target lets the
/// longest path win. So a host gets the paths of every host as well, unless it has them itself.
fn routes(settings: &Kubernetes, environment: &Environment, instance: &str) -> Value {
    let mut hosts: BTreeMap<Option<&str>, BTreeMap<&str, &str>> = BTreeMap::new();
    let listening = environment.components.iter().filter(|(_, component)| component.port);
    for (name, component) in listening {
        if component.routes.is_empty() {
            hosts.entry(None).or_default().insert("/", name);
        }
        for route in &component.routes {
            hosts.entry(route.host.as_deref()).or_default().insert(&route.path, name);
        }
    }
    let any = hosts.get(&None).cloned().unwrap_or_default();
    let describe = |(host, own): (&Option<&str>, &BTreeMap<&str, &str>)| {
        let mut paths = any.clone();
        paths.extend(own);
        let mut paths: Vec<_> = paths.into_iter().collect();
        paths.sort_by_key(|(path, _)| (std::cmp::Reverse(path.len()), *path));
        let rules: Vec<_> =
            paths.iter().map(|(path, name)| json!({ "path": path, "component": name })).collect();
        match host {
            Some(host) => {
                let name = format!("{instance}-{}", host.replace('*', "any").replace('.', "-"));
                json!({ "name": name, "hosts": [host], "rules": rules })
            }
            None => {
                let hosts = settings.gateway.as_ref().map(|gateway| &gateway.hosts);
                json!({ "name": instance, "hosts": hosts.cloned().unwrap_or_default(), "rules": rules })
            }
        }
    };
    hosts.iter().map(describe).collect()
}
