//! Histories in plain words.

use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::rollout::{Event, Phase, State};

use crate::catalogue::PARTS;
use crate::history::Played;
use crate::script::{Fate, Run, Script, Setting, Way, What};
use crate::world::{Split, World};

/// A history as a story: what it started from, what happened, how it ended.
pub fn tell(script: &Script, played: &Played) -> String {
    let mut lines = vec![setting(&script.setting)];
    for (n, run) in script.runs.iter().enumerate() {
        lines.push(format!("release {}: {}", n + 2, self::run(run)));
    }
    lines.push(format!("{} faults are planned, {} struck", script.faults.len(), played.struck));
    lines.push(String::new());
    lines.extend(played.story.iter().cloned());
    lines.push(String::new());
    lines.push(match &played.violation {
        Some(violation) => format!("BROKEN: {:?}: {}", violation.rule, violation.what),
        None => format!("all invariants hold; it ended: {}", played.end.outcomes.join(", ")),
    });
    lines.join("\n")
}

fn setting(s: &Setting) -> String {
    let parts = [(true, "api"), (s.web, "web"), (s.worker, "worker")];
    let parts: Vec<&str> =
        parts.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    let canary = match s.way {
        Way::Canary => format!(
            " (steps {}, {} requests an interval, inconclusive: {:?}, decision: {:?})",
            s.steps, s.requests, s.on_inconclusive, s.decision
        ),
        _ => String::new(),
    };
    format!(
        "{:?}{canary} of {}{}, {}; processes are ready after {} ms, {} end {} ms after the traffic left, \
         an effect takes {} ms, the router follows after {} ms; the old release is {}",
        s.way,
        parts.join(", "),
        if s.hooks { " with hooks and a migration" } else { "" },
        if s.installed { "over release 1" } else { "on an empty target" },
        s.ready_ms,
        if s.streams { "streams" } else { "requests" },
        s.request_ms,
        s.effect_ms,
        s.lag_ms,
        if s.warm { "kept warm" } else { "stopped" },
    )
}

fn run(run: &Run) -> String {
    let mut words = format!("{:?}", run.change);
    words.push_str(match run.fate {
        Fate::Well => "",
        Fate::NeverReady => ", never ready",
        Fate::CrashLoop => ", crashes at once",
        Fate::DiesUnderTraffic { .. } => ", dies under full traffic",
        Fate::Errs { .. } => ", answers with errors",
    });
    if let Fate::DiesUnderTraffic { after_ms } = run.fate {
        words.push_str(&format!(" after {after_ms} ms"));
    }
    if let Fate::Errs { percent } = run.fate {
        words.push_str(&format!(": {percent} %"));
    }
    if !run.old_returns {
        words.push_str(", old processes do not come up again");
    }
    if let Some(refuses) = run.refuses {
        words.push_str(&format!(", the target refuses: {refuses:?}"));
    }
    words
}

impl World {
    pub fn who(&self, driver: usize) -> String {
        let name = char::from(b'A' + (driver % 26) as u8);
        format!("driver {name} (epoch {})", self.drivers[driver].epoch)
    }

    pub fn name_of(&self, revision: usize) -> String {
        let revision = &self.revisions[revision];
        format!("{} {}", PARTS[revision.part], revision.version)
    }

    pub fn words_of_fault(&self, what: What) -> String {
        match what {
            What::Crash { successor_ms } => {
                format!("the driver is killed; somebody goes on {successor_ms} ms later")
            }
            What::Stall { ms } => format!("the driver stands still for {ms} ms"),
            What::TakeOver => "somebody breaks the lock and goes on".into(),
            What::Second { wait_ms } => {
                format!("somebody runs the same command, and waits {wait_ms} ms for the lock")
            }
            What::OldPlan => "somebody applies the plan of the release before".into(),
            What::Interrupt { .. } => "Ctrl-C".into(),
            What::RequestLost => "the next request to the target will be lost".into(),
            What::AnswerLost => "the answer to the next request will be lost".into(),
            What::RequestLate { ms } => {
                format!("the next request will arrive {ms} ms late, after its driver gave it up")
            }
            What::RequestTwice => "the next request will arrive twice".into(),
            What::AnswerLate { ms } => format!("the next answer will be {ms} ms late"),
            What::StoreFails { written: true } => {
                "the next write is durable, but reported as failed".into()
            }
            What::StoreFails { written: false } => "the next write fails".into(),
            What::Blind { ms } => format!("the target cannot be looked at for {ms} ms"),
            What::LookLate { ms } => format!("the next look arrives {ms} ms late"),
            What::RouterSilent { ms } => format!("the router does not say its weights for {ms} ms"),
            What::RouterStale { ms } => {
                format!("the router tells the weights of before for {ms} ms")
            }
            What::RouterLags { ms } => format!("for {ms} ms the router does not do as told"),
            What::RouterForgets => "the router falls back to the weights of before".into(),
            What::CountsGone { ms } => format!("nobody counts requests for {ms} ms"),
            What::CountsEmpty { ms } => format!("no requests are counted for {ms} ms"),
            What::CountsLate { ms } => format!("the next counts arrive {ms} ms late"),
            What::CountsAgain { ms } => format!("for {ms} ms counts are told again and again"),
            What::CountsAbsurd { ms } => {
                format!("for {ms} ms more errors than requests are counted")
            }
            What::BothErr { ms } => format!("for {ms} ms both releases answer with errors"),
            What::Flap { side, ms } => format!("{side:?} processes lose readiness for {ms} ms"),
            What::ClockJumps { ms } => format!("the clock jumps by {ms} ms"),
            What::Operator(wish) => format!("an operator says {}", wish.intent().word()),
        }
    }

