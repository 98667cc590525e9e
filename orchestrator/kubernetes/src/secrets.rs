//! Secret values: read from where their references point, kept in Secrets of the revision, told to nobody.
//!
//! Records and plans hold a keyed hash of each value. The key lies with the environment, so that everybody who
//! plans for it comes to the same hash.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, PostParams};
use neuroca_deploy_core::digest::hex;
use neuroca_deploy_core::release::Release;
use neuroca_deploy_engine::ports::{Epoch, Secrets, TargetError};
use sha2::Sha256;

use crate::access::{AccessError, Cluster, in_time};
use crate::names::{MANAGER, REVISION, STATE, VERSIONS};
use crate::objects::{Part, secret};
use crate::write;

const KEY: &str = "key";

/// Reads references: `env:NAME` from this process's environment, `file:PATH` below the project.
pub struct SecretSource {
    project: PathBuf,
    key: Vec<u8>,
}

impl SecretSource {
    /// With the environment's key, which is made when there is none.
    pub async fn open(cluster: &Cluster, project: &Path) -> Result<Self, AccessError> {
        let client = cluster.client().await?;
        let api: Api<Secret> = Api::namespaced(client, &cluster.names.namespace);
        let name = cluster.names.state(KEY);
        let what = "read the key of the environment's secrets";
        let find = async || -> Result<Option<Vec<u8>>, AccessError> {
            let found = in_time(cluster, what, api.get_opt(&name)).await?;
            let key = found.and_then(|object| object.data?.remove(KEY));
            Ok(key.map(|key| key.0))
        };
        let key = match find().await? {
            Some(key) => key,
            None => {
                make_key(cluster, &api, &name).await?;
                let gone = || AccessError::Silent(format!("the Secret {name} holds no key"));
                find().await?.ok_or_else(gone)?
            }
        };
        Ok(Self { project: project.into(), key })
    }

    fn version_of(&self, value: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(b"neuroca-deploy secret version 1\n");
        mac.update(value.as_bytes());
        hex(&mac.finalize().into_bytes()[..8])
    }

    /// The value; an error names the reference and never the value.
    fn read(&self, reference: &str) -> Result<String, String> {
        let fail = |why: String, hint: &str| {
            Err(format!("the secret {reference} cannot be read: {why}\n  hint: {hint}"))
        };
        let encode = "encode it, for example with base64";
        match reference.split_once(':') {
            Some(("env", name)) => match std::env::var(name) {
                Ok(value) => Ok(value),
                Err(std::env::VarError::NotPresent) => {
                    fail("the variable is not set".into(), "set it in the shell that runs this")
                }
                Err(std::env::VarError::NotUnicode(_)) => fail("it is not UTF-8".into(), encode),
            },
            Some(("file", path)) => match std::fs::read(self.project.join(path)) {
                Ok(bytes) => match String::from_utf8(bytes) {
                    // Editors end files with a newline that is not part of the secret.
                    Ok(text) => Ok(text.strip_suffix('\n').map(String::from).unwrap_or(text)),
                    Err(_) => fail("it is not UTF-8".into(), encode),
                },
                Err(error) => fail(error.to_string(), "make the file readable for this user"),
            },
            _ => fail("no such kind of reference".into(), "use env:NAME or file:PATH"),
        }
    }

    /// Puts the release's secrets into immutable Secrets, one for each revision that has any. What is there in
    /// the same version is taken from there: a restart must not need the shell that once gave the values.
    pub async fn seal(
        &self,
        cluster: &Cluster,
        epoch: Epoch,
        release: &Release,
    ) -> Result<(), TargetError> {
        let mut known: Option<BTreeMap<String, String>> = None;
        for (component, spec) in release.components.iter().filter(|(_, c)| !c.secrets.is_empty()) {
            let part = Part { names: &cluster.names, release, component, spec };
            if has_secret_of(cluster, &part.revision().0).await? {
                continue;
            }
            if known.is_none() {
                known = Some(self.known(cluster).await?);
            }
            let mut values = BTreeMap::new();
            for (variable, wanted) in &spec.secrets {
                let stored = known.as_ref().and_then(|known| known.get(&wanted.version)).cloned();
                let value = match stored {
                    Some(value) => value,
                    None => self.read(&wanted.reference).map_err(TargetError::Refused)?,
                };
                if self.version_of(&value) != wanted.version {
                    return Err(TargetError::Refused(format!(
                        "the secret {} has changed since the plan was made\n  hint: make a new plan, it shows \
                         the change",
                        wanted.reference
                    )));
                }
                values.insert(variable.clone(), value);
            }
            write::create(cluster, epoch, secret(&part, &values)).await?;
        }
        Ok(())
    }

