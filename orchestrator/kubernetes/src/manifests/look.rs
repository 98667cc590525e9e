//! What a cluster serves, and what there is of the user's own: discovery, then one list a kind.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use kube::discovery::{Discovery, Scope};
use neuroca_deploy_core::manifests::{ENVIRONMENT, Id, Kind, Kinds, Place, Served, id_of};
use serde_json::Value;

use super::requests::Requests;
use crate::access::{AccessError, Cluster, in_time};

/// Objects that are asked for one by one; of more than that all of a kind are listed.
const ONE_BY_ONE: usize = 4;

/// What the cluster serves, asked for with two requests.
pub(super) async fn kinds(cluster: &Cluster) -> Result<Kinds, AccessError> {
    let client = cluster.client().await?;
    let asked = Discovery::new(client).run_aggregated();
    let found = in_time(cluster, "ask which kinds the cluster serves", asked).await?;
    let mut kinds = BTreeMap::new();
    for group in found.groups() {
        for version in group.versions() {
            for (resource, capabilities) in group.versioned_resources(version) {
                let kind =
                    Kind { group: resource.group, version: resource.version, kind: resource.kind };
                let namespaced = capabilities.scope == Scope::Namespaced;
                kinds.insert(kind, Served { plural: resource.plural, namespaced });
            }
        }
    }
    Ok(Kinds(kinds))
}

/// Where an object of this kind is, in this version.
pub(super) fn place(kind: Kind, served: &Served, namespace: Option<String>) -> Place {
    Place {
        kind,
        plural: served.plural.clone(),
        namespace: namespace.filter(|_| served.namespaced),
    }
}

/// The objects of the environment in these places. A kind in two versions is one kind.
pub(super) async fn ours(
    requests: &Requests<'_>,
    places: &BTreeSet<Place>,
    instance: &str,
) -> Result<BTreeMap<Id, Value>, AccessError> {
    let selector = format!("{ENVIRONMENT}={instance}");
    let lists = places.iter().map(|place| requests.list(place, Some(&selector), false));
    let found = try_join_all(lists).await?.into_iter().flatten();
    Ok(found.map(|object| (id_of(&object), object)).collect())
}

/// Those of these objects that exist without being the environment's, whoever's they are.
pub(super) async fn others(
    requests: &Requests<'_>,
    wanted: &BTreeMap<Place, Vec<Id>>,
) -> Result<BTreeMap<Id, Value>, AccessError> {
    let looks = wanted.iter().map(|(place, ids)| async move {
        let some = match ids.len() > ONE_BY_ONE {
            false => ids.clone(),
            true => {
                let all = requests.list(place, None, true).await?;
                let there: BTreeSet<Id> = all.iter().map(id_of).collect();
                ids.iter().filter(|id| there.contains(id)).cloned().collect()
            }
        };
        let found = try_join_all(some.iter().map(|id| requests.get(place, &id.name))).await?;
        Ok::<_, AccessError>(
            some.into_iter()
                .zip(found)
                .filter_map(|(id, found)| Some((id, found?)))
                .collect::<Vec<_>>(),
        )
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}
