//! Plans from files, towards an earlier release, or from a saved file; and whether one is stale.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neuroca_deploy_core::manifests::{Action, Change as ManifestChange, Id, ManifestPlan, Read};
use neuroca_deploy_core::plan::{Base, Change, InForce, Plan, read};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_engine::ports::StateStore;

use crate::desired::{desired, manifests};
use crate::error::{Exit, Failure, Result};
use crate::flags::Selection;
use crate::output::Paint;
use crate::output::manifests::lines as manifest_lines;
use crate::output::plan::{Show, changes};
use crate::project::Project;
use crate::site::{Looking, Site};

/// What is in force, with the releases that were left half-way since then.
pub struct Found {
    pub base: Base,
    pub release: Option<Release>,
    pub stranded: Vec<Release>,
}

impl Found {
    fn in_force(&self) -> InForce<'_> {
        InForce { release: self.release.as_ref(), stranded: &self.stranded }
    }
}

/// What is in force.
pub async fn in_force(store: &dyn StateStore, environment: &str) -> Result<Found> {
    let fail = |e| Failure::of_store(e, environment);
    let base = store.base().await.map_err(fail)?;
    let record = async |id: &ReleaseId| {
        store.release(id).await.map_err(fail)?.ok_or_else(|| {
            let what = format!("the record of release {id} is missing");
            Failure::new(Exit::Unverified, "state", what)
                .hint("restore the state folder from a backup")
        })
    };
    let release = match &base.release {
        Some(id) => Some(record(id).await?),
        None => None,
    };
    let mut stranded = Vec::new();
    for id in &base.stranded {
        stranded.push(record(id).await?);
    }
    Ok(Found { base, release, stranded })
}

/// The plan from what is in force to what the files ask for.
pub async fn from_files(
    project: &Project,
    site: &Site,
    store: &dyn StateStore,
    selection: &Selection,
    looking: Looking,
) -> Result<Plan> {
    let resolved = project.resolve(&site.environment, &selection.sets)?;
    let origins = resolved.origins.clone();
    let own = manifests(project, site, &resolved)?;
    let mut wanted = desired(project, site, resolved, selection.release.as_deref()).await?;
    // First: what it reads of the state is not read again.
    let found = in_force(store, &site.environment).await?;
    let (own, planned) = site.manifests(own, looking).await?.unzip();
    wanted.manifests = own.unwrap_or_default();
    if wanted.is_empty() {
        return Err(nothing_to_deploy(&site.environment));
    }
    let version = selection.release.clone();
    let origin = |path: &str| match &version {
        Some(v) if path == "release" || path.ends_with(".artifact") => {
            let by_release = path == "release" || origins.get(path).is_some();
            by_release.then(|| format!("artifacts/{v}.yaml"))
        }
        _ => origins.get(path),
    };
    let plan = Plan::new(found.base.clone(), found.in_force(), wanted, false, &origin);
    Ok(plan.with_manifests(planned))
}

fn nothing_to_deploy(environment: &str) -> Failure {
    Failure::usage(format!("{environment} has neither a component nor a manifest"))
        .hint("describe a component under `components:`, or put manifests into `kubernetes/`")
}

/// The plan from what is in force to a release that is given as a value.
pub async fn towards(
    site: &Site,
    store: &dyn StateStore,
    release: Release,
    rollback: bool,
    because: &str,
) -> Result<Plan> {
    let found = in_force(store, &site.environment).await?;
    let origin = |_: &str| Some(because.to_string());
    let own = release.manifests.iter().cloned();
    let own = own.map(|manifest| Read { manifest, at: because.to_string() }).collect();
    let planned = site.manifests(own, Looking::default()).await?.map(|(_, planned)| planned);
    let plan = Plan::new(found.base.clone(), found.in_force(), release, rollback, &origin);
    Ok(plan.with_manifests(planned))
}

/// What a plan would do to the user's own objects if it were made now, when that is something else.
pub async fn manifests_now(plan: &Plan, site: &Site) -> Result<Option<ManifestPlan>> {
    let Some(planned) = &plan.manifests else { return Ok(None) };
    let places: BTreeMap<Id, String> =
        planned.changes.iter().filter_map(|c| Some((c.id.clone(), c.because.clone()?))).collect();
    let own = plan.release.manifests.iter().map(|manifest| Read {
        at: places.get(&manifest.id()).cloned().unwrap_or_else(|| "the plan".into()),
        manifest: manifest.clone(),
    });
    let adopt = planned.changes.iter().any(|change| change.action == Action::Adopt);
    let now = site.manifests(own.collect(), Looking { adopt, try_new: false }).await?;
    let now = now.map(|(_, now)| now).unwrap_or_default();
    let differs =
        now.changes.iter().any(|change| match planned.changes.iter().find(|c| c.id == change.id) {
            Some(before) => {
                ManifestChange { because: before.because.clone(), ..change.clone() } != *before
            }
            None => true,
        });
    let differs = differs || now.changes.len() != planned.changes.len();
    Ok(differs.then_some(now))
}

