//! What the cluster says that would come of a manifest: the same request that writes it, to no effect.

use neuroca_deploy_core::manifests::{Id, Place, Rehearsed};
use serde_json::Value;

use super::requests::{Applied, Apply, Requests};
use crate::access::{AccessError, is_unanswered};

/// Asks it, once more where fields of others are in the way.
pub(super) async fn rehearse(
    requests: &Requests<'_>,
    place: &Place,
    id: &Id,
    object: &Value,
) -> Result<Rehearsed, AccessError> {
    let politely = Apply { rehearse: true, force: false };
    let mut fields = Vec::new();
    let mut answer = requests.apply(place, id, object, politely).await;
    if let Ok(Applied::Contested(contested)) = answer {
        fields = contested;
        answer = requests.apply(place, id, object, Apply { force: true, ..politely }).await;
    }
    match answer {
        Err(AccessError::Refused(why)) if is_immutable(&why) => {
            Ok(Rehearsed::Immutable(short(&why)))
        }
        // It says nothing about the manifest that nobody looked at it.
        Err(AccessError::Refused(why)) if !is_unanswered(&why) => {
            Ok(Rehearsed::Refused(short(&why)))
        }
        Err(error) => Err(error),
        Ok(Applied::Done(merged)) => Ok(Rehearsed::Merged(merged, fields)),
        Ok(Applied::Contested(_)) => {
            Ok(Rehearsed::Refused("its fields stay others', even by force".into()))
        }
    }
}

/// The cluster has no code for it: each kind says it in words of its own.
fn is_immutable(why: &str) -> bool {
    let words = [
        "field is immutable",
        "is immutable after creation",
        "may not change once set",
        "cannot change roleRef",
        "updates to statefulset spec for fields other than",
        "updates to parameters are forbidden",
        "updates to provisioner are forbidden",
    ];
    words.iter().any(|known| why.contains(known))
}

/// What comes after the object's name, without the value of a field that may fill a page.
fn short(why: &str) -> String {
    let told = ["is invalid: ", "typed patch object "];
    let text = told.iter().find_map(|words| Some(why.split_once(words)?.1)).unwrap_or(why);
    let Some((field, rest)) = text.split_once(": Invalid value: ") else { return text.to_string() };
    match rest.rsplit_once(": ") {
        Some((_, reason)) => format!("{field}: {reason}"),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_change_is_told_without_its_value() {
        let why = "cannot apply Deployment n/web: Deployment.apps \"web\" is invalid: spec.selector: Invalid value: \
                   v1.LabelSelector{MatchLabels:map[string]string{\"a\":\"b\"}}: field is immutable";
        assert!(is_immutable(why));
        assert_eq!(short(why), "spec.selector: field is immutable");
        assert!(!is_immutable(
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        ));
    }
}
