//! Traffic in time: one window after the other.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::clients::Population;
use super::pods::{BOUNDS, Conditions, Histogram, Pods, STEP, bound_us};
use super::{Fault, Traffic};
use crate::judge::slots::LEEWAY_MS;
use crate::judge::{Counts, Sides, Slower, Window, known_after_us};

/// As at the edge, what has not ended this long after its slot is left out.
const SETTLE_MS: u64 = 10_000;
/// Bounds on either side of those that say something, so that a whole service within one step shows too.
const MARGIN: usize = 1;

/// Windows from a seed: the same traffic and seed give the same windows, which hold what those of
/// the edge would ([`crate::judge::slots`]).
#[derive(Debug, Clone)]
pub struct Stream {
    traffic: Traffic,
    rng: Pcg64Mcg,
    canary: Pods,
    stable: Pods,
    population: Option<Population>,
    now_ms: u64,
    slot_ms: u64,
    /// Clients are counted at once.
    clients: Sides,
    /// Requests and errors of both sides, and when they are known.
    unsettled: Vec<(u64, [Counts; 2])>,
    /// The same for latencies.
    unripe: Vec<(u64, [Histogram; 2])>,
    /// How long after its slot it is known of nearly all requests whether they were slower than the bounds in use.
    known_ms: u64,
    /// Bounds in use.
    highest: usize,
}

/// A slot of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Requests that the canary got.
    pub to_canary: u64,
    /// The window, if it ended with the slot.
    pub window: Option<Window>,
}

/// How long slots are where windows are that long: the edge counts by the second in which a request was
/// sent, and its windows are whole seconds.
pub fn slot_ms(interval_ms: u64) -> u64 {
    const SECOND_MS: u64 = 1_000;
    if interval_ms.is_multiple_of(SECOND_MS) { SECOND_MS } else { interval_ms }
}

impl Stream {
    pub fn new(traffic: &Traffic, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let (error, latency) = (traffic.pod_error_sigma, traffic.pod_latency_sigma);
        let interval = traffic.interval_ms.max(1);
        let nearly_all_us = traffic.latency.map_or(1.0, |law| {
            (law.p50_ms * (3.0 * law.sigma).exp()).clamp(1.0, 60_000.0) * 1_000.0
        });
        let known_us = known_after_us(nearly_all_us as u64);
        Self {
            canary: Pods::new(traffic.canary_pods, error, latency, &mut rng),
            stable: Pods::new(traffic.stable_pods, error, latency, &mut rng),
            population: traffic.clients.map(|clients| Population::new(clients, &mut rng)),
            now_ms: 0,
            slot_ms: slot_ms(interval),
            clients: Sides::default(),
            unsettled: Vec::new(),
            unripe: Vec::new(),
            known_ms: known_us / 1_000,
            highest: (0..BOUNDS).take_while(|k| bound_us(*k) <= known_us).count(),
            traffic: Traffic { interval_ms: interval, ..traffic.clone() },
            rng,
        }
    }

    /// From here on both sides together get that many requests a second.
    pub fn set_rps(&mut self, rps: f64) {
        self.traffic.rps = rps;
    }

    /// The rest of the window, with `weight` (from 0 to 1) of the requests on the canary.
    pub fn window(&mut self, weight: f64) -> Window {
        loop {
            if let Some(window) = self.slot(weight).window {
                return window;
            }
        }
    }

    /// The next slot, with `weight` (from 0 to 1) of the requests on the canary.
    pub fn slot(&mut self, weight: f64) -> Sent {
        let to_canary = self.send(weight.clamp(0.0, 1.0));
        let over = self.now_ms.is_multiple_of(self.traffic.interval_ms);
        Sent { to_canary, window: over.then(|| self.cut()) }
    }

