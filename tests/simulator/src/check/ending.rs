//! How a run may end, and what has to be so then.

use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::rollout::{Event, Phase};

use super::Rule;
use crate::script::{Fate, Refuses};
use crate::store::Journal;
use crate::world::World;

/// What has to be the same whether or not a run was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndState {
    /// Processes that are not merely kept warm, with their number of replicas.
    pub running: Vec<(String, u32)>,
    pub weights: Vec<(String, u32)>,
    /// Of each release; one that failed may have been tried again.
    pub outcomes: Vec<&'static str>,
}

impl EndState {
    /// Whether two runs ended alike. A stranded one leaves everything as it is: when the router forgot its split just
    /// before that, it is the next rollout which asks it anew.
    pub fn agrees(&self, other: &Self, router_forgot: bool) -> bool {
        let left_as_it_was = self.outcomes.last() == Some(&"stranded");
        (self.weights == other.weights || (router_forgot && left_as_it_was))
            && (&self.running, &self.outcomes) == (&other.running, &other.outcomes)
    }
}

impl World {
    /// A driver that holds the lock ends the journal.
    pub fn end_journal(&mut self, driver: usize, outcome: Outcome) {
        self.check_is_heard(driver);
        let Some(journal) = self.store.journal.take() else {
            return self.violate(Rule::RecordedOnce, |w| {
                format!("{} ends a journal that has ended", w.who(driver))
            });
        };
        let state = journal.state();
        self.note(4);
        self.coverage.meet(state, &Event::Done);
        let due = matches!(state.outstanding.front(), Some(Effect::Record { .. }));
        if state.phase != Phase::Recording || !due || !journal.started {
            self.violate(Rule::EffectsBetweenRecords, |_| {
                "the end was recorded before it was due".into()
            });
        }
        if outcome != state.verdict.clone().unwrap_or(Outcome::Deployed) {
            let word = outcome.word();
            self.violate(Rule::TheJournalIsTheState, |_| {
                format!("it ended {word}, the journal says otherwise")
            });
        }
        self.tell(|w| format!("{} records: {}", w.who(driver), w.words_of_outcome(&outcome)));
        match &outcome {
            Outcome::Deployed => self.check_deployed(&journal),
            Outcome::Stranded { .. } => self.check_left(&journal),
            _ => self.check_back(&journal),
        }
        if !matches!(outcome, Outcome::Stranded { .. }) {
            self.check_nothing_is_left(&journal);
        }
        if let Some(journals) = &mut self.journals {
            journals.push((journal.plan.rollout.clone(), journal.records.clone()));
        }
        self.store.history.push((journal.built.clone(), outcome));
    }

    fn check_deployed(&mut self, journal: &Journal) {
        let facts = journal.facts;
        if facts.spoken_against {
            self.violate(Rule::WorseIsNeverDeployed, |_| "it was found to be worse before".into());
        }
        let spec = &journal.state().spec;
        let serving = spec.moves.iter().filter(|m| m.is_shifted()).filter_map(|m| m.to.as_ref());
        let mut fates = serving.filter_map(|id| self.find(id)).map(|n| self.revisions[n].fate);
        let bad = fates.any(|fate| matches!(fate, Fate::Errs { percent: 50.. }));
        // When both fail alike nobody can tell.
        let alike = facts.stable_errors > 0;
        if bad && !alike && spec.has_judge() && !facts.promoted && !facts.undecided {
            self.violate(Rule::WorseIsNeverDeployed, |_| "most of its answers are errors".into());
        }
        let accepted = facts.watched || facts.promoted || facts.undecided;
        if !(facts.ready && facts.routed && accepted) {
            self.violate(Rule::DeployedMeansDeployed, |_| {
                format!("it was deployed without evidence: {facts:?}")
            });
        }
        for m in journal.state().spec.moves.iter().filter(|m| m.port) {
            let weight = |id| self.find(id).map(|n| self.weight(n));
            let to = m.to.as_ref().and_then(weight).unwrap_or(100);
            let from = m.leaving().and_then(weight).unwrap_or(0);
            if (to, from) != (100, 0) {
                self.violate(Rule::DeployedMeansDeployed, |_| {
                    format!("{} has {to} % of its traffic, the old one {from} %", m.component)
                });
            }
        }
    }

