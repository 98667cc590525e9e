//! The head: one small value from which all of the state can be found, replaced as a whole.
//!
//! A write of it is a transaction: it names the version that it replaces, so that of two writers one fails.
//! Its epoch is that of the lock's last holder, and nobody writes with a lower one.

use std::collections::{BTreeMap, BTreeSet};

use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::manifests::Place;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::ports::{Epoch, HistoryEntry, Who};
use serde::{Deserialize, Serialize};

/// The version of the form.
pub const FORMAT: u32 = 1;
/// Runs that the head itself remembers; older ones are put away in the archive.
pub const RUNS_KEPT: usize = 200;
/// Records that the head itself holds of the open journal, before they are put away.
pub const TAIL_KEPT: usize = 64;

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub format: u32,
    /// The epoch of the lock's last holder.
    pub epoch: u64,
    /// Whether that holder still has it.
    pub held: bool,
    /// Changes with every write: whoever got no answer finds out whether it was done.
    pub stamp: u64,
    /// The number of the last run.
    pub last: u64,
    /// Oldest first.
    pub runs: Vec<HistoryEntry>,
    /// Where older runs are, oldest first.
    pub archive: Vec<String>,
    pub current: Option<(u64, ReleaseId)>,
    pub open: Option<Open>,
    /// Where objects of the user's own may be: what was ever written is looked for there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub places: BTreeSet<Place>,
    /// Where the records of releases are that are kept.
    pub releases: BTreeMap<ReleaseId, String>,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    pub run: u64,
    /// Where its plan is.
    pub plan: String,
    /// Where records are that the head does not hold, oldest first.
    pub put_away: Vec<String>,
    pub tail: Vec<Record>,
    /// Where objects of the user's own will be, once the run has ended well.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stays: BTreeSet<Place>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            format: FORMAT,
            epoch: 0,
            held: false,
            stamp: 0,
            last: 0,
            runs: Vec::new(),
            archive: Vec::new(),
            current: None,
            open: None,
            places: BTreeSet::new(),
            releases: BTreeMap::new(),
        }
    }
}

impl Head {
    /// Whether a holder with this epoch may write.
    pub fn admits(&self, epoch: Epoch) -> bool {
        self.held && self.epoch == epoch.0
    }

    /// The lock has a new holder: every earlier one is powerless.
    pub fn claim(&mut self, epoch: Epoch) {
        self.epoch = epoch.0;
        self.held = true;
    }

    /// What a plan is made from.
    pub fn base(&self) -> Base {
        let (sequence, release) = self.current.clone().unzip();
        let ended = self.runs.iter().rev().filter(|run| run.outcome.is_some());
        let stranded =
            ended.take_while(|run| matches!(run.outcome, Some(Outcome::Stranded { .. })));
        Base {
            release,
            sequence: sequence.unwrap_or_default(),
            stranded: stranded.map(|run| run.release.clone()).collect(),
        }
    }

    /// Opens a run; its plan is where `place` says, and the record of its release where `record` says.
    pub fn begin(
        &mut self,
        plan: &Plan,
        (place, record): (String, String),
        who: &Who,
        now_ms: u64,
    ) -> u64 {
        self.last += 1;
        self.releases.insert(plan.rollout.release.clone(), record);
        self.runs.push(HistoryEntry {
            sequence: self.last,
            release: plan.rollout.release.clone(),
            version: plan.release.version.clone(),
            outcome: None,
            who: who.clone(),
            started_ms: now_ms,
            ended_ms: None,
            current: false,
            rollback: plan.rollout.rollback,
        });
        let manifests = plan.manifests.clone().unwrap_or_default();
        // Before anything is written there: what nobody knows of is never taken away.
        self.places.extend(manifests.places);
        self.open = Some(Open {
            run: self.last,
            plan: place,
            put_away: Vec::new(),
            tail: Vec::new(),
            stays: manifests.stays,
        });
        self.last
    }

    /// Ends the run; a run that has ended already is left as it is.
    pub fn finish(&mut self, run: u64, outcome: &Outcome, now_ms: u64) {
        let open = self.runs.iter_mut().rev().find(|r| r.sequence == run && r.ended_ms.is_none());
        let Some(entry) = open else { return };
        entry.outcome = Some(outcome.clone());
        entry.ended_ms = Some(now_ms);
        if *outcome == Outcome::Deployed {
            self.current = Some((run, entry.release.clone()));
        }
        if let Some(open) = self.open.take_if(|open| open.run == run)
            && *outcome == Outcome::Deployed
        {
            self.places = open.stays;
        }
    }

    /// The runs, newest first, with those of the archive behind them.
    pub fn history(&self, archived: &[HistoryEntry], limit: usize) -> Vec<HistoryEntry> {
        let current = self.current.as_ref().map(|(run, _)| *run);
        let all = self.runs.iter().rev().chain(archived.iter().rev());
        let mark = |run: &HistoryEntry| HistoryEntry {
            current: Some(run.sequence) == current,
            ..run.clone()
        };
        all.take(limit).map(mark).collect()
    }

    /// Runs that are to be put away before the next one begins.
    pub fn overflow(&self) -> Option<&[HistoryEntry]> {
        (self.runs.len() >= 2 * RUNS_KEPT).then(|| &self.runs[..RUNS_KEPT])
    }

    /// The first runs are at `place` now.
    pub fn archived(&mut self, place: String) {
        self.runs.drain(..RUNS_KEPT.min(self.runs.len()));
        self.archive.push(place);
    }

