//! From a resolved environment to the release that it asks for: artifacts by digest, secrets by
//! version, documents by digest.

use std::collections::BTreeMap;

use neuroca_deploy_core::config::Resolved;
use neuroca_deploy_core::config::model::{Component, Environment, Kubernetes, TargetKind};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::manifests::{self, Read, read};
use neuroca_deploy_core::release::{ComponentRelease, Release, SecretVersion};
use neuroca_deploy_engine::ports::Secrets;

use crate::error::{Exit, Failure, Problem, Result, did_you_mean};
use crate::project::{ArtifactEntry, Project};
use crate::site::Site;

/// The user's own manifests in the files; one machine has no objects to apply them to.
pub fn manifests(project: &Project, site: &Site, resolved: &Resolved) -> Result<Vec<Read>> {
    if resolved.environment.target == TargetKind::Local {
        return Ok(Vec::new());
    }
    let documents = project.render(&site.environment, resolved)?;
    read(&documents).map_err(|problems| unusable(Exit::Usage, problems))
}

/// Why manifests cannot be applied, each with its file and line.
pub fn unusable(exit: Exit, problems: Vec<manifests::Problem>) -> Failure {
    let told = problems.into_iter().map(|problem| Problem {
        place: problem.at,
        message: problem.message,
        hint: problem.hint,
    });
    let failure = Failure::new(exit, "manifests", "manifests cannot be applied");
    Failure { problems: told.collect(), ..failure }
}

/// The release that the files ask for, without the user's own manifests.
pub async fn desired(
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
    let kubernetes = on_kubernetes(site, &mut resolved.environment);
    let secrets = site.secrets_for(project, resolved.environment.components.values()).await?;
    let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
    let mut components = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, spec) in resolved.environment.components {
        site.check_program(project, &name, &spec)?;
        let source = spec.kubernetes.image.as_ref().unwrap_or(&spec.artifact).clone();
        let artifact = match digests.get(&source) {
            Some(known) => known.clone(),
            None => site.digest(project, &name, &spec)?,
        };
        digests.insert(source, artifact.clone());
        check_digest(named.get(&name), &artifact, &name)?;
        let secrets = match &secrets {
            Some(source) => secret_versions(&name, &spec, source.as_ref(), &mut problems),
            None => BTreeMap::new(),
        };
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
        kubernetes,
        manifests: Vec::new(),
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
                "artifacts/{version}.yaml: `{name}` is a URL, and the target takes files or images"
            ))
            .hint("download it, and give its path and its digest"));
        }
        match environment.target {
            TargetKind::Local => component.artifact = entry.path().to_string(),
            TargetKind::Kubernetes => component.kubernetes.image = Some(entry.image()),
        }
    }
    Ok(named)
}

/// The settings that the release needs of its cluster; what one machine is not told is taken out.
fn on_kubernetes(site: &Site, environment: &mut Environment) -> Option<Kubernetes> {
    if environment.target == TargetKind::Local {
        for component in environment.components.values_mut() {
            component.kubernetes = Default::default();
        }
        return None;
    }
    let settings = environment.kubernetes.clone().unwrap_or_default();
    let namespace = settings.namespace_of(&environment.project, &site.environment);
    // The context is how this machine reaches the cluster, and no part of what is deployed.
    Some(Kubernetes { context: None, namespace: Some(namespace), ..settings })
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
