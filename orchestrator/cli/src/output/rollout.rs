//! A rollout as people see it: what its phases are called, what an effect did, and the block of
//! lines that a terminal shows while it goes on. Pure.

use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::{Observed, RevisionObserved};
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_core::rollout::{Phase, State};

use super::Paint;
use super::evidence;
use super::when;

/// Workloads that the block names; there may be hundreds.
const WORKLOADS: usize = 8;

/// What an effect did, in the past tense.
pub fn describe(effect: &Effect) -> String {
    match effect {
        Effect::StoreArtifact { component, .. } => format!("{component}: artifact stored"),
        Effect::SealSecrets { .. } => "secrets sealed".into(),
        Effect::RunHook { component, hook, .. } => format!("{component}: hook {} ran", hook.name()),
        Effect::Migrate { component, .. } => format!("{component}: database migrated"),
        Effect::StartRevision { revision, .. } => format!("{revision}: started"),
        Effect::Route { traffic } => {
            let parts: Vec<String> = traffic
                .shares
                .values()
                .flatten()
                .map(|share| format!("{} {}%", share.revision, share.weight))
                .collect();
            match parts.is_empty() {
                true => "traffic routed to nothing".into(),
                false => format!("traffic routed: {}", parts.join(", ")),
            }
        }
        Effect::EndStreams { revision, .. } => {
            format!("{revision}: drain limit reached, what was left was ended")
        }
        Effect::KeepWarm { revision, for_ms, .. } => {
            format!("{revision}: kept warm for {}", when::span(*for_ms))
        }
        Effect::StopRevision { revision, .. } => format!("{revision}: stopped"),
        Effect::ApplyManifests { release: Some(release) } => {
            format!("manifests of {release} applied")
        }
        Effect::ApplyManifests { release: None } => "manifests taken back".into(),
        Effect::PruneManifests { .. } => "manifests pruned".into(),
        Effect::Record { release, outcome } => format!("{release} recorded: {}", outcome.word()),
    }
}

/// Whether a phase is worth a line of its own: its effects speak for themselves.
pub(super) fn takes_time(state: &State) -> bool {
    let starts = |port| state.spec.starting(port).next().is_some();
    state.outstanding.is_empty()
        && match state.phase {
            Phase::Starting => starts(true) || !state.spec.awaited().is_empty(),
            Phase::Swapping => starts(false),
            Phase::Holding(_) => true,
            Phase::Watching => state.spec.watch_ms > 0,
            Phase::Draining | Phase::ClearingDrain | Phase::BackDraining => true,
            Phase::BackStarting => true,
            _ => false,
        }
}

/// A word for each phase.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::New => "beginning",
        Phase::Preparing => "preparing",
        Phase::Clearing | Phase::ClearingDrain | Phase::ClearingStop => "stopping the old",
        Phase::Starting => "starting",
        Phase::Previewing => "previewing",
        Phase::Testing => "testing",
        Phase::Shifting(_) => "shifting",
        Phase::Holding(_) => "canary",
        Phase::Regaining(_) => "nobody drove: the old takes all",
        Phase::Swapping => "swapping",
        Phase::Watching => "watching",
        Phase::Finishing => "finishing",
        Phase::Draining => "draining",
        Phase::Retiring => "retiring",
        Phase::Recording => "recording",
        Phase::BackStarting => "turning back: starting the old",
        Phase::BackShifting => "turning back: shifting",
        Phase::BackDraining => "turning back: draining",
        Phase::BackStopping => "turning back: stopping the new",
        Phase::Finished => "ended",
    }
}

/// The weight of a revision as the edge reports it.
pub fn weight(observed: &Observed, id: &RevisionId) -> Option<u32> {
    let traffic = observed.traffic.as_ref()?;
    traffic.shares.values().flatten().find(|s| s.revision == *id).map(|s| s.weight)
}

/// The revisions that a rollout is about, the new one of each component first.
pub(super) fn interesting<'a>(
    state: &State,
    observed: &'a Observed,
) -> Vec<(RevisionId, &'a RevisionObserved)> {
    let mut found: Vec<(RevisionId, &RevisionObserved)> = Vec::new();
    for m in &state.spec.moves {
        for id in [&m.to, &m.from].into_iter().flatten() {
            if let Some(seen) = observed.revisions.get(id)
                && !found.iter().any(|(known, _)| known == id)
            {
                found.push((id.clone(), seen));
            }
        }
    }
    found
}

/// The live block.
pub fn block(state: &State, observed: &Observed, paint: Paint, now_ms: u64) -> Vec<String> {
    let name = phase_name(state.phase);
    let name = match state.is_turning_back() {
        true => paint.bad(name),
        false => paint.strong(name),
    };
    let spent = when::span(now_ms.saturating_sub(state.began_ms) / 1000 * 1000);
    let mut lines = vec![format!("  {name}  {}  {spent}", paint.name(&state.spec.release.0))];
    let seen = interesting(state, observed);
    let width = seen.iter().map(|(id, _)| id.0.len()).max().unwrap_or(0);
    for (id, r) in &seen {
        let ready = format!("{}/{} ready", r.ready, r.wanted);
        let ready = if r.is_ready() { paint.good(&ready) } else { paint.attention(&ready) };
        let weight = weight(observed, id).map_or("   -".into(), |w| format!("{w:>3}%"));
        let mut line = format!("    {:width$}  {ready}  {weight}", id.0);
        if r.requests > 0 {
            let rate = r.errors as f64 * 100.0 / r.requests as f64;
            line.push_str(&format!("  {} requests, {rate:.1}% errors", r.requests));
        }
        if r.in_flight + r.streams > 0 {
            line.push_str(&format!("  {} in flight", r.in_flight + r.streams));
        }
        if let Some(trouble) = &r.trouble {
            line.push_str(&format!("  {}", paint.bad(&trouble.what)));
        }
        lines.push(line);
    }
    let unready: Vec<_> = observed.workloads.iter().filter(|own| !own.is_ready).collect();
    for own in unready.iter().take(WORKLOADS) {
        let ready = paint.attention(&format!("{}/{} ready", own.ready, own.wanted));
        let trouble = own.trouble.as_ref().map_or(String::new(), |t| paint.bad(&t.what));
        lines.push(format!("    {}  {ready}  {trouble}", own.id).trim_end().to_string());
    }
    if let Some(more) = unready.len().checked_sub(WORKLOADS).filter(|more| *more > 0) {
        lines.push(format!("    and {more} more workloads that are not ready"));
    }
    if state.spec.has_judge() && state.judged_ms.is_some() {
        lines.extend(evidence::lines(&state.judge.evidence(), paint));
    }
    let idle = state.outstanding.is_empty() && !state.paused;
    let head = if idle { paint.dim("waits for ") } else { String::new() };
    lines.push(format!("    {head}{}{}", state.waits_for(), left(state, now_ms)));
    lines
}

/// How much of a step's time is left, and what the deadline leaves when that is close.
fn left(state: &State, now_ms: u64) -> String {
    let Phase::Holding(n) = state.phase else { return String::new() };
    if state.paused || state.waits_for_a_person(now_ms).is_some() {
        return String::new();
    }
    let gone = now_ms.saturating_sub(state.phase_ms);
    let pause = state.spec.steps[n].pause.0.saturating_sub(gone);
    let deadline = (state.began_ms + state.spec.deadline_ms).saturating_sub(now_ms);
    let whole = |ms: u64| when::span(ms.div_ceil(1000) * 1000);
    match pause {
        0 => format!(" (deadline in {})", whole(deadline)),
        _ => format!(" ({} left)", whole(pause)),
    }
}
