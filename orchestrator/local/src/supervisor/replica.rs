//! The task of one replica: keeps its process running, probes it, says how it is.

use std::time::Duration;

use neuroca_deploy_core::config::model::Component;
use neuroca_deploy_core::observed::Trouble;
use neuroca_deploy_core::release::RevisionId;
use rustix::process::Signal;
use tokio::sync::watch;

use super::Supervisor;
use super::launch;
use super::probe::{Failed, probe};
use super::status::Status;
use crate::logs;
use crate::process_id::boot_ms;
use crate::shim::{self, End, Report, redact};

/// Longest pause between probes until the first good one: a start is not to wait for an interval.
const EAGER: Duration = Duration::from_millis(50);
/// Beyond its own time-out, how long a shim may take to stop its process.
const SHIM_STOPS: Duration = Duration::from_secs(5);
/// Lines of a log that are evidence.
const EVIDENCE: usize = 20;

pub(crate) struct ReplicaTask {
    pub supervisor: std::sync::Arc<Supervisor>,
    pub revision: RevisionId,
    pub component: String,
    pub index: u32,
    pub stopped: watch::Receiver<bool>,
    /// Tells when an earlier task with the same instance is gone.
    pub before: Option<watch::Receiver<bool>>,
}

/// Keeps the replica running until it is to stop.
pub(crate) async fn run(mut task: ReplicaTask) {
    if let Some(mut before) = task.before.take() {
        is_set(&mut before).await;
    }
    let instance = launch::instance(&task.revision, task.index);
    let mut adopted = launch::adopt(&task.supervisor.state, &instance).await;
    let mut failures = 0;
    while !*task.stopped.borrow() {
        let started = boot_ms();
        let is_adopted = adopted.is_some();
        let running = match adopted.take() {
            Some(report) => Ok(report),
            None => task.start(&instance).await,
        };
        let end = match running {
            Err(end) => end,
            Ok(report) => match task.watch(&report, is_adopted).await {
                Some(end) => end,
                None => break,
            },
        };
        // Long enough without an end is a new beginning.
        let Some(restart) = task.spec().map(|s| s.restart) else { break };
        if boot_ms().saturating_sub(started) >= restart.crash_loop_window.0 {
            failures = 0;
        }
        task.crashed(&end).await;
        let pause = restart
            .backoff
            .0
            .saturating_mul(1 << failures.min(20))
            .min(restart.max_backoff.0.max(restart.backoff.0));
        failures += 1;
        tracing::warn!(instance, end = end.text(), pause_ms = pause, "starting it again");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            () = is_set(&mut task.stopped) => {}
        }
    }
    task.update(|status| {
        status.alive = false;
        status.ready = false;
        status.port = None;
    });
}

impl ReplicaTask {
    fn update(&self, change: impl FnOnce(&mut Status)) {
        self.supervisor.change(|world| {
            let revision = world.revisions.get_mut(&self.revision);
            if let Some(r) = revision.and_then(|r| r.replicas.get_mut(&self.index)) {
                change(&mut r.status);
            }
        });
    }

    fn spec(&self) -> Option<Component> {
        self.supervisor.world().revisions.get(&self.revision).map(|r| r.spec.spec.clone())
    }

    fn status(&self) -> Option<Status> {
        let world = self.supervisor.world();
        Some(world.revisions.get(&self.revision)?.replicas.get(&self.index)?.status.clone())
    }

    fn hidden(&self) -> Vec<String> {
        let release =
            self.supervisor.world().revisions.get(&self.revision).map(|r| r.release.clone());
        release
            .and_then(|id| self.supervisor.store.release_record(&id).ok().flatten())
            .and_then(|record| {
                launch::order(&self.supervisor, &record, &self.component, &[], None).ok()
            })
            .map(|order| order.hidden)
            .unwrap_or_default()
    }

    async fn start(&self, instance: &str) -> Result<Report, End> {
        let not = |why: String| End::NotStarted(why);
        let release =
            self.supervisor.world().revisions.get(&self.revision).map(|r| r.release.clone());
        let release = release.ok_or_else(|| not("it is not wanted any more".into()))?;
        let release = self
            .supervisor
            .store
            .release_record(&release)
            .map_err(|e| not(e.to_string()))?
            .ok_or_else(|| not(format!("the record of release {release} is gone")))?;
        let Some(spec) = release.components.get(&self.component).map(|c| &c.spec) else {
            return Err(not(format!("the release has no component {}", self.component)));
        };
        let port = spec.port.then(launch::free_port).transpose().map_err(|e| not(e.to_string()))?;
        let mut order =
            launch::order(&self.supervisor, &release, &self.component, &spec.command, port)
                .map_err(not)?;
        order.instance = instance.into();
        order.log.file = logs::file(&self.supervisor.state, &self.revision, self.index);
        let state = &self.supervisor.state;
        let report = match launch::start(state, order).await {
            Ok(Some(report)) => report,
            Ok(None) => launch::adopt(state, instance)
                .await
                .ok_or_else(|| not("another process holds the instance".into()))?,
            Err(error) => return Err(not(error.to_string())),
        };
        match report.ended {
            Some(end) => Err(end),
            None => Ok(report),
        }
    }

