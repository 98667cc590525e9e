//! What is there, kept up to date by watches: nobody is asked twice.
//!
//! A watch that has failed makes the whole view unknown until it is up again: an old view must not be taken
//! for a present one.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DynamicObject, ListParams};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Lookup, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{AccessError, Cluster, in_time};
use crate::seen::View;
use crate::write::resource;

/// How long the first lists may take.
const FIRST: Duration = Duration::from_secs(15);

/// The watches of one environment; they end with it.
pub struct Watches {
    version: watch::Sender<u64>,
    deployments: Cache<Deployment>,
    pods: Cache<Pod>,
    slices: Cache<EndpointSlice>,
    /// None where the cluster has no Gateway API.
    routes: Option<Cache<DynamicObject>>,
}

/// Objects of one kind, as a watch keeps them.
pub(crate) struct Cache<K: Lookup + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone,
{
    store: Store<K>,
    failing: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl<K: Lookup + Clone + 'static> Drop for Cache<K>
where
    K::DynamicType: Eq + Hash + Clone,
{
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watches {
    /// Begins to watch; what is there is known when `view` answers.
    pub async fn begin(cluster: &Cluster) -> Result<Self, AccessError> {
        let client = cluster.client().await?;
        let namespace = &cluster.names.namespace;
        let selector = cluster.names.selector();
        let (version, _) = watch::channel(1);
        let http_route = resource("gateway.networking.k8s.io/v1", "HTTPRoute");
        let routes: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &http_route);
        let one = ListParams::default().labels(&selector).limit(1);
        let routes = match in_time(cluster, "list the routes", routes.list_metadata(&one)).await {
            Ok(_) => Some(keep(routes, &selector, &version, http_route)),
            Err(AccessError::Missing(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            deployments: keep(Api::namespaced(client.clone(), namespace), &selector, &version, ()),
            pods: keep(Api::namespaced(client.clone(), namespace), &selector, &version, ()),
            slices: keep(Api::namespaced(client, namespace), &selector, &version, ()),
            routes,
            version,
        })
    }

    /// What is there now, with its version.
    pub async fn view(&self) -> Result<(u64, View, Vec<Value>), AccessError> {
        // Before the stores are read: a change that comes meanwhile is then seen as one.
        let version = *self.version.borrow();
        let view = View {
            deployments: self.deployments.state().await?,
            pods: self.pods.state().await?,
            slices: self.slices.state().await?,
        };
        let routes = match &self.routes {
            Some(routes) => routes.state().await?,
            None => Vec::new(),
        };
        let routes = routes.iter().map(|route| serde_json::to_value(&**route).unwrap_or_default());
        Ok((version, view, routes.collect()))
    }

    /// What counts its changes, for whoever watches more beside it.
    pub(crate) fn version(&self) -> &watch::Sender<u64> {
        &self.version
    }

    /// Waits until there is a newer version than `seen`, or `at_most`.
    pub async fn changed(&self, seen: u64, at_most: Duration) {
        let mut version = self.version.subscribe();
        let _ = tokio::time::timeout(at_most, version.wait_for(|now| *now > seen)).await;
    }
}

/// Begins to watch the objects of a kind that this selects; each change of them is one of the version.
pub(crate) fn keep<K>(
    api: Api<K>,
    selector: &str,
    version: &watch::Sender<u64>,
    kind: K::DynamicType,
) -> Cache<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let mut writer: Writer<K> = Writer::new(kind);
    let store = writer.as_reader();
    let failing: Arc<Mutex<Option<String>>> = Arc::default();
    let (told, version) = (failing.clone(), version.clone());
    let events = watcher(api, watcher::Config::default().labels(selector)).default_backoff();
    let task = tokio::spawn(async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    writer.apply_watcher_event(&event);
                    // A list that has begun shows nothing until it is whole.
                    if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                        *told.lock().expect("not poisoned") = None;
                    }
                }
                Err(error) => *told.lock().expect("not poisoned") = Some(error.to_string()),
            }
            version.send_modify(|version| *version += 1);
        }
    });
    Cache { store, failing, task }
}

impl<K: Lookup + Clone + 'static> Cache<K>
where
    K::DynamicType: Eq + Hash + Clone,
{
    /// What is known of them so far; nothing where they may not be looked at.
    pub(crate) fn so_far(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// All of them, as they are now.
    pub(crate) async fn state(&self) -> Result<Vec<Arc<K>>, AccessError> {
        let silent = |why: String| AccessError::Silent(format!("cannot watch the cluster: {why}"));
        let ready = tokio::time::timeout(FIRST, self.store.wait_until_ready()).await;
        let failing = self.failing.lock().expect("not poisoned").clone();
        if let Some(why) = failing {
            return Err(silent(why));
        }
        match ready {
            Ok(Ok(())) => Ok(self.store.state()),
            Ok(Err(_)) => Err(silent("the watch has ended".into())),
            Err(_) => Err(silent(format!("no answer within {} s", FIRST.as_secs()))),
        }
    }
}
