//! What a control plane alone does not do: pods that become ready, and a gateway that takes routes up.
//!
//! It follows the API like kubelet and gateway do, and does as the test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Place;

/// What a pod's image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    Good,
    /// It cannot be pulled.
    Missing,
    /// It starts and ends with status 3, again and again.
    Crashing,
}

/// The weights of each version of the route, by revision.
pub type Weights = BTreeMap<String, u64>;

/// A kubelet and a gateway, as long as it lives.
pub struct World {
    /// The weights that the gateway was given, each time they changed.
    pub seen: Arc<Mutex<Vec<Weights>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub fn http_routes() -> ApiResource {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    ApiResource::from_gvk_with_plural(&kind, "httproutes")
}

impl World {
    pub fn begin(place: &Place, image: impl Fn(&str) -> Image + Send + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Weights>>> = Arc::default();
        let pods = tokio::spawn(kubelet(place.api(), place.api(), image));
        let namespace = place.names.namespace.clone();
        let gateway = tokio::spawn(gateway(place.client.clone(), namespace, seen.clone()));
        Self { seen, tasks: vec![pods, gateway] }
    }
}

/// Without nodes the control plane makes no addresses for Services; each pod gets its own, and takes it along.
fn slice_of(pod: &Pod, address: &str) -> EndpointSlice {
    let (name, labels) = (pod.metadata.name.clone(), pod.metadata.labels.clone());
    let mut labels = labels.unwrap_or_default();
    let service = labels.get("neuroca-deploy/revision").cloned().unwrap_or_default();
    labels.insert("kubernetes.io/service-name".into(), service);
    serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod.metadata.uid,
            }],
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
        "ports": [{ "name": "http", "port": 8000 }],
    }))
    .expect("a slice")
}

async fn kubelet(api: Api<Pod>, slices: Api<EndpointSlice>, image: impl Fn(&str) -> Image) {
    static ADDRESS: AtomicU32 = AtomicU32::new(1);
    let events = watcher(api.clone(), watcher::Config::default()).default_backoff();
    let mut pods = std::pin::pin!(events.applied_objects());
    while let Some(pod) = pods.next().await {
        let Ok(pod) = pod else { continue };
        let told = pod.status.as_ref().is_some_and(|status| status.container_statuses.is_some());
        let container = &pod.spec.as_ref().expect("a spec").containers[0];
        if told || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let name = pod.metadata.name.clone().unwrap_or_default();
        let number = ADDRESS.fetch_add(1, Ordering::SeqCst);
        let address = format!("10.9.{}.{}", number / 250, number % 250 + 1);
        let is_job =
            pod.spec.as_ref().is_some_and(|s| s.restart_policy.as_deref() == Some("Never"));
        let found = image(container.image.as_deref().unwrap_or_default());
        let status = status_of(container, found, is_job, &address);
        let patch = json!({ "status": status });
        let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        if found == Image::Good && !is_job {
            let _ = slices.create(&PostParams::default(), &slice_of(&pod, &address)).await;
        }
    }
}

fn status_of(container: &Container, image: Image, is_job: bool, address: &str) -> Value {
    let status = |state: Value, last: Value, ready: bool, restarts: u32| {
        json!([{
            "name": container.name, "image": container.image, "imageID": "", "ready": ready,
            "restartCount": restarts, "state": state, "lastState": last,
        }])
    };
    let ended =
        |code: i32| json!({ "terminated": { "exitCode": code, "message": "cannot go on" } });
    match image {
        Image::Good if is_job => json!({
            "phase": "Succeeded",
            "containerStatuses": status(ended(0), json!({}), false, 0),
        }),
        Image::Good => json!({
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [
                { "type": "Ready", "status": "True" },
                { "type": "ContainersReady", "status": "True" },
            ],
            "containerStatuses": status(json!({ "running": {} }), json!({}), true, 0),
        }),
        Image::Missing => json!({
            "phase": "Pending",
            "containerStatuses": status(
                json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } }),
                json!({}), false, 0,
            ),
        }),
        Image::Crashing => json!({
            "phase": "Running", "podIP": address,
            "conditions": [{ "type": "Ready", "status": "False" }],
            "containerStatuses": status(
                json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } }),
                ended(3), false, 3,
            ),
        }),
    }
}

async fn gateway(client: Client, namespace: String, seen: Arc<Mutex<Vec<Weights>>>) {
    let kind = http_routes();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &kind);
    let events =
        kube::runtime::watcher::watcher(api.clone(), watcher::Config::default()).default_backoff();
    let mut routes = std::pin::pin!(events.applied_objects());
    while let Some(route) = routes.next().await {
        let Ok(route) = route else { continue };
        let generation = route.metadata.generation.unwrap_or_default();
        let taken =
            route.data["status"]["parents"][0]["conditions"][0]["observedGeneration"].as_i64();
        if taken == Some(generation) {
            continue;
        }
        let weights = weights_of(&route.data["spec"]["rules"]);
        {
            let mut seen = seen.lock().expect("not poisoned");
            if seen.last() != Some(&weights) {
                seen.push(weights);
            }
        }
        let condition = |kind: &str| {
            json!({
                "type": kind, "status": "True", "reason": kind, "message": "",
                "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let parent = json!({
            "parentRef": route.data["spec"]["parentRefs"][0],
            "controllerName": "test.example/gateway",
            "conditions": [condition("Accepted"), condition("ResolvedRefs")],
        });
        let patch = json!({ "status": { "parents": [parent] } });
        let name = route.metadata.name.unwrap_or_default();
        let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    }
}

/// The weights of the rules that ask for no header.
pub fn weights_of(rules: &Value) -> Weights {
    let plain =
        rules.as_array().into_iter().flatten().filter(|rule| {
            rule["matches"][0]["headers"].is_null() && !rule["backendRefs"].is_null()
        });
    let backends =
        plain.flat_map(|rule| rule["backendRefs"].as_array().cloned().unwrap_or_default());
    backends
        .map(|b| (b["name"].as_str().unwrap_or_default().into(), b["weight"].as_u64().unwrap_or(1)))
        .collect()
}
