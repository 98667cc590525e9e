//! Counts what became of the requests for vectors.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(super) struct Meter(Mutex<BTreeMap<&'static str, u64>>);

impl Meter {
    pub(super) fn ended(&self, outcome: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(outcome).or_default() += 1;
    }

    pub(super) fn render(&self, out: &mut String, labels: &str) {
        let name = "neuroca_embedding_requests_total";
        let help = "Requests for vectors, by how they ended.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        for (outcome, count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name}{{outcome=\"{outcome}\",{labels}}} {count}");
        }
    }
}
