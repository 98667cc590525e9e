//! What was asked of the provider, counted for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Usage;

#[derive(Default)]
pub(super) struct Meter {
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    prompt_tokens: AtomicU64,
    answer_tokens: AtomicU64,
}

impl Meter {
    /// One request ended in this way.
    pub(super) fn ended(&self, outcome: &'static str) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        *outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn used(&self, usage: Usage) {
        self.prompt_tokens.fetch_add(usage.prompt_tokens, Ordering::Relaxed);
        self.answer_tokens.fetch_add(usage.answer_tokens, Ordering::Relaxed);
    }

    /// `labels` of every sample.
    pub(super) fn render(&self, out: &mut String, labels: &str, left_alone: bool) {
        // Writing to a String cannot fail.
        let _ = self.write(out, labels, left_alone);
    }

    fn write(&self, out: &mut String, labels: &str, left_alone: bool) -> std::fmt::Result {
        let name = "neuroca_llm_requests_total";
        writeln!(out, "# HELP {name} Requests to the language model, and how they ended.")?;
        writeln!(out, "# TYPE {name} counter")?;
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        for (outcome, count) in outcomes.iter() {
            writeln!(out, "{name}{{outcome=\"{outcome}\",{labels}}} {count}")?;
        }
        drop(outcomes);
        let name = "neuroca_llm_tokens_total";
        writeln!(out, "# HELP {name} Tokens, as the provider counts them or by estimate.")?;
        writeln!(out, "# TYPE {name} counter")?;
        for (kind, tokens) in [("prompt", &self.prompt_tokens), ("answer", &self.answer_tokens)] {
            let tokens = tokens.load(Ordering::Relaxed);
            writeln!(out, "{name}{{kind=\"{kind}\",{labels}}} {tokens}")?;
        }
        let name = "neuroca_llm_left_alone";
        writeln!(out, "# HELP {name} 1 while the provider fails and is not asked.")?;
        writeln!(out, "# TYPE {name} gauge")?;
        writeln!(out, "{name}{{{labels}}} {}", u8::from(left_alone))
    }
}