    pub fn words_of_split(&self, split: &Split) -> String {
        let shares =
            split.weights.iter().map(|(n, weight)| format!("{} {weight} %", self.name_of(*n)));
        let shares: Vec<String> = shares.collect();
        if shares.is_empty() { "nobody to send to".into() } else { shares.join(", ") }
    }

    pub fn words_of_effect(&self, effect: &Effect) -> String {
        let revision = |id| self.find(id).map_or_else(|| id.to_string(), |n| self.name_of(n));
        match effect {
            Effect::StoreArtifact { component, .. } => format!("store the artifact of {component}"),
            Effect::SealSecrets { .. } => "seal the secrets".into(),
            Effect::RunHook { hook, component, .. } => {
                format!("run {} of {component}", hook.name())
            }
            Effect::Migrate { component, .. } => format!("migrate {component}"),
            Effect::StartRevision { revision: id, .. } => format!("start {}", revision(id)),
            Effect::Route { traffic } => {
                format!("route {}", self.words_of_split(&self.split(traffic)))
            }
            Effect::EndStreams { revision: id, .. } => {
                format!("end the streams of {}", revision(id))
            }
            Effect::KeepWarm { revision: id, .. } => format!("keep {} warm", revision(id)),
            Effect::StopRevision { revision: id, .. } => format!("stop {}", revision(id)),
            Effect::ApplyManifests { .. } => "apply the manifests".into(),
            Effect::PruneManifests { .. } => "prune the manifests".into(),
            Effect::Record { .. } => "record the end".into(),
        }
    }

    pub fn words_of_event(&self, event: &Event) -> String {
        match event {
            Event::Began => "it begins".into(),
            Event::Done => "the effect is done".into(),
            Event::Refused { reason } => format!("the effect was refused: {reason}"),
            Event::Outdated { reason } => format!("the plan is stale: {reason}"),
            Event::Ready => "everything that was started is ready".into(),
            Event::RouteObserved => "the router reports what was asked for".into(),
            Event::Drained => "nothing is in flight any more".into(),
            Event::DrainLimit => "the drain limit has passed".into(),
            Event::Watched => "the watch passed without trouble".into(),
            Event::Unhealthy { reason } => format!("unhealthy: {reason}"),
            Event::Counted { window } => {
                let sides = window.components.iter().map(|(name, sides)| {
                    let (canary, stable) = (&sides.canary, &sides.stable);
                    format!(
                        "{name} new {} errors of {}, old {} of {}",
                        canary.errors, canary.requests, stable.errors, stable.requests
                    )
                });
                format!("counted: {}", sides.collect::<Vec<_>>().join("; "))
            }
            Event::Blind { reason } => format!("no counts: {reason}"),
            Event::StepPassed => "the step has passed".into(),
            Event::Inconclusive { reason } => format!("inconclusive: {reason}"),
            Event::RouteLost => "the router reports something else".into(),
            Event::TookOver => "nobody drove for a while".into(),
            Event::Operator { intent } => format!("takes up `{}`", intent.word()),
        }
    }

    pub fn words_of_turn(
        &self,
        driver: usize,
        event: &Event,
        from: Phase,
        state: &State,
    ) -> String {
        let event = self.words_of_event(event);
        let who = self.who(driver);
        match state.phase == from {
            true => format!("{who}: {event}"),
            false => format!("{who}: {event} -> {:?}", state.phase),
        }
    }

    pub fn words_of_plan(&self, plan: &Plan) -> String {
        let moves: Vec<String> = plan
            .rollout
            .moves
            .iter()
            .map(|m| {
                let name = |id: &Option<_>| match id.as_ref().and_then(|id| self.find(id)) {
                    Some(n) => self.revisions[n].version.to_string(),
                    None => "nothing".into(),
                };
                format!("{} {} -> {}", m.component, name(&m.from), name(&m.to))
            })
            .collect();
        let back = if plan.rollout.rollback { "rollback, " } else { "" };
        format!("{back}{}", moves.join(", "))
    }

    pub fn words_of_outcome(&self, outcome: &Outcome) -> String {
        match outcome.reason() {
            Some(reason) => format!("{}: {reason}", outcome.word()),
            None => outcome.word().into(),
        }
    }
}
