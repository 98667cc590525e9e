//! Many histories on several threads, and what they amount to.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::catalogue::DECIDE_WITHIN_MS;
use crate::check::{EndState, Rule, Violation};
use crate::coverage::Coverage;
use crate::generate::script;
use crate::history::{Play, play};
use crate::mutation::Mutation;
use crate::script::{Fate, Refuses, Script, What};
use crate::store::LOCK_GOOD_MS;
use crate::world::hash_of;

/// Which histories to play.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    pub first_seed: u64,
    pub histories: u64,
    pub threads: usize,
    pub mutation: Option<Mutation>,
    /// Whether to go on after a violation, for one of each rule.
    pub go_on: bool,
}

/// What came of them.
#[derive(Default)]
pub struct Totals {
    pub histories: u64,
    /// Different scripts; different courses of events, with and without their times.
    pub scripts: u64,
    pub traces: u64,
    pub shapes: u64,
    /// Histories compared with the same one without faults.
    pub compared: u64,
    pub coverage: Coverage,
    /// The seeds that broke a rule, lowest first; the campaign ends at the first one.
    pub broken: Vec<(u64, Violation)>,
}

/// Histories that a thread takes at a time.
const BATCH: u64 = 256;

/// Plays histories until they are done or one of them breaks a rule.
pub fn campaign(campaign: Campaign) -> Totals {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let done: Vec<Part> = thread::scope(|scope| {
        let work = || scope.spawn(|| Part::play(campaign, &next, &stop));
        let threads: Vec<_> = (0..campaign.threads.max(1)).map(|_| work()).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("a history that panics is a defect here"))
            .collect()
    });
    let mut totals = Totals::default();
    let mut sets: [Vec<u64>; 3] = Default::default();
    for part in done {
        totals.histories += part.histories;
        totals.compared += part.compared;
        totals.coverage.add(&part.coverage);
        totals.broken.extend(part.broken);
        for (all, mine) in sets.iter_mut().zip(part.hashes) {
            all.extend(mine);
        }
    }
    totals.broken.sort_by_key(|(seed, _)| *seed);
    let mut rules = BTreeSet::new();
    totals.broken.retain(|(_, violation)| rules.insert(violation.rule));
    let [scripts, traces, shapes] = sets.map(|mut set| {
        set.sort_unstable();
        set.dedup();
        set.len() as u64
    });
    Totals { scripts, traces, shapes, ..totals }
}

#[derive(Default)]
struct Part {
    histories: u64,
    compared: u64,
    coverage: Coverage,
    broken: Vec<(u64, Violation)>,
    hashes: [Vec<u64>; 3],
    /// How scripts end when nothing goes wrong, by their hash.
    calm: HashMap<u64, (EndState, u64)>,
}

impl Part {
    fn play(campaign: Campaign, next: &AtomicU64, stop: &AtomicBool) -> Self {
        let mut part = Self::default();
        while !stop.load(Ordering::Relaxed) {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            if from >= campaign.histories {
                break;
            }
            for n in from..(from + BATCH).min(campaign.histories) {
                part.one(campaign.first_seed + n, campaign.mutation);
                if !part.broken.is_empty() && !campaign.go_on {
                    stop.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        part
    }

    fn one(&mut self, seed: u64, mutation: Option<Mutation>) {
        let script = script(seed);
        let how = Play { mutation, tell: false };
        let played = play(&script, how);
        self.histories += 1;
        self.coverage.add(&played.coverage);
        let hashes = [hash_of(&script), played.trace, played.shape];
        for (set, hash) in self.hashes.iter_mut().zip(hashes) {
            set.push(hash);
        }
        if let Some(violation) = played.violation {
            return self.broken.push((seed, violation));
        }
        let Some((calm, costs)) = without_neutral_faults(&script) else { return };
        let key = hash_of(&calm);
        if self.calm.len() > 20_000 {
            self.calm.clear();
        }
        let (expected, took_ms) = self.calm.entry(key).or_insert_with(|| {
            let calm = play(&calm, how);
            (calm.end, calm.longest_ms)
        });
        if *took_ms + costs >= DECIDE_WITHIN_MS {
            return;
        }
        self.compared += 1;
        let forgets = script.faults.iter().any(|fault| fault.what == What::RouterForgets);
        if !played.end.agrees(expected, forgets) {
            let what = format!("it ended {:?}, without faults it ends {expected:?}", played.end);
            let rule = Rule::SameEndAfterACrash;
            self.broken.push((seed, Violation { rule, what }));
        }
    }
}

/// The same script without its faults, if it has to end like that unless time runs out, and the time
/// that the faults cost.
fn without_neutral_faults(script: &Script) -> Option<(Script, u64)> {
    let neutral = script.faults.iter().all(|fault| fault.what.is_neutral());
    let locked_ms = if script.setting.same_machine { 0 } else { LOCK_GOOD_MS };
    let costs = script.faults.iter().map(|fault| match fault.what {
        What::Crash { successor_ms } => u64::from(successor_ms) + locked_ms,
        other => other.costs_ms().into(),
    });
    let costs: u64 = costs.sum();
    let timed = |fate| matches!(fate, Fate::DiesUnderTraffic { after_ms } if after_ms > 0);
    // Whether streams have to be ended depends on how long nobody looked.
    let by_time =
        script.runs.iter().any(|run| timed(run.fate) || run.refuses == Some(Refuses::EndStreams));
    (neutral && !script.faults.is_empty() && costs < DECIDE_WITHIN_MS && !by_time)
        .then(|| (Script { faults: Vec::new(), ..script.clone() }, costs))
}

impl Totals {
    /// Pairs that can be met and were not, and pairs that were met and should be impossible.
    pub fn coverage_gaps(&self) -> (Vec<String>, Vec<String>) {
        let (met, can) = (self.coverage.pairs(), crate::reachable::reachable());
        let less = |a: &BTreeSet<_>, b: &BTreeSet<_>| {
            a.difference(b).map(ToString::to_string).collect::<Vec<_>>()
        };
        (less(&can, &met), less(&met, &can))
    }
}
