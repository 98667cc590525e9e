//! The volume behind `${data_dir}`: one for the environment, and never removed by a release.

use serde_json::{Value, json};

use super::Part;

/// The claim, when the component uses it.
pub fn claim(part: &Part<'_>) -> Option<Value> {
    if !part.uses_data() {
        return None;
    }
    let storage = part.release.kubernetes.clone().unwrap_or_default().storage;
    let mode = if storage.shared { "ReadWriteMany" } else { "ReadWriteOnce" };
    let mut spec = json!({
        "accessModes": [mode],
        "resources": { "requests": { "storage": storage.size.0.to_string() } },
    });
    if let Some(class) = storage.class {
        spec["storageClassName"] = json!(class);
    }
    Some(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": part.names.claim(),
            "namespace": part.names.namespace,
            "labels": part.names.labels(),
        },
        "spec": spec,
    }))
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::with_part;

    #[test]
    fn there_is_one_only_where_it_is_used() {
        let claim = with_part("api", |part| super::claim(&part)).expect("it is used");
        assert_eq!(claim["metadata"]["name"], "nca-staging-data");
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1073741824");
        assert_eq!(with_part("worker", |part| super::claim(&part)), None);
    }
}
