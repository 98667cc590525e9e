//! What a policy cannot do in its own time, in plain words, and what would help.

use super::arithmetic::{Arithmetic, Held};
use crate::rollout::Spec;

/// A policy that does not see such a rise of errors before everybody gets the release is worth a word.
const WORTH_SEEING: f64 = 5.0;
/// Nobody waits longer than this for a step.
const REASONABLE: f64 = 6.0 * 3600.0;

/// What this rollout's steps cannot do at a rate of requests, all components together. Empty when
/// nothing is to be said, and when the rollout is no canary. Cheap: no simulation.
pub fn warnings(spec: &Spec, rps: f64, error_rate: f64) -> Vec<String> {
    if !spec.has_judge() {
        return Vec::new();
    }
    let components = spec.compared().len().max(1);
    let arithmetic = Arithmetic {
        analysis: &spec.analysis,
        steps: &spec.steps,
        components,
        rps: rps.max(0.0) / components as f64,
        error_rate: error_rate.clamp(1e-5, 0.5),
    };
    let mut said = Vec::new();
    pauses(spec, &mut said);
    if rps <= 0.0 {
        said.push(
            "without requests nothing can be judged: every step that has a judge ends inconclusive"
                .into(),
        );
        return said;
    }
    let stuck = undecidable(&arithmetic, spec, &mut said);
    if !stuck {
        deadline(&arithmetic, spec, &mut said);
        unseen(&arithmetic, &mut said);
    }
    said
}

fn pauses(spec: &Spec, said: &mut Vec<String>) {
    let pauses: u64 = spec.steps.iter().map(|step| step.pause.0).sum();
    if pauses + spec.watch_ms >= spec.deadline_ms {
        said.push(format!(
            "the pauses and the watch period alone take {}, the deadline is {}: the rollout cannot \
             end in time; shorten the pauses or set a longer rollout.deadline",
            span((pauses + spec.watch_ms) as f64 / 1000.0),
            span(spec.deadline_ms as f64 / 1000.0)
        ));
    }
}

/// Steps that are likely to end inconclusive. True when there is one.
fn undecidable(arithmetic: &Arithmetic<'_>, spec: &Spec, said: &mut Vec<String>) -> bool {
    let within = |n: usize| {
        let allowed = spec.analysis.decide_within.0.max(spec.steps[n].pause.0);
        allowed as f64 / 1000.0
    };
    let mut held = Held::default();
    for n in (0..spec.steps.len()).filter(|n| arithmetic.is_judged(*n)) {
        let weight = spec.steps[n].weight;
        let at = format!("step {} ({weight} %)", n + 1);
        let exposure = arithmetic.exposure(n, &held).unwrap_or(f64::INFINITY);
        if exposure > within(n) {
            said.push(format!(
                "{at} gets {} of the {} requests a second, so the {} that `min_requests` asks for take \
                 {}, and the step ends inconclusive after {}; {}",
                number(arithmetic.canary_rps(weight)),
                plain(arithmetic.rps),
                spec.analysis.min_requests,
                span(exposure),
                span(within(n)),
                larger(spec, exposure, within(n), weight)
            ));
            return true;
        }
        let acceptance = arithmetic.acceptance(n, 1.0, &held);
        if acceptance.is_none_or(|seconds| seconds > within(n)) {
            let takes = acceptance.filter(|s| *s < REASONABLE);
            let takes = takes.map_or("hours".into(), |seconds| format!("about {}", span(seconds)));
            let what = match arithmetic.error_rate >= spec.analysis.errors.budget.fraction() {
                true => format!(
                    " (with {} % of errors the budget of {} cannot be shown, only that the new \
                     release is no worse than the old)",
                    plain(arithmetic.error_rate * 100.0),
                    spec.analysis.errors.budget
                ),
                false => String::new(),
            };
            said.push(format!(
                "{at} needs {takes} at {} rps to show that a good release is good{what}, \
                 and it ends inconclusive after {}; {}",
                plain(arithmetic.rps),
                span(within(n)),
                larger(spec, acceptance.unwrap_or(f64::INFINITY), within(n), weight)
            ));
            return true;
        }
        let pause = spec.steps[n].pause.0 as f64 / 1000.0;
        held = arithmetic.after(n, 1.0, acceptance.unwrap_or(0.0).max(pause), &held);
    }
    false
}

