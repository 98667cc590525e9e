//! Clients that stay on one side, few of which send most of the requests.

use rand::RngExt as _;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

use super::Clients;
use super::pods::{Conditions, poisson};
use crate::judge::{Counts, Sides};

/// Everybody who sends requests.
#[derive(Debug, Clone)]
pub struct Population {
    as_units: bool,
    clients: Vec<Client>,
    /// Running sums of the clients' parts of the requests; the last is 1.
    sums: Vec<f64>,
    window: u64,
}

#[derive(Debug, Clone)]
struct Client {
    /// Where the client stands in the split: on the canary when below its weight.
    place: f64,
    /// What is added to the log-odds of an error.
    error: f64,
    /// By side, whether an error of it was counted already.
    failed: [bool; 2],
    /// The last window in which it was counted, by side.
    counted: [u64; 2],
}

impl Population {
    pub fn new(clients: Clients, rng: &mut Pcg64Mcg) -> Self {
        let count = clients.count.max(1);
        let parts: Vec<f64> =
            (1..=count).map(|rank| f64::from(rank).powf(-clients.exponent)).collect();
        let whole: f64 = parts.iter().sum();
        let mut sum = 0.0;
        let sums = parts.iter().map(|part| {
            sum += part / whole;
            sum
        });
        Self {
            as_units: clients.as_units,
            sums: sums.collect(),
            clients: (0..count)
                .map(|_| {
                    let normal: f64 = StandardNormal.sample(rng);
                    Client {
                        place: rng.random(),
                        error: clients.error_sigma * normal,
                        failed: [false; 2],
                        counted: [0; 2],
                    }
                })
                .collect(),
            window: 0,
        }
    }

    /// A window with `mean` requests on average.
    pub fn answer(
        &mut self,
        mean: f64,
        weight: f64,
        conditions: [Conditions; 2],
        sides: &mut Sides,
        rng: &mut Pcg64Mcg,
    ) {
        self.window += 1;
        for _ in 0..poisson(mean, rng) {
            let at: f64 = rng.random();
            let index = self.sums.partition_point(|sum| *sum < at).min(self.clients.len() - 1);
            let client = &mut self.clients[index];
            let side = usize::from(client.place >= weight);
            let counts: &mut Counts = if side == 0 { &mut sides.canary } else { &mut sides.stable };
            let logit = conditions[side].error_logit + client.error;
            let failed = rng.random::<f64>() < 1.0 / (1.0 + (-logit).exp());
            if !self.as_units {
                counts.requests += 1;
                counts.errors += u64::from(failed);
            } else if !client.failed[side] {
                if client.counted[side] != self.window {
                    client.counted[side] = self.window;
                    counts.requests += 1;
                }
                counts.errors += u64::from(failed);
                client.failed[side] = failed;
            }
        }
    }
}
