//! The address of one revision: what routes send a share of the requests to.

use serde_json::{Value, json};

use super::{Part, ROUTES};
use crate::names::REVISION;

/// The Service; nothing for a component that does not listen. Which requests the component answers is noted
/// on it, for splits that name a revision of another release than their settings.
pub fn service(part: &Part<'_>) -> Option<Value> {
    let component = &part.spec.spec;
    if !component.port {
        return None;
    }
    let revision = part.revision();
    let mut metadata = part.metadata(&revision.0);
    let routes = serde_json::to_string(&component.routes).unwrap_or_default();
    metadata["annotations"] = json!({ ROUTES: routes });
    Some(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": { REVISION: revision },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" }],
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::with_part;

    #[test]
    fn only_what_listens_has_one() {
        let service = with_part("api", |part| service(&part)).expect("it listens");
        assert_eq!(service["spec"]["selector"][REVISION], service["metadata"]["name"]);
        assert_eq!(with_part("worker", |part| super::service(&part)), None);
    }
}
