use proptest::prelude::*;

use super::*;

const SLOT: u64 = 1_000;
const SETTLE: u64 = 10_000;
const INTERVAL: u64 = 2_000;
const BOUNDS_MS: [u64; 5] = [10, 100, 1_000, 7_000, 30_000];
/// When the first request is sent: long enough after the beginning of time that nothing before it
/// counts as forgotten.
const START: u64 = 100_000;
/// Long after everything.
const LATER: u64 = 600_000;

fn grid() -> Grid {
    Grid {
        slot_ms: SLOT,
        settle_ms: SETTLE,
        bounds_us: BOUNDS_MS.iter().map(|ms| ms * 1_000).collect(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Request {
    canary: bool,
    sent_ms: u64,
    /// After being sent; `None` for ever.
    answered_ms: Option<u64>,
    ended_ms: Option<u64>,
    failed: bool,
    aborted: bool,
}

fn good(canary: bool, after_ms: u64, took_ms: u64) -> Request {
    let sent_ms = START + after_ms;
    let took = Some(took_ms);
    let (answered_ms, ended_ms) = (took, took);
    Request { canary, sent_ms, answered_ms, ended_ms, failed: false, aborted: false }
}

/// What an edge has noted of these requests at a time.
fn noted(requests: &[Request], now_ms: u64) -> BTreeMap<String, Timelines> {
    let mut lines = Timelines::default();
    for r in requests.iter().filter(|r| r.sent_ms <= now_ms) {
        let line = if r.canary { &mut lines.canary } else { &mut lines.stable };
        let slot = line.entry(r.sent_ms / SLOT).or_default();
        let by_now = |after: Option<u64>| after.filter(|ms| r.sent_ms + ms <= now_ms);
        let place = |ms: u64| BOUNDS_MS.partition_point(|bound| *bound < ms);
        slot.sent += 1;
        slot.timed += 1;
        let (answered, ended) = (by_now(r.answered_ms), by_now(r.ended_ms));
        if let Some(ms) = answered {
            slot.within.push((place(ms), 1));
        } else if let Some(ms) = ended {
            slot.out.push((place(ms), 1));
        }
        let late = ended.map(|ms| r.sent_ms % SLOT + ms).filter(|late| *late <= SLOT + SETTLE);
        if let Some(late) = late {
            slot.ended += u64::from(!r.aborted);
            slot.aborted += u64::from(r.aborted);
            slot.errors += u64::from(r.failed);
            if late > SLOT {
                slot.last_end_ms = slot.last_end_ms.max(late);
            }
        }
    }
    BTreeMap::from([("api".to_string(), lines)])
}

fn cut(after_ms: u64, now_ms: u64) -> Cut {
    Cut { interval_ms: INTERVAL, after_ms, now_ms, oldest: 0 }
}

fn all(requests: &[Request]) -> Vec<Window> {
    windows(&grid(), &noted(requests, LATER), &cut(START, LATER))
}

/// Requests, errors, and by bound units and those slower.
type Total = (u64, u64, BTreeMap<u64, (u64, u64)>);

fn total(windows: &[Window], side: impl Fn(&Sides) -> &Counts) -> Total {
    let mut total = Total::default();
    for counts in windows.iter().map(|w| side(&w.components["api"])) {
        assert!(counts.errors <= counts.requests, "{counts:?}");
        (total.0, total.1) = (total.0 + counts.requests, total.1 + counts.errors);
        for s in &counts.latency {
            assert!(s.slower <= s.of, "{s:?}");
            let sum = total.2.entry(s.bound_us / 1_000).or_default();
            *sum = (sum.0 + s.of, sum.1 + s.slower);
        }
    }
    total
}

/// What the totals are to be, from the definition of each count.
fn expected(requests: &[Request], canary: bool) -> Total {
    let mine: Vec<_> = requests.iter().filter(|r| r.canary == canary).collect();
    let settled = |r: &&&Request| {
        r.ended_ms.is_some_and(|ms| r.sent_ms % SLOT + ms <= SLOT + SETTLE) && !r.aborted
    };
    let ended: Vec<_> = mine.iter().filter(settled).collect();
    let failed = ended.iter().filter(|r| r.failed).count() as u64;
    let by_bound = BOUNDS_MS.iter().map(|&bound| {
        let in_time = |ms: Option<u64>| ms.is_some_and(|ms| ms <= bound);
        let gave_up = |r: &Request| r.answered_ms.is_none() && in_time(r.ended_ms);
        let of: Vec<_> = mine.iter().filter(|r| !gave_up(r)).collect();
        let slower = of.iter().filter(|r| !in_time(r.answered_ms)).count();
        (bound, (of.len() as u64, slower as u64))
    });
    (ended.len() as u64, failed, by_bound.collect())
}

#[test]
fn bounds_are_counted_when_they_are_known() {
    let windows = all(&[good(true, 10_500, 50)]);
    let at = |ms: u64| {
        windows.iter().find(|w| w.end_ms == START + ms).expect("told").components["api"].clone()
    };
    // The slot ends at 11 s; nothing of it was slow, so its errors are known by then.
    assert_eq!(at(12_000).canary.requests, 1);
    let known: Vec<(u64, u64, u64)> = windows
        .iter()
        .flat_map(|w| w.components["api"].canary.latency.iter().map(|s| (w.end_ms, s)))
        .filter(|(_, s)| s.of > 0)
        .map(|(end, s)| (end - START, s.bound_us / 1_000, s.slower))
        .collect();
    let lags = [(12_000, 10, 1), (12_000, 100, 0), (12_000, 1_000, 0), (20_000, 7_000, 0)];
    assert_eq!(known, [&lags[..], &[(44_000, 30_000, 0)]].concat());
    // A bound at which nobody was is told of neither side, any other of both.
    for sides in windows.iter().map(|w| &w.components["api"]) {
        let bounds =
            |counts: &Counts| counts.latency.iter().map(|s| s.bound_us).collect::<Vec<_>>();
        assert_eq!(bounds(&sides.canary), bounds(&sides.stable));
    }
}

#[test]
fn what_hangs_is_slow_before_it_is_anything_else() {
    let hanging = Request { answered_ms: None, ended_ms: None, ..good(true, 10_500, 0) };
    let requests = [hanging, good(false, 10_600, 5)];
    let now = START + 13_000;
    let windows = windows(&grid(), &noted(&requests, now), &cut(START, now));
    let (none, _, slow) = total(&windows, |s| &s.canary);
    assert_eq!((none, slow[&100]), (0, (1, 1)));
    assert_eq!(total(&windows, |s| &s.stable).2[&100], (1, 0));
    // Both sides wait for it, and then do without.
    let windows = all(&requests);
    let with: Vec<_> = windows.iter().filter(|w| w.components["api"].stable.requests > 0).collect();
    assert_eq!(with.len(), 1);
    assert_eq!(with[0].end_ms, START + 22_000);
    assert_eq!(with[0].components["api"].canary.requests, 0);
}

#[test]
fn an_error_counts_where_it_was_sent_if_it_comes_in_time() {
    let failing = |took| Request { failed: true, ..good(true, 10_500, took) };
    let requests = [failing(6_000), good(true, 10_600, 5), good(false, 10_700, 5)];
    let windows = all(&requests);
    let known: Vec<_> =
        windows.iter().filter(|w| w.components["api"].canary.requests > 0).collect();
    assert_eq!(known.len(), 1, "all of a slot at once");
    assert_eq!((known[0].end_ms - START, known[0].components["api"].canary.errors), (16_000, 1));
    assert_eq!(known[0].components["api"].stable.requests, 1, "with those of the same time");
    let late = all(&[failing(10_501), good(true, 10_600, 5)]);
    assert_eq!(total(&late, |s| &s.canary).0, 1);
    assert_eq!(total(&late, |s| &s.canary).1, 0);
}

#[test]
fn what_is_forgotten_is_not_told_in_part() {
    let requests: Vec<_> = (0..100).map(|n| good(n % 2 == 0, n * 1_000, 5)).collect();
    let mut components = noted(&requests, LATER);
    let lines = components.get_mut("api").expect("there");
    lines.canary.retain(|number, _| *number >= 140);
    lines.stable.retain(|number, _| *number >= 140);
    let all = all(&requests);
    let told = windows(&grid(), &components, &Cut { oldest: 140, ..cut(START, LATER) });
    assert!(!told.is_empty());
    assert_eq!(told, all[all.len() - told.len()..]);
}

#[test]
fn counts_that_fall_or_cannot_be_give_no_nonsense() {
    let slot = |sent, ended, errors, timed, within: &[(usize, i64)], out: &[(usize, i64)]| Slot {
        sent,
        ended,
        errors,
        timed,
        within: within.to_vec(),
        out: out.to_vec(),
        ..Slot::default()
    };
    let canary = BTreeMap::from([
        (110, slot(1, 5, 9, 2, &[(0, 7)], &[(1, 9)])),
        (111, slot(0, 0, 0, 1, &[(99, 1), (2, -5)], &[(0, -3)])),
    ]);
    let lines = Timelines { canary, stable: Timeline::new() };
    let components = BTreeMap::from([("api".to_string(), lines)]);
    let told = windows(&grid(), &components, &cut(START, LATER));
    let (requests, errors, _) = total(&told, |s| &s.canary);
    assert_eq!((requests, errors), (5, 5));
    // An edge that is gone took its slots with it: what is left is told.
    assert_eq!(windows(&grid(), &BTreeMap::new(), &cut(LATER, LATER)), []);
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let took = || prop_oneof![0..50_u64, 50..3_000_u64, 3_000..45_000_u64];
    // The split moves while requests are sent.
    let one = (0..60_000_u64, took(), took(), 0..10_u8, 0..100_u64).prop_map(
        |(after_ms, head, rest, fate, drawn)| {
            let canary = drawn < [5, 25, 50, 100][(after_ms / 15_000) as usize];
            let whole =
                Request { ended_ms: Some(head + rest / 10), ..good(canary, after_ms, head) };
            match fate {
                0 => Request { failed: true, ..whole },
                1 => Request { aborted: true, answered_ms: None, ..whole },
                2 => Request { aborted: true, ..whole },
                3 => Request { ended_ms: None, answered_ms: None, ..whole },
                4 => Request { ended_ms: None, ..whole },
                _ => whole,
            }
        },
    );
    proptest::collection::vec(one, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_unit_is_counted_exactly_once(requests in requests()) {
        let windows = all(&requests);
        for (canary, side) in [(true, (|s| &s.canary) as fn(&Sides) -> &Counts), (false, |s| &s.stable)] {
            let (told, due) = (total(&windows, side), expected(&requests, canary));
            prop_assert_eq!((told.0, told.1), (due.0, due.1));
            for (bound, counts) in due.2 {
                prop_assert_eq!(told.2.get(&bound).copied().unwrap_or_default(), counts);
            }
        }
    }

    #[test]
    fn the_same_windows_whenever_and_however_they_are_asked_for(
        requests in requests(),
        looks in proptest::collection::vec(1..9_000_u64, 1..40),
    ) {
        let due = all(&requests);
        let (mut told, mut now) = (Vec::<Window>::new(), START);
        for wait in looks {
            now += wait;
            let after = told.last().map_or(START, |w| w.end_ms);
            // Who looks has not seen yet what was noted a moment late.
            told.extend(windows(&grid(), &noted(&requests, now - NOTED_MS), &cut(after, now)));
        }
        prop_assert_eq!(&told[..], &due[..told.len()]);
    }

    #[test]
    fn several_edges_are_one(requests in requests(), parts in proptest::collection::vec(0..3_usize, 200)) {
        let mut together = BTreeMap::from([("api".to_string(), Timelines::default())]);
        for edge in 0..3 {
            let part: Vec<_> = requests.iter().zip(&parts).filter(|(_, p)| **p == edge).map(|(r, _)| *r).collect();
            let lines = noted(&part, LATER).remove("api").expect("there");
            let sum = together.get_mut("api").expect("there");
            for (line, into) in [(lines.canary, &mut sum.canary), (lines.stable, &mut sum.stable)] {
                for (number, slot) in line {
                    into.entry(number).or_default().add(&slot);
                }
            }
        }
        prop_assert_eq!(windows(&grid(), &together, &cut(START, LATER)), all(&requests));
    }
}
