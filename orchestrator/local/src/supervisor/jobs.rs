//! Commands that run to their end: hooks and migrations. A shim holds them too, so that a
//! supervisor that dies does not leave one running beside the next.

use std::path::PathBuf;
use std::time::Duration;

use neuroca_deploy_core::effect::Hook;
use neuroca_deploy_core::release::{Release, RevisionId};
use neuroca_deploy_engine::ports::TargetError;

use super::{Supervisor, launch};
use crate::logs;
use crate::shim::{self, End, Report};

/// Most time for a migration; it has no limit of its own.
const MIGRATION_LIMIT: Duration = Duration::from_secs(3600);
/// From SIGTERM to SIGKILL for a job that is too late.
const JOB_STOPS: Duration = Duration::from_secs(5);
const EVIDENCE: usize = 20;

/// One command to run to its end.
struct Job<'a> {
    release: &'a Release,
    component: &'a str,
    name: &'static str,
    command: &'a [String],
    port: Option<u16>,
    limit: Duration,
}

impl Supervisor {
    pub(crate) async fn run_hook(
        &self,
        release: &Release,
        component: &str,
        hook: Hook,
    ) -> Result<(), TargetError> {
        let spec = component_of(release, component)?;
        let hooks = &spec.spec.hooks;
        let command = match hook {
            Hook::PreDeploy => &hooks.pre_deploy,
            Hook::SmokeTest => &hooks.smoke_test,
            Hook::PostDeploy => &hooks.post_deploy,
        };
        let Some(command) = command else { return Ok(()) };
        let port = self.ready_port(&spec.revision(component));
        if hook == Hook::SmokeTest && spec.spec.port && port.is_none() {
            return Err(TargetError::Refused(format!(
                "smoke_test of {component}: no replica of {} is ready",
                spec.revision(component)
            )));
        }
        let port = port.filter(|_| hook != Hook::PreDeploy);
        let limit = Duration::from_millis(hooks.timeout.0.0);
        self.run_job(Job { release, component, name: hook.name(), command, port, limit }).await
    }

    pub(crate) async fn migrate(
        &self,
        release: &Release,
        component: &str,
    ) -> Result<(), TargetError> {
        let spec = component_of(release, component)?;
        let Some(command) = &spec.spec.migrate else { return Ok(()) };
        let limit = MIGRATION_LIMIT;
        self.run_job(Job { release, component, name: "migrate", command, port: None, limit }).await
    }

    fn ready_port(&self, revision: &RevisionId) -> Option<u16> {
        let world = self.world();
        let replicas = &world.revisions.get(revision)?.replicas;
        replicas.values().find(|r| r.status.ready).and_then(|r| r.status.port)
    }

    async fn run_job(&self, job: Job<'_>) -> Result<(), TargetError> {
        let refused =
            |why: String| TargetError::Refused(format!("{} of {} {why}", job.name, job.component));
        let revision = component_of(job.release, job.component)?.revision(job.component);
        // By component and kind: no two migrations of one database at the same time.
        let instance = format!("job.{}.{}", job.component, job.name);
        let log = self.log_of(&revision, job.name);
        let end = loop {
            if shim::is_held(&self.state, &instance) {
                // Left behind by a supervisor that died.
                let Some(report) = launch::adopt(&self.state, &instance).await else { continue };
                let end = self.job_end(&instance, &report).await;
                if report.log == log {
                    break end;
                }
                continue;
            }
            launch::end_orphan(&self.state, &instance).await;
            let mut order = launch::order(self, job.release, job.component, job.command, job.port)
                .map_err(|why| refused(format!("cannot be run: {why}")))?;
            order.instance = instance.clone();
            order.log.file = log.clone();
            order.log.fresh = true;
            order.time_limit_ms = Some(job.limit.as_millis() as u64);
            order.stop_timeout_ms = JOB_STOPS.as_millis() as u64;
            match launch::start(&self.state, order).await {
                Ok(Some(Report { ended: Some(end), .. })) => break end,
                Ok(Some(report)) => break self.job_end(&instance, &report).await,
                Ok(None) => continue,
                Err(error) => return Err(refused(format!("cannot be run: {error}"))),
            }
        };
        if end == End::Status(0) {
            return Ok(());
        }
        let mut why = match end {
            End::TimedOut => {
                format!("did not end within {} s and was stopped", job.limit.as_secs_f64())
            }
            other => format!("failed: it {}", other.text()),
        };
        for line in logs::tail(&log, EVIDENCE).unwrap_or_default() {
            why.push_str(&format!("\n  | {line}"));
        }
        Err(refused(why))
    }

    async fn job_end(&self, instance: &str, report: &Report) -> End {
        report.shim.ended().await;
        let last = shim::report(&self.state, instance).filter(|r| r.shim == report.shim);
        match last.and_then(|r| r.ended) {
            Some(end) => end,
            None => {
                launch::end_orphan(&self.state, instance).await;
                End::Unknown
            }
        }
    }

    fn log_of(&self, revision: &RevisionId, name: &str) -> PathBuf {
        self.state.logs().join(&revision.0).join(format!("{name}.log"))
    }
}

fn component_of<'a>(
    release: &'a Release,
    component: &str,
) -> Result<&'a neuroca_deploy_core::release::ComponentRelease, TargetError> {
    release.components.get(component).ok_or_else(|| {
        TargetError::Refused(format!("release {} has no component {component}", release.id()))
    })
}
