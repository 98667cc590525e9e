//! From what files say, what a cluster has and what it answered to a rehearsal, to what will be done.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::{FieldChange, differences, says};
use super::live::{content, is_ours, is_protected, owner, state};
use super::workload::has_to_be_ready;
use super::{Id, MANIFEST, Manifest, Place, Problem, Read, id_of};
use crate::digest::Digest;

/// What a plan does to the user's own objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPlan {
    pub changes: Vec<Change>,
    /// How many are as they should be.
    pub unchanged: usize,
    /// No manifest names them any more, and they stay all the same: with them would go what nobody can bring back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Id>,
    /// Where objects of ours are, or will have been.
    pub places: BTreeSet<Place>,
    /// Where some will be afterwards.
    pub stays: BTreeSet<Place>,
}

/// What is done to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub id: Id,
    pub action: Action,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Fields of others that become ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contested: Vec<Contested>,
    /// Whose it was, or why it has to be replaced and what that costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// File and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The state that it was decided by; none for an object that is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Digest>,
}

/// What can be done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Update,
    /// Taken away and made anew: a field that never changes has to.
    Replace,
    /// It belongs to somebody else, and becomes ours.
    Adopt,
    Delete,
}

/// A field that somebody else has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contested {
    pub field: String,
    pub manager: String,
}

impl ManifestPlan {
    pub fn is_noop(&self) -> bool {
        self.changes.is_empty()
    }

    /// The workloads among what is written that have to be ready afterwards.
    pub fn awaited(&self, manifests: &[Manifest]) -> Vec<Id> {
        let written: BTreeSet<&Id> = self
            .changes
            .iter()
            .filter(|change| change.action != Action::Delete)
            .map(|change| &change.id)
            .collect();
        let awaited = manifests.iter().filter(|manifest| has_to_be_ready(&manifest.0));
        awaited.map(Manifest::id).filter(|id| written.contains(id)).collect()
    }
}

/// An object under a wanted name, whoever it belongs to.
#[derive(Debug, Clone)]
pub enum Exists<'a> {
    Nowhere,
    There(&'a Value),
}

/// What one look at the cluster says about a manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum FirstLook {
    /// It is as it should be.
    Same,
    /// It is not there.
    Absent,
    /// Only the cluster can tell what applying the manifest would come to.
    Rehearse,
    /// It belongs to somebody else.
    Foreign(String),
}

/// What the cluster answered when the manifest was applied to no effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Rehearsed {
    /// The object as it would be, and which fields would be taken from others.
    Merged(Value, Vec<Contested>),
    /// A field cannot change; the cluster's words.
    Immutable(String),
    /// It would be refused; the cluster's words.
    Refused(String),
}

/// Decides what can be decided without a rehearsal.
pub fn first_look(wanted: &Manifest, live: &Exists<'_>, instance: &str) -> FirstLook {
    let Exists::There(live) = live else { return FirstLook::Absent };
    if !is_ours(live, instance) {
        return FirstLook::Foreign(owner(live));
    }
    let noted = live["metadata"]["annotations"][MANIFEST].as_str();
    // The note says that nothing was taken out of the manifest since, the rest that nobody else changed anything.
    match noted == Some(wanted.digest().0.as_str()) && says(live, &wanted.0) {
        true => FirstLook::Same,
        false => FirstLook::Rehearse,
    }
}

/// The change that a rehearsal amounts to; none when nothing would change.
pub fn decide(
    wanted: &Read,
    live: &Value,
    foreign: Option<&String>,
    answer: Rehearsed,
) -> Result<Option<Change>, Problem> {
    let (manifest, at) = (&wanted.manifest, &wanted.at);
    let mut change = Change {
        id: manifest.id(),
        action: Action::Update,
        fields: Vec::new(),
        contested: Vec::new(),
        note: None,
        because: Some(at.clone()),
        observed: Some(state(live)),
    };
    match answer {
        Rehearsed::Merged(merged, contested) => {
            change.fields = differences(&content(live), &content(&merged));
            change.contested = contested;
            if let Some(owner) = foreign {
                change.action = Action::Adopt;
                change.note = Some(format!("it belongs to {owner}"));
                return Ok(Some(change));
            }
            let noted = live["metadata"]["annotations"][MANIFEST].as_str();
            let is_noted = noted == Some(manifest.digest().0.as_str());
            let nothing = change.fields.is_empty() && change.contested.is_empty() && is_noted;
            Ok((!nothing).then_some(change))
        }
        Rehearsed::Immutable(why) if is_protected(live) || foreign.is_some() => Err(Problem {
            at: at.clone(),
            message: format!("{} cannot be changed so: {why}", manifest.id()),
            hint: Some("it is not replaced, since what is in it would be lost; give the new one another name".into()),
        }),
        Rehearsed::Immutable(why) => {
            change.action = Action::Replace;
            change.note = Some(format!("{why}; {}", cost(&manifest.kind().kind)));
            let wanted = differences(&content(live), &overlaid(live, &manifest.0));
            change.fields = wanted;
            Ok(Some(change))
        }
        Rehearsed::Refused(why) => {
            let (why, hint) = why.split_once("\n  hint: ").map_or((&*why, None), |(w, h)| (w, Some(h)));
            Err(Problem {
                at: at.clone(),
                message: format!("the cluster refuses {}: {why}", manifest.id()),
                hint: hint.map(String::from),
            })
        }
    }
}

/// What replacing costs.
fn cost(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            "ALL ITS PODS ARE STOPPED, then new ones are started"
        }
        "Job" => "it RUNS AGAIN",
        "Service" => "it gets a new address, and REQUESTS FAIL in between",
        _ => "it is not there for a moment",
    }
}

/// The live object with what the manifest says laid over it: near enough for telling what will differ.
fn overlaid(live: &Value, wanted: &Value) -> Value {
    let mut over = content(live);
    lay(&mut over, wanted);
    over
}

fn lay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// What becomes of objects of ours that no manifest names: what is removed, and what is kept.
pub fn prune(
    live: &BTreeMap<Id, Value>,
    wanted: &BTreeSet<Id>,
    instance: &str,
) -> (Vec<Change>, Vec<Id>) {
    let left = live
        .values()
        .filter(|object| is_ours(object, instance) && !wanted.contains(&id_of(object)));
    let (kept, removed): (Vec<&Value>, Vec<&Value>) = left
        // What is on its way already needs no push.
        .filter(|object| object["metadata"]["deletionTimestamp"].is_null())
        .partition(|object| is_protected(object));
    let removed = removed.into_iter().map(|object| Change {
        id: id_of(object),
        action: Action::Delete,
        fields: Vec::new(),
        contested: Vec::new(),
        note: None,
        because: None,
        observed: Some(state(object)),
    });
    (removed.collect(), kept.into_iter().map(id_of).collect())
}
