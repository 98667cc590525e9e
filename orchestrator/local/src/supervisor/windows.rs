//! Counts of requests for a judge: the slots of all edges added up, and cut into windows. What a
//! killed edge had counted is gone with it, on both sides alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use neuroca_deploy_core::judge::slots::{Cut, Grid, Slot, Timeline, Timelines, windows};
use neuroca_deploy_core::judge::{Compared, Window};
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_edge::{Control, EdgeError, SlotCounts, SlotReport};
use serde::Deserialize;

use super::Supervisor;

/// Slots before a window that are still news in it: the longest latency bound, and some.
const LOOK_BACK: u64 = 70;
const ANSWERS: Duration = Duration::from_secs(2);

/// `GET /v1/windows?after_ms=...&interval_ms=...&compared=...`, the last a JSON list of
/// [`Compared`].
#[derive(Deserialize)]
pub(super) struct Wanted {
    after_ms: u64,
    /// Windows end at whole multiples of this, which is one of a slot.
    interval_ms: u64,
    compared: String,
}

pub(super) async fn get(
    State(supervisor): State<Arc<Supervisor>>,
    Query(wanted): Query<Wanted>,
) -> Json<Result<Vec<Window>, String>> {
    Json(supervisor.windows(&wanted).await)
}

impl Supervisor {
    async fn windows(&self, wanted: &Wanted) -> Result<Vec<Window>, String> {
        let compared: Vec<Compared> = serde_json::from_str(&wanted.compared)
            .map_err(|error| format!("what to compare is not understood: {error}"))?;
        let since = (wanted.after_ms / 1_000).saturating_sub(LOOK_BACK);
        let reports = self.slots(since).await?;
        let Some(latest) = reports.last() else {
            return Err("no edge is running; it is being started".into());
        };
        let grid = Grid {
            slot_ms: latest.slot_ms,
            settle_ms: latest.settle_ms,
            bounds_us: latest.bounds_us.clone(),
        };
        // One that is being replaced by another version may count differently.
        let alike = |report: &&SlotReport| {
            (report.slot_ms, report.settle_ms) == (grid.slot_ms, grid.settle_ms)
                && report.bounds_us == grid.bounds_us
        };
        let alike: Vec<&SlotReport> = reports.iter().filter(alike).collect();
        let cut = Cut {
            interval_ms: wanted.interval_ms.next_multiple_of(grid.slot_ms).max(grid.slot_ms),
            after_ms: wanted.after_ms,
            now_ms: alike.iter().map(|report| report.now_ms).min().unwrap_or(0),
            oldest: alike.iter().map(|report| report.oldest).max().unwrap_or(0).max(since),
        };
        let components = compared.into_iter().map(|compared| {
            let canary = timeline(&alike, &compared.canary);
            let stable = compared.stable.map(|stable| timeline(&alike, &stable));
            (compared.component, Timelines { canary, stable: stable.unwrap_or_default() })
        });
        Ok(windows(&grid, &components.collect(), &cut))
    }

    /// What the edges remember, the one started last at the end. One that lives and is silent is an
    /// error: what it counted must not be missing from windows that are final.
    async fn slots(&self, since: u64) -> Result<Vec<SlotReport>, String> {
        let mut reports = Vec::new();
        for number in self.state.edge_numbers() {
            let control = Control::new(self.state.edge_socket(number));
            match tokio::time::timeout(ANSWERS, control.slots(since)).await {
                Ok(Ok(report)) => reports.push(report),
                // Dead, or ended just now.
                Ok(Err(EdgeError::Unreachable { .. })) => {}
                // A version that has no slots yet, about to be replaced.
                Ok(Err(error)) => tracing::debug!(%error, number, "no slots"),
                Err(_) => return Err(format!("edge {number} does not answer")),
            }
        }
        Ok(reports)
    }
}

fn timeline(reports: &[&SlotReport], revision: &RevisionId) -> Timeline {
    let mut timeline: Timeline = BTreeMap::new();
    for (number, counts) in reports.iter().filter_map(|r| r.revisions.get(&revision.0)).flatten() {
        timeline.entry(*number).or_default().add(&slot(counts));
    }
    timeline
}

fn slot(counts: &SlotCounts) -> Slot {
    let SlotCounts { sent, ended, errors, aborted, last_end_ms, timed, within, out } =
        counts.clone();
    Slot { sent, ended, errors, aborted, last_end_ms, timed, within, out }
}
