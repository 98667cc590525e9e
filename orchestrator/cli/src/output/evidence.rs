//! What the judge holds, as people read it: both sides beside each other, and how far the evidence
//! has come in both directions. Pure.

use neuroca_deploy_core::judge::{
    ComponentEvidence, Evidence, MetricEvidence, SideEvidence, Verdict,
};

use super::Paint;

/// Cells of a bar from no evidence to its bound.
const BAR: usize = 10;

/// A block: per component a line for each side and one for each metric.
pub fn lines(evidence: &Evidence, paint: Paint) -> Vec<String> {
    let verdict = evidence.verdict.to_string();
    let verdict = match evidence.verdict {
        Verdict::BetterOrEqual => paint.good(&verdict),
        Verdict::Worse => paint.bad(&verdict),
        Verdict::Inconclusive => paint.attention(&verdict),
    };
    let mut lines = vec![format!("    judge: {verdict}, {} windows", evidence.windows)];
    for (name, component) in &evidence.components {
        lines.push(format!("      {name:12} new  {}", side(&component.canary)));
        if !component.alone {
            lines.push(format!("      {:12} old  {}", "", side(&component.stable)));
        }
        lines.extend(component.metrics.iter().map(|metric| line(metric, paint)));
    }
    lines
}

/// One line of it, where lines stay.
pub fn sentence(evidence: &Evidence) -> String {
    let parts: Vec<String> =
        evidence.components.iter().map(|(name, c)| format!("{name} {}", compared(c))).collect();
    format!("judge: {}; {}", evidence.verdict, parts.join("; "))
}

fn compared(component: &ComponentEvidence) -> String {
    let new = side(&component.canary);
    let sides = match component.alone {
        true => new,
        false => format!("new {new}, old {}", side(&component.stable)),
    };
    let metrics = component.metrics.iter().map(|m| {
        let better = m.better.map_or(String::new(), |better| {
            format!(", not worse {} of {}", short(better), short(m.better_bound))
        });
        format!("{}: worse {} of {}{better}", m.metric, short(m.worse), short(m.worse_bound))
    });
    format!("{sides} ({})", metrics.collect::<Vec<_>>().join("; "))
}

fn side(side: &SideEvidence) -> String {
    let mut text = format!("{} requests", side.requests);
    if let Some(rate) = side.error_rate {
        text.push_str(&format!(", {} % errors", short(rate * 100.0)));
    }
    let latency = side.latency;
    let quantiles = [("p50", latency.p50_us), ("p95", latency.p95_us), ("p99", latency.p99_us)];
    for (name, us) in quantiles {
        if let Some(us) = us {
            text.push_str(&format!(", {name} {}", time(us)));
        }
    }
    text
}

fn line(metric: &MetricEvidence, paint: Paint) -> String {
    let worse = bar(metric.worse, metric.worse_bound);
    let worse = match metric.worse >= metric.worse_bound {
        true => paint.bad(&worse),
        false => worse,
    };
    let name = metric.metric.to_string();
    let mut text = format!(
        "        {name:10} worse {worse} {} of {}",
        short(metric.worse),
        short(metric.worse_bound)
    );
    if let Some(better) = metric.better {
        let good = bar(better, metric.better_bound);
        let good = if better >= metric.better_bound { paint.good(&good) } else { good };
        let numbers = format!("{} of {}", short(better), short(metric.better_bound));
        text.push_str(&format!("   not worse {good} {numbers}"));
    }
    text
}

/// On a logarithmic scale, since evidence multiplies; below 1 there is none.
fn bar(evidence: f64, bound: f64) -> String {
    let part = if evidence <= 1.0 { 0.0 } else { (evidence.ln() / bound.ln()).clamp(0.0, 1.0) };
    let full = (part * BAR as f64).floor() as usize;
    format!("[{}{}]", "=".repeat(full), "\u{b7}".repeat(BAR - full))
}

/// Three digits.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{v:.0e}"),
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", short(us as f64 / 1e3)),
        _ => format!("{} s", short(us as f64 / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use neuroca_deploy_core::judge::{Analysis, Counts, Judge, Sides, Slower, Window};

    use super::*;

    fn counts(requests: u64, errors: u64, slow: u64) -> Counts {
        let latency = [(1_000, requests), (2_000, slow), (4_000, 0)];
        Counts {
            requests,
            errors,
            latency: latency.map(|(bound, n)| Slower::from((bound, requests, n))).to_vec(),
            ..Counts::default()
        }
    }

    fn evidence(errors: u64) -> Evidence {
        let mut judge = Judge::new(&Analysis::default(), ["api".to_string()]);
        for n in 1..=30 {
            let sides = Sides { canary: counts(20, errors, 10), stable: counts(380, 1, 190) };
            judge.take(&Window { end_ms: n * 2_000, components: [("api".into(), sides)].into() });
        }
        judge.evidence()
    }

    #[test]
    fn a_good_canary_and_a_bad_one() {
        let show = |errors| lines(&evidence(errors), Paint(false)).join("\n");
        insta::assert_snapshot!(show(0));
        insta::assert_snapshot!(show(4));
        insta::assert_snapshot!(sentence(&evidence(0)));
    }
}
