//! What a plan does to the user's own objects, as people read it. Pure.

use neuroca_deploy_core::manifests::{Action, Change, FieldChange, ManifestPlan};

use super::Paint;

/// Objects that are only made or removed are told one by one up to here, and by their number beyond.
const ONE_BY_ONE: usize = 20;
/// Fields of one object that are told.
const FIELDS: usize = 12;
/// Longest value that is shown in full; `--json` has all of it.
const LONGEST: usize = 60;

/// A line an object, and what changes about it.
pub fn lines(plan: &ManifestPlan, paint: Paint) -> String {
    let mut out = format!("  {}\n", paint.strong("manifests"));
    let plain = |action| {
        plan.changes.iter().filter(move |c| c.action == action && c.note.is_none()).count()
    };
    for change in &plan.changes {
        let many = matches!(change.action, Action::Create | Action::Delete)
            && plain(change.action) > ONE_BY_ONE;
        if !many {
            out.push_str(&object(change, paint));
        }
    }
    for (action, word) in [(Action::Create, "made"), (Action::Delete, "removed")] {
        let count = plain(action);
        if count > ONE_BY_ONE {
            let kinds = kinds(plan, action);
            out.push_str(&format!(
                "      {} {count} objects are {word}: {kinds}\n",
                sign(action, paint)
            ));
        }
    }
    for id in &plan.kept {
        let text = format!("{id} stays, since no manifest could bring back what would go with it");
        out.push_str(&format!("      {} {text}\n", paint.attention("!")));
    }
    let count = |action: Action, word: &str| match plan
        .changes
        .iter()
        .filter(|c| c.action == action)
        .count()
    {
        0 => None,
        n => Some(format!("{n} {word}")),
    };
    let parts = [
        count(Action::Create, "made"),
        count(Action::Update, "changed"),
        count(Action::Adopt, "taken over"),
        count(Action::Replace, "REPLACED"),
        count(Action::Delete, "removed"),
        Some(format!("{} not touched", plan.unchanged)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    out.push_str(&format!("      {}\n\n", paint.dim(&parts.join(", "))));
    out
}

fn object(change: &Change, paint: Paint) -> String {
    let because = change.because.as_ref().map_or(String::new(), |b| paint.dim(&format!("  ({b})")));
    let mut out = format!("      {} {}{because}\n", sign(change.action, paint), change.id);
    if let Some(note) = &change.note {
        out.push_str(&format!("          {}\n", paint.attention(&short(note, 4 * LONGEST))));
    }
    for field in change.fields.iter().take(FIELDS) {
        out.push_str(&format!("          {}\n", one_field(field, paint)));
    }
    if let Some(more) = change.fields.len().checked_sub(FIELDS).filter(|more| *more > 0) {
        out.push_str(&format!(
            "          {}\n",
            paint.dim(&format!("and {more} more fields; --json has them"))
        ));
    }
    for contested in &change.contested {
        let text =
            format!("{} is set by `{}`, and becomes ours", contested.field, contested.manager);
        out.push_str(&format!("          {} {}\n", paint.attention("!"), text));
    }
    out
}

fn one_field(change: &FieldChange, paint: Paint) -> String {
    let (from, to) = (change.from.as_deref().map(value), change.to.as_deref().map(value));
    match (from, to) {
        (Some(from), Some(to)) => {
            format!(
                "{} {}  {} → {}",
                paint.attention("~"),
                change.field,
                paint.bad(&from),
                paint.good(&to)
            )
        }
        (Some(from), None) => format!("{} {}  {}", paint.bad("-"), change.field, paint.bad(&from)),
        (None, to) => {
            format!("{} {}  {}", paint.good("+"), change.field, paint.good(&to.unwrap_or_default()))
        }
    }
}

fn value(text: &str) -> String {
    short(text, LONGEST)
}

/// One line, not endless, and nothing that a terminal would take for a command.
fn short(text: &str, longest: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    match clean.chars().count() <= longest {
        true => clean,
        false => format!("{}…", clean.chars().take(longest - 1).collect::<String>()),
    }
}

fn sign(action: Action, paint: Paint) -> String {
    match action {
        Action::Create => paint.good("+"),
        Action::Update => paint.attention("~"),
        Action::Adopt => paint.attention(">"),
        Action::Replace => paint.bad("-/+"),
        Action::Delete => paint.bad("-"),
    }
}

/// "900 ConfigMap, 100 Service".
fn kinds(plan: &ManifestPlan, action: Action) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for change in plan.changes.iter().filter(|change| change.action == action) {
        *counts.entry(change.id.kind.as_str()).or_insert(0) += 1;
    }
    counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", ")
}
