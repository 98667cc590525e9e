//! A preview for people: what happens to a good release and to bad ones, and when.

use neuroca_deploy_core::config::model::Step;
use neuroca_deploy_core::preview::{FaultSummary, Preview, Quantiles, Share, number, plain};

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
        plain(traffic.rps),
        plain(traffic.error_rate * 100.0),
        plain(traffic.latency_p50_ms),
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
        .map(|s| (s, when::span((s * 1000.0) as u64)))
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

#[cfg(test)]
mod tests {
    use neuroca_deploy_core::config::units::Millis;
    use neuroca_deploy_core::preview::{Given, Healthy, Scenario};

    use super::*;
    use crate::output::table::visible;

    /// A preview of two faults, with times that are chosen.
    fn made() -> Preview {
        let share = |hits| Share::new(hits, 20);
        let evenly = |from: f64, step: f64, count: usize| -> Vec<f64> {
            (0..count).map(|n| from + step * n as f64).collect()
        };
        let fault = |fault, seen: Vec<f64>, stopped: usize| FaultSummary {
            fault,
            turned_back: share(seen.len()),
            inconclusive: share(stopped),
            never_seen: share(20 - stopped - seen.len()),
            seconds_to_see: Quantiles::new(&seen, 20),
            requests_exposed: Quantiles { median: Some(1234.0), p95: Some(2345.0) },
            seen_after: seen,
        };
        let promoted = evenly(130.0, 5.0, 18);
        Preview {
            traffic: Given {
                rps: 12.5,
                error_rate: 0.0005,
                latency_p50_ms: 40.0,
                pods: Some(3),
                seed: 9,
            },
            runs: 20,
            steps: vec![
                Step { pause: Millis(90_000), analysis: true, ..Step::weight(10) },
                Step { gate: true, ..Step::weight(50) },
                Step::weight(100),
            ],
            healthy: Healthy {
                turned_back: share(1),
                inconclusive: share(1),
                promoted: share(18),
                seconds_to_promote: Quantiles::new(&promoted, 20),
                promoted_after: promoted,
            },
            faults: vec![
                fault(Scenario::Errors(10.0), evenly(10.0, 4.0, 20), 0),
                fault(Scenario::Latency(1.2), evenly(60.0, 20.0, 6), 3),
            ],
            advice: vec!["give it more".into()],
            notes: vec!["nobody keeps a gate waiting".into()],
        }
    }

    #[test]
    fn a_page() {
        insta::assert_snapshot!(preview("shop/production", &made(), Paint(false), 80));
    }

    #[test]
    fn a_narrow_terminal_gets_narrow_curves_and_colours_move_nothing() {
        let plain = preview("shop/production", &made(), Paint(false), 50);
        let coloured = preview("shop/production", &made(), Paint(true), 50);
        assert_ne!(plain, coloured);
        let curves: Vec<&str> = plain.lines().filter(|line| line.contains('·')).collect();
        assert_eq!(curves.len(), 3);
        assert!(curves.iter().all(|line| line.chars().count() <= 50), "{plain}");
        let widths = |page: &str| page.lines().map(visible).collect::<Vec<_>>();
        assert_eq!(widths(&coloured), widths(&plain));
    }

    #[test]
    fn without_any_verdict_there_is_no_plot() {
        let mut none = made();
        none.healthy.promoted_after.clear();
        none.faults.iter_mut().for_each(|fault| fault.seen_after.clear());
        assert!(!preview("x", &none, Paint(false), 80).contains("Share of the runs"));
    }
}
