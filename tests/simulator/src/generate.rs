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
        let fault = faults[n].clone();
        accompany(random, &fault, &mut faults);
    }
    Script { setting, runs, faults }
}

/// What seldom happens by chance, and often in life: things that come together.
fn accompany(random: &mut Rng, fault: &Fault, faults: &mut Vec<Fault>) {
    let Fault { place, what } = *fault;
    let mut add = |what, boundaries, later_ms| {
        let boundary = place.boundary + boundaries;
        let later_ms = place.later_ms + later_ms;
        faults.push(Fault { place: Place { boundary, later_ms }, what });
    };
    match what {
        // What one operator said the next one takes back.
        What::Operator(_) if one_in(random, 2) => {
            add(What::Operator(wish(random)), 0, random.u32(0..400));
        }
        // Nobody drove for a while, and then everybody is there.
        What::Crash { successor_ms: 15_000.. } => {
            let since = random.u32(15_000..17_000);
            match random.u32(..5) {
                0 | 1 => add(What::Operator(wish(random)), 0, since),
                2 => add(What::Crash { successor_ms: since }, random.u32(1..8), 0),
                3 => add(What::Flap { side: Side::Old, ms: 3_000 }, 0, 14_000),
                _ => {}
            }
        }
        What::CountsGone { .. } if one_in(random, 3) => {
            add(What::Operator(wish(random)), random.u32(0..4), 0);
        }
        _ => {}
    }
}

fn pick<T: Clone>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

fn one_in(random: &mut Rng, n: u32) -> bool {
    random.u32(..n) == 0
}

/// How many kinds of releases there are: making one costs more than a history, so each is used often.
const SHAPES: u64 = 64;

fn setting(random: &mut Rng) -> Setting {
    let shape = &mut Rng::with_seed(random.u64(..SHAPES));
    let ways = [Way::Canary, Way::Canary, Way::Canary, Way::BlueGreen, Way::Recreate];
    let undecided = [Undecided::Pause, Undecided::Pause, Undecided::Promote, Undecided::Rollback];
    Setting {
        way: pick(shape, &ways),
        steps: shape.u8(..STEPS),
        on_inconclusive: pick(shape, &undecided),
        web: shape.bool(),
        worker: shape.bool(),
        hooks: shape.bool(),
        warm: shape.bool(),
        requests: pick(random, &[0, 40, 200, 200, 200, 200]),
        decision: pick(
            random,
            &[Wish::Promote, Wish::Promote, Wish::PromoteFully, Wish::Abort, Wish::Rollback],
        ),
        leaves: one_in(random, 3),
        installed: !one_in(random, 5),
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
    // There is nothing to go back to at first; the third release is one of a few kinds.
    let usual = match n {
        0 => &changes[..8],
        1 => &changes[..],
        _ => &changes[6..],
    };
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
        change: pick(random, usual),
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
    let what = match random.u32(..60) {
        0..8 => What::Crash { successor_ms: pick(random, &[0, short, long, 15_000 + short]) },
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
        45 | 55..60 => What::RouterForgets,
        46 | 52..55 => What::CountsGone { ms: pick(random, &[short, short, long, 90_000]) },
        47 => What::CountsEmpty { ms: long },
        48 => What::CountsLate { ms: long },
        49 => What::CountsAgain { ms: long },
        50 => What::CountsAbsurd { ms: long },
        _ => What::BothErr { ms: long },
    };
    Fault { place, what }
}
