//! Releases and plans, made once per thread by the product's own `Release` and `Plan`: digests
//! cost more than a whole history.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use neuroca_deploy_core::config::fractions::Percent;
use neuroca_deploy_core::config::model::{
    Component, Edge, HeaderRoute, Retention, RolloutPolicy, Side, Step, Strategy,
};
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::judge::{Analysis, Errors, Latency, OnInconclusive};
use neuroca_deploy_core::plan::{Base, FORMAT, Plan};
use neuroca_deploy_core::release::{ComponentRelease, Release, ReleaseId, RevisionId};
use neuroca_deploy_core::rollout::Spec;

use crate::script::{Change, Setting, Undecided, Way};

/// Times of every release here, in milliseconds.
pub const WATCH_MS: u64 = 1_500;
pub const INTERVAL_MS: u64 = 500;
pub const DECIDE_WITHIN_MS: u64 = 16_000;
pub const MIN_REQUESTS: u64 = 20;
pub const DRAIN_MS: u64 = 1_000;
pub const DEADLINE_MS: u64 = 60_000;
pub const WARM_MS: u64 = 30_000;
pub const START_TIMEOUT_MS: u64 = 6_000;

/// The components, by which everything here is indexed.
pub const PARTS: [&str; 3] = ["api", "web", "worker"];

/// A release as it is made: version 0 of a part is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Made {
    pub way: Way,
    pub steps: u8,
    pub on_inconclusive: Undecided,
    pub hooks: bool,
    pub warm: bool,
    pub versions: [u8; 3],
    pub replicas: u8,
    pub label: u8,
}

/// A release with what is asked of it all the time.
pub struct Built {
    pub made: Made,
    pub release: Release,
    pub id: ReleaseId,
    pub revisions: [Option<RevisionId>; 3],
}

impl Made {
    pub fn first(setting: &Setting) -> Self {
        let versions = [1, u8::from(setting.web), u8::from(setting.worker)];
        let Setting { way, steps, on_inconclusive, hooks, warm, .. } = *setting;
        Self { way, steps, on_inconclusive, hooks, warm, versions, replicas: 1, label: 0 }
    }

    /// The release that follows; versions never come back.
    pub fn next(self, change: Change, label: u8) -> Self {
        let mut next = Self { label, ..self };
        let renew = |version: &mut u8| {
            if *version > 0 {
                *version = label + 1;
            }
        };
        let toggle = |version: &mut u8| *version = if *version > 0 { 0 } else { label + 1 };
        match change {
            Change::Everything => next.versions.iter_mut().for_each(renew),
            Change::OnlyApi => renew(&mut next.versions[0]),
            Change::OnlyWorker => renew(&mut next.versions[2]),
            Change::Scaled => next.replicas = if self.replicas == 1 { 2 } else { 1 },
            Change::WebComesOrGoes => {
                renew(&mut next.versions[0]);
                toggle(&mut next.versions[1]);
            }
            Change::WorkerComesOrGoes => {
                renew(&mut next.versions[0]);
                toggle(&mut next.versions[2]);
            }
            Change::Relabelled | Change::Back => {}
        }
        next
    }
}

type Specs = HashMap<(Option<Made>, Made, bool), Arc<Spec>>;

/// Releases and specs that a thread keeps; some kilobytes each.
const KEEPS: usize = 10_000;

thread_local! {
    static RELEASES: RefCell<HashMap<Made, Arc<Built>>> = RefCell::default();
    static SPECS: RefCell<Specs> = RefCell::default();
}

pub fn built(made: Made) -> Arc<Built> {
    RELEASES.with_borrow_mut(|all| {
        if all.len() > KEEPS {
            all.clear();
        }
        all.entry(made)
            .or_insert_with(|| {
                let release = release(made);
                Arc::new(Built {
                    made,
                    id: release.id(),
                    revisions: PARTS.map(|name| release.revision(name)),
                    release,
                })
            })
            .clone()
    })
}

/// The plan from one release to another. What it says to people is left out: it takes longer than
/// the whole history.
pub fn plan(
    base: Base,
    from: Option<&Built>,
    left: &[Arc<Built>],
    to: &Built,
    rollback: bool,
) -> Plan {
    Plan {
        format: FORMAT,
        project: to.release.project.clone(),
        environment: to.release.environment.clone(),
        base,
        release: to.release.clone(),
        changes: Vec::new(),
        rollout: spec(from, left, to, rollback),
        manifests: None,
    }
}

