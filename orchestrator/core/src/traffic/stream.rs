//! Traffic in time: one window after the other.

use std::collections::{BTreeMap, VecDeque};

use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

use super::clients::Population;
use super::pods::{BOUNDS, Conditions, Histogram, Pods, bound_us};
use super::{Fault, Traffic};
use crate::judge::{Counts, Sides, Slower, Window};

/// A request that hangs is given up by the edge, and then it is an error.
const GIVEN_UP_MS: u64 = 60_000;
/// Bounds on either side of those that say something, so that a whole service within one step shows too.
const MARGIN: usize = 1;

/// Windows from a seed: the same traffic and seed give the same windows.
#[derive(Debug, Clone)]
pub struct Stream {
    traffic: Traffic,
    rng: Pcg64Mcg,
    canary: Pods,
    stable: Pods,
    population: Option<Population>,
    now_ms: u64,
    /// Latencies of the windows that are too young for them, oldest first.
    young: VecDeque<[Histogram; 2]>,
    /// How many windows it takes until latencies up to the highest bound in use are known.
    lag: usize,
    /// Bounds beyond that are never known in time.
    highest: usize,
    hanging: VecDeque<u64>,
}

impl Stream {
    pub fn new(traffic: &Traffic, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let (error, latency) = (traffic.pod_error_sigma, traffic.pod_latency_sigma);
        let interval = traffic.interval_ms.max(1);
        // Requests are old enough to compare when nearly all of them have ended.
        let known_ms = traffic
            .latency
            .map_or(0.0, |law| (law.p50_ms * (3.0 * law.sigma).exp()).clamp(1.0, 60_000.0));
        let lag = (known_ms / interval as f64).ceil() as usize;
        let age_us = lag as u64 * interval * 1_000;
        Self {
            canary: Pods::new(traffic.canary_pods, error, latency, &mut rng),
            stable: Pods::new(traffic.stable_pods, error, latency, &mut rng),
            population: traffic.clients.map(|clients| Population::new(clients, &mut rng)),
            now_ms: 0,
            young: VecDeque::new(),
            lag,
            highest: (0..BOUNDS).take_while(|k| bound_us(*k) <= age_us).count(),
            hanging: VecDeque::new(),
            traffic: Traffic { interval_ms: interval, ..traffic.clone() },
            rng,
        }
    }

    /// From here on both sides together get that many requests a second.
    pub fn set_rps(&mut self, rps: f64) {
        self.traffic.rps = rps;
    }

    /// The next window, with `weight` (from 0 to 1) of the requests on the canary.
    pub fn window(&mut self, weight: f64) -> Window {
        let from_ms = self.now_ms;
        self.now_ms += self.traffic.interval_ms;
        let weight = weight.clamp(0.0, 1.0);
        let [canary, stable] = self.conditions(from_ms);
        let mean = (self.traffic.rps * self.traffic.interval_ms as f64 / 1_000.0).clamp(0.0, 1e9);
        let mut sides = Sides::default();
        if let Some(population) = &mut self.population {
            population.answer(mean, weight, [canary, stable], &mut sides, &mut self.rng);
        } else {
            let mut histograms = [[0; BOUNDS + 1]; 2];
            let [of_canary, of_stable] = &mut histograms;
            sides.canary = self.canary.answer(mean * weight, canary, of_canary, &mut self.rng);
            sides.stable =
                self.stable.answer(mean * (1.0 - weight), stable, of_stable, &mut self.rng);
            self.give_up(canary.hangs, &mut sides.canary);
            if self.traffic.latency.is_some() {
                self.young.push_back(histograms);
            }
        }
        if self.young.len() > self.lag
            && let Some(old) = self.young.pop_front()
        {
            (sides.canary.latency, sides.stable.latency) = self.known(&old);
        }
        let components = BTreeMap::from([(self.traffic.component.clone(), sides)]);
        Window { end_ms: self.now_ms, components }
    }

    /// Requests that hang have no outcome until the edge gives them up.
    fn give_up(&mut self, hangs: bool, counts: &mut Counts) {
        if self.traffic.fault.is_none_or(|fault| !fault.hangs) {
            return;
        }
        self.hanging.push_back(if hangs { std::mem::take(&mut counts.requests) } else { 0 });
        if self.hanging.len() as u64 * self.traffic.interval_ms > GIVEN_UP_MS
            && let Some(given_up) = self.hanging.pop_front()
        {
            counts.requests += given_up;
            counts.errors += given_up;
        }
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
    fn known(&self, histograms: &[Histogram; 2]) -> (Vec<Slower>, Vec<Slower>) {
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
        Traffic { latency, ..Traffic::new(1_000.0, 0.01) }
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
        // After a minute the edge gives them up.
        let given_up = sum(&Traffic { fault, ..with_latency() }, 50, 0.1);
        assert!(given_up.canary.errors > 500, "{given_up:?}");
    }
}