    /// The window that ends now.
    fn cut(&mut self) -> Window {
        let end_ms = self.now_ms;
        let mut sides = std::mem::take(&mut self.clients);
        let known = |known_ms: &u64| *known_ms <= end_ms + LEEWAY_MS;
        for (_, [canary, stable]) in self.unsettled.extract_if(.., |(at_ms, _)| known(at_ms)) {
            for (sum, counts) in [(&mut sides.canary, canary), (&mut sides.stable, stable)] {
                sum.requests += counts.requests;
                sum.errors += counts.errors;
            }
        }
        let ripe = self.unripe.extract_if(.., |(at_ms, _)| known(at_ms)).map(|(_, of)| of);
        let added = |one: [Histogram; 2], other: [Histogram; 2]| {
            [0, 1].map(|side| std::array::from_fn(|k| one[side][k] + other[side][k]))
        };
        if let Some(histograms) = ripe.reduce(added) {
            (sides.canary.latency, sides.stable.latency) = self.named(&histograms);
        }
        let components = BTreeMap::from([(self.traffic.component.clone(), sides)]);
        Window { end_ms, components }
    }

    /// Requests of one slot, and when what becomes of them is known; how many the canary gets.
    fn send(&mut self, weight: f64) -> u64 {
        let from_ms = self.now_ms;
        self.now_ms += self.slot_ms;
        let [canary, stable] = self.conditions(from_ms);
        let mean = (self.traffic.rps * self.slot_ms as f64 / 1_000.0).clamp(0.0, 1e9);
        if let Some(population) = &mut self.population {
            let before = self.clients.canary.requests;
            let sides = &mut self.clients;
            population.answer(mean, weight, [canary, stable], sides, &mut self.rng);
            return sides.canary.requests - before;
        }
        let mut histograms = [[0; BOUNDS + 1]; 2];
        let [of_canary, of_stable] = &mut histograms;
        let mut counts = [
            self.canary.answer(mean * weight, canary, of_canary, &mut self.rng),
            self.stable.answer(mean * (1.0 - weight), stable, of_stable, &mut self.rng),
        ];
        let to_canary = counts[0].requests;
        let mut settled_ms = self.last_end_ms(&histograms).max(self.now_ms);
        if canary.hangs && counts[0].requests > 0 {
            // They have no outcome, and the others' waits for it.
            counts[0].requests = 0;
            settled_ms = u64::MAX;
        }
        if settled_ms > self.now_ms + SETTLE_MS {
            settled_ms = self.now_ms + SETTLE_MS;
            for (counts, histogram) in counts.iter_mut().zip(&histograms) {
                self.leave_out(counts, histogram);
            }
        }
        self.unsettled.push((settled_ms, counts));
        if self.traffic.latency.is_some() {
            self.unripe.push((self.now_ms + self.known_ms, histograms));
        }
        to_canary
    }

    /// When the last of a slot's requests ended, which were sent at any time in it.
    fn last_end_ms(&mut self, histograms: &[Histogram; 2]) -> u64 {
        let slot_ms = self.slot_ms as f64;
        let mut last_ms = 0.0_f64;
        for k in (0..=BOUNDS).rev() {
            let most_ms = bound_us(k) as f64 / 1_000.0;
            if slot_ms + most_ms <= last_ms {
                break;
            }
            let count = histograms[0][k] + histograms[1][k];
            if count > 0 {
                // The latest of so many.
                let sent = self.rng.random::<f64>().powf(1.0 / count as f64);
                let took_ms = most_ms * STEP.powf(-self.rng.random::<f64>());
                last_ms = last_ms.max(sent * slot_ms + took_ms);
            }
        }
        self.now_ms - self.slot_ms + last_ms as u64
    }

    /// Takes those away that take too long, and their part of the errors.
    fn leave_out(&mut self, counts: &mut Counts, histogram: &Histogram) {
        let long_ms = SETTLE_MS + self.slot_ms / 2;
        let long: u64 =
            (0..=BOUNDS).filter(|k| bound_us(*k) > long_ms * 1_000).map(|k| histogram[k]).sum();
        let kept = counts.requests.saturating_sub(long);
        let errors = counts.errors as f64 * kept as f64 / counts.requests.max(1) as f64;
        counts.requests = kept;
        counts.errors = (errors + self.rng.random::<f64>()) as u64;
    }

