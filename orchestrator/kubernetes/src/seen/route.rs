//! Whether a split is in force: what the routes say, what the gateway has accepted, who could answer.
//!
//! A status follows a write within milliseconds and proves nothing of the data plane; asking that is done elsewhere.

use neuroca_deploy_core::effect::Traffic;
use serde_json::Value;

use super::View;
use crate::objects::{probe_path, split_of};

/// How a route stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The gateway has taken this generation of it over, as far as its status tells.
    Accepted {
        traffic: Traffic,
        name: String,
        generation: i64,
        probe: String,
        host: Option<String>,
    },
    /// Not yet, or not any more; why.
    Waiting(String),
}

/// How the route stands, with the addresses of the Services that it names.
pub fn standing(route: &Value, view: &View) -> Standing {
    let name = route["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let generation = route["metadata"]["generation"].as_i64().unwrap_or_default();
    let (Some(traffic), Some(probe)) = (split_of(route), probe_path(route)) else {
        return Standing::Waiting(format!("the route {name} is not one of this tool's"));
    };
    if let Err(why) = accepted(route, generation) {
        return Standing::Waiting(format!("the route {name} {why}"));
    }
    let shares = traffic.shares.values().flatten().filter(|share| share.weight > 0);
    for share in shares {
        if view.ready_endpoints(&share.revision.0) == 0 {
            return Standing::Waiting(format!("the Service {} has no address", share.revision));
        }
    }
    let host = route["spec"]["hostnames"][0].as_str().map(|host| host.replacen('*', "probe", 1));
    Standing::Accepted { traffic, name, generation, probe, host }
}

/// Whether the Gateway that the route hangs on says that it has it, as it is now.
fn accepted(route: &Value, generation: i64) -> Result<(), String> {
    let wanted = &route["spec"]["parentRefs"][0];
    let gateway = wanted["name"].as_str().unwrap_or_default();
    let parents = route["status"]["parents"].as_array().into_iter().flatten();
    let mut of_gateway = parents.filter(|parent| parent["parentRef"]["name"] == wanted["name"]);
    let Some(parent) = of_gateway.next() else {
        return Err(format!("has not been taken up by the Gateway {gateway}"));
    };
    for kind in ["Accepted", "ResolvedRefs"] {
        let conditions = parent["conditions"].as_array().into_iter().flatten();
        let mut of_kind = conditions.filter(|condition| condition["type"] == kind);
        let Some(condition) = of_kind.next() else {
            return Err(format!("has no condition {kind} yet"));
        };
        if condition["observedGeneration"].as_i64().unwrap_or_default() < generation {
            return Err(format!(
                "is at generation {generation}, which the Gateway {gateway} has not seen"
            ));
        }
        if condition["status"] != "True" {
            let why = condition["message"].as_str().unwrap_or_default();
            let reason = condition["reason"].as_str().unwrap_or_default();
            return Err(format!("is refused by the Gateway {gateway}: {reason}: {why}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use neuroca_deploy_core::effect::Share;
    use neuroca_deploy_core::release::RevisionId;
    use serde_json::json;

    use super::*;
    use crate::objects::tests::{FILE, names, release};
    use crate::objects::{Split, routes};

    fn route() -> (Value, Traffic) {
        let settings = release(FILE);
        let share = Share { revision: RevisionId("api-1".into()), weight: 100, canary: false };
        let traffic = Traffic {
            settings: settings.id(),
            shares: [("api".to_string(), vec![share])].into(),
            mirror: 0,
            header_routes: Vec::new(),
        };
        let kubernetes = settings.kubernetes.clone().expect("given");
        let mut route = routes(&Split {
            names: &names(),
            gateway: kubernetes.gateway.as_ref().expect("given"),
            settings: &settings,
            traffic: &traffic,
            declared: &BTreeMap::new(),
        })
        .remove(0);
        route["metadata"]["generation"] = json!(3);
        (route, traffic)
    }

    fn status(generation: i64, resolved: &str) -> Value {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "observedGeneration": generation,
                "reason": "BackendNotFound", "message": "no api-1",
            })
        };
        json!({ "parents": [{
            "parentRef": { "name": "edge", "namespace": "gateways" },
            "conditions": [condition("Accepted", "True"), condition("ResolvedRefs", resolved)],
        }] })
    }

    fn view() -> View {
        let slice = json!({
            "metadata": { "labels": { "kubernetes.io/service-name": "api-1" } },
            "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"] }],
        });
        let slice = Arc::new(serde_json::from_value(slice).expect("a slice"));
        View { slices: vec![slice], ..View::default() }
    }

    fn waits(route: &Value, view: &View) -> String {
        match standing(route, view) {
            Standing::Waiting(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_split_stands_when_the_gateway_has_this_generation_and_somebody_could_answer() {
        let (mut route, traffic) = route();
        assert!(waits(&route, &view()).contains("not been taken up by the Gateway edge"));
        route["status"] = status(2, "True");
        assert!(waits(&route, &view()).contains("generation 3"));
        route["status"] = status(3, "False");
        assert!(waits(&route, &view()).contains("BackendNotFound: no api-1"));
        route["status"] = status(3, "True");
        assert!(waits(&route, &View::default()).contains("api-1 has no address"));
        match standing(&route, &view()) {
            Standing::Accepted { traffic: found, generation, host, .. } => {
                assert_eq!((found, generation), (traffic, 3));
                assert_eq!(host.as_deref(), Some("nca.example.com"));
            }
            other => panic!("{other:?}"),
        }
    }
}
