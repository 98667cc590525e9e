//! A split as routes of the Gateway API: all components in one object, so that they move in one write.
//!
//! A component that answers for a host of its own has a route of its own, since hosts belong to a route.

use std::collections::{BTreeMap, BTreeSet};

use neuroca_deploy_core::config::model::{Gateway, HeaderRoute, Route, Side};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::effect::{Share, Traffic};
use neuroca_deploy_core::release::{Release, RevisionId};
use serde_json::{Value, json};

use crate::names::{Names, TRAFFIC};

/// Annotation of Services: which requests the component answers.
pub const ROUTES: &str = "neuroca-deploy/routes";
/// Annotation of routes: a digest of the rules as they were written.
pub const RULES: &str = "neuroca-deploy/rules";
/// Below this path the gateway itself answers whether it has taken the rules over.
pub const PROBE_PATH: &str = "/.well-known/neuroca-deploy";
/// Values of the preview header that ask for the new revision.
const PREVIEW: [&str; 2] = ["1", "true"];

/// A split, and what it is made into routes with.
pub struct Split<'a> {
    pub names: &'a Names,
    pub gateway: &'a Gateway,
    /// The release whose routes and edge settings are in force.
    pub settings: &'a Release,
    pub traffic: &'a Traffic,
    /// Routes of components that the settings do not have.
    pub declared: &'a BTreeMap<String, Vec<Route>>,
}

/// The routes of a split, that of all hosts first.
pub fn routes(split: &Split<'_>) -> Vec<Value> {
    let mut hosts: BTreeSet<Option<String>> = BTreeSet::from([None]);
    for component in split.traffic.shares.keys() {
        hosts.extend(split.paths(component).into_iter().map(|route| route.host));
    }
    hosts.into_iter().map(|host| split.route(host.as_deref())).collect()
}

/// The split that a route stands for; one that nobody asked for when its rules were changed by somebody else.
pub fn split_of(route: &Value) -> Option<Traffic> {
    let annotations = &route["metadata"]["annotations"];
    let mut traffic: Traffic = serde_json::from_str(annotations[TRAFFIC].as_str()?).ok()?;
    if annotations[RULES].as_str() != Some(digest(&route["spec"]["rules"]).short(16)) {
        traffic.shares.clear();
    }
    Some(traffic)
}

impl Split<'_> {
    fn route(&self, host: Option<&str>) -> Value {
        let mut rules: Vec<Value> = Vec::new();
        for (component, shares) in &self.traffic.shares {
            let of_host = self.paths(component).into_iter().filter(|r| r.host.as_deref() == host);
            let paths: Vec<String> = of_host.map(|route| route.path).collect();
            if !paths.is_empty() {
                rules.extend(self.rules(&paths, shares));
            }
        }
        let written = digest(&json!(rules));
        rules.push(probe(written.short(16)));
        let hosts = host.map_or(self.gateway.hosts.clone(), |host| vec![host.to_lowercase()]);
        let mut parent = json!({
            "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": self.gateway.name,
            "namespace": self.gateway.namespace.as_ref().unwrap_or(&self.names.namespace),
        });
        if let Some(listener) = &self.gateway.listener {
            parent["sectionName"] = json!(listener);
        }
        let mut spec = json!({ "parentRefs": [parent], "rules": rules });
        if !hosts.is_empty() {
            spec["hostnames"] = json!(hosts);
        }
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {
                "name": self.names.route(host),
                "namespace": self.names.namespace,
                "labels": self.names.labels(),
                "annotations": {
                    TRAFFIC: serde_json::to_string(self.traffic).unwrap_or_default(),
                    RULES: digest(&spec["rules"]).short(16),
                },
            },
            "spec": spec,
        })
    }

    fn paths(&self, component: &str) -> Vec<Route> {
        let settings = self.settings.components.get(component).map(|c| &c.spec.routes);
        let routes = settings.or_else(|| self.declared.get(component));
        match routes.map_or(&[][..], Vec::as_slice) {
            [] => vec![Route { host: None, path: "/".into() }],
            routes => routes.to_vec(),
        }
    }

    /// The rules of one component: who is asked for by a header first, then by weight.
    fn rules(&self, paths: &[String], shares: &[Share]) -> Vec<Value> {
        let edge = &self.settings.edge;
        let canary = shares.iter().find(|share| share.canary);
        let stable = shares.iter().find(|share| !share.canary);
        let mut rules = Vec::new();
        if let Some(canary) = canary {
            let preview = |value: &&str| HeaderRoute {
                header: edge.preview_header.clone(),
                value: value.to_string(),
                to: Side::Canary,
            };
            let asked: Vec<HeaderRoute> = PREVIEW.iter().map(preview).collect();
            rules.push(rule(matches(paths, &asked), &[(&canary.revision, 100)], None));
        }
        for header in self.traffic.header_routes.iter().chain(&edge.header_routes) {
            let side = match header.to {
                Side::Canary => canary,
                Side::Stable => stable,
            };
            if let Some(share) = side {
                let asked = std::slice::from_ref(header);
                rules.push(rule(matches(paths, asked), &[(&share.revision, 100)], None));
            }
        }
        let weighed: Vec<(&RevisionId, u32)> = shares
            .iter()
            .filter(|share| share.weight > 0)
            .map(|share| (&share.revision, share.weight))
            .collect();
        if !weighed.is_empty() {
            let percent = edge.mirror_percent.max(self.traffic.mirror);
            let copy = canary.filter(|_| percent > 0).map(|c| (&c.revision, percent));
            rules.push(rule(matches(paths, &[]), &weighed, copy));
        }
        rules
    }
}