    /// What holds on the canary's and on the stable side while a window's requests come in.
    fn conditions(&self, at_ms: u64) -> [Conditions; 2] {
        let Traffic { error_rate, latency, incidents, fault, .. } = &self.traffic;
        let shared = |rate: f64, slower: f64| {
            let rate = rate.clamp(1e-12, 1.0 - 1e-12);
            let mut logit = (rate / (1.0 - rate)).ln();
            let mut ln_slower = slower.max(1e-9).ln();
            for bad in incidents.iter().filter(|i| (i.from_ms..i.until_ms).contains(&at_ms)) {
                logit += bad.errors.max(1e-9).ln();
                ln_slower += bad.slower.max(1e-9).ln();
            }
            let ln_latency = latency.map(|law| (law.p50_ms.max(1e-3).ln() + ln_slower, law.sigma));
            Conditions { error_logit: logit, ln_latency, hangs: false }
        };
        let stable = shared(*error_rate, 1.0);
        let canary = match fault {
            Some(Fault { onset_ms, error_rate: rate, slower, hangs }) if at_ms >= *onset_ms => {
                let faulty = shared(rate.unwrap_or(*error_rate), *slower);
                Conditions { hangs: *hangs, ..faulty }
            }
            _ => stable,
        };
        [canary, stable]
    }

    /// The latencies of an older window, without the bounds that say nothing.
    fn named(&self, histograms: &[Histogram; 2]) -> (Vec<Slower>, Vec<Slower>) {
        let [canary, stable] = histograms.each_ref().map(slower);
        let (all, highest) = (canary.0 + stable.0, self.highest);
        let says = |k: &usize| (1..all).contains(&(canary.1[*k] + stable.1[*k]));
        // With nothing in between, the place where "all" becomes "none" still says where latencies are.
        let edge = (0..highest).take_while(|k| canary.1[*k] + stable.1[*k] == all).count();
        let first = (0..highest).find(says).unwrap_or(edge);
        let last = (0..highest).rev().find(says).unwrap_or(edge.saturating_sub(1));
        let range = first.saturating_sub(MARGIN)..(last + MARGIN + 1).min(highest);
        let named = |(of, slower): &(u64, [u64; BOUNDS])| {
            range
                .clone()
                .map(|k| Slower { bound_us: bound_us(k), of: *of, slower: slower[k] })
                .collect()
        };
        (named(&canary), named(&stable))
    }
}

/// How many there were, and how many were slower than each bound.
fn slower(histogram: &Histogram) -> (u64, [u64; BOUNDS]) {
    let all = histogram.iter().sum();
    let mut left = all;
    let mut beyond = [0; BOUNDS];
    for (k, count) in histogram.iter().take(BOUNDS).enumerate() {
        left -= count;
        beyond[k] = left;
    }
    (all, beyond)
}

#[cfg(test)]
mod tests {
    use super::super::{Incident, LatencyLaw};
    use super::*;

    fn with_latency() -> Traffic {
        let latency = Some(LatencyLaw { p50_ms: 50.0, sigma: 0.5 });
        Traffic { latency, interval_ms: 2_000, ..Traffic::new(1_000.0, 0.01) }
    }

    fn sum(traffic: &Traffic, windows: usize, weight: f64) -> Sides {
        let mut stream = Stream::new(traffic, 7);
        let mut sum = Sides::default();
        for _ in 0..windows {
            let window = stream.window(weight);
            let seen = &window.components["api"];
            for (sum, seen) in [(&mut sum.canary, &seen.canary), (&mut sum.stable, &seen.stable)] {
                sum.requests += seen.requests;
                sum.errors += seen.errors;
                sum.latency.clone_from(&seen.latency);
            }
        }
        sum
    }

    #[test]
    fn a_seed_gives_the_same_windows_and_another_one_others() {
        let windows = |seed| {
            let mut stream = Stream::new(&with_latency(), seed);
            (0..20).map(|_| stream.window(0.1)).collect::<Vec<_>>()
        };
        assert_eq!(windows(1), windows(1));
        assert_ne!(windows(1), windows(2));
    }

