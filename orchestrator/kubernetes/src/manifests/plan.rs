//! From manifests to a plan: asked of the cluster is only what nobody else can tell.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use neuroca_deploy_core::manifests::{
    Action, Change, Exists, FirstLook, Id, Kinds, Manifest, ManifestPlan, Place, Problem, Read,
    complete, decide, first_look, prune,
};
use neuroca_deploy_engine::ports::StoreError;
use serde_json::Value;

use super::requests::Requests;
use super::write::MOST_AT_ONCE;
use super::{dressed, look, rehearse};
use crate::access::{AccessError, Cluster};
use crate::store::KubernetesStore;

/// What a plan is asked for.
pub struct Asked {
    pub manifests: Vec<Read>,
    /// Objects of others become ours where a manifest names them.
    pub adopt: bool,
    /// Also what is not there yet is tried to no effect, so that a refusal is known beforehand. Whoever writes it
    /// in the next moment is told by the write.
    pub try_new: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Unplanned {
    #[error("manifests cannot be applied")]
    Problems(Vec<Problem>),
    /// These objects belong to others, and nobody said that they are to be taken over.
    #[error("objects belong to others")]
    Foreign(Vec<Problem>),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The manifests as the cluster will know them, and what is to be done; nothing where there are none and never were.
pub async fn plan(
    cluster: &Cluster,
    store: &KubernetesStore,
    asked: Asked,
) -> Result<Option<(Vec<Manifest>, ManifestPlan)>, Unplanned> {
    let known = store.places().await?;
    if asked.manifests.is_empty() && known.is_empty() {
        return Ok(None);
    }
    let served = look::kinds(cluster).await?;
    let brought =
        served.clone().with_definitions(asked.manifests.iter().map(|read| &read.manifest));
    let namespace = &cluster.names.namespace;
    let wanted = complete(asked.manifests, &brought, namespace).map_err(Unplanned::Problems)?;
    let world = World {
        served,
        brought,
        instance: cluster.names.instance(),
        requests: Requests::new(cluster).await?,
    };
    let plan = world.plan(&wanted, known, asked.adopt, asked.try_new).await?;
    Ok(Some((wanted.into_iter().map(|read| read.manifest).collect(), plan)))
}

/// Where the objects of these manifests are.
pub async fn places(cluster: &Cluster, manifests: Vec<Read>) -> Result<BTreeSet<Place>, Unplanned> {
    if manifests.is_empty() {
        return Ok(BTreeSet::new());
    }
    let served =
        look::kinds(cluster).await?.with_definitions(manifests.iter().map(|read| &read.manifest));
    let wanted =
        complete(manifests, &served, &cluster.names.namespace).map_err(Unplanned::Problems)?;
    let place = |read: &Read| {
        let kind = read.manifest.kind();
        let served = served.get(&kind)?;
        Some(look::place(kind, served, read.manifest.id().namespace))
    };
    Ok(wanted.iter().filter_map(place).collect())
}

struct World<'a> {
    served: Kinds,
    /// With what the manifests themselves define.
    brought: Kinds,
    instance: String,
    requests: Requests<'a>,
}

/// A manifest that has to be decided with the cluster's help.
struct Open<'a> {
    read: &'a Read,
    place: Place,
    live: Option<&'a Value>,
    foreign: Option<String>,
}

