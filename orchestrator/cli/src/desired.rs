//! From a resolved environment to the release that it asks for: artifacts by digest, secrets by
//! version, documents by digest.

use std::collections::BTreeMap;

use neuroca_deploy_core::config::Resolved;
use neuroca_deploy_core::config::model::{Component, Environment};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::release::{ComponentRelease, Release, SecretVersion};
use neuroca_deploy_engine::ports::Secrets;

use crate::error::{Exit, Failure, Problem, Result, did_you_mean};
use crate::project::{ArtifactEntry, Project};
use crate::site::Site;

/// The release that the files ask for.
pub fn desired(
    project: &Project,
    site: &Site,
    mut resolved: Resolved,
    version: Option<&str>,
) -> Result<Release> {
    let documents = project.render(&site.environment, &resolved)?;
    let named = match version {
        Some(version) => use_artifacts_of(project, &mut resolved.environment, version)?,
        None => BTreeMap::new(),
    };
    let secrets = site.secrets(project)?;
    let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
    let mut components = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, spec) in resolved.environment.components {
        Site::check_program(project, &name, &spec)?;
        let artifact = match digests.get(&spec.artifact) {
            Some(known) => known.clone(),
            None => site.digest(project, &name, &spec.artifact)?,
        };
        digests.insert(spec.artifact.clone(), artifact.clone());
        check_digest(named.get(&name), &artifact, &name)?;
        let secrets = secret_versions(&name, &spec, secrets.as_ref(), &mut problems);
        components.insert(name, ComponentRelease { artifact, spec, secrets, restarted: None });
    }
    if !problems.is_empty() {
        let failure = Failure::new(Exit::Failed, "secrets", "secrets cannot be read");
        return Err(Failure { problems, ..failure });
    }
    Ok(Release {
        project: resolved.environment.project,
        environment: site.environment.clone(),
        version: version.map(String::from),
        components,
        edge: resolved.environment.edge,
        rollout: resolved.environment.rollout,
        retention: resolved.environment.retention,
        rendered: documents
            .into_iter()
            .map(|d| (d.path, Digest::of_bytes(d.text.as_bytes())))
            .collect(),
    })
}

fn use_artifacts_of(
    project: &Project,
    environment: &mut Environment,
    version: &str,
) -> Result<BTreeMap<String, ArtifactEntry>> {
    let named = project.release(version)?;
    let names: Vec<String> = environment.components.keys().cloned().collect();
    for (name, entry) in &named {
        let Some(component) = environment.components.get_mut(name) else {
            let failure = Failure::usage(format!(
                "artifacts/{version}.yaml names a component `{name}` that the environment does not have"
            ));
            return Err(match did_you_mean(name, names.iter().map(String::as_str)) {
                Some(known) => failure.hint(format!("did you mean `{known}`?")),
                None => failure.hint(format!("it has: {}", names.join(", "))),
            });
        };
        if entry.path().contains("://") {
            return Err(Failure::usage(format!(
                "artifacts/{version}.yaml: `{name}` is a URL, and the local target takes files"
            ))
            .hint("download it, and give its path and its digest"));
        }
        component.artifact = entry.path().to_string();
    }
    Ok(named)
}

fn check_digest(entry: Option<&ArtifactEntry>, found: &Digest, component: &str) -> Result<()> {
    let Some(stated) = entry.and_then(ArtifactEntry::digest) else { return Ok(()) };
    if stated.len() >= 12 && found.0.starts_with(&stated.to_lowercase()) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Unverified,
        "artifact",
        format!("the artifact of `{component}` has digest {found}, its release says {stated}"),
    )
    .hint("get the artifact again; if it is right, correct the digest (at least 12 digits) in artifacts/"))
}

fn secret_versions(
    component: &str,
    spec: &Component,
    secrets: &dyn Secrets,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, SecretVersion> {
    let mut versions = BTreeMap::new();
    for (name, reference) in &spec.secrets {
        match secrets.version(reference) {
            Ok(version) => {
                let reference = reference.clone();
                versions.insert(name.clone(), SecretVersion { reference, version });
            }
            Err(text) => {
                let place = format!("components.{component}.secrets.{name}");
                let failure = Failure::split(Exit::Failed, "secrets", &text);
                problems.push(Problem { place, message: failure.what, hint: failure.hint });
            }
        }
    }
    versions
}
