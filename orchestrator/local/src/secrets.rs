//! Secret values: read once, sealed with the release, opened for the component alone.
//!
//! No error, debug text or serialised form of anything in here shows a value.

mod key;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_engine::ports::{Secrets, StoreError};

pub use key::{Key, KeyError};

use crate::store::Store;

/// Values by environment name.
pub type Values = BTreeMap<String, String>;

/// Why secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret {reference} cannot be read: {why}\n  hint: {hint}")]
    Unreadable { reference: String, why: String, hint: &'static str },
    #[error(
        "the secret {reference} has changed since the plan was made\n  hint: make a new plan, it shows the \
         change"
    )]
    Changed { reference: String },
    #[error(
        "the secrets of release {release} are sealed with another key than {key}\n  hint: bring back the key \
         file, or apply the environment again from a shell that has the secrets"
    )]
    OtherKey { release: ReleaseId, key: PathBuf },
    #[error("the secrets of release {0} were never sealed\n  hint: apply the environment again")]
    NotSealed(ReleaseId),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads references: `env:NAME` from this process's environment, `file:PATH` below the project.
pub struct SecretSource {
    project: PathBuf,
    key: Key,
}

impl SecretSource {
    pub fn new(project: &Path, key: Key) -> Self {
        Self { project: project.into(), key }
    }

    fn read(&self, reference: &str) -> Result<String, SecretError> {
        let fail = |why: &str, hint| {
            Err(SecretError::Unreadable { reference: reference.into(), why: why.into(), hint })
        };
        let value = match reference.split_once(':') {
            Some(("env", name)) => match std::env::var(name) {
                Ok(value) => value,
                Err(std::env::VarError::NotPresent) => {
                    return fail("the variable is not set", "set it in the shell that runs this");
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return fail("it is not UTF-8", "encode it, for example with base64");
                }
            },
            Some(("file", path)) => match std::fs::read(self.project.join(path)) {
                Ok(bytes) => match String::from_utf8(bytes) {
                    // Editors end files with a newline that is not part of the secret.
                    Ok(text) => text.strip_suffix('\n').map(str::to_string).unwrap_or(text),
                    Err(_) => return fail("it is not UTF-8", "encode it, for example with base64"),
                },
                Err(error) => {
                    return fail(&error.to_string(), "make the file readable for this user");
                }
            },
            _ => return fail("no such kind of reference", "use env:NAME or file:PATH"),
        };
        if value.contains('\0') {
            return fail("it contains a zero byte", "encode it, for example with base64");
        }
        Ok(value)
    }

    /// Seals the release's secrets into the store, unless they are sealed in these versions. What
    /// the release in force has sealed in the same version is taken from there: a restart or a new
    /// size must not need the shell that once gave the values.
    pub fn seal(&self, store: &Store, release: &Release) -> Result<(), SecretError> {
        let id = release.id();
        let versions = versions(release);
        match store.sealed(&id)? {
            Some((sealed, _)) if sealed == versions => return Ok(()),
            _ => {}
        }
        let in_force = self.sealed_in_force(store)?;
        let mut values: BTreeMap<&str, Values> = BTreeMap::new();
        for (name, component) in &release.components {
            for (variable, secret) in &component.secrets {
                let value = match in_force.get(&secret.version) {
                    Some(value) => value.clone(),
                    None => self.read(&secret.reference)?,
                };
                if self.key.version(&value) != secret.version {
                    return Err(SecretError::Changed { reference: secret.reference.clone() });
                }
                values.entry(name).or_default().insert(variable.clone(), value);
            }
        }
        let plain = serde_json::to_vec(&values).expect("strings have a JSON form");
        store.put_sealed(&id, &versions, &self.key.seal(&plain)?)?;
        Ok(())
    }

    /// The values of the release in force by their versions; none when they cannot be opened.
    fn sealed_in_force(&self, store: &Store) -> Result<Values, SecretError> {
        let Some((_, current)) = store.current_release()? else { return Ok(Values::new()) };
        let Some((_, sealed)) = store.sealed(&current)? else { return Ok(Values::new()) };
        let plain = self.key.unseal(&sealed).unwrap_or_default();
        let all: BTreeMap<String, Values> = serde_json::from_slice(&plain).unwrap_or_default();
        let values = all.into_values().flat_map(Values::into_values);
        Ok(values.map(|value| (self.key.version(&value), value)).collect())
    }
}

impl Secrets for SecretSource {
    fn version(&self, reference: &str) -> Result<String, String> {
        self.read(reference).map(|value| self.key.version(&value)).map_err(|e| e.to_string())
    }
}

fn versions(release: &Release) -> BTreeMap<String, BTreeMap<String, String>> {
    let of = |secrets: &BTreeMap<String, _>| -> BTreeMap<String, String> {
        secrets
            .iter()
            .map(|(name, s): (_, &neuroca_deploy_core::release::SecretVersion)| {
                (name.clone(), s.version.clone())
            })
            .collect()
    };
    release.components.iter().map(|(name, c)| (name.clone(), of(&c.secrets))).collect()
}

/// Opens the sealed secrets of one component of a release.
pub fn open(
    store: &Store,
    key: &Path,
    release: &Release,
    component: &str,
) -> Result<Values, SecretError> {
    if release.components.get(component).is_none_or(|c| c.secrets.is_empty()) {
        return Ok(Values::new());
    }
    let id = release.id();
    let Some((_, sealed)) = store.sealed(&id)? else { return Err(SecretError::NotSealed(id)) };
    let other_key = || SecretError::OtherKey { release: id.clone(), key: key.into() };
    let plain = Key::open(key)?.unseal(&sealed).ok_or_else(other_key)?;
    let mut all: BTreeMap<String, Values> =
        serde_json::from_slice(&plain).map_err(|_| other_key())?;
    Ok(all.remove(component).unwrap_or_default())
}

#[cfg(test)]
mod tests;
