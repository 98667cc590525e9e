//! A plan as people read it: per component what changes, why, and what it does to traffic.
//!
//! Pure: a plan in, text out.

use std::collections::BTreeMap;

use neuroca_deploy_core::config::model::Strategy;
use neuroca_deploy_core::plan::{Change, ChangeKind, Plan};

use super::Paint;
use super::manifests::lines as manifest_lines;
use super::table::visible;

/// Longest value that is shown in full; `--json` has all of it.
const LONGEST: usize = 72;

/// Settings under this name are rendered documents.
const DOCUMENT: &str = "rendered.";

/// What to show of it.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    pub paint: Paint,
    /// Also the settings that a new component has by default.
    pub defaults: bool,
}

/// The whole plan.
pub fn plan(plan: &Plan, show: Show) -> String {
    let paint = show.paint;
    let title = format!("{}/{}", plan.project, plan.environment);
    let release = plan.rollout.release.to_string();
    if plan.is_noop() {
        return format!(
            "{} {} runs {}, which is what the files say.\n",
            paint.good("No changes."),
            paint.strong(&title),
            paint.name(&release)
        );
    }
    let from = plan.base.release.as_ref().map_or("nothing".to_string(), ToString::to_string);
    let mut out =
        format!("{}  {} → {}", paint.strong(&title), paint.dim(&from), paint.name(&release));
    if let Some(version) = &plan.release.version {
        out.push_str(&format!("  (release {version})"));
    }
    out.push_str("\n\n");
    if !plan.base.stranded.is_empty() {
        let left: Vec<_> = plan.base.stranded.iter().map(ToString::to_string).collect();
        out.push_str(&format!(
            "{} {} was left half-way, and what serves now may be either: nothing is taken for given, all\n\
             traffic goes over at once when everything is ready, and what is left over is stopped.\n\n",
            paint.attention("Note:"),
            left.join(", ")
        ));
    }
    let by_component = group(&plan.changes);
    for (m, effect) in plan.rollout.moves.iter().zip(plan.traffic_effect()) {
        let changes = by_component.get(&Some(m.component.as_str()));
        let goes_on = m.from == m.to && !m.is_scaled() && plan.rollout.stranded.is_none();
        if changes.is_none() && goes_on {
            continue;
        }
        let sign = match (&m.from, &m.to) {
            (None, Some(_)) => paint.good("+"),
            (Some(_), None) => paint.bad("-"),
            _ => paint.attention("~"),
        };
        out.push_str(&format!("  {sign} {}\n", paint.strong(&m.component)));
        // What is removed as a whole needs no list of its settings.
        if m.to.is_some() {
            out.push_str(&lines(changes.map_or(&[][..], Vec::as_slice), show, "      "));
        }
        let effect = effect.split_once(": ").map_or(effect.as_str(), |(_, rest)| rest);
        out.push_str(&format!("      {} {effect}\n\n", paint.dim("traffic:")));
    }
    if let Some(changes) = by_component.get(&None) {
        let text = lines(changes, show, "      ");
        if !text.is_empty() {
            out.push_str(&format!("  {}\n{text}\n", paint.strong("whole environment")));
        }
    }
    if let Some(manifests) = &plan.manifests {
        out.push_str(&manifest_lines(manifests, paint));
    }
    out.push_str(&summary(plan, paint));
    out
}

/// The changes alone, for `diff`.
pub fn changes(changes: &[Change], show: Show) -> String {
    let mut out = String::new();
    for (component, changes) in group(changes) {
        let text = lines(&changes, show, "  ");
        if !text.is_empty() {
            let name = component.unwrap_or("whole environment");
            out.push_str(&format!("{}\n{text}", show.paint.strong(name)));
        }
    }
    out
}

fn group(changes: &[Change]) -> BTreeMap<Option<&str>, Vec<&Change>> {
    let mut groups: BTreeMap<Option<&str>, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        groups.entry(change.component.as_deref()).or_default().push(change);
    }
    groups
}

