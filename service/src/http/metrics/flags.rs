//! What flags were evaluated to, and who got what in an experiment.
//!
//! Flags are not named: their keys belong to tenants, and everybody reads metrics. The key of an
//! experiment is: whoever runs one says with it how it is to be called here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::flags::{ErrorCode, Reason};

/// Series of experiments; more are counted together.
const MOST: usize = 1000;

#[derive(Default)]
pub(in crate::http) struct FlagMetrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    evaluations: BTreeMap<&'static str, u64>,
    assignments: BTreeMap<(String, String), u64>,
}

impl FlagMetrics {
    pub(in crate::http) fn evaluated(&self, outcome: Result<Reason, ErrorCode>) {
        let reason = match outcome {
            Ok(Reason::Static) => "static",
            Ok(Reason::TargetingMatch) => "targeting_match",
            Ok(Reason::Default) => "default",
            Ok(Reason::Disabled) => "disabled",
            Err(_) => "error",
        };
        *self.counts().evaluations.entry(reason).or_default() += 1;
    }

    /// Somebody got `variant` in `experiment`.
    pub(in crate::http) fn assigned(&self, experiment: &str, variant: &str) {
        let mut counts = self.counts();
        let series = (experiment.to_owned(), variant.to_owned());
        let many = counts.assignments.len() >= MOST && !counts.assignments.contains_key(&series);
        let series = if many { ("(others)".into(), "(others)".into()) } else { series };
        *counts.assignments.entry(series).or_default() += 1;
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn render(&self, out: &mut String, r: &str) -> std::fmt::Result {
        let counts = self.counts();
        let name = "neuroca_flag_evaluations_total";
        super::head(out, name, "counter", "Feature flags that were evaluated, by the reason.")?;
        for (reason, count) in &counts.evaluations {
            writeln!(out, "{name}{{reason=\"{reason}\",{r}}} {count}")?;
        }
        let name = "neuroca_experiment_assignments_total";
        let help = "Evaluations that gave a variant to somebody in a running experiment.";
        super::head(out, name, "counter", help)?;
        for ((experiment, variant), count) in &counts.assignments {
            let (experiment, variant) = (label(experiment), label(variant));
            writeln!(
                out,
                "{name}{{experiment=\"{experiment}\",variant=\"{variant}\",{r}}} {count}"
            )?;
        }
        Ok(())
    }
}

/// A variant may be called anything.
fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
