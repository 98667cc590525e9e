//! The effects: a plan's changes carried out, taken back, and what it removes removed.
//!
//! Each object is looked at once more before the first write. One that is neither as the plan saw it nor as the plan
//! wants it makes the plan stale, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use neuroca_deploy_core::manifests::{
    Action, Change, EPOCH, Id, MANIFEST, Manifest, ManifestPlan, Place, is_as_written, is_ours,
    is_protected, says, state,
};
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::release::Release;
use neuroca_deploy_engine::ports::{Epoch, TargetError};
use serde_json::Value;

use super::look;
use super::requests::Requests;
use super::write::{Write, place_of, remove_all, write_all};
use crate::access::{AccessError, Cluster};

/// Objects that an error names; there may be thousands.
const NAMED: usize = 5;

/// What a run may change, and what is there of it now.
struct Found<'a> {
    requests: Requests<'a>,
    instance: String,
    plan: &'a ManifestPlan,
    live: BTreeMap<Id, Value>,
}

impl<'a> Found<'a> {
    async fn look(
        cluster: &'a Cluster,
        epoch: Epoch,
        plan: &'a ManifestPlan,
    ) -> Result<Self, TargetError> {
        let (requests, instance) = (Requests::new(cluster).await?, cluster.names.instance());
        let touched: BTreeSet<&Place> =
            plan.changes.iter().filter_map(|c| place_of(&plan.places, &c.id)).collect();
        let touched = touched.into_iter().cloned().collect();
        let mut live = look::ours(&requests, &touched, &instance).await?;
        let mut adopted: BTreeMap<Place, Vec<Id>> = BTreeMap::new();
        for change in
            plan.changes.iter().filter(|c| c.action == Action::Adopt && !live.contains_key(&c.id))
        {
            if let Some(place) = place_of(&plan.places, &change.id) {
                adopted.entry(place.clone()).or_default().push(change.id.clone());
            }
        }
        live.extend(look::others(&requests, &adopted).await?);
        let found = Self { requests, instance, plan, live };
        found.refuse_lower(epoch)?;
        Ok(found)
    }

    /// Whoever has been succeeded writes nothing over what the successor wrote.
    fn refuse_lower(&self, epoch: Epoch) -> Result<(), TargetError> {
        let written =
            |live: &Value| live["metadata"]["annotations"][EPOCH].as_str()?.parse::<u64>().ok();
        match self
            .live
            .iter()
            .find(|(_, live)| written(live).is_some_and(|written| written > epoch.0))
        {
            Some((id, _)) => {
                Err(TargetError::Fenced(format!("{id} was written with a higher epoch")))
            }
            None => Ok(()),
        }
    }

    /// Whether the object was brought to this manifest, whatever became of it since.
    fn is_noted(&self, manifest: &Manifest, live: &Value) -> bool {
        let noted = live["metadata"]["annotations"][MANIFEST].as_str();
        is_ours(live, &self.instance) && noted == Some(manifest.digest().0.as_str())
    }

    /// Whether it is still as it was brought to this manifest.
    fn is_written(&self, manifest: &Manifest, live: &Value) -> bool {
        self.is_noted(manifest, live) && is_as_written(live)
    }

    fn place(&self, id: &Id) -> Result<&Place, TargetError> {
        place_of(&self.plan.places, id)
            .ok_or_else(|| TargetError::Refused(format!("the plan does not say where {id} is")))
    }
}

/// Carries the plan's changes out, or, towards another release than the plan's, takes them back.
pub(crate) async fn apply(
    cluster: &Cluster,
    epoch: Epoch,
    plan: &Plan,
    release: Option<&Release>,
) -> Result<(), TargetError> {
    let Some(changes) = &plan.manifests else { return Ok(()) };
    let found = Found::look(cluster, epoch, changes).await?;
    let new = by_id(&plan.release);
    match release {
        Some(release) if release.id() == plan.rollout.release => forward(&found, epoch, &new).await,
        other => back(&found, epoch, &new, &other.map(by_id).unwrap_or_default()).await,
    }
}

fn by_id(release: &Release) -> BTreeMap<Id, &Manifest> {
    release.manifests.iter().map(|manifest| (manifest.id(), manifest)).collect()
}