/// Each path with each of the headers; the paths alone when there are none.
fn matches(paths: &[String], headers: &[HeaderRoute]) -> Vec<Value> {
    let path = |path: &String| json!({ "path": { "type": "PathPrefix", "value": path } });
    if headers.is_empty() {
        return paths.iter().map(path).collect();
    }
    let both = paths.iter().flat_map(|at| headers.iter().map(move |header| (at, header)));
    both.map(|(at, header)| {
        let mut both = path(at);
        both["headers"] =
            json!([{ "type": "Exact", "name": header.header.to_lowercase(), "value": header.value }]);
        both
    })
    .collect()
}

fn rule(
    matches: Vec<Value>,
    backends: &[(&RevisionId, u32)],
    copy: Option<(&RevisionId, u8)>,
) -> Value {
    let service = |revision: &RevisionId| json!({ "group": "", "kind": "Service", "name": revision, "port": 80 });
    let backend = |(revision, weight): &(&RevisionId, u32)| {
        let mut backend = service(revision);
        backend["weight"] = json!(weight);
        backend
    };
    let mut rule = json!({
        "matches": matches,
        "backendRefs": backends.iter().map(backend).collect::<Vec<_>>(),
    });
    if let Some((revision, percent)) = copy {
        let mirror = json!({ "backendRef": service(revision), "percent": percent });
        rule["filters"] = json!([{ "type": "RequestMirror", "requestMirror": mirror }]);
    }
    rule
}

/// The rule by which the gateway itself tells that it has the others: no backend is asked.
fn probe(digest: &str) -> Value {
    json!({
        "matches": [{ "path": { "type": "Exact", "value": format!("{PROBE_PATH}/{digest}") } }],
        "filters": [{
            "type": "RequestRedirect",
            "requestRedirect": {
                "path": {
                    "type": "ReplaceFullPath",
                    "replaceFullPath": format!("{PROBE_PATH}/in-force"),
                },
                "statusCode": 302,
            },
        }],
    })
}

/// Where the gateway is asked whether it has these rules.
pub fn probe_path(route: &Value) -> Option<String> {
    let rules = route["spec"]["rules"].as_array()?;
    let paths = rules.iter().filter_map(|rule| rule["matches"][0]["path"]["value"].as_str());
    paths.filter(|path| path.starts_with(PROBE_PATH)).map(String::from).next()
}

