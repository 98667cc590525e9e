//! A preview for people: what happens to a good release and to bad ones, and when.

use neuroca_deploy_core::config::model::Step;
use neuroca_deploy_core::preview::{FaultSummary, Preview, Quantiles, Share, number};

use super::Paint;
use super::plot::{marks, rising, ticks};
use super::table::table;
use super::when;

/// The whole page. `width`: of the terminal, for the curves.
pub fn preview(title: &str, preview: &Preview, paint: Paint, width: usize) -> String {
    let traffic = &preview.traffic;
    let pods = traffic.pods.map_or(String::new(), |pods| format!(", {pods} pods a side"));
    let mut out = format!(
        "{}  {} rps, {} % errors, p50 {} ms{pods}\n{}\n{} runs each, seed {}\n\n",
        paint.strong(title),
        number(traffic.rps),
        number(traffic.error_rate * 100.0),
        number(traffic.latency_p50_ms),
        preview.steps.iter().map(step).collect::<Vec<_>>().join(" → "),
        preview.runs,
        traffic.seed
    );
    out.push_str(&good(preview, paint));
    out.push('\n');
    out.push_str(&bad(preview, paint));
    out.push('\n');
    out.push_str(&curves(preview, paint, width));
    for (index, advice) in preview.advice.iter().enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        out.push_str(&format!("{gap}{} {advice}\n", paint.attention("advice:")));
    }
    for (index, note) in preview.notes.iter().enumerate() {
        let gap = if index == 0 && preview.advice.is_empty() { "\n" } else { "" };
        out.push_str(&format!("{gap}{} {note}\n", paint.strong("note:")));
    }
    out
}

fn step(step: &Step) -> String {
    let mut text = format!("{} %", step.weight);
    if step.pause.0 > 0 {
        text.push_str(&format!(" {}", when::span(step.pause.0)));
    }
    if step.gate {
        text.push_str(" gate");
    }
    if !step.analysis && step.weight < 100 {
        text.push_str(" unjudged");
    }
    text
}

fn good(preview: &Preview, paint: Paint) -> String {
    let healthy = &preview.healthy;
    let line = |name: &str, text: String| format!("  {name:<24}{text}\n");
    let mut out = format!("{}\n", paint.strong("A release that is as good as the old one"));
    let alarms = format!("{} {}", share(healthy.turned_back), interval(healthy.turned_back));
    let alarms =
        if healthy.turned_back.hits == 0 { paint.good(&alarms) } else { paint.bad(&alarms) };
    out.push_str(&line("is turned back", alarms));
    if healthy.inconclusive.hits > 0 {
        let text = format!("{} {}", share(healthy.inconclusive), interval(healthy.inconclusive));
        out.push_str(&line("gets no verdict", paint.attention(&text)));
    }
    let Quantiles { median, p95 } = healthy.seconds_to_promote;
    let times = match median {
        None => String::new(),
        Some(_) => format!(", after {} (median), {} (p95)", time(median), time(p95)),
    };
    out.push_str(&line("has all of the traffic", format!("{}{times}", share(healthy.promoted))));
    out
}

fn bad(preview: &Preview, paint: Paint) -> String {
    let rows: Vec<Vec<String>> = preview.faults.iter().map(|fault| row(fault, paint)).collect();
    let head =
        ["A BAD RELEASE", "TURNED BACK", "MEDIAN", "P95", "EXPOSED", "NO VERDICT", "NEVER SEEN"];
    table(paint, &head, &rows)
}

fn row(fault: &FaultSummary, paint: Paint) -> Vec<String> {
    let back = percent(fault.turned_back);
    let never = percent(fault.never_seen);
    vec![
        fault.fault.to_string(),
        if fault.turned_back.share > 0.5 { paint.good(&back) } else { back },
        time(fault.seconds_to_see.median),
        time(fault.seconds_to_see.p95),
        fault.requests_exposed.median.map_or("-".into(), |n| format!("{n}")),
        percent(fault.inconclusive),
        if fault.never_seen.share > 0.5 { paint.attention(&never) } else { never },
    ]
}

/// One line of blocks a scenario: the share that was turned back (or has all traffic) by then.
fn curves(preview: &Preview, paint: Paint, width: usize) -> String {
    let healthy = &preview.healthy;
    let mut lines: Vec<(String, &[f64])> =
        vec![("good, promoted".into(), healthy.promoted_after.as_slice())];
    lines.extend(preview.faults.iter().map(|f| (f.fault.to_string(), f.seen_after.as_slice())));
    let last = lines.iter().flat_map(|(_, times)| times.iter().copied()).fold(0.0, f64::max);
    if last == 0.0 {
        return String::new();
    }
    let horizon = last.max(10.0);
    let label = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let room = width.saturating_sub(label).clamp(20, 120);
    let mut out = format!("{}\n", paint.strong("Share of the runs by then"));
    for (index, (name, times)) in lines.iter().enumerate() {
        let curve = rising(times, preview.runs, horizon, room);
        let curve = if index == 0 { paint.good(&curve) } else { paint.name(&curve) };
        out.push_str(&format!("{name:<label$}{curve}\n"));
    }
    let axis: Vec<(f64, String)> = ticks(horizon, (room / 9).max(2))
        .into_iter()
        .map(|s| (s, when::span((s * 1000.0) as u64).replace("0ms", "0s")))
        .collect();
    out.push_str(&format!("{:label$}{}\n", "", marks(&axis, horizon, room)));
    out
}

fn share(share: Share) -> String {
    format!("{} of {}", share.hits, share.of)
}

/// With what certainty that is known.
fn interval(share: Share) -> String {
    let high = number(share.high * 100.0);
    match share.hits {
        0 => format!("(95 %: at most {high} %)"),
        hits if hits == share.of => format!("(95 %: at least {} %)", number(share.low * 100.0)),
        _ => format!("(95 %: {} to {high} %)", number(share.low * 100.0)),
    }
}

fn percent(share: Share) -> String {
    format!("{:.0} %", share.share * 100.0)
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or("-".into(), |seconds| when::span((seconds * 1000.0) as u64))
}
