//! Makes a failing script short: leaves out and simplifies what it can, as long as the same rule is
//! still broken.

use crate::check::Rule;
use crate::history::{Play, play};
use crate::script::{Change, Fate, Fault, Run, Script, Setting, Way, What};

/// The shortest script found that still breaks `rule`.
pub fn shrink(script: &Script, how: Play, rule: Rule) -> Script {
    let how = Play { tell: false, ..how };
    let breaks =
        |candidate: &Script| play(candidate, how).violation.is_some_and(|v| v.rule == rule);
    let mut best = script.clone();
    loop {
        let before = best.clone();
        for candidate in without_faults(&best).chain(shorter(&best)).collect::<Vec<_>>() {
            let smaller = size(&candidate) < size(&best);
            if smaller && breaks(&candidate) {
                best = candidate;
                break;
            }
        }
        if best == before {
            return best;
        }
    }
}

/// What makes a story long; a candidate has to have less of it.
fn size(script: &Script) -> (usize, u64) {
    let s = &script.setting;
    let flags = [s.web, s.worker, s.hooks, s.warm, s.streams, !s.prompt, !s.installed];
    let odd: usize = flags.iter().filter(|flag| **flag).count();
    let runs: usize = script.runs.iter().map(weight).sum();
    let faults: u64 =
        script.faults.iter().map(|f| u64::from(f.place.later_ms) + span(f.what)).sum();
    let times = [s.ready_ms, s.request_ms, s.effect_ms, s.lag_ms];
    let times: u64 = times.into_iter().map(u64::from).sum();
    let recreate = usize::from(s.way != Way::BlueGreen);
    (script.faults.len() * 20 + runs + odd + recreate, faults + times)
}

fn weight(run: &Run) -> usize {
    10 + usize::from(run.fate != Fate::Well)
        + usize::from(!run.old_returns)
        + usize::from(run.refuses.is_some())
        + usize::from(run.change != Change::OnlyApi)
}

fn span(what: What) -> u64 {
    match what {
        What::ClockJumps { ms } => ms.unsigned_abs().into(),
        other => other.costs_ms().into(),
    }
}

fn without_faults(script: &Script) -> impl Iterator<Item = Script> {
    (0..script.faults.len()).map(|n| {
        let mut less = script.clone();
        less.faults.remove(n);
        less
    })
}

fn shorter(script: &Script) -> impl Iterator<Item = Script> {
    let runs = (0..script.runs.len()).filter(|_| script.runs.len() > 1).map(|n| {
        let mut less = script.clone();
        less.runs.remove(n);
        less
    });
    let simpler = (0..script.runs.len()).flat_map(|n| {
        let changes: [fn(&mut Run); 4] = [
            |r| r.fate = Fate::Well,
            |r| r.old_returns = true,
            |r| r.refuses = None,
            |r| r.change = Change::OnlyApi,
        ];
        changes.map(|change| {
            let mut less = script.clone();
            change(&mut less.runs[n]);
            less
        })
    });
    let plainer: [fn(&mut Setting); 12] = [
        |s| s.web = false,
        |s| s.worker = false,
        |s| s.hooks = false,
        |s| s.warm = false,
        |s| s.streams = false,
        |s| s.prompt = true,
        |s| s.installed = true,
        |s| s.way = Way::BlueGreen,
        |s| s.ready_ms = 0,
        |s| s.request_ms = 0,
        |s| s.effect_ms = 0,
        |s| s.lag_ms = 0,
    ];
    let plainer = plainer.into_iter().map(|change| {
        let mut less = script.clone();
        change(&mut less.setting);
        less
    });
    let sooner = (0..script.faults.len()).flat_map(|n| {
        let changes: [fn(&mut Fault); 2] = [|f| f.place.later_ms = 0, |f| f.what = f.what.halved()];
        changes.map(|change| {
            let mut less = script.clone();
            change(&mut less.faults[n]);
            less
        })
    });
    runs.chain(simpler).chain(plainer).chain(sooner)
}

impl What {
    fn halved(self) -> Self {
        match self {
            What::Crash { successor_ms } => What::Crash { successor_ms: successor_ms / 2 },
            What::Interrupt { successor_ms } => What::Interrupt { successor_ms: successor_ms / 2 },
            What::Stall { ms } => What::Stall { ms: ms / 2 },
            What::RequestLate { ms } => What::RequestLate { ms: ms / 2 },
            What::AnswerLate { ms } => What::AnswerLate { ms: ms / 2 },
            What::Blind { ms } => What::Blind { ms: ms / 2 },
            What::LookLate { ms } => What::LookLate { ms: ms / 2 },
            What::RouterSilent { ms } => What::RouterSilent { ms: ms / 2 },
            What::RouterStale { ms } => What::RouterStale { ms: ms / 2 },
            What::RouterLags { ms } => What::RouterLags { ms: ms / 2 },
            What::Flap { side, ms } => What::Flap { side, ms: ms / 2 },
            What::ClockJumps { ms } => What::ClockJumps { ms: ms / 2 },
            other => other,
        }
    }
}