    /// Releases whose records are kept: the newest that were in force, the newest that were tried, and what
    /// an open run leads from and to.
    pub fn kept_releases(&self, count: usize) -> BTreeSet<ReleaseId> {
        let newest = |wanted: &dyn Fn(&HistoryEntry) -> bool| -> Vec<ReleaseId> {
            let mut found: Vec<ReleaseId> = Vec::new();
            for run in self.runs.iter().rev().filter(|run| wanted(run)) {
                if found.len() < count.max(1) && !found.contains(&run.release) {
                    found.push(run.release.clone());
                }
            }
            found
        };
        let deployed = newest(&|run| run.outcome == Some(Outcome::Deployed));
        let tried = newest(&|_| true);
        let Base { release, stranded, .. } = self.base();
        deployed.into_iter().chain(tried).chain(release).chain(stranded).collect()
    }

    /// Forgets the records of releases that are not kept.
    pub fn prune(&mut self, count: usize) {
        let kept = self.kept_releases(count);
        self.releases.retain(|release, _| kept.contains(release));
    }

    /// The place in the history at which each release was last put into force.
    pub fn last_in_force(&self, release: &ReleaseId) -> Option<u64> {
        let deployed =
            |run: &&HistoryEntry| run.release == *release && run.outcome == Some(Outcome::Deployed);
        self.runs.iter().rev().find(deployed).map(|run| run.sequence)
    }
}

#[cfg(test)]
mod tests {
    use neuroca_deploy_engine::contract::plan;

    use super::*;

    fn run(head: &mut Head, version: &str, outcome: Outcome) -> ReleaseId {
        let plan = plan(version);
        let run = head.begin(&plan, places(), &Who::default(), 1);
        head.finish(run, &outcome, 2);
        plan.rollout.release
    }

    fn places() -> (String, String) {
        ("plan/1".into(), "record/1".into())
    }

    fn stranded() -> Outcome {
        Outcome::Stranded { reason: "neither starts".into() }
    }

    #[test]
    fn what_was_left_half_way_is_told_until_a_run_has_put_it_in_order() {
        let mut head = Head::default();
        let first = run(&mut head, "1", Outcome::Deployed);
        let second = run(&mut head, "2", stranded());
        let third = run(&mut head, "3", stranded());
        let base = head.base();
        assert_eq!((base.release, base.sequence), (Some(first.clone()), 1));
        assert_eq!(base.stranded, [third, second]);
        run(&mut head, "4", Outcome::TurnedBack { reason: "ill".into() });
        assert_eq!((head.base().release, head.base().stranded), (Some(first), vec![]));
    }

    #[test]
    fn only_the_last_holder_may_write_and_nobody_after_it_has_let_go() {
        let mut head = Head::default();
        assert!(!head.admits(Epoch(0)));
        head.claim(Epoch(3));
        assert!(head.admits(Epoch(3)) && !head.admits(Epoch(2)) && !head.admits(Epoch(4)));
        head.held = false;
        assert!(!head.admits(Epoch(3)));
    }

    #[test]
    fn a_run_ends_once() {
        let mut head = Head::default();
        let plan = plan("1");
        let number = head.begin(&plan, places(), &Who::default(), 5);
        assert_eq!(head.open.as_ref().map(|open| open.run), Some(number));
        head.finish(number, &Outcome::Superseded, 6);
        head.finish(number, &Outcome::Deployed, 7);
        assert_eq!((head.open.clone(), head.current.clone()), (None, None));
        let told = head.history(&[], 10);
        assert_eq!(
            (told[0].outcome.clone(), told[0].ended_ms),
            (Some(Outcome::Superseded), Some(6))
        );
    }

    #[test]
    fn old_runs_are_put_away_and_the_history_stays_whole() {
        let mut head = Head::default();
        let kept = run(&mut head, "kept", Outcome::Deployed);
        for n in 1..2 * RUNS_KEPT {
            run(&mut head, &n.to_string(), Outcome::Superseded);
        }
        let away = head.overflow().expect("too many").to_vec();
        head.archived("archive".into());
        assert_eq!((away.len(), head.runs.len(), head.overflow()), (RUNS_KEPT, RUNS_KEPT, None));
        assert_eq!(head.base().release, Some(kept.clone()), "also when its run is put away");
        assert!(head.kept_releases(5).contains(&kept));
        let told = head.history(&away, 1000);
        let numbers: Vec<u64> = told.iter().map(|run| run.sequence).collect();
        assert_eq!(numbers, (1..=2 * RUNS_KEPT as u64).rev().collect::<Vec<_>>());
        assert!(told.last().is_some_and(|run| run.current));
    }

    #[test]
    fn releases_are_kept_by_count_and_by_need() {
        let mut head = Head::default();
        let ids: Vec<ReleaseId> =
            (0..5).map(|n| run(&mut head, &n.to_string(), Outcome::Deployed)).collect();
        let failed = run(&mut head, "bad", Outcome::Failed { reason: "x".into() });
        let kept = head.kept_releases(2);
        assert_eq!(kept, BTreeSet::from([ids[3].clone(), ids[4].clone(), failed]));
        head.prune(2);
        assert_eq!(head.releases.keys().cloned().collect::<BTreeSet<_>>(), kept);
        assert_eq!(head.last_in_force(&ids[1]), Some(2));
    }
}
