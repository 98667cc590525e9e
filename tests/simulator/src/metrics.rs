//! The simulated source of counts: an interval after the other, what each side answered while a
//! journal is judged. What is counted follows from the split and from how a revision fares.

use std::collections::BTreeMap;

use neuroca_deploy_core::config::model::Side;
use neuroca_deploy_core::judge::{Compared, Counts, Sides, Window};

use crate::catalogue::INTERVAL_MS;
use crate::script::Fate;
use crate::world::World;

/// What each revision answered in one interval.
pub struct Interval {
    end_ms: u64,
    revisions: Vec<Counts>,
}

/// Intervals that the source remembers.
const REMEMBERS: usize = 60;
/// Percent of the requests that carry the header of a header route.
const BY_HEADER: u32 = 5;

impl World {
    /// When the next interval ends, while anybody counts.
    pub fn next_count(&self) -> Option<u64> {
        let journal = self.store.journal.as_ref()?;
        journal.state().is_judging().then_some(self.next_window_ms.max(self.now))
    }

    /// Closes the intervals that have ended.
    pub fn count(&mut self) {
        let Some(journal) = &self.store.journal else { return };
        // Nobody asks for what was before the first split.
        let long_ago = self.next_window_ms + 4 * INTERVAL_MS < self.now;
        if long_ago || !journal.state().is_judging() {
            self.next_window_ms = self.now - self.now % INTERVAL_MS + INTERVAL_MS;
            return;
        }
        if self.next_window_ms > self.now {
            return;
        }
        while self.next_window_ms <= self.now {
            let end_ms = self.next_window_ms.saturating_add_signed(self.weather.clock_skew);
            let revisions = (0..self.revisions.len()).map(|n| self.counts_of(n)).collect();
            self.intervals.push_back(Interval { end_ms, revisions });
            if self.intervals.len() > REMEMBERS {
                self.intervals.pop_front();
            }
            self.next_window_ms += INTERVAL_MS;
        }
    }

    fn window(&self, interval: &Interval, compared: &[Compared]) -> Window {
        let side = |id| {
            let n = self.find(id)?;
            // It was not there yet when that was counted.
            interval.revisions.get(n).cloned()
        };
        let mut components = BTreeMap::new();
        for pair in compared {
            let canary = side(&pair.canary).unwrap_or_default();
            let stable = pair.stable.as_ref().and_then(side).unwrap_or_default();
            components.insert(pair.component.clone(), Sides { canary, stable });
        }
        Window { end_ms: interval.end_ms, components }
    }

    fn counts_of(&self, n: usize) -> Counts {
        let by_header = self.router.in_force.as_ref().is_some_and(|split| {
            let routes = &split.traffic.header_routes;
            let named = split.weights.iter().any(|(named, _)| *named == n);
            named && self.weight(n) == 0 && routes.iter().any(|route| route.to == Side::Canary)
        });
        let percent = self.weight(n) + if by_header { BY_HEADER } else { 0 };
        let weather = &self.weather.counts;
        let empty = self.now < weather.empty_until;
        let requests = if empty { 0 } else { self.setting.requests * percent / 100 };
        let own = match self.revisions[n].fate {
            Fate::Errs { percent } => u32::from(percent),
            _ if !self.is_ready(n) => 100,
            _ => 0,
        };
        let errs = if self.now < weather.both_err_until { own.max(50) } else { own };
        let absurd = if self.now < weather.absurd_until { requests + 7 } else { 0 };
        Counts {
            requests: requests.into(),
            errors: u64::from((requests * errs + 50) / 100 + absurd),
            ..Counts::default()
        }
    }

    /// What a driver is told when it asks.
    pub fn counted(
        &mut self,
        driver: usize,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, String> {
        self.count();
        self.drivers[driver].no_counts = None;
        if self.now < self.weather.counts.gone_until {
            let why = "the source of counts does not answer".to_string();
            self.drivers[driver].no_counts = Some(why.clone());
            return Err(why);
        }
        let again = self.now < self.weather.counts.again_until;
        let told = self.intervals.iter().filter(|i| again || i.end_ms > after_ms);
        let told: Vec<Window> = told.map(|i| self.window(i, compared)).collect();
        self.drivers[driver].windows.clone_from(&told);
        Ok(told)
    }
}