/// What helps where a step is too short.
fn larger(spec: &Spec, needed: f64, allowed: f64, weight: u8) -> String {
    let wanted = (f64::from(weight) * needed / allowed * 1.2).ceil();
    let time = (needed < REASONABLE)
        .then(|| format!("set rollout.analysis.decide_within to {}", setting(needed * 1.5)));
    let time = time.map(|time| match needed * 3.0 > spec.deadline_ms as f64 / 1000.0 {
        true => format!("{time} (and a longer rollout.deadline)"),
        false => time,
    });
    let weight = (wanted <= 50.0).then(|| format!("give it a weight of {wanted} %"));
    match (weight, time) {
        (Some(weight), Some(time)) => format!("{weight}, or {time}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            "with so few requests promote by hand: `gate: true`, `analysis: false`".into()
        }
    }
}

fn deadline(arithmetic: &Arithmetic<'_>, spec: &Spec, said: &mut Vec<String>) {
    let all = arithmetic.durations(1.0).into_iter().flatten().sum::<f64>()
        + spec.watch_ms as f64 / 1000.0;
    let deadline = spec.deadline_ms as f64 / 1000.0;
    let pauses: u64 = spec.steps.iter().map(|step| step.pause.0).sum();
    if all >= deadline && pauses + spec.watch_ms < spec.deadline_ms {
        said.push(format!(
            "at {} rps the steps need about {}, the deadline is {}; set a longer \
             rollout.deadline, or larger weights",
            plain(arithmetic.rps),
            span(all),
            span(deadline)
        ));
    }
}

fn unseen(arithmetic: &Arithmetic<'_>, said: &mut Vec<String>) {
    let seconds: Vec<f64> =
        arithmetic.durations(1.0).into_iter().map(|s| s.unwrap_or(0.0)).collect();
    let rise = arithmetic.smallest_rise();
    if rise.is_some_and(|rise| rise <= WORTH_SEEING) {
        return;
    }
    let judged: Vec<usize> = (0..seconds.len()).filter(|n| arithmetic.is_judged(*n)).collect();
    let total: f64 = judged.iter().map(|n| seconds[*n]).sum();
    let sees = match rise {
        Some(rise) => format!("sees only > {}x", number(rise)),
        None => "sees no rise of errors at all".into(),
    };
    let pause = match judged.as_slice() {
        [_] => format!("a {} pause", span(total)),
        _ => format!("{} in {} steps", span(total), judged.len()),
    };
    said.push(format!(
        "at {} rps and {} % errors {pause} {sees}; {}",
        plain(arithmetic.rps),
        plain(arithmetic.error_rate * 100.0),
        remedy(arithmetic, &seconds, &judged)
    ));
}

/// The time or the weight with which a rise worth seeing would be seen.
fn remedy(arithmetic: &Arithmetic<'_>, seconds: &[f64], judged: &[usize]) -> String {
    let needs = |weight: u8| arithmetic.seconds_to_see(WORTH_SEEING, weight);
    let step = judged.iter().copied().filter_map(|n| Some((n, needs(arithmetic.steps[n].weight)?)));
    let best = step.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, needed)| *needed < REASONABLE);
    let (n, needed) = best.unwrap_or((judged.first().copied().unwrap_or_default(), f64::INFINITY));
    let name = match judged {
        [_] => "the step".to_string(),
        _ => format!("step {} ({} %)", n + 1, arithmetic.steps[n].weight),
    };
    let time = (needed < REASONABLE).then(|| format!("give {name} {}", span(needed)));
    let heavier = [10, 25, 50].into_iter().filter(|w| *w > arithmetic.steps[n].weight);
    let heavier = heavier.into_iter().find(|w| needs(*w).is_some_and(|s| s <= seconds[n]));
    match (time, heavier) {
        (Some(time), Some(weight)) => {
            format!("{time} or a weight of {weight} % to see {WORTH_SEEING}x")
        }
        (Some(time), None) => format!("{time} to see {WORTH_SEEING}x"),
        (None, Some(weight)) => {
            format!("give {name} a weight of {weight} % to see {WORTH_SEEING}x")
        }
        (None, None) => {
            "with so few errors no reasonable time shows more: the budget and the health \
                         rules protect"
                .into()
        }
    }
}

/// Seconds in one unit, rounded up: advice that is a little too long is the better one.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{} s", s.ceil()),
        s if s < 5_400.0 => format!("{} min", (s / 60.0).ceil()),
        s if s < 172_800.0 => format!("{} h", (s / 3_600.0).ceil()),
        s if s.is_finite() => format!("{} days", (s / 86_400.0).ceil()),
        _ => "for ever".into(),
    }
}

/// The same, as an environment file takes it.
fn setting(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{}s", seconds.ceil())
    } else {
        format!("{}m", (seconds / 60.0).ceil())
    }
}

/// A number without the noise of its last digits: three that say something, and all before the point.
pub fn plain(value: f64) -> String {
    rounded(value, 3)
}

/// Two digits that say something.
pub fn number(value: f64) -> String {
    rounded(value, 2)
}

fn rounded(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let after = (digits - 1 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.after$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}
