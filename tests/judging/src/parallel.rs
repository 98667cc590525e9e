//! Many independent runs on all cores; the results come in the order of the runs, whatever the cores did.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// `one` of each number below `runs`.
pub fn each<T: Send>(runs: u32, one: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let next = AtomicU32::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<(u32, T)> = thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= runs {
                    return found;
                }
                found.push((run, one(run)));
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a run panicked")).collect()
    });
    all.sort_by_key(|(run, _)| *run);
    all.into_iter().map(|(_, found)| found).collect()
}

/// Seeds of runs lie far apart, and those of different experiments do not meet.
pub fn seed(seed: u64, experiment: &str, run: u32) -> u64 {
    let name = experiment.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (seed ^ name).wrapping_add(u64::from(run).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