fn lines(changes: &[&Change], show: Show, indent: &str) -> String {
    let paint = show.paint;
    let is_default =
        |c: &Change| c.kind == ChangeKind::Add && c.because.as_deref() == Some("default");
    // Digests of documents tell people nothing; which ones they are does.
    let (documents, settings): (Vec<&Change>, Vec<&Change>) =
        changes.iter().partition(|c| c.setting.starts_with(DOCUMENT));
    let (hidden, shown): (Vec<&Change>, Vec<&Change>) =
        settings.into_iter().partition(|c| !show.defaults && is_default(c));
    let width = shown.iter().map(|c| c.setting.chars().count()).max().unwrap_or(0);
    let rows: Vec<(String, Option<String>)> = shown
        .iter()
        .map(|c| {
            let sign = match c.kind {
                ChangeKind::Add => paint.good("+"),
                ChangeKind::Change => paint.attention("~"),
                ChangeKind::Remove => paint.bad("-"),
            };
            let text = format!("{indent}{sign} {:width$}  {}", c.setting, values(c, paint));
            (text, c.because.clone())
        })
        .collect();
    let column = rows.iter().map(|(text, _)| visible(text)).max().unwrap_or(0).min(84);
    let mut out = String::new();
    for (text, because) in rows {
        let pad = column.saturating_sub(visible(&text));
        let because = because.map_or(String::new(), |b| paint.dim(&format!("  ({b})")));
        let line =
            if because.is_empty() { text } else { format!("{text}{}{because}", " ".repeat(pad)) };
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if !documents.is_empty() {
        let names = documents.iter().map(|c| c.setting.trim_start_matches(DOCUMENT));
        let names = names.collect::<Vec<_>>().join(", ");
        out.push_str(&format!("{indent}{} documents  {names}\n", paint.attention("~")));
    }
    if !hidden.is_empty() {
        let many = if hidden.len() == 1 { "default" } else { "defaults" };
        let text = format!("  and {} {many}; -v shows them", hidden.len());
        out.push_str(&format!("{indent}{}\n", paint.dim(text.trim_start())));
    }
    out
}

fn values(change: &Change, paint: Paint) -> String {
    // A duration of nothing is written so in a release; what a component gets is left as it is.
    let readable = |text: &str| match text == "0ms" && !change.setting.starts_with("env.") {
        true => "0s".into(),
        false => short(text),
    };
    let from = change.from.as_deref().map(readable);
    let to = change.to.as_deref().map(readable);
    match (change.kind, from, to) {
        (ChangeKind::Change, Some(from), Some(to)) => {
            format!("{} → {}", paint.bad(&from), paint.good(&to))
        }
        (ChangeKind::Remove, from, _) => paint.bad(&from.unwrap_or_default()),
        (_, _, to) => paint.good(&to.unwrap_or_default()),
    }
}

/// One line, not endless, and nothing that a terminal would take for a command.
fn short(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    if clean.chars().count() <= LONGEST {
        return clean;
    }
    let cut: String = clean.chars().take(LONGEST - 1).collect();
    format!("{cut}…")
}

fn summary(plan: &Plan, paint: Paint) -> String {
    let moves = &plan.rollout.moves;
    let count = |what: &str, n: usize| (n > 0).then(|| format!("{n} {what}"));
    let new = moves.iter().filter(|m| m.from.is_none()).count();
    let gone = moves.iter().filter(|m| m.to.is_none()).count();
    let replaced = moves.iter().filter(|m| m.is_new() && m.from.is_some()).count();
    let scaled = moves.iter().filter(|m| m.is_scaled()).count();
    let same = moves.len() - new - gone - replaced - scaled;
    let parts: Vec<String> = [
        count("new", new),
        count("replaced", replaced),
        count("scaled", scaled),
        count("removed", gone),
        count(if plan.rollout.stranded.is_some() { "made sure of" } else { "not touched" }, same),
    ]
    .into_iter()
    .flatten()
    .collect();
    let rollout = &plan.rollout;
    let strategy = match rollout.strategy {
        Strategy::Canary if rollout.steps.len() > 1 && rollout.has_judge() => {
            "canary: judged at each step, nothing is stopped before traffic has left it"
        }
        Strategy::Canary if rollout.steps.len() > 1 => {
            "canary: step by step, nothing is stopped before traffic has left it"
        }
        Strategy::BlueGreen | Strategy::Canary => {
            "blue/green: nothing is stopped before traffic has left it"
        }
        Strategy::Recreate => "recreate: the old is STOPPED FIRST, requests are refused meanwhile",
    };
    let digest = format!("{} {}\n", paint.strong("Plan digest:"), plan.digest().short(16));
    if moves.is_empty() {
        return digest;
    }
    format!(
        "{} {}. {}\n{digest}",
        paint.strong("Components:"),
        parts.join(", "),
        if plan.rollout.moves.iter().any(|m| m.is_new() || m.to.is_none()) {
            strategy
        } else {
            "No process is replaced"
        },
    )
}

/// The machine's form of it.
pub fn document(plan: &Plan) -> serde_json::Value {
    let changes: Vec<&Change> = plan.changes.iter().collect();
    serde_json::json!({
        "digest": plan.digest(),
        "noop": plan.is_noop(),
        "project": plan.project,
        "environment": plan.environment,
        "base": plan.base,
        "release": plan.rollout.release,
        "version": plan.release.version,
        "changes": changes,
        "traffic": plan.traffic_effect(),
        "rollout": plan.rollout,
        "manifests": plan.manifests,
    })
}

#[cfg(test)]
mod tests;