    #[test]
    fn requests_and_errors_come_at_the_rates_that_were_asked_for() {
        let sums = sum(&with_latency(), 500, 0.1);
        let near = |found: u64, expected: f64| {
            assert!((found as f64 - expected).abs() < 6.0 * expected.sqrt(), "{found} {expected}");
        };
        near(sums.canary.requests, 100_000.0);
        near(sums.stable.requests, 900_000.0);
        near(sums.canary.errors, 1_000.0);
        near(sums.stable.errors, 9_000.0);
    }

    #[test]
    fn bounds_are_those_that_say_something_and_one_more_on_each_side() {
        let sides = sum(&with_latency(), 3, 0.1);
        let both: Vec<(u64, u64)> = (sides.canary.latency.iter().zip(&sides.stable.latency))
            .map(|(a, b)| (a.slower + b.slower, a.of + b.of))
            .collect();
        assert!(both.len() > 10, "{both:?}");
        assert!(both[0].0 == both[0].1 && both[1].0 < both[1].1, "{both:?}");
        assert!(both[both.len() - 1].0 == 0 && both[both.len() - 2].0 > 0, "{both:?}");
        // A service that always takes the same is between two bounds, and these are there.
        let latency = Some(LatencyLaw { p50_ms: 20.0, sigma: 0.0 });
        let sides = sum(&Traffic { latency, ..with_latency() }, 3, 0.1);
        let shares: Vec<_> = sides.stable.latency.iter().map(|s| s.slower == s.of).collect();
        assert_eq!(shares, [true, false]);
    }

    #[test]
    fn windows_hold_what_the_edge_would_tell_by_then() {
        let first = |p50_ms: f64| {
            let latency = Some(LatencyLaw { p50_ms, sigma: 0.3 });
            let window = Stream::new(&Traffic { latency, ..with_latency() }, 1).window(0.5);
            let Counts { requests, latency, .. } = window.components["api"].stable.clone();
            (requests, latency.first().map_or(0, |s| s.of))
        };
        let near = |(requests, timed): (u64, u64), expected: [u64; 2]| {
            let close = |found: u64, expected: u64| found.abs_diff(expected) <= expected / 5;
            assert!(
                close(requests, expected[0]) && close(timed, expected[1]),
                "{requests} {timed}"
            );
        };
        // Two slots of 500 requests on this side, of which quick ones are known in time.
        near(first(50.0), [1_000, 1_000]);
        near(first(400.0), [500, 500]);
        near(first(500.0), [500, 0]);
        near(first(5_000.0), [0, 0]);
    }

    #[test]
    fn faults_hit_the_canary_alone_and_incidents_both() {
        let fault = Some(Fault { error_rate: Some(0.2), ..Fault::at(0) });
        let sums = sum(&Traffic { fault, ..with_latency() }, 100, 0.1);
        assert!(sums.canary.errors > 3_000 && sums.stable.errors < 2_200, "{sums:?}");
        let incidents =
            vec![Incident { from_ms: 0, until_ms: 100_000, errors: 100.0, slower: 1.0 }];
        let sums = sum(&Traffic { incidents, ..with_latency() }, 50, 0.1);
        assert!(sums.canary.errors > 4_000 && sums.stable.errors > 40_000, "{sums:?}");
    }

    #[test]
    fn a_canary_that_hangs_has_no_outcomes_but_is_slower_than_every_bound() {
        let fault = Some(Fault { hangs: true, ..Fault::at(10_000) });
        let sums = sum(&Traffic { fault, ..with_latency() }, 20, 0.1);
        let last = sums.canary.latency.last().expect("bounds");
        assert!(last.of > 0 && last.slower == last.of, "{last:?}");
        assert!(sums.canary.requests < 1_300, "{sums:?}");
        // The other side's counts of the same time wait for it, and are not lost.
        assert!(sums.stable.requests > 900 * 25, "{sums:?}");
    }
}
