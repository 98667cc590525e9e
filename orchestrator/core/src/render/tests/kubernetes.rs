//! The manifests for a cluster: their text, and that they fit together.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{SHOP, document, environment, file, shipped};
use crate::config::model::Environment;
use crate::config::{Inputs, resolve};
use crate::render::{RenderedFile, render_environment};

/// What a cluster adds to the shop.
const ON_A_CLUSTER: &str = r#"
kubernetes:
  gateway: {name: public, namespace: gateways, listener: http, hosts: [shop.example.org]}
  ingress: {class: nginx, namespace: ingress-nginx, tls_secret: shop-tls}
  metrics_from: monitoring
  pull_secrets: [registry]
  storage: {size: 5GiB, class: fast}
components:
  api:
    kubernetes:
      image: registry.example/neuroca@sha256:abc
      egress: [{to: 10.0.0.0/8, port: 5432}, {to: "namespace:redis", port: 6379}]
  web-2:
    kubernetes:
      image: registry.example/web:2
      autoscale: {min: 2, max: 6, memory: 80}
"#;

fn on_a_cluster() -> Environment {
    let files =
        vec![file("environments/base.yaml", SHOP), file("environments/test.yaml", ON_A_CLUSTER)];
    let found = resolve(&Inputs { files, ..Inputs::default() });
    found.unwrap_or_else(|errors| panic!("{errors}")).environment
}

fn rendered(environment: &Environment) -> Vec<RenderedFile> {
    let files = render_environment("test", environment, &shipped());
    let files = files.unwrap_or_else(|errors| panic!("{errors}"));
    files.into_iter().filter(|file| file.path.starts_with("kubernetes/")).collect()
}

/// Every object of every document.
fn objects(files: &[RenderedFile]) -> Vec<Value> {
    let manifests = files.iter().filter(|file| file.path.ends_with(".yaml"));
    let parts = manifests.flat_map(|file| file.text.split("\n---\n"));
    let objects = parts.map(|part| {
        serde_yaml::from_str::<Value>(part).unwrap_or_else(|error| panic!("{error}:\n{part}"))
    });
    objects.filter(Value::is_object).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn names(objects: &[Value], kind: &str) -> BTreeSet<String> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_string();
    of_kind(objects, kind).into_iter().map(name).collect()
}

/// The templates of the pods, with the name of what makes them.
fn pods(objects: &[Value]) -> Vec<(&str, &Value)> {
    let makers = ["Deployment", "Job"].into_iter().flat_map(|kind| of_kind(objects, kind));
    makers.map(|m| (m["metadata"]["name"].as_str().unwrap(), &m["spec"]["template"])).collect()
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().into_iter().flatten();
    wanted.into_iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn without_the_section_there_are_none() {
    assert!(rendered(&environment(SHOP)).is_empty());
}

#[test]
fn every_document_of_a_shop() {
    let files = rendered(&on_a_cluster());
    let all: Vec<_> =
        files.iter().map(|f| format!("##### {}\n{}", f.path, f.text.trim())).collect();
    assert_snapshot!(all.join("\n\n"));
}

#[test]
fn kubectl_applies_the_namespace_first_and_workloads_after_what_they_name() {
    let files = rendered(&on_a_cluster());
    let order: Vec<_> = objects(&files).iter().map(|o| o["kind"].clone()).collect();
    let first = |kind: &str| order.iter().position(|k| k == kind).unwrap();
    assert_eq!(first("Namespace"), 0);
    for kind in ["ServiceAccount", "NetworkPolicy", "ConfigMap", "PersistentVolumeClaim"] {
        assert!(first(kind) < first("Job") && first(kind) < first("Deployment"), "{kind}");
    }
}

#[test]
fn what_a_pod_names_is_there() {
    let objects = objects(&rendered(&on_a_cluster()));
    for (maker, pod) in pods(&objects) {
        let spec = &pod["spec"];
        let account = spec["serviceAccountName"].as_str().unwrap();
        assert!(names(&objects, "ServiceAccount").contains(account), "{maker}: {account}");
        let container = &spec["containers"][0];
        for source in container["envFrom"].as_array().into_iter().flatten() {
            let config = source["configMapRef"]["name"].as_str().unwrap();
            assert!(names(&objects, "ConfigMap").contains(config), "{maker}: {config}");
        }
        for volume in spec["volumes"].as_array().into_iter().flatten() {
            if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                assert!(names(&objects, "PersistentVolumeClaim").contains(claim), "{maker}");
            }
        }
        let volumes = spec["volumes"].as_array().unwrap();
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{maker}");
        }
    }
}

