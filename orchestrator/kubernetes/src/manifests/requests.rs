//! Requests about objects of any kind. A server that is busy says when to come again, and is left alone until then.

use std::time::Duration;

use http::Request;
use kube::Client;
use kube::core::Status;
use neuroca_deploy_core::manifests::{Contested, Id, MANAGER, Place};
use serde_json::{Value, json};

use crate::access::{AccessError, Cluster, in_time, is_unanswered};

/// How often a request is made again that a busy server turned away or did not answer.
const TRIES: u32 = 8;
const WEBHOOK_TRIES: u32 = 3;
/// Pause before that, where the server does not say; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// The word for a field that somebody else has set.
const OVER_FIELDS: &str = "FieldManagerConflict";

/// The way to a cluster's objects.
#[derive(Clone)]
pub(super) struct Requests<'a> {
    cluster: &'a Cluster,
    client: Client,
}

/// What an apply came to.
pub(super) enum Applied {
    /// What is there now, or would be.
    Done(Value),
    /// Nothing was written: these fields are others'.
    Contested(Vec<Contested>),
}

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Apply {
    /// To no effect.
    pub rehearse: bool,
    /// Fields of others become ours.
    pub force: bool,
}

impl<'a> Requests<'a> {
    pub async fn new(cluster: &'a Cluster) -> Result<Self, AccessError> {
        Ok(Self { cluster, client: cluster.client().await? })
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The objects of a place that this selects; with `metadata` alone, nothing else of them.
    pub async fn list(
        &self,
        place: &Place,
        selector: Option<&str>,
        metadata: bool,
    ) -> Result<Vec<Value>, AccessError> {
        let mut path = path(place);
        if let Some(selector) = selector {
            path.push_str(&format!("?labelSelector={}", escaped(selector)));
        }
        let what = format!("list {}", place.plural);
        let answer = self.ask(&what, || {
            let request = Request::get(&path);
            let request = match metadata {
                true => request.header(
                    "Accept",
                    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                ),
                false => request,
            };
            (request, Vec::new())
        });
        let mut list = match answer.await {
            Ok(list) => list,
            // Neither a kind nor a namespace that is not there has objects.
            Err(AccessError::Missing(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let Value::Array(mut items) = list["items"].take() else { return Ok(Vec::new()) };
        for item in &mut items {
            // A list does not say it of each one.
            item["apiVersion"] = json!(place.kind.api_version());
            item["kind"] = json!(place.kind.kind);
        }
        Ok(items)
    }

    /// The object as it is; none when it is not there.
    pub async fn get(&self, place: &Place, name: &str) -> Result<Option<Value>, AccessError> {
        let path = format!("{}/{name}", path(place));
        match self
            .ask(&format!("read {} {name}", place.kind.kind), || (Request::get(&path), Vec::new()))
            .await
        {
            Ok(object) => Ok(Some(object)),
            Err(AccessError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Server-side apply; what would be written, or was.
    pub async fn apply(
        &self,
        place: &Place,
        id: &Id,
        object: &Value,
        how: Apply,
    ) -> Result<Applied, AccessError> {
        let mut path = format!(
            "{}/{}?fieldManager={MANAGER}&fieldValidation=Strict&force={}",
            path(place),
            id.name,
            how.force
        );
        if how.rehearse {
            path.push_str("&dryRun=All");
        }
        let body = serde_json::to_vec(object).unwrap_or_default();
        let patch = || {
            (
                Request::patch(&path).header("Content-Type", "application/apply-patch+yaml"),
                body.clone(),
            )
        };
        let answer = self.ask_raw(&format!("apply {id}"), patch).await?;
        Ok(answer.map_or_else(|status| Applied::Contested(contested(&status)), Applied::Done))
    }

    /// Removes exactly this object. One that is gone already is no error.
    pub async fn delete(&self, place: &Place, live: &Value) -> Result<(), AccessError> {
        let metadata = &live["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let path = format!("{}/{name}", path(place));
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": { "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"] },
        });
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let delete =
            || (Request::delete(&path).header("Content-Type", "application/json"), body.clone());
        match self.ask(&format!("remove {} {name}", place.kind.kind), delete).await {
            Ok(_) | Err(AccessError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        what: &str,
        request: impl Fn() -> (http::request::Builder, Vec<u8>),
    ) -> Result<Value, AccessError> {
        let answer = self.ask_raw(what, request).await?;
        answer.map_err(|status| self.cluster.told(&kube::Error::Api(status), what))
    }

    /// Asks until there is an answer, within reason. The inner error is a conflict over fields.
    async fn ask_raw(
        &self,
        what: &str,
        request: impl Fn() -> (http::request::Builder, Vec<u8>),
    ) -> Result<Result<Value, Box<Status>>, AccessError> {
        let mut pause = PAUSE;
        for tried in 1.. {
            let (builder, body) = request();
            let request = builder
                .body(body)
                .map_err(|e| AccessError::Refused(format!("cannot {what}: {e}")))?;
            let answer = async {
                match self.client.request::<Value>(request).await {
                    Err(kube::Error::Api(status)) if is_over_fields(&status) => {
                        Ok(Answer::Conflict(status))
                    }
                    Err(kube::Error::Api(status)) if tries(&status) > 1 => Ok(Answer::Busy(status)),
                    Ok(value) => Ok(Answer::Value(value)),
                    Err(error) => Err(error),
                }
            };
            match in_time(self.cluster, what, answer).await {
                Ok(Answer::Value(value)) => return Ok(Ok(value)),
                Ok(Answer::Conflict(status)) => return Ok(Err(status)),
                Ok(Answer::Busy(status)) if tried >= tries(&status) => {
                    return Err(self.cluster.told(&kube::Error::Api(status), what));
                }
                Ok(Answer::Busy(status)) => {
                    tokio::time::sleep(after(&status).unwrap_or(pause)).await
                }
                Err(AccessError::Silent(why)) if tried < TRIES / 2 => {
                    tracing::debug!(%why, "asking again");
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
            pause *= 2;
        }
        unreachable!("the loop ends by returning")
    }
}

enum Answer {
    Value(Value),
    Conflict(Box<Status>),
    Busy(Box<Status>),
}

/// How often a request that was answered so is made in all.
fn tries(status: &Status) -> u32 {
    match status.code {
        429 | 503 => TRIES,
        // Whoever is asked by the API server may just be restarted; it has a time limit of its own.
        500 if is_unanswered(&status.message) => WEBHOOK_TRIES,
        _ => 1,
    }
}

/// When a busy server wants to be asked again.
fn after(status: &Status) -> Option<Duration> {
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

fn is_over_fields(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 409 && causes.into_iter().any(|cause| cause.reason == OVER_FIELDS)
}

/// Which fields are whose, as the API server says it: `conflict with "kubectl-edit" using v1`.
fn contested(status: &Status) -> Vec<Contested> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let of = |message: &str| message.split('"').nth(1).unwrap_or("somebody else").to_string();
    let ours = causes.filter(|cause| cause.reason == OVER_FIELDS).map(|cause| Contested {
        field: cause.field.trim_start_matches('.').to_string(),
        manager: of(&cause.message),
    });
    let mut found: Vec<Contested> = ours.collect();
    found.sort_by(|a, b| (&a.field, &a.manager).cmp(&(&b.field, &b.manager)));
    found
}

fn path(place: &Place) -> String {
    let kind = &place.kind;
    let root = match kind.group.is_empty() {
        true => format!("/api/{}", kind.version),
        false => format!("/apis/{}/{}", kind.group, kind.version),
    };
    match &place.namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{}", place.plural),
        None => format!("{root}/{}", place.plural),
    }
}

fn escaped(selector: &str) -> String {
    selector.replace('/', "%2F").replace('=', "%3D").replace(',', "%2C")
}