/// A plan that was saved, checked against edits.
pub fn saved(path: &Path) -> Result<Plan> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read the plan {}: {error}", path.display()))
            .hint("make one with `neuroca-deploy plan ENV --out FILE`")
    })?;
    Ok(read(&text)?)
}

/// Refuses a plan that is made from what is no longer so, and tells what changed since.
pub async fn fresh(plan: &Plan, site: &Site, store: &dyn StateStore) -> Result<()> {
    same_base(plan, store).await?;
    let what = "the plan is stale: objects on the cluster have changed since it was made";
    let why = match manifests_now(plan, site).await {
        Ok(None) => return Ok(()),
        Ok(Some(now)) => {
            format!("now it would be:\n{}", manifest_lines(&now, Paint(false)).trim_end())
        }
        // Nobody could have approved of taking over what was not there.
        Err(failure) if failure.exit == Exit::Refused => {
            let told = failure.problems.iter().map(|problem| problem.message.as_str());
            told.collect::<Vec<_>>().join("\n")
        }
        Err(failure) => return Err(failure),
    };
    Err(stale(format!("{what}; {why}"), &plan.environment))
}

async fn same_base(plan: &Plan, store: &dyn StateStore) -> Result<()> {
    let environment = &plan.environment;
    let Found { base: found, release: current, .. } = in_force(store, environment).await?;
    if found == plan.base {
        return Ok(());
    }
    let planned = match &plan.base.release {
        Some(id) => store.release(id).await.map_err(|e| Failure::of_store(e, environment))?,
        None => None,
    };
    let show = |base: &Base| match &base.release {
        Some(release) => format!("{release} (number {})", base.sequence),
        None => "nothing".into(),
    };
    let mut what = format!(
        "the plan is stale: it was made from {}, now {} is in force",
        show(&plan.base),
        show(&found)
    );
    if let (Some(planned), Some(current)) = (planned, current) {
        let since = between(&planned, &current);
        let text = changes(&since, Show { paint: Paint(false), defaults: true });
        if !text.is_empty() {
            what.push_str(&format!("\nsince then:\n{}", text.trim_end()));
        }
    }
    Err(stale(what, environment))
}

/// Refuses a plan whose artifacts or secrets are not those of this machine any more, where the
/// target does not have them already.
pub async fn same_sources(plan: &Plan, project: &Project, site: &Site) -> Result<()> {
    let specs = plan.release.components.values().map(|component| &component.spec);
    let secrets = site.secrets_for(project, specs).await?;
    for m in plan.rollout.moves.iter().filter(|m| m.is_new()) {
        let Some(component) = plan.release.components.get(&m.component) else { continue };
        let name = &m.component;
        if !site.has_artifact(&component.artifact)? {
            let found = site.digest(project, name, &component.spec)?;
            if found != component.artifact {
                let what = format!(
                    "the plan is stale: the artifact of `{name}`, {}, has changed since it was made ({} → {})",
                    component.spec.artifact,
                    component.artifact.short(12),
                    found.short(12)
                );
                return Err(stale(what, &plan.environment));
            }
        }
        for (variable, planned) in &component.secrets {
            if site.has_secret(&plan.rollout.release, &planned.version).await? {
                continue;
            }
            // What cannot be read here may have been sealed before; the target says so if not.
            match secrets.as_ref().map(|source| source.version(&planned.reference)) {
                Some(Ok(version)) if version != planned.version => {
                    let what = format!(
                        "the plan is stale: the secret {variable} of `{name}` ({}) has changed since it was made",
                        planned.reference
                    );
                    return Err(stale(what, &plan.environment));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The differences between two releases.
pub fn between(from: &Release, to: &Release) -> Vec<Change> {
    Plan::new(
        Base::default(),
        InForce { release: Some(from), stranded: &[] },
        to.clone(),
        true,
        &|_| None,
    )
    .changes
}

pub fn stale(what: String, environment: &str) -> Failure {
    Failure::new(Exit::Stale, "stale", what)
        .hint(format!("make a new one and look at it: neuroca-deploy plan {environment}"))
}