    /// What was left half-way before is put in order by whoever comes after.
    fn check_nothing_is_left(&mut self, journal: &Journal) {
        let state = journal.state();
        let orphans = state.spec.orphans(true).chain(state.spec.orphans(false));
        let mut there = orphans.filter_map(|(_, id)| self.find(&id));
        let found = there.find(|n| self.revisions[*n].process.is_some());
        if let Some(n) = found.filter(|_| self.run.refuses != Some(Refuses::Stop)) {
            self.violate(Rule::TurnedBackMeansBack, |w| {
                format!("{} was left behind and still runs", w.name_of(n))
            });
        }
    }

    /// Going back may fail, but not for want of trying.
    fn check_left(&mut self, journal: &Journal) {
        if self.run.refuses == Some(Refuses::Start) {
            return;
        }
        let leaving = journal.state().spec.moves.iter().filter_map(|m| m.leaving());
        let gone = leaving.filter_map(|id| self.find(id));
        let mut gone = gone.filter(|n| self.revisions[*n].process.is_none());
        if let Some(n) = gone.next() {
            self.violate(Rule::TurnedBackMeansBack, |w| {
                format!("{} was not started again", w.name_of(n))
            });
        }
    }

    fn check_back(&mut self, journal: &Journal) {
        for m in &journal.state().spec.moves {
            let weight = |id| self.find(id).map(|n| self.weight(n));
            let from = m.from.as_ref().and_then(weight).unwrap_or(100);
            let new = m.to.as_ref().filter(|_| m.is_new());
            let to = new.and_then(weight).unwrap_or(0);
            if m.port && (from, to) != (100, 0) {
                self.violate(Rule::TurnedBackMeansBack, |_| {
                    format!(
                        "{}: the old one has {from} % of the traffic, the new {to} %",
                        m.component
                    )
                });
            }
            let there = |id| self.find(id).is_some_and(|n| self.revisions[n].process.is_some());
            let stays = new.is_some_and(there) && self.run.refuses != Some(Refuses::Stop);
            let missing = m.from.as_ref().is_some_and(|id| !there(id));
            if stays || missing {
                self.violate(Rule::TurnedBackMeansBack, |_| {
                    let what =
                        if stays { "the new one still runs" } else { "the old one does not run" };
                    format!("{}: {what}", m.component)
                });
            }
        }
    }

    /// Nobody drives any more: what the history calls current is what has the traffic.
    pub fn check_end(&mut self) {
        let Some((_, built)) = self.store.current() else { return };
        if !self.store.stranded().is_empty() {
            return;
        }
        let built = built.clone();
        for (part, id) in built.revisions.iter().enumerate() {
            let Some(n) = id.as_ref().filter(|_| part != 2).and_then(|id| self.find(id)) else {
                continue;
            };
            let weight = self.weight(n);
            if weight != 100 {
                self.violate(Rule::TurnedBackMeansBack, |w| {
                    format!("{} is in force and has {weight} % of its traffic", w.name_of(n))
                });
            }
        }
    }

    pub fn end_state(&self) -> EndState {
        let named = || self.revisions.iter().enumerate().map(|(n, r)| (n, self.name_of(n), r));
        EndState {
            running: named()
                .filter_map(|(_, name, r)| {
                    let process = r.process.as_ref()?;
                    process.warm_until_ms.is_none().then_some((name, process.wanted))
                })
                .collect(),
            weights: named().map(|(n, name, _)| (name, self.weight(n))).collect(),
            outcomes: self.ended.clone(),
        }
    }
}
