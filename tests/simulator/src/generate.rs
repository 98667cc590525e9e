//! From a seed to a script. The same seed gives the same script, on every machine.

use fastrand::Rng;

use crate::catalogue::STEPS;
use crate::script::{
    Change, Fate, Fault, Place, Refuses, Run, Script, Setting, Side, Undecided, Way, What, Wish,
};

/// The script of a seed.
pub fn script(seed: u64) -> Script {
    let mut random = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x51D_0FA_C75);
    let random = &mut random;
    let setting = setting(random);
    let many = pick(random, &[1, 1, 1, 2, 2, 3]);
    let runs: Vec<Run> = (0..many).map(|n| run(random, n)).collect();
    let boundaries = 60 * many as u32;
    let some = pick(random, &[0, 1, 1, 2, 2, 3, 3, 4, 5, 7]);
    let mut faults: Vec<Fault> = (0..some).map(|_| fault(random, boundaries)).collect();
    for n in 0..faults.len() {
        // Operators do not come alone: what one said the next one takes back.
        let Fault { place, what: What::Operator(_) } = faults[n] else { continue };
        if one_in(random, 2) {
            let second = Place { later_ms: place.later_ms + random.u32(0..400), ..place };
            faults.push(Fault { place: second, what: What::Operator(wish(random)) });
        }
    }
    Script { setting, runs, faults }
}

fn pick<T: Clone>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

fn one_in(random: &mut Rng, n: u32) -> bool {
    random.u32(..n) == 0
}

fn setting(random: &mut Rng) -> Setting {
    Setting {
        way: pick(random, &[Way::Canary, Way::Canary, Way::Canary, Way::BlueGreen, Way::Recreate]),
        steps: random.u8(..STEPS),
        on_inconclusive: pick(
            random,
            &[Undecided::Pause, Undecided::Pause, Undecided::Promote, Undecided::Rollback],
        ),
        requests: pick(random, &[0, 40, 200, 200, 200, 200]),
        decision: pick(
            random,
            &[Wish::Promote, Wish::Promote, Wish::PromoteFully, Wish::Abort, Wish::Rollback],
        ),
        leaves: one_in(random, 3),
        web: one_in(random, 2),
        worker: one_in(random, 2),
        hooks: one_in(random, 2),
        installed: !one_in(random, 5),
        warm: random.bool(),
        ready_ms: random.u32(0..900),
        request_ms: pick(random, &[0, 300, 900, 5_000]) + random.u32(0..100),
        effect_ms: random.u32(0..40),
        lag_ms: pick(random, &[0, 0, 100, 1_000]) + random.u32(0..50),
        streams: one_in(random, 4),
        prompt: random.bool(),
        same_machine: random.bool(),
    }
}

fn run(random: &mut Rng, n: usize) -> Run {
    let changes = [
        Change::Everything,
        Change::Everything,
        Change::OnlyApi,
        Change::OnlyWorker,
        Change::Scaled,
        Change::WebComesOrGoes,
        Change::WorkerComesOrGoes,
        Change::Relabelled,
        Change::Back,
        Change::Back,
    ];
    let usual = if n == 0 { 8 } else { 10 };
    let refuses = [
        Refuses::Artifact,
        Refuses::Secrets,
        Refuses::PreDeploy,
        Refuses::Migration,
        Refuses::Start,
        Refuses::Route,
        Refuses::SmokeTest,
        Refuses::PostDeploy,
        Refuses::EndStreams,
        Refuses::KeepWarm,
        Refuses::Stop,
    ];
    let (soon, late) = (random.u32(0..1_500), random.u32(0..20_000));
    let after_ms = pick(random, &[0, 0, soon, late]);
    let errs = Fate::Errs { percent: pick(random, &[10, 60, 100]) };
    let fates =
        [Fate::NeverReady, Fate::CrashLoop, Fate::DiesUnderTraffic { after_ms }, errs, errs];
    Run {
        change: pick(random, &changes[..usual]),
        fate: if one_in(random, 3) { pick(random, &fates) } else { Fate::Well },
        old_returns: !one_in(random, 8),
        refuses: one_in(random, 6).then(|| pick(random, &refuses)),
    }
}

fn wish(random: &mut Rng) -> Wish {
    let wishes = [
        Wish::Pause,
        Wish::Pause,
        Wish::Resume,
        Wish::Promote,
        Wish::PromoteFully,
        Wish::Abort,
        Wish::Rollback,
        Wish::Supersede,
    ];
    pick(random, &wishes)
}

fn fault(random: &mut Rng, boundaries: u32) -> Fault {
    let later_ms = if one_in(random, 3) { random.u32(0..3_000) } else { 0 };
    let place = Place { boundary: random.u32(1..boundaries), later_ms };
    let short = random.u32(1..1_500);
    let long = random.u32(1..16_000);
    let side = if random.bool() { Side::New } else { Side::Old };
    let what = match random.u32(..52) {
        0..8 => What::Crash { successor_ms: pick(random, &[0, short, long]) },
        8..10 => What::Stall { ms: pick(random, &[short, long, 8_000 + long]) },
        10 => What::TakeOver,
        11 => What::OldPlan,
        12 => What::Second { wait_ms: long },
        13 => What::Interrupt { successor_ms: short },
        14..16 => What::RequestLost,
        16..18 => What::AnswerLost,
        18 => What::RequestLate { ms: short },
        19 => What::RequestTwice,
        20 => What::AnswerLate { ms: short },
        21 => What::StoreFails { written: random.bool() },
        22 => What::Blind { ms: if one_in(random, 8) { 70_000 } else { 3 * short } },
        23 => What::LookLate { ms: short },
        24 => What::RouterSilent { ms: 2 * short },
        25 => What::RouterStale { ms: 2 * short },
        26 => What::RouterLags { ms: 2 * short },
        27..29 => What::Flap { side, ms: short },
        29 => What::ClockJumps { ms: random.i32(-20_000..70_000) },
        30..45 => What::Operator(wish(random)),
        45 => What::RouterForgets,
        46 => What::CountsGone { ms: if one_in(random, 4) { 90_000 } else { long } },
        47 => What::CountsEmpty { ms: long },
        48 => What::CountsLate { ms: long },
        49 => What::CountsAgain { ms: long },
        50 => What::CountsAbsurd { ms: long },
        _ => What::BothErr { ms: long },
    };
    Fault { place, what }
}
