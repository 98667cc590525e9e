//! Rules for one component.

use super::{NAME_HINT, Rules, is_name, not_a_name};
use crate::config::model::Component;
use crate::config::units::Millis;

impl Rules<'_> {
    pub(super) fn component(&mut self, name: &str, component: &Component) {
        let at = |setting: &'static str| ["components", name, setting];
        if !is_name(name) {
            self.say_key(
                &["components", name],
                &format!("the component {}", not_a_name(name)),
                NAME_HINT,
            );
        }
        if component.artifact.is_empty() {
            let hint = "a file, a directory, or `bundled`";
            self.say(&at("artifact"), &format!("`{name}` has no artifact"), hint);
        }
        self.command(&at("command"), name, Some(&component.command));
        self.command(&at("migrate"), name, component.migrate.as_ref());
        let hooks = &component.hooks;
        for (hook, command) in [
            ("pre_deploy", &hooks.pre_deploy),
            ("smoke_test", &hooks.smoke_test),
            ("post_deploy", &hooks.post_deploy),
        ] {
            self.command(&["components", name, "hooks", hook], name, command.as_ref());
        }
        if component.port && component.replicas == 0 {
            let message = format!("`{name}` listens, so it needs at least one replica");
            self.say(&at("replicas"), &message, "to take it out of service, remove the component");
        }
        self.health(name, component);
        self.restart(name, component);
        if component.logs.max_size.0 == 0 {
            let message = format!("`components.{name}.logs.max_size` must be more than 0B");
            self.say(&["components", name, "logs", "max_size"], &message, "");
        }
    }

    fn command(&mut self, path: &[&str], name: &str, command: Option<&Vec<String>>) {
        let Some(command) = command else { return };
        let setting = path[2..].join(".");
        let hint = "for example `[./neuroca, serve]`";
        match command.first() {
            None => self.say(path, &format!("the {setting} of `{name}` is empty"), hint),
            Some(program) if program.is_empty() => {
                self.say(path, &format!("the {setting} of `{name}` names no program"), hint);
            }
            Some(_) if command.iter().any(|part| part.contains('\0')) => {
                self.say(path, &format!("the {setting} of `{name}` holds a zero byte"), "");
            }
            Some(_) => {}
        }
    }

    fn health(&mut self, name: &str, component: &Component) {
        let health = &component.health;
        if !health.path.starts_with('/') {
            let message = format!(
                "`components.{name}.health.path` must start with `/`, not `{}`",
                health.path
            );
            self.say(&["components", name, "health", "path"], &message, "");
        }
        for (setting, value) in [
            ("success_threshold", health.success_threshold),
            ("failure_threshold", health.failure_threshold),
        ] {
            if value == 0 {
                let message = format!("`components.{name}.health.{setting}` must be at least 1");
                self.say(&["components", name, "health", setting], &message, "");
            }
        }
        for (setting, value) in [
            ("interval", health.interval),
            ("timeout", health.timeout),
            ("start_timeout", health.start_timeout),
        ] {
            if value == Millis(0) {
                let message = format!("`components.{name}.health.{setting}` must be more than 0ms");
                self.say(&["components", name, "health", setting], &message, "");
            }
        }
    }

    fn restart(&mut self, name: &str, component: &Component) {
        let restart = &component.restart;
        if restart.max_backoff < restart.backoff {
            let message = format!(
                "`components.{name}.restart.max_backoff` ({}) is shorter than `backoff` ({})",
                restart.max_backoff, restart.backoff
            );
            self.say(&["components", name, "restart", "max_backoff"], &message, "");
        }
        if restart.crash_loop_failures == 0 {
            let message =
                format!("`components.{name}.restart.crash_loop_failures` must be at least 1");
            self.say(&["components", name, "restart", "crash_loop_failures"], &message, "");
        }
    }
}