#[test]
fn selectors_select_the_pods_that_serve_and_no_others() {
    let objects = objects(&rendered(&on_a_cluster()));
    for deployment in of_kind(&objects, "Deployment") {
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        assert!(selects(selector, &deployment["spec"]["template"]["metadata"]["labels"]));
    }
    for service in of_kind(&objects, "Service") {
        let name = &service["metadata"]["name"];
        let selected = pods(&objects)
            .into_iter()
            .filter(|(_, pod)| selects(&service["spec"]["selector"], &pod["metadata"]["labels"]));
        let selected: Vec<_> = selected.map(|(maker, _)| maker).collect();
        assert_eq!(json!(selected), json!([name]), "a migration gets no request");
    }
    // Routes lead to Services that are there, by a port that they have.
    for route in of_kind(&objects, "HTTPRoute") {
        for rule in route["spec"]["rules"].as_array().unwrap() {
            let backend = &rule["backendRefs"][0];
            let service = of_kind(&objects, "Service")
                .into_iter()
                .find(|service| service["metadata"]["name"] == backend["name"])
                .unwrap();
            assert_eq!(service["spec"]["ports"][0]["port"], backend["port"]);
        }
    }
    // Every pod, a migration's as well, is under the policies that let it out.
    for policy in of_kind(&objects, "NetworkPolicy") {
        if policy["metadata"]["name"] == "api" {
            let selector = &policy["spec"]["podSelector"]["matchLabels"];
            let under = pods(&objects)
                .into_iter()
                .filter(|(_, pod)| selects(selector, &pod["metadata"]["labels"]));
            assert_eq!(under.count(), 2, "api and its migration");
        }
    }
}

#[test]
fn other_content_has_another_name_and_the_same_content_the_same() {
    let before = on_a_cluster();
    let mut after = before.clone();
    after.components.get_mut("api").unwrap().env.insert("GREETING".into(), "hello".into());
    let [old, new] = [&before, &after].map(|environment| objects(&rendered(environment)));
    let changed = |kind: &str| names(&old, kind).difference(&names(&new, kind)).count();
    assert_eq!(names(&old, "ConfigMap"), names(&objects(&rendered(&before)), "ConfigMap"));
    assert_eq!((changed("ConfigMap"), changed("Job"), changed("Deployment")), (1, 1, 0));
    assert!(of_kind(&old, "ConfigMap").iter().all(|config| config["immutable"] == true));
}

#[test]
fn an_autoscaler_owns_the_replicas() {
    let objects = objects(&rendered(&on_a_cluster()));
    for deployment in of_kind(&objects, "Deployment") {
        let name = deployment["metadata"]["name"].as_str().unwrap();
        let scaled = names(&objects, "HorizontalPodAutoscaler").contains(name);
        assert_eq!(deployment["spec"].get("replicas").is_none(), scaled, "{name}");
    }
}

#[test]
fn a_volume_for_one_node_keeps_its_pods_together_and_a_shared_one_spreads_them() {
    let mut environment = on_a_cluster();
    environment.components.get_mut("api").unwrap().replicas = 3;
    let api = |environment: &Environment| {
        let objects = objects(&rendered(environment));
        pods(&objects).into_iter().find(|(maker, _)| *maker == "api").unwrap().1["spec"].clone()
    };
    let together = api(&environment);
    assert!(together["affinity"]["podAffinity"].is_object(), "{together}");
    assert!(together.get("topologySpreadConstraints").is_none());
    environment.kubernetes.as_mut().unwrap().storage.shared = true;
    let apart = api(&environment);
    assert!(apart.get("affinity").is_none(), "{apart}");
    assert_eq!(apart["topologySpreadConstraints"].as_array().unwrap().len(), 2);
}

#[test]
fn a_host_has_the_paths_of_every_host_as_well() {
    let objects = objects(&rendered(&on_a_cluster()));
    let rules = |name: &str| -> Vec<(String, String)> {
        let routes = of_kind(&objects, "HTTPRoute");
        let route = routes.iter().find(|route| route["metadata"]["name"] == name).unwrap();
        let rules = route["spec"]["rules"].as_array().unwrap();
        let pair = |rule: &Value| {
            let path = rule["matches"][0]["path"]["value"].as_str().unwrap();
            (path.to_string(), rule["backendRefs"][0]["name"].as_str().unwrap().to_string())
        };
        rules.iter().map(pair).collect()
    };
    let pair = |path: &str, name: &str| (path.to_string(), name.to_string());
    assert_eq!(rules("shop-test"), [pair("/shop", "web-2"), pair("/", "api")]);
    // Asked for by its host, `/shop` would otherwise be lost to that host's `/`.
    assert_eq!(rules("shop-test-shop-example"), [pair("/shop", "web-2"), pair("/", "web-2")]);
}

#[test]
fn text_for_people_says_which_secrets_to_make() {
    let files = rendered(&on_a_cluster());
    let readme = document(&files, "kubernetes/README.md");
    assert!(readme.contains("create secret generic api-secrets"), "{readme}");
    assert!(readme.contains("--from-file=TOKEN=<(printf %s \"$SHOP_TOKEN\")"), "{readme}");
    assert!(readme.contains("--from-file=NEUROCA_SECRET_KEY=\"/etc/key\""), "{readme}");
}
