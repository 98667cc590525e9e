//! What becomes of a request: decided from its number and the time since the first one, and from
//! nothing else when there is a seed. Knows no sockets and no clock.

use std::time::Duration;

/// What it does from the onset on, beside or instead of what it does before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Since the first request.
    pub onset: Duration,
    /// Share of requests that are answered by an error, instead of [`Settings::errors`].
    pub errors: Option<f64>,
    /// Latency is multiplied by this.
    pub slower: Option<f64>,
    /// Share of requests that are never answered.
    pub hang: f64,
    /// The process ends so long after the onset.
    pub crash_after: Option<Duration>,
}

/// How a specimen behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Settings {
    /// Share of requests that are answered by an error.
    pub errors: f64,
    /// Median latency; answered at once when zero.
    pub p50: Duration,
    /// Standard deviation of the logarithm of the latency.
    pub spread: f64,
    /// Standard deviation, over processes, of the log-odds of an error.
    pub errors_effect: f64,
    /// Standard deviation, over processes, of the logarithm of the median latency.
    pub latency_effect: f64,
    pub faults: Faults,
    pub seed: Option<u64>,
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    Good { after: Duration },
    Error { after: Duration },
    Never,
}

/// The settings with this process's own luck.
#[derive(Debug, Clone)]
pub struct Behaviour {
    settings: Settings,
    odds_factor: f64,
    latency_factor: f64,
    seed: u64,
}

impl Behaviour {
    pub fn new(settings: Settings) -> Self {
        let seed = settings.seed.unwrap_or_else(|| fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        let odds_factor = (settings.errors_effect * normal(&mut random)).exp();
        let latency_factor = (settings.latency_effect * normal(&mut random)).exp();
        Self { settings, odds_factor, latency_factor, seed }
    }

    /// What becomes of request `number`, which came so long after the first one.
    pub fn answer(&self, number: u64, since_first: Duration) -> Answer {
        let settings = &self.settings;
        let faults = Some(&settings.faults).filter(|faults| since_first >= faults.onset);
        // Neighbouring numbers must not give neighbouring streams.
        let mixed =
            (self.seed ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31) ^ number;
        let mut random = fastrand::Rng::with_seed(mixed);
        // Each draw is made whatever the settings are: a fault changes nothing else.
        let (hangs, fails, slow) = (random.f64(), random.f64(), normal(&mut random));
        if faults.is_some_and(|faults| hangs < faults.hang) {
            return Answer::Never;
        }
        let slower = faults.and_then(|faults| faults.slower).unwrap_or(1.0);
        let factor = self.latency_factor * slower * (settings.spread * slow).exp();
        let after = settings.p50.mul_f64(factor);
        let errors = faults.and_then(|faults| faults.errors).unwrap_or(settings.errors);
        match fails < self.with_effect(errors) {
            true => Answer::Error { after },
            false => Answer::Good { after },
        }
    }

    /// When the process ends, since the first request.
    pub fn crash(&self) -> Option<Duration> {
        let faults = &self.settings.faults;
        faults.crash_after.map(|after| faults.onset + after)
    }

    fn with_effect(&self, share: f64) -> f64 {
        let odds = share * self.odds_factor;
        odds / (1.0 - share + odds)
    }
}

/// A standard normal value (Box and Muller).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (radius, angle) = (1.0 - random.f64(), random.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 100_000;
    const LATER: Duration = Duration::from_secs(11);

    fn plain() -> Settings {
        Settings {
            errors: 0.02,
            p50: Duration::from_millis(10),
            spread: 0.5,
            seed: Some(7),
            ..Settings::default()
        }
    }

    fn shares(behaviour: &Behaviour, at: Duration) -> (f64, f64, Duration) {
        let (mut errors, mut never, mut times) = (0, 0, Vec::new());
        for number in 0..MANY {
            match behaviour.answer(number, at) {
                Answer::Good { after } => times.push(after),
                Answer::Error { after } => {
                    errors += 1;
                    times.push(after);
                }
                Answer::Never => never += 1,
            }
        }
        times.sort();
        let share = |count: u64| count as f64 / MANY as f64;
        (share(errors), share(never), times[times.len() / 2])
    }

    #[test]
    fn errors_and_latency_are_as_they_were_asked_for() {
        let (errors, never, median) = shares(&Behaviour::new(plain()), Duration::ZERO);
        assert!((errors - 0.02).abs() < 0.002, "{errors}");
        assert_eq!(never, 0.0);
        assert!((median.as_secs_f64() - 0.010).abs() < 0.0002, "{median:?}");
    }

    #[test]
    fn a_fault_begins_at_its_onset() {
        let faults = Faults {
            onset: Duration::from_secs(10),
            errors: Some(0.1),
            slower: Some(2.0),
            hang: 0.05,
            crash_after: Some(Duration::from_secs(3)),
        };
        let behaviour = Behaviour::new(Settings { faults, ..plain() });
        let before = shares(&behaviour, Duration::from_secs(9));
        assert_eq!(before, shares(&Behaviour::new(plain()), LATER), "nothing of it before");
        let (errors, never, median) = shares(&behaviour, LATER);
        assert!((errors - 0.1 * 0.95).abs() < 0.004, "{errors}");
        assert!((never - 0.05).abs() < 0.003, "{never}");
        assert!((median.as_secs_f64() - 0.020).abs() < 0.0004, "{median:?}");
        assert_eq!(behaviour.crash(), Some(Duration::from_secs(13)));
    }

    #[test]
    fn the_same_seed_gives_the_same_answers_and_another_seed_others() {
        let answers = |seed| {
            let behaviour = Behaviour::new(Settings { seed: Some(seed), ..plain() });
            (0..1000).map(|n| behaviour.answer(n, LATER)).collect::<Vec<_>>()
        };
        assert_eq!(answers(1), answers(1));
        assert_ne!(answers(1), answers(2));
    }

    #[test]
    fn processes_differ_when_they_have_luck_of_their_own() {
        let rate = |seed| {
            let settings = Settings { errors_effect: 0.5, seed: Some(seed), ..plain() };
            shares(&Behaviour::new(settings), Duration::ZERO).0
        };
        let rates: Vec<f64> = (1..=20).map(rate).collect();
        let least = rates.iter().copied().fold(1.0, f64::min);
        let most = rates.iter().copied().fold(0.0, f64::max);
        assert!(most > 1.5 * least, "{rates:?}");
    }
}