/// A digest of what rules say, whatever defaults the API server has added to them.
fn digest(rules: &Value) -> Digest {
    let words = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_string();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of_match = |found: &Value| {
        let headers = list(&found["headers"]);
        let headers: Vec<_> =
            headers.iter().map(|h| (words(h, "name"), words(h, "value"))).collect();
        (words(&found["path"], "type"), words(&found["path"], "value"), headers)
    };
    let of_backend = |found: &Value| (words(found, "name"), found["weight"].as_u64().unwrap_or(1));
    let of_filter = |found: &Value| {
        let mirror = &found["requestMirror"];
        let percent = mirror["percent"].as_u64();
        (words(found, "type"), words(&mirror["backendRef"], "name"), percent)
    };
    let of_rule = |rule: &Value| {
        (
            list(&rule["matches"]).iter().map(of_match).collect::<Vec<_>>(),
            list(&rule["backendRefs"]).iter().map(of_backend).collect::<Vec<_>>(),
            list(&rule["filters"]).iter().map(of_filter).collect::<Vec<_>>(),
        )
    };
    Digest::of(&list(rules).iter().map(of_rule).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::{FILE, names, release};

    fn share(revision: &str, weight: u32, canary: bool) -> Share {
        Share { revision: RevisionId(revision.into()), weight, canary }
    }

    fn traffic(shares: Vec<Share>) -> Traffic {
        Traffic {
            settings: release(FILE).id(),
            shares: [("api".to_string(), shares)].into(),
            mirror: 0,
            header_routes: Vec::new(),
        }
    }

    fn made(file: &str, traffic: &Traffic) -> Vec<Value> {
        let (names, settings) = (names(), release(file));
        let gateway = settings.kubernetes.as_ref().and_then(|k| k.gateway.as_ref());
        let declared = BTreeMap::new();
        routes(&Split {
            names: &names,
            gateway: gateway.expect("given"),
            settings: &settings,
            traffic,
            declared: &declared,
        })
    }

    #[test]
    fn weights_are_those_of_the_split_and_the_preview_reaches_the_new_one() {
        let split = traffic(vec![share("api-old", 95, false), share("api-new", 5, true)]);
        let made = made(FILE, &split);
        assert_eq!(made.len(), 1);
        let rules = made[0]["spec"]["rules"].as_array().expect("rules");
        // Preview, the header of the settings, the weights, the probe.
        assert_eq!(rules.len(), 4);
        assert_eq!(rules[0]["matches"][0]["headers"][0]["name"], "x-neuroca-preview");
        assert_eq!(rules[0]["backendRefs"][0]["name"], "api-new");
        assert_eq!(rules[1]["matches"][0]["headers"][0]["value"], "beta");
        let weights: Vec<_> = rules[2]["backendRefs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|b| (b["name"].as_str().unwrap_or_default(), b["weight"].as_u64()))
            .collect();
        assert_eq!(weights, [("api-old", Some(95)), ("api-new", Some(5))]);
        assert_eq!(made[0]["spec"]["hostnames"], json!(["nca.example.com"]));
        assert_eq!(made[0]["spec"]["parentRefs"][0]["sectionName"], "web");
        assert_eq!(split_of(&made[0]), Some(split));
    }

    #[test]
    fn without_weight_nothing_goes_to_it_but_what_asks_for_it() {
        let split = traffic(vec![share("api-old", 100, false), share("api-new", 0, true)]);
        let made = made(FILE, &split);
        let rules = made[0]["spec"]["rules"].as_array().expect("rules");
        assert_eq!(rules[2]["backendRefs"].as_array().map(Vec::len), Some(1));
        assert_eq!(rules[2]["backendRefs"][0]["name"], "api-old");
    }

    #[test]
    fn what_somebody_else_changed_is_another_split_and_what_the_server_adds_is_not() {
        let split = traffic(vec![share("api-old", 100, false)]);
        let mut route = made(FILE, &split).remove(0);
        route["spec"]["rules"][0]["backendRefs"][0]["namespace"] = json!("added");
        assert_eq!(split_of(&route), Some(split.clone()));
        route["spec"]["rules"][0]["backendRefs"][0]["weight"] = json!(50);
        assert_ne!(split_of(&route), Some(split));
    }

    #[test]
    fn a_copy_goes_to_the_canary_and_a_host_has_a_route_of_its_own() {
        let mut split = traffic(vec![share("api-old", 90, false), share("api-new", 10, true)]);
        split.mirror = 25;
        let file =
            FILE.replace("    replicas: 2\n", "    routes: [{host: A.example.com, path: /v1}]\n");
        let made = made(&file, &split);
        assert_eq!(made.len(), 2);
        assert_eq!(made[0]["spec"]["rules"].as_array().map(Vec::len), Some(1), "only the probe");
        assert_eq!(made[1]["metadata"]["name"], "nca-staging.a.example.com");
        assert_eq!(made[1]["spec"]["hostnames"], json!(["a.example.com"]));
        let mirror = &made[1]["spec"]["rules"][2]["filters"][0]["requestMirror"];
        assert_eq!(
            (&mirror["backendRef"]["name"], &mirror["percent"]),
            (&json!("api-new"), &json!(25))
        );
        assert_eq!(made[1]["spec"]["rules"][2]["matches"][0]["path"]["value"], "/v1");
    }

    #[test]
    fn another_split_has_another_probe() {
        let path = |weight| {
            let split = traffic(vec![share("a", 100 - weight, false), share("b", weight, true)]);
            probe_path(&made(FILE, &split)[0]).expect("it has one")
        };
        assert_ne!(path(5), path(25));
        assert!(path(5).starts_with(PROBE_PATH));
    }
}
