//! Configuration of one revision: what is plain and what is secret, immutable both.
//!
//! A revision's name changes with every value, so that pods of one release never see those of another.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DATA_DIR, Part};
use crate::names::VERSIONS;

/// The ConfigMap with the component's plain environment.
pub fn config(part: &Part<'_>) -> Value {
    let values = part.spec.spec.env.iter();
    let data: BTreeMap<&String, String> =
        values.map(|(name, value)| (name, value.replace("${data_dir}", DATA_DIR))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": part.metadata(&part.revision().0),
        "immutable": true,
        "data": data,
    })
}

/// The Secret with these values, by environment name.
pub fn secret(part: &Part<'_>, values: &BTreeMap<String, String>) -> Value {
    let versions: BTreeMap<&String, &String> =
        part.spec.secrets.iter().map(|(name, secret)| (name, &secret.version)).collect();
    let mut metadata = part.metadata(&part.revision().0);
    let versions = serde_json::to_string(&versions).unwrap_or_default();
    metadata["annotations"] = json!({ VERSIONS: versions });
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata,
        "immutable": true,
        "stringData": values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::with_part;

    #[test]
    fn plain_values_are_in_the_one_and_secret_ones_in_the_other() {
        let (plain, hidden) = with_part("api", |part| {
            let values = BTreeMap::from([("NEUROCA_SECRET_KEY".into(), "hunter2".into())]);
            (config(&part), secret(&part, &values))
        });
        assert_eq!(plain["data"], json!({ "NEUROCA_DB_URL": "sqlite:///data/nca.db" }));
        assert!(!plain.to_string().contains("SECRET"), "{plain}");
        assert_eq!(hidden["stringData"], json!({ "NEUROCA_SECRET_KEY": "hunter2" }));
        assert_eq!(hidden["metadata"]["annotations"][VERSIONS], r#"{"NEUROCA_SECRET_KEY":"v1"}"#);
        assert_eq!((&plain["immutable"], &hidden["immutable"]), (&json!(true), &json!(true)));
        assert_eq!(plain["metadata"]["name"], hidden["metadata"]["name"]);
    }
}
