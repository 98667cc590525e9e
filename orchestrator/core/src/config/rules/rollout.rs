//! Rules for how a release takes over: steps that rise, times that fit into the deadline.

use super::Rules;
use crate::config::model::{RolloutPolicy, Step, Strategy};
use crate::config::units::Millis;

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
