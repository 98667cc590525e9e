use std::collections::BTreeMap;

use super::*;

fn end(second: u64, late_ms: u64, fate: Fate) -> End {
    End { second, late_ms, unanswered: None, fate }
}

fn gave_up(second: u64, late_ms: u64, bound: usize) -> End {
    End { second, late_ms, unanswered: Some(bound), fate: Fate::Aborted }
}

fn of(clients: &Clients) -> BTreeMap<u64, SlotCounts> {
    let mut slots = BTreeMap::new();
    clients.read(0, &mut slots);
    slots
}

/// Sent, ended, failed, given up.
fn outcome(slot: &SlotCounts) -> [u64; 4] {
    [slot.sent, slot.ended, slot.errors, slot.aborted]
}

/// Units of a bound, and those among them that were slower.
fn slower(slot: &SlotCounts, bound: usize) -> (i64, i64) {
    let up_to = |all: &[(usize, i64)]| -> i64 {
        all.iter().filter(|(place, _)| *place <= bound).map(|(_, n)| n).sum()
    };
    let of = slot.timed as i64 - up_to(&slot.out);
    (of, of - up_to(&slot.within))
}

#[test]
fn bounds_are_a_tolerance_apart() {
    assert_eq!((BOUNDS_US[0], BOUNDS_US[1]), (500, 575));
    assert!((60_000_000..70_000_000).contains(&BOUNDS_US[BOUNDS_US.len() - 1]));
    for pair in BOUNDS_US.windows(2) {
        let step = pair[1] as f64 / pair[0] as f64;
        assert!((step / 1.15 - 1.0).abs() < 2e-3, "{pair:?}");
    }
    for (us, place) in [(0, 0), (500, 0), (501, 1), (575, 1), (576, 2), (u64::MAX / 2_000, 85)] {
        assert_eq!(bound_of(Duration::from_micros(us)), place, "{us}");
    }
    let ring = (KEPT - 2) * SLOT_MS * 1_000;
    assert!(BOUNDS_US[BOUNDS_US.len() - 1] + (SLOT_MS + SETTLE_MS) * 1_000 < ring);
}

#[test]
fn every_request_is_counted_once_however_many_threads_begin_a_slot() {
    let ring = Ring::default();
    let (threads, seconds, each) = (4, 3 * KEPT, 20);
    std::thread::scope(|scope| {
        let mut at: Vec<std::sync::mpsc::SyncSender<u64>> = Vec::new();
        let (done, wait) = std::sync::mpsc::channel();
        for _ in 0..threads {
            let (sender, seconds) = std::sync::mpsc::sync_channel(1);
            let (ring, done) = (&ring, done.clone());
            at.push(sender);
            scope.spawn(move || {
                for second in seconds {
                    for n in 0..each {
                        ring.sent(second);
                        ring.answered(second, n);
                        let fate = if n == 0 { Fate::Failed } else { Fate::Good };
                        ring.ended(&end(second, 1_000 + n as u64, fate));
                    }
                    done.send(()).expect("awaited");
                }
            });
        }
        for second in 1_000..1_000 + seconds {
            at.iter().for_each(|thread| thread.send(second).expect("running"));
            (0..threads).for_each(|_| wait.recv().expect("running"));
            let mut slots = BTreeMap::new();
            ring.read(second, &mut slots);
            let all = threads * each as u64;
            assert_eq!(outcome(&slots[&second]), [all, all, threads, 0]);
            assert_eq!(slots[&second].last_end_ms, 1_000 + each as u64 - 1);
            assert_eq!(slots[&second].within.len(), each);
        }
        drop(at);
    });
    let mut slots = BTreeMap::new();
    ring.read(0, &mut slots);
    assert_eq!(slots.len() as u64, KEPT, "older ones are gone");
}

#[test]
fn what_ends_after_the_settling_is_nobodys_error() {
    let ring = Ring::default();
    ring.sent(7);
    ring.sent(7);
    ring.answered(7, 80);
    ring.ended(&end(7, SLOT_MS + SETTLE_MS + 1, Fate::Failed));
    ring.ended(&end(7 + KEPT, 0, Fate::Failed));
    let mut slots = BTreeMap::new();
    ring.read(0, &mut slots);
    assert_eq!(outcome(&slots[&7]), [2, 0, 0, 0]);
    assert_eq!(slower(&slots[&7], 79), (2, 2));
    assert_eq!(slower(&slots[&7], 80), (2, 1));
}

#[test]
fn a_client_fails_once() {
    let mut clients = Clients::default();
    for second in [10, 11, 11] {
        assert_eq!(clients.sent(1, second), Some(0));
        assert_eq!(clients.sent(2, second), Some(0));
    }
    // Sent at 10 and at 11; what was sent at 11 fails first.
    clients.ended(1, 0, &end(11, 300, Fate::Failed));
    clients.ended(1, 0, &end(10, 1_900, Fate::Failed));
    clients.ended(1, 0, &end(11, 900, Fate::Failed));
    for second in [10, 11, 11] {
        clients.ended(2, 0, &end(second, 100, Fate::Good));
    }
    assert_eq!(clients.sent(1, 12), Some(0));
    clients.ended(1, 0, &end(12, 1, Fate::Good));
    let slots = of(&clients);
    assert_eq!(outcome(&slots[&10]), [1, 1, 0, 0], "who failed elsewhere is neither good nor bad");
    assert_eq!(outcome(&slots[&11]), [2, 2, 1, 0]);
    assert_eq!(outcome(&slots[&12]), [0, 0, 0, 0], "who failed before is out");
}