async fn forward(
    found: &Found<'_>,
    epoch: Epoch,
    new: &BTreeMap<Id, &Manifest>,
) -> Result<(), TargetError> {
    let (mut writes, mut changed) = (Vec::new(), Vec::new());
    for change in &found.plan.changes {
        let live = found.live.get(&change.id);
        let Some(manifest) = new.get(&change.id) else {
            // To be removed at the end, if it is still what was shown.
            if live.is_some_and(|live| Some(state(live)) != change.observed) {
                changed.push(&change.id);
            }
            continue;
        };
        // An earlier driver of this run has come so far.
        let done = |live: &Value| is_as_written(live) || says(live, &manifest.0);
        if live.is_some_and(|live| found.is_noted(manifest, live) && done(live)) {
            continue;
        }
        match was_seen(change, live) {
            false => changed.push(&change.id),
            true => writes.push(Write {
                manifest,
                place: found.place(&change.id)?,
                live: live.cloned(),
                anew: change.action == Action::Replace,
            }),
        }
    }
    if !changed.is_empty() {
        return Err(TargetError::Outdated(format!(
            "since it was made {} changed",
            named(&changed)
        )));
    }
    write_all(&found.requests, epoch, &found.instance, &writes).await
}

/// Whether the object is in the state that the change was decided by.
fn was_seen(change: &Change, live: Option<&Value>) -> bool {
    match (&change.observed, live) {
        (None, None) => true,
        (Some(observed), Some(live)) => state(live) == *observed,
        // Taken away for being made anew, and then the driver died.
        (Some(_), None) => change.action == Action::Replace,
        (None, Some(_)) => false,
    }
}

/// What this run has written becomes what it was before; what somebody has changed since is left alone.
async fn back(
    found: &Found<'_>,
    epoch: Epoch,
    new: &BTreeMap<Id, &Manifest>,
    old: &BTreeMap<Id, &Manifest>,
) -> Result<(), TargetError> {
    let mut writes = Vec::new();
    for change in found.plan.changes.iter().filter(|change| change.action != Action::Delete) {
        let (Some(manifest), Some(before)) = (new.get(&change.id), old.get(&change.id)) else {
            continue;
        };
        let live = found.live.get(&change.id);
        let is_gone = live.is_none() && change.action == Action::Replace;
        if !is_gone && !live.is_some_and(|live| found.is_written(manifest, live)) {
            continue;
        }
        let anew = change.action == Action::Replace;
        writes.push(Write {
            manifest: before,
            place: found.place(&change.id)?,
            live: live.cloned(),
            anew,
        });
    }
    write_all(&found.requests, epoch, &found.instance, &writes).await
}

/// Removes what the plan removes; towards another release than the plan's, what this run has made.
pub(crate) async fn prune(
    cluster: &Cluster,
    epoch: Epoch,
    plan: &Plan,
    release: Option<&Release>,
) -> Result<(), TargetError> {
    let Some(changes) = &plan.manifests else { return Ok(()) };
    let goes_on = release.is_some_and(|release| release.id() == plan.rollout.release);
    let concerned = if goes_on { Action::Delete } else { Action::Create };
    if !changes.changes.iter().any(|change| change.action == concerned) {
        return Ok(());
    }
    let found = Found::look(cluster, epoch, changes).await?;
    let new = by_id(&plan.release);
    let (mut removed, mut changed) = (Vec::new(), Vec::new());
    for change in changes.changes.iter().filter(|change| change.action == concerned) {
        let Some(live) = found.live.get(&change.id) else { continue };
        let may_go = is_ours(live, &found.instance)
            && match new.get(&change.id) {
                Some(manifest) => found.is_written(manifest, live) && !is_protected(live),
                None => Some(state(live)) == change.observed,
            };
        match may_go {
            true => removed.push((found.place(&change.id)?, live)),
            false if goes_on => changed.push(&change.id),
            false => {}
        }
    }
    remove_all(&found.requests, &removed).await?;
    match changed.is_empty() {
        true => Ok(()),
        false => {
            Err(TargetError::Refused(format!("{} changed meanwhile, and stay", named(&changed))))
        }
    }
}

/// Removes all objects of the user's own, those too that a plan keeps.
pub(crate) async fn clear(
    cluster: &Cluster,
    places: &BTreeSet<Place>,
) -> Result<bool, AccessError> {
    let (requests, instance) = (Requests::new(cluster).await?, cluster.names.instance());
    let live = look::ours(&requests, places, &instance).await?;
    let mut removed = Vec::new();
    for (id, object) in live.iter().filter(|(_, object)| is_ours(object, &instance)) {
        if let Some(place) = place_of(places, id) {
            removed.push((place, object));
        }
    }
    let done = remove_all(&requests, &removed).await;
    done.map_err(|e| AccessError::Refused(e.to_string()))?;
    Ok(!removed.is_empty())
}

fn named(ids: &[&Id]) -> String {
    let names: Vec<String> = ids.iter().take(NAMED).map(|id| id.to_string()).collect();
    match ids.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{} and {more} more", names.join(", ")),
        _ => names.join(", "),
    }
}
