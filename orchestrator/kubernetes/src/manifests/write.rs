//! Writes, many at a time, each as soon as what it needs is there.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::runtime::wait::{await_condition, conditions};
use neuroca_deploy_core::manifests::{EPOCH, Graph, Id, Manifest, Place, state};
use neuroca_deploy_engine::ports::{Epoch, TargetError};
use serde_json::{Value, json};

use super::dressed;
use super::requests::{Applied, Apply, Requests};
use crate::access::AccessError;

/// Requests that are under way at the same time.
pub(super) const MOST_AT_ONCE: usize = 64;
/// How long a definition may take to be in force, and an object to be gone.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// A version that no object ever has: a write with it is refused unless there is no object. Server-side apply has
/// no other way to say so.
const NOT_THERE: &str = "1";

/// One write.
pub(super) struct Write<'a> {
    pub manifest: &'a Manifest,
    pub place: &'a Place,
    /// The object in the state in which it may be written; none when it must not be there.
    pub live: Option<Value>,
    /// Taken away first.
    pub anew: bool,
}

/// Where an object of this name is.
pub(crate) fn place_of<'a>(places: &'a BTreeSet<Place>, id: &Id) -> Option<&'a Place> {
    places
        .iter()
        .find(|place| place.kind.is(&id.group, &id.kind) && place.namespace == id.namespace)
}

/// Does all of them.
pub(super) async fn write_all(
    requests: &Requests<'_>,
    epoch: Epoch,
    instance: &str,
    writes: &[Write<'_>],
) -> Result<(), TargetError> {
    let graph = Graph::of(writes.iter().map(|write| &write.manifest.0));
    in_order(graph, |n| write(requests, epoch, instance, &writes[n])).await
}

/// Removes all of them, what needs others before these.
pub(super) async fn remove_all(
    requests: &Requests<'_>,
    removed: &[(&Place, &Value)],
) -> Result<(), TargetError> {
    let graph = Graph::of(removed.iter().map(|(_, live)| *live)).reversed();
    in_order(graph, |n| async move {
        let (place, live) = removed[n];
        remove(requests, place, live).await
    })
    .await
}

/// Removes an object in the state in which it was seen.
async fn remove(requests: &Requests<'_>, place: &Place, live: &Value) -> Result<(), TargetError> {
    let mut live = live.clone();
    loop {
        match requests.delete(place, &live).await {
            Err(AccessError::Changed(why)) => match same_state(requests, place, &live).await? {
                Some(now) => live = now,
                None => return Err(TargetError::Outdated(why)),
            },
            other => return Ok(other?),
        }
    }
}

/// The object as it is now, if only such things changed as its status; it has a new version then.
async fn same_state(
    requests: &Requests<'_>,
    place: &Place,
    live: &Value,
) -> Result<Option<Value>, TargetError> {
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    let now = requests.get(place, name).await?;
    let version = |live: &Value| live["metadata"]["resourceVersion"].clone();
    Ok(now.filter(|now| state(now) == state(live) && version(now) != version(live)))
}

/// Works through a graph. After an error nothing new is begun, and what is under way comes to its end.
async fn in_order<F>(mut graph: Graph, work: impl Fn(usize) -> F) -> Result<(), TargetError>
where
    F: Future<Output = Result<(), TargetError>>,
{
    let mut ready: Vec<usize> = (0..graph.waits.len()).filter(|n| graph.waits[*n] == 0).collect();
    ready.reverse();
    let mut under_way = FuturesUnordered::new();
    let mut failed = Ok(());
    loop {
        while failed.is_ok() && under_way.len() < MOST_AT_ONCE {
            let Some(n) = ready.pop() else { break };
            let work = work(n);
            under_way.push(async move { (n, work.await) });
        }
        let Some((n, done)) = under_way.next().await else { return failed };
        match done {
            Ok(()) => {
                for dependent in std::mem::take(&mut graph.dependents[n]) {
                    graph.waits[dependent] -= 1;
                    if graph.waits[dependent] == 0 {
                        ready.push(dependent);
                    }
                }
            }
            Err(error) if failed.is_ok() => failed = Err(error),
            Err(_) => {}
        }
    }
}

async fn write(
    requests: &Requests<'_>,
    epoch: Epoch,
    instance: &str,
    write: &Write<'_>,
) -> Result<(), TargetError> {
    let id = write.manifest.id();
    let mut object = dressed(write.manifest, instance);
    object["metadata"]["annotations"][EPOCH] = json!(epoch.0.to_string());
    object["metadata"]["resourceVersion"] = match &write.live {
        Some(live) if !write.anew => live["metadata"]["resourceVersion"].clone(),
        _ => json!(NOT_THERE),
    };
    if let Some(live) = write.live.as_ref().filter(|_| write.anew) {
        remove(requests, write.place, live).await?;
        until_gone(requests, write.place, live).await?;
    }
    // It was shown whose fields are taken, and the version says that they are still the same.
    let how = Apply { rehearse: false, force: true };
    loop {
        match (until_known(requests, write.place, &id, &object, how).await, &write.live) {
            (Ok(Applied::Done(_)), _) => break,
            (Ok(Applied::Contested(_)), _) => {
                return Err(TargetError::Outdated(format!("{id} has fields of others")));
            }
            (Err(AccessError::Changed(why)), Some(live)) if !write.anew => {
                let now = same_state(requests, write.place, live).await?;
                let now = now.filter(|now| {
                    now["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"]
                });
                let Some(now) = now else { return Err(TargetError::Outdated(why)) };
                object["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
            }
            // A write with this version is refused for one reason: there is an object.
            (Err(AccessError::Changed(_)), _) => {
                return Err(TargetError::Outdated(format!("somebody made {id}")));
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    if id.kind == "CustomResourceDefinition" {
        until_established(requests, &id.name).await?;
    }
    Ok(())
}

/// A kind or namespace that has just been made is not known to every part of the API server at once.
async fn until_known(
    requests: &Requests<'_>,
    place: &Place,
    id: &Id,
    object: &Value,
    how: Apply,
) -> Result<Applied, AccessError> {
    let mut tries = 0;
    loop {
        match requests.apply(place, id, object, how).await {
            Err(AccessError::Missing(_)) if tries < 15 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100 * tries)).await;
            }
            other => return other,
        }
    }
}

async fn until_established(requests: &Requests<'_>, name: &str) -> Result<(), TargetError> {
    let api: Api<CustomResourceDefinition> = Api::all(requests.client());
    let established = await_condition(api, name, conditions::is_crd_established());
    match tokio::time::timeout(SETTLES_WITHIN, established).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(TargetError::Unreachable(error.to_string())),
        Err(_) => Err(TargetError::Refused(format!(
            "the definition {name} is not in force after {} s\n  hint: see its conditions: kubectl get crd {name} -o yaml",
            SETTLES_WITHIN.as_secs()
        ))),
    }
}

async fn until_gone(
    requests: &Requests<'_>,
    place: &Place,
    live: &Value,
) -> Result<(), TargetError> {
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    let gone = async {
        let mut pause = Duration::from_millis(20);
        // A watch of one object of any kind costs as much as these few looks.
        while let Some(found) = requests.get(place, name).await? {
            if found["metadata"]["uid"] != live["metadata"]["uid"] {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        Ok::<_, AccessError>(())
    };
    match tokio::time::timeout(SETTLES_WITHIN, gone).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(TargetError::Refused(format!(
            "{} {name} was told to go, and does not\n  hint: a finalizer holds it: kubectl get {} {name} -o yaml",
            place.kind.kind, place.plural
        ))),
    }
}