    /// Values in Secrets of this environment, by their versions.
    async fn known(&self, cluster: &Cluster) -> Result<BTreeMap<String, String>, TargetError> {
        let values = stored(cluster).await?.into_iter().filter_map(|object| object.data);
        let values = values.flat_map(BTreeMap::into_values);
        let texts = values.filter_map(|value| String::from_utf8(value.0).ok());
        Ok(texts.map(|value| (self.version_of(&value), value)).collect())
    }
}

impl Secrets for SecretSource {
    fn version(&self, reference: &str) -> Result<String, String> {
        self.read(reference).map(|value| self.version_of(&value))
    }
}

/// Whether some revision of this environment has a secret in this version.
pub async fn has_version(cluster: &Cluster, version: &str) -> Result<bool, AccessError> {
    let versions = |object: &Secret| -> Option<BTreeMap<String, String>> {
        let text = object.metadata.annotations.as_ref()?.get(VERSIONS)?;
        serde_json::from_str(text).ok()
    };
    let all = stored(cluster).await?;
    let mut versions = all.iter().filter_map(versions).flat_map(BTreeMap::into_values);
    Ok(versions.any(|found| found == version))
}

async fn stored(cluster: &Cluster) -> Result<Vec<Secret>, AccessError> {
    let api: Api<Secret> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let selector = format!("{},{REVISION}", cluster.names.selector());
    let list = ListParams::default().labels(&selector);
    Ok(in_time(cluster, "list the secrets of revisions", api.list(&list)).await?.items)
}

async fn has_secret_of(cluster: &Cluster, revision: &str) -> Result<bool, AccessError> {
    let api: Api<Secret> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let found = in_time(cluster, "look for a secret", api.get_metadata_opt(revision)).await?;
    Ok(found.is_some_and(|found| cluster.names.are_ours(found.metadata.labels.as_ref())))
}

async fn make_key(cluster: &Cluster, api: &Api<Secret>, name: &str) -> Result<(), AccessError> {
    let mut random = [0u8; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|e| AccessError::Refused(format!("cannot make a key: /dev/urandom: {e}")))?;
    let mut object = Secret { immutable: Some(true), ..Secret::default() };
    object.metadata.name = Some(name.into());
    let mut labels = cluster.names.labels();
    labels.insert(STATE.into(), KEY.into());
    object.metadata.labels = Some(labels);
    object.data = Some([(KEY.to_string(), ByteString(random.to_vec()))].into());
    let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
    let what = "make the key of the environment's secrets";
    match in_time(cluster, what, api.create(&params, &object)).await {
        // Somebody else was quicker: theirs is the key.
        Ok(_) | Err(AccessError::Changed(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(key: u8) -> SecretSource {
        SecretSource { project: std::env::temp_dir(), key: vec![key; 32] }
    }

    #[test]
    fn a_version_changes_with_value_and_key_and_tells_neither() {
        let one = source(1).version_of("hunter2");
        assert_eq!(one, source(1).version_of("hunter2"));
        assert_ne!(one, source(1).version_of("hunter3"));
        assert_ne!(one, source(2).version_of("hunter2"));
        assert_eq!(one.len(), 16);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_reference() {
        let error = source(1).version("env:NEUROCA_TEST_THAT_IS_NOT_SET").expect_err("not set");
        assert!(
            error.contains("env:NEUROCA_TEST_THAT_IS_NOT_SET") && error.contains("hint:"),
            "{error}"
        );
        assert!(
            source(1).version("vault:x").expect_err("unknown").contains("env:NAME or file:PATH")
        );
    }
}