pub fn spec(from: Option<&Built>, left: &[Arc<Built>], to: &Built, rollback: bool) -> Spec {
    if !left.is_empty() {
        let left: Vec<Release> = left.iter().map(|built| built.release.clone()).collect();
        return Spec::after(from.map(|b| &b.release), &left, &to.release, rollback);
    }
    let spec = SPECS.with_borrow_mut(|all| {
        if all.len() > KEEPS {
            all.clear();
        }
        let new = || Arc::new(Spec::new(from.map(|b| &b.release), &to.release, rollback));
        all.entry((from.map(|b| b.made), to.made, rollback)).or_insert_with(new).clone()
    });
    Spec::clone(&spec)
}

fn component(part: usize, made: Made) -> Component {
    let hooks = made.hooks && part == 0;
    let json = serde_json::json!({
        "artifact": "app", "command": ["./app"], "port": part != 2,
        "replicas": if part == 0 { made.replicas } else { 1 },
        "drain": format!("{DRAIN_MS}ms"),
        "health": {"start_timeout": format!("{START_TIMEOUT_MS}ms")},
        "hooks": if hooks {
            serde_json::json!({"pre_deploy": ["a"], "smoke_test": ["b"], "post_deploy": ["c"]})
        } else {
            serde_json::json!({})
        },
        "migrate": if hooks { Some(["m"]) } else { None },
    });
    serde_json::from_value(json).expect("a valid component")
}

fn release(made: Made) -> Release {
    let mut components = BTreeMap::new();
    for (part, name) in PARTS.iter().enumerate().filter(|(part, _)| made.versions[*part] > 0) {
        let release = ComponentRelease {
            artifact: Digest::of_bytes(format!("{name} {}", made.versions[part]).as_bytes()),
            spec: component(part, made),
            secrets: BTreeMap::new(),
            restarted: None,
        };
        components.insert(name.to_string(), release);
    }
    let strategy = match made.way {
        Way::BlueGreen => Strategy::BlueGreen,
        Way::Canary => Strategy::Canary,
        Way::Recreate => Strategy::Recreate,
    };
    let rollout = RolloutPolicy {
        strategy,
        steps: if made.way == Way::Canary { steps(made.steps) } else { Vec::new() },
        analysis: analysis(made.on_inconclusive),
        watch: Millis(WATCH_MS),
        deadline: Millis(DEADLINE_MS),
        rollback_window: Millis(if made.warm { WARM_MS } else { 0 }),
    };
    Release {
        project: "simulated".into(),
        environment: "simulated".into(),
        version: Some(made.label.to_string()),
        components,
        edge: Edge::default(),
        rollout,
        retention: Retention::default(),
        kubernetes: None,
        manifests: Vec::new(),
        rendered: BTreeMap::new(),
    }
}

/// The kinds of steps that there are.
pub const STEPS: u8 = 4;

fn steps(kind: u8) -> Vec<Step> {
    let step = |weight, pause| Step { pause: Millis(pause), ..Step::weight(weight) };
    let judged = |weight, pause| Step { analysis: true, ..step(weight, pause) };
    match kind {
        0 => vec![judged(10, 0), judged(50, 1_000)],
        1 => vec![step(5, 500), Step { gate: true, ..judged(50, 0) }],
        2 => {
            let route =
                HeaderRoute { header: "x-canary".into(), value: "1".into(), to: Side::Canary };
            let by_header = Step { header_routes: vec![route], ..judged(0, 0) };
            let all = Step { gate: true, ..step(100, 500) };
            vec![by_header, Step { mirror: 10, ..judged(25, 500) }, all]
        }
        _ => vec![Step { gate: true, ..step(20, 0) }],
    }
}

/// A judge that decides within a few intervals, and is cheap to copy.
fn analysis(on_inconclusive: Undecided) -> Analysis {
    Analysis {
        interval: Millis(INTERVAL_MS),
        errors: Errors { budget: Percent(100_000), ..Errors::default() },
        latency: Latency { judged: false, ..Latency::default() },
        restart_every: Millis(3_600_000),
        horizon: Millis(3_600_000),
        min_requests: MIN_REQUESTS as u32,
        decide_within: Millis(DECIDE_WITHIN_MS),
        on_inconclusive: match on_inconclusive {
            Undecided::Pause => OnInconclusive::Pause,
            Undecided::Promote => OnInconclusive::Promote,
            Undecided::Rollback => OnInconclusive::Rollback,
        },
        ..Analysis::default()
    }
}