impl World<'_> {
    async fn plan(
        &self,
        wanted: &[Read],
        known: BTreeSet<Place>,
        adopt: bool,
        try_new: bool,
    ) -> Result<ManifestPlan, Unplanned> {
        let placed: Vec<(Id, Place)> =
            wanted.iter().map(|read| self.place(&read.manifest)).collect();
        let homes: BTreeSet<Place> = placed.iter().map(|(_, place)| place.clone()).collect();
        let places: BTreeSet<Place> =
            homes.iter().cloned().chain(known.into_iter().filter(|p| !covers(&homes, p))).collect();
        let live = look::ours(&self.requests, &places, &self.instance).await?;
        let mut missing: BTreeMap<Place, Vec<Id>> = BTreeMap::new();
        for (id, place) in
            placed.iter().filter(|(id, place)| !live.contains_key(id) && self.is_served(place))
        {
            missing.entry(place.clone()).or_default().push(id.clone());
        }
        let others = look::others(&self.requests, &missing).await?;
        let mut open = Vec::new();
        let (mut changes, mut unchanged, mut refused) = (Vec::new(), 0, Vec::new());
        for (read, (id, place)) in wanted.iter().zip(placed) {
            let found = live.get(&id).or_else(|| others.get(&id));
            let exists = found.map_or(Exists::Nowhere, Exists::There);
            match first_look(&read.manifest, &exists, &self.instance) {
                FirstLook::Same => unchanged += 1,
                FirstLook::Foreign(owner) if !adopt || owner.starts_with("the environment") => {
                    refused.push(foreign(read, &id, &owner));
                }
                FirstLook::Foreign(owner) => {
                    open.push(Open { read, place, live: found, foreign: Some(owner) })
                }
                FirstLook::Rehearse => open.push(Open { read, place, live: found, foreign: None }),
                FirstLook::Absent => {
                    changes.push(create(read, id));
                    if try_new && self.can_be_tried(&place, wanted) {
                        open.push(Open { read, place, live: None, foreign: None });
                    }
                }
            }
        }
        if !refused.is_empty() {
            return Err(Unplanned::Foreign(refused));
        }
        let (decided, same) = self.decided(open).await?;
        changes.extend(decided);
        let ids: BTreeSet<Id> = wanted.iter().map(|read| read.manifest.id()).collect();
        let (removed, kept) = prune(&live, &ids, &self.instance);
        let stays = kept.iter().filter_map(|id| super::write::place_of(&places, id)).cloned();
        let stays = homes.iter().cloned().chain(stays).collect();
        changes.extend(removed);
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(ManifestPlan { changes, unchanged: unchanged + same, kept, places, stays })
    }

    /// What the cluster says to the manifests that are not decided yet: changes, and how many need none.
    async fn decided(&self, open: Vec<Open<'_>>) -> Result<(Vec<Change>, usize), Unplanned> {
        let answers = stream::iter(open).map(|open| async move {
            let object = dressed(&open.read.manifest, &self.instance);
            let id = open.read.manifest.id();
            match rehearse::rehearse(&self.requests, &open.place, &id, &object).await {
                Ok(answer) => Ok(Some((open, answer))),
                // In a namespace that comes before the first write there is nothing to try, and who only looks at
                // plans may not try.
                Err(AccessError::Missing(_) | AccessError::NoAccess(_)) if open.live.is_none() => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        });
        let answers: Vec<Option<_>> = answers.buffer_unordered(MOST_AT_ONCE).try_collect().await?;
        let (mut changes, mut same, mut problems) = (Vec::new(), 0, Vec::new());
        for (open, answer) in answers.into_iter().flatten() {
            let fresh = Value::Null;
            match decide(open.read, open.live.unwrap_or(&fresh), open.foreign.as_ref(), answer) {
                Err(problem) => problems.push(problem),
                // It is a change already; the trial was for its refusal.
                Ok(_) if open.live.is_none() => {}
                Ok(Some(change)) => changes.push(change),
                Ok(None) => same += 1,
            }
        }
        problems.sort_by(|a, b| a.at.cmp(&b.at));
        if problems.is_empty() { Ok((changes, same)) } else { Err(Unplanned::Problems(problems)) }
    }

    fn place(&self, manifest: &Manifest) -> (Id, Place) {
        let (id, kind) = (manifest.id(), manifest.kind());
        let served = self.brought.get(&kind).expect("manifests of unknown kinds were refused");
        let place = look::place(kind, served, id.namespace.clone());
        (id, place)
    }

    fn is_served(&self, place: &Place) -> bool {
        self.served.get(&place.kind).is_some()
    }

    /// Not in a namespace, nor of a kind, that comes with the same plan.
    fn can_be_tried(&self, place: &Place, wanted: &[Read]) -> bool {
        let comes = |namespace: &String| {
            wanted.iter().any(|read| {
                let id = read.manifest.id();
                id.group.is_empty() && id.kind == "Namespace" && id.name == *namespace
            })
        };
        self.is_served(place) && !place.namespace.as_ref().is_some_and(comes)
    }
}

/// Whether the same kind, in another version, is looked at anyway.
fn covers(homes: &BTreeSet<Place>, place: &Place) -> bool {
    homes.iter().any(|home| {
        home.kind.is(&place.kind.group, &place.kind.kind) && home.namespace == place.namespace
    })
}

fn create(read: &Read, id: Id) -> Change {
    Change {
        id,
        action: Action::Create,
        fields: Vec::new(),
        contested: Vec::new(),
        note: None,
        because: Some(read.at.clone()),
        observed: None,
    }
}

fn foreign(read: &Read, id: &Id, owner: &str) -> Problem {
    let hint = match owner.starts_with("the environment") {
        true => "give it another name; what belongs to another environment is not taken over",
        false => "take it over with --adopt, give it another name, or remove it",
    };
    Problem {
        at: read.at.clone(),
        message: format!("{id} is there already, and belongs to {owner}"),
        hint: Some(hint.into()),
    }
}