    /// Probes the process until it ends or is to stop; `None` when it was stopped.
    async fn watch(&mut self, report: &Report, adopted: bool) -> Option<End> {
        // What was found before this task began says whether an adopted one was ready.
        let ready = adopted && self.status().is_some_and(|s| s.ready && s.port == report.port);
        self.update(|status| {
            status.alive = true;
            status.port = report.port;
            status.ready = ready;
            status.was_ready = ready;
        });
        let mut probes = Probes { ready, good: 0, bad: 0 };
        let ended = report.shim.ended();
        tokio::pin!(ended);
        let mut stopped = self.stopped.clone();
        loop {
            let spec = self.spec()?;
            tokio::select! {
                () = &mut ended => return Some(self.how_it_ended(report).await),
                () = is_set(&mut stopped) => {
                    self.update(|status| status.ready = false);
                    self.stop(report, &spec).await;
                    return None;
                }
                answer = probes.next(&spec, report) => self.probed(&mut probes, &spec, answer).await,
            }
        }
    }

    async fn how_it_ended(&self, report: &Report) -> End {
        let state = &self.supervisor.state;
        let instance = launch::instance(&self.revision, self.index);
        match shim::report(state, &instance).filter(|r| r.shim == report.shim) {
            Some(Report { ended: Some(end), .. }) => end,
            _ => {
                launch::end_orphan(state, &instance).await;
                End::Unknown
            }
        }
    }

    async fn stop(&self, report: &Report, spec: &Component) {
        report.shim.signal(Signal::TERM);
        let patience = Duration::from_millis(spec.drain.0) + SHIM_STOPS;
        if tokio::time::timeout(patience, report.shim.ended()).await.is_err() {
            report.shim.signal(Signal::KILL);
            if let Some(process) = report.process.filter(|p| p.is_alive()) {
                process.signal_group(Signal::KILL);
                process.ended().await;
            }
        }
    }

    async fn probed(&self, probes: &mut Probes, spec: &Component, answer: Result<(), Failed>) {
        let before = probes.ready;
        let failed = probes.count(spec, answer);
        if let Some(failed) = failed {
            // What a component answers may hold its own secrets.
            let body = failed.body.map(|body| redact(&body, &self.hidden()));
            let trouble = self.evidence(failed.what, body);
            if before || self.status().and_then(|s| s.trouble).as_ref() != Some(&trouble) {
                self.update(|status| {
                    status.trouble = Some(trouble);
                    status.ready = probes.ready;
                    status.known = true;
                });
            }
        } else if probes.ready && !before {
            self.update(|status| {
                status.ready = true;
                status.was_ready = true;
                status.known = true;
                status.trouble = None;
            });
        }
    }

    async fn crashed(&self, end: &End) {
        let trouble = self.evidence(end.text(), None);
        let window = self.spec().map_or(0, |s| s.restart.crash_loop_window.0);
        self.update(|status| {
            status.alive = false;
            status.ready = false;
            status.was_ready = false;
            status.port = None;
            status.trouble = Some(trouble);
            status.known = true;
            let now = boot_ms();
            status.crashes.retain(|at| at + window >= now);
            status.crashes.push(now);
        });
    }

    fn evidence(&self, what: String, body: Option<String>) -> Trouble {
        let log = logs::file(&self.supervisor.state, &self.revision, self.index);
        Trouble { what, body, log_lines: logs::tail(&log, EVIDENCE).unwrap_or_default() }
    }
}

/// Waits until it is set; whoever could have set it and is gone has set it.
pub(crate) async fn is_set(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

/// Probes in a row.
struct Probes {
    ready: bool,
    good: u32,
    bad: u32,
}

impl Probes {
    /// Waits for the next probe's time and asks.
    async fn next(&self, spec: &Component, report: &Report) -> Result<(), Failed> {
        let health = &spec.health;
        let interval = Duration::from_millis(health.interval.0.max(10));
        let Some(port) = report.port else {
            // It is judged by its process alone: alive for so long is good.
            tokio::time::sleep(interval).await;
            return Ok(());
        };
        let pause = if self.ready { interval } else { interval.min(EAGER) };
        tokio::time::sleep(pause).await;
        probe(port, &health.path, Duration::from_millis(health.timeout.0)).await
    }

    /// Counts an answer; gives it back when it is a failure worth showing.
    fn count(&mut self, spec: &Component, answer: Result<(), Failed>) -> Option<Failed> {
        match answer {
            Ok(()) => {
                self.bad = 0;
                self.good = self.good.saturating_add(1);
                self.ready |= self.good >= spec.health.success_threshold.max(1);
                None
            }
            Err(failed) => {
                self.good = 0;
                self.bad = self.bad.saturating_add(1);
                if self.bad >= spec.health.failure_threshold.max(1) {
                    self.ready = false;
                }
                (!self.ready).then_some(failed)
            }
        }
    }
}