#[test]
fn a_client_is_slow_once_for_each_bound() {
    let mut clients = Clients::default();
    for (second, bound) in [(10, 20), (11, 30), (12, 25), (13, 30)] {
        assert_eq!(clients.sent(1, second), Some(0));
        clients.answered(1, 0, second, bound);
    }
    let slots = of(&clients);
    // Slower than the bounds before 20, at once.
    assert_eq!((slower(&slots[&10], 19), slower(&slots[&10], 20)), ((1, 1), (1, 0)));
    assert_eq!((slower(&slots[&11], 19), slower(&slots[&11], 20)), ((0, 0), (1, 1)));
    assert_eq!((slower(&slots[&11], 29), slower(&slots[&11], 30)), ((1, 1), (1, 0)));
    for second in [12, 13] {
        assert_eq!((slower(&slots[&second], 29), slower(&slots[&second], 30)), ((0, 0), (1, 0)));
    }
}

#[test]
fn a_client_that_waits_is_slow_once_and_one_that_gives_up_after_what_it_waited() {
    let mut clients = Clients::default();
    assert_eq!(clients.sent(1, 10), Some(0));
    assert_eq!(clients.sent(1, 11), Some(0));
    assert_eq!(clients.sent(2, 10), Some(0));
    clients.ended(2, 0, &gave_up(10, 1_500, 40));
    let slots = of(&clients);
    assert_eq!(slower(&slots[&10], 39), (2, 2));
    assert_eq!(slower(&slots[&10], 40), (1, 1));
    assert_eq!(slower(&slots[&11], 84), (0, 0), "it waits since the slot before");
    assert_eq!(outcome(&slots[&10]), [2, 0, 0, 1]);
}

#[test]
fn what_a_client_was_is_remembered_when_its_slots_are_not() {
    let mut clients = Clients::default();
    assert_eq!(clients.sent(1, 10), Some(0));
    clients.answered(1, 0, 10, 30);
    clients.ended(1, 0, &end(10, 1, Fate::Failed));
    let later = 10 + 2 * KEPT;
    assert_eq!(clients.sent(1, later), Some(0));
    clients.answered(1, 0, later, 30);
    clients.ended(1, 0, &end(later, 1, Fate::Failed));
    let slots = of(&clients);
    assert_eq!(slots.keys().copied().collect::<Vec<_>>(), [later]);
    assert_eq!(outcome(&slots[&later])[2], 0);
    assert_eq!((slower(&slots[&later], 29), slower(&slots[&later], 30)), ((0, 0), (1, 0)));
}

#[test]
fn with_a_new_split_all_clients_are_new() {
    let mut clients = Clients::default();
    assert_eq!((clients.sent(1, 10), clients.sent(1, 10)), (Some(0), Some(0)));
    clients.answered(1, 0, 10, 30);
    clients.ended(1, 0, &end(10, 1, Fate::Failed));
    clients.anew();
    // In the same second, while something from before is under way.
    assert_eq!(clients.sent(1, 10), Some(1));
    clients.answered(1, 1, 10, 20);
    clients.ended(1, 1, &end(10, 2, Fate::Failed));
    clients.ended(1, 0, &end(10, 3, Fate::Failed));
    assert_eq!(clients.sent(1, 11), Some(1));
    clients.answered(1, 1, 11, 30);
    clients.ended(1, 1, &end(11, 1, Fate::Failed));
    let slots = of(&clients);
    assert_eq!(outcome(&slots[&10]), [2, 2, 2, 0]);
    assert_eq!(slower(&slots[&10], 25), (2, 1));
    assert_eq!((outcome(&slots[&11]), slower(&slots[&11], 25)), ([0, 0, 0, 0], (1, 1)));
}

#[test]
fn many_clients_are_watched_in_part_and_the_part_is_a_sample() {
    let mut clients = Clients::default();
    let mut chance = fastrand::Rng::with_seed(1);
    let ids: Vec<u64> = (0..200_000).map(|_| chance.u64(..)).collect();
    for id in &ids {
        clients.sent(*id, 10);
    }
    let (mut watched, mut low) = (0, 0);
    for id in &ids {
        if clients.sent(*id, 11).is_some() {
            watched += 1;
            low += u32::from(*id < u64::MAX / 2);
        }
    }
    assert!((10_000..40_000).contains(&watched), "{watched}");
    // Those of one side of a split are as likely as those of the other.
    let share = f64::from(low) / f64::from(watched);
    assert!((share - 0.5).abs() < 0.02, "{share}");
    let slots = of(&clients);
    assert!(slots[&11].sent as u32 <= watched && slots[&11].sent > 8_000, "{}", slots[&11].sent);
}
