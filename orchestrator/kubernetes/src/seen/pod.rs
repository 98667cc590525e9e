//! What is wrong with a pod, from its status alone.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use neuroca_deploy_core::observed::Trouble;

/// Lines of evidence.
const LINES: usize = 20;
/// What registries say of an image that is not there, or not for this cluster.
const NO_IMAGE: [&str; 4] = ["not found", "manifest unknown", "unauthorized", "denied"];

/// Whether somebody has told it to end.
pub fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

pub fn is_running(pod: &Pod) -> bool {
    !is_going(pod) && phase(pod) == "Running"
}

pub fn is_ready(pod: &Pod) -> bool {
    !is_going(pod) && condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

/// Whether it runs and nothing in its status says why it is not ready: an event may.
pub fn waits_for_probe(pod: &Pod) -> bool {
    is_running(pod) && !is_ready(pod) && trouble(pod).is_none()
}

/// Starts that failed; a container that waits after a crash has failed once more than it was restarted.
pub fn crashes(pod: &Pod) -> u32 {
    containers(pod).map(|c| u32::try_from(c.restart_count).unwrap_or(0)).sum()
}

/// Whether it crashes again and again: at least `failures` times, and the cluster waits before the next start.
pub fn is_crash_loop(pod: &Pod, failures: u32) -> bool {
    containers(pod).any(|container| {
        waiting(container).is_some_and(|(reason, _)| reason == "CrashLoopBackOff")
            && u32::try_from(container.restart_count).unwrap_or(0) + 1 >= failures
    })
}

/// Whether an image of it is not there, or is kept from this cluster: asking again gets the same answer. A registry that
/// does not answer may do so later.
pub fn has_no_image(pod: &Pod) -> bool {
    containers(pod).any(|container| match waiting(container) {
        Some(("InvalidImageName" | "ErrImageNeverPull", _)) => true,
        Some(("ErrImagePull" | "ImagePullBackOff", message)) => {
            NO_IMAGE.iter().any(|words| message.contains(words))
        }
        _ => false,
    })
}

/// The container whose lines tell most, and whether those of its last start do: it has ended, and the next one may not
/// have said anything yet.
pub fn telling(pod: &Pod) -> Option<(&str, bool)> {
    let container = containers(pod).find(|container| !container.ready)?;
    let ended = container.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    let runs = container.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let has_begun = ended || runs || container.started == Some(true) || is_up(container);
    has_begun.then_some((container.name.as_str(), ended && !runs))
}

/// Why it is not ready, as soon as its status says so.
pub fn trouble(pod: &Pod) -> Option<Trouble> {
    if is_ready(pod) || phase(pod) == "Succeeded" {
        return None;
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        let why = unscheduled.message.clone().unwrap_or_default();
        return Some(Trouble { what: format!("cannot be scheduled: {why}"), ..Trouble::default() });
    }
    containers(pod).find_map(of_container).or_else(|| {
        (phase(pod) == "Failed").then(|| {
            let status = pod.status.clone().unwrap_or_default();
            let why = status.message.or(status.reason).unwrap_or_else(|| "it failed".into());
            Trouble { what: format!("the pod has ended: {why}"), ..Trouble::default() }
        })
    })
}

fn of_container(container: &ContainerStatus) -> Option<Trouble> {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let says = |what: String, end: Option<&ContainerStateTerminated>| {
        let message = end.and_then(|end| end.message.as_deref()).unwrap_or_default();
        Some(Trouble { what, body: None, log_lines: last_lines(message) })
    };
    if let Some(end) = now {
        return says(ended(end), now);
    }
    let Some((reason, message)) = waiting(container) else {
        // It runs again: why it did not before is still the best that is known.
        return match last {
            Some(end) if !container.ready => says(format!("{}; started again", ended(end)), last),
            _ => None,
        };
    };
    match reason {
        "CrashLoopBackOff" | "RunContainerError" => match last {
            Some(end) => says(ended(end), last),
            None => says(format!("{reason}: {message}"), None),
        },
        "ContainerCreating" | "PodInitializing" => None,
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            says(format!("{reason}: the image {} cannot be had: {message}", container.image), None)
        }
        _ => says(format!("{reason}: {message}"), None),
    }
}

/// "exited with status 3", as people say it.
fn ended(end: &ContainerStateTerminated) -> String {
    match (end.reason.as_deref(), end.signal) {
        (Some("OOMKilled"), _) => "was killed: it used more memory than its limit".into(),
        (Some("StartError" | "ContainerCannotRun"), _) => {
            format!("could not be started: {}", end.message.as_deref().unwrap_or_default())
        }
        (_, Some(signal)) if signal > 0 => format!("was ended by signal {signal}"),
        _ => format!("exited with status {}", end.exit_code),
    }
}

pub fn last_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| line.to_string()).collect()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Its containers; of those that only prepare it, the ones that have not done so.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let prepare = status.and_then(|status| status.init_container_statuses.as_deref());
    let run = status.and_then(|status| status.container_statuses.as_deref());
    let prepare = prepare.unwrap_or_default().iter().filter(|container| !container.ready);
    prepare.chain(run.unwrap_or_default())
}

fn is_up(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn waiting(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status }))
            .expect("a pod")
    }

    fn container(state: Value, last: Value, restarts: u32) -> Pod {
        pod(json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "api", "image": "nca:1", "imageID": "", "ready": false,
                "restartCount": restarts, "state": state, "lastState": last,
            }],
        }))
    }

    #[test]
    fn a_crash_tells_its_status_and_its_last_lines() {
        let lines: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
        let end = json!({ "terminated": { "exitCode": 3, "message": lines.join("\n") } });
        let back_off =
            json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } });
        let pod = container(back_off, end, 2);
        let trouble = trouble(&pod).expect("it crashes");
        assert_eq!(trouble.what, "exited with status 3");
        assert_eq!((trouble.log_lines.len(), trouble.log_lines[0].as_str()), (20, "line 10"));
        assert!(is_crash_loop(&pod, 3), "started and failed three times");
        assert!(!is_crash_loop(&pod, 4));
        assert_eq!(crashes(&pod), 2);
    }

    #[test]
    fn what_cannot_become_ready_is_told_with_its_cause() {
        let told = |pod: Pod| trouble(&pod).expect("trouble").what;
        let waiting = |reason: &str| {
            container(json!({ "waiting": { "reason": reason, "message": "why" } }), json!({}), 0)
        };
        assert!(told(waiting("ImagePullBackOff")).contains("nca:1 cannot be had: why"));
        assert_eq!(told(waiting("CreateContainerConfigError")), "CreateContainerConfigError: why");
        assert_eq!(trouble(&waiting("ContainerCreating")), None);
        let condition =
            json!({ "type": "PodScheduled", "status": "False", "message": "0/1 nodes" });
        let unscheduled = pod(json!({ "phase": "Pending", "conditions": [condition] }));
        assert_eq!(told(unscheduled), "cannot be scheduled: 0/1 nodes");
        let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        assert!(told(container(killed, json!({}), 0)).contains("more memory"));
    }

    #[test]
    fn a_pod_that_only_waits_for_its_probe_is_to_be_asked_about() {
        let starting = container(json!({ "running": {} }), json!({}), 0);
        assert!(waits_for_probe(&starting) && trouble(&starting).is_none());
        let ready = pod(json!({
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
        }));
        assert!(is_ready(&ready) && !waits_for_probe(&ready));
    }
}
