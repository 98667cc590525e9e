//! Rules for how a release takes over: steps that rise, times that fit into the deadline.

use super::Rules;
use crate::config::model::{RolloutPolicy, Step, Strategy};
use crate::config::units::Millis;
use crate::judge::scraped::Selector;
use crate::judge::{Prometheus, Scrape};

impl Rules<'_> {
    pub(super) fn rollout(&mut self, rollout: &RolloutPolicy) {
        let at = ["rollout", "deadline"];
        if rollout.deadline <= rollout.watch {
            let message = "`rollout.deadline` must be longer than `rollout.watch`";
            self.say(&at, message, "the deadline covers start, shift and watch");
        }
        if rollout.strategy != Strategy::Canary {
            if !rollout.steps.is_empty() {
                let message = "`rollout.steps` are those of a canary, and the strategy is another";
                self.say_key(&["rollout", "steps"], message, "`strategy: canary`, or no steps");
            }
            return;
        }
        let interval = rollout.analysis.interval.0;
        if interval == 0 || !interval.is_multiple_of(1_000) || interval > 60_000 {
            let message = format!(
                "`rollout.analysis.interval` must be a whole number of seconds from 1 to 60, not {}",
                rollout.analysis.interval
            );
            let hint = "the edge counts by the second; `2s` sees faults soon enough";
            self.say(&["rollout", "analysis", "interval"], &message, hint);
        }
        if let Some(prometheus) = &rollout.analysis.prometheus {
            self.prometheus(prometheus);
        }
        if let Some(scrape) = &rollout.analysis.scrape {
            self.scrape(scrape);
            if rollout.analysis.prometheus.is_some() {
                let message = "requests are counted by `prometheus` or by `scrape`, not by both";
                self.say_key(&["rollout", "analysis", "scrape"], message, "leave one of them out");
            }
        }
        let mut before: Option<&Step> = None;
        for (index, step) in rollout.steps.iter().enumerate() {
            self.step(&index.to_string(), before, step);
            before = Some(step);
        }
        let pauses: u64 = rollout.steps.iter().map(|step| step.pause.0).sum();
        if pauses > 0 && pauses + rollout.watch.0 >= rollout.deadline.0 {
            let message = format!(
                "`rollout.deadline` is {}, and the pauses and the watch period alone take {}",
                rollout.deadline,
                Millis(pauses + rollout.watch.0)
            );
            self.say(&at, &message, "a longer deadline, or shorter pauses");
        }
    }

    /// Without a metric there is no analysis.
    fn prometheus(&mut self, prometheus: &Prometheus) {
        let at = |name| ["rollout", "analysis", "prometheus", name];
        if prometheus.interval.0 == 0 {
            let message = "`rollout.analysis.prometheus.interval` must not be 0";
            self.say(&at("interval"), message, "the scrape interval of what is counted, `15s`");
        }
        let (requests, errors) = (&prometheus.requests, &prometheus.errors);
        let mut queries = vec![(vec!["requests"], requests), (vec!["errors"], errors)];
        queries.extend(prometheus.latency.iter().map(|query| (vec!["latency"], query)));
        for (name, ratio) in &prometheus.ratios {
            queries.push((vec!["ratios", name, "of"], &ratio.of));
            queries.push((vec!["ratios", name, "bad"], &ratio.bad));
        }
        for (place, query) in queries {
            let name = place.join(".");
            let path = [&["rollout", "analysis", "prometheus"], place.as_slice()].concat();
            if query.trim().is_empty() {
                let message =
                    format!("`rollout.analysis.prometheus.{name}` is no query: it is empty");
                self.say(
                    &path,
                    &message,
                    "a PromQL query for counters; docs/metrics.md has examples",
                );
            } else if !names_a_revision(query) {
                let message = format!(
                    "`rollout.analysis.prometheus.{name}` gives both releases the same counts: it \
                     does not contain `{{{{revision}}}}`"
                );
                let hint = "select by it, as in `my_requests_total{revision=\"{{revision}}\"}`";
                self.say(&path, &message, hint);
            }
        }
    }

    fn scrape(&mut self, scrape: &Scrape) {
        let at = |name| ["rollout", "analysis", "scrape", name];
        if scrape.interval.0 == 0 {
            let message = "`rollout.analysis.scrape.interval` must not be 0";
            self.say(&at("interval"), message, "the pods are asked again after it; `2s`");
        }
        if !scrape.path.starts_with('/') {
            let message = format!("`rollout.analysis.scrape.path` is no path: `{}`", scrape.path);
            self.say(&at("path"), &message, "`/metrics`");
        }
        let selectors = [("requests", Some(&scrape.requests)), ("errors", Some(&scrape.errors))];
        for (name, selector) in selectors.into_iter().chain([("latency", scrape.latency.as_ref())])
        {
            let Some(Err(why)) = selector.map(|text| Selector::parse(text)) else { continue };
            let message = format!("`rollout.analysis.scrape.{name}` selects nothing: {why}");
            let hint = "a name and matchers, as in `my_requests_total{status=~\"5..\"}`";
            self.say(&at(name), &message, hint);
        }
    }

    fn step(&mut self, index: &str, before: Option<&Step>, step: &Step) {
        let at = |name| ["rollout", "steps", index, name];
        let percents = [("weight", step.weight), ("mirror", step.mirror)];
        for (name, percent) in percents.into_iter().filter(|(_, percent)| *percent > 100) {
            let message = format!("`{name}` of a step must be from 0 to 100, not {percent}");
            self.say(&at(name), &message, "");
        }
        // Several steps may come before any weight: by header, mirrored, at a gate.
        if let Some(before) = before.filter(|b| b.weight >= step.weight && b.weight > 0) {
            let message = format!(
                "the weights of the steps must rise: {} comes after {}",
                step.weight, before.weight
            );
            let hint = "to go back is what a rollback does; put the steps in order";
            self.say(&at("weight"), &message, hint);
        }
        for (number, route) in step.header_routes.iter().enumerate() {
            let number = number.to_string();
            let at = ["rollout", "steps", index, "header_routes", &number, "header"];
            self.token(&at, &route.header);
        }
    }
}

/// Whether a query says where the revision's name goes.
fn names_a_revision(query: &str) -> bool {
    let inside = query.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    inside.map(|(name, _)| name.trim()).any(|name| name == "revision")
}
