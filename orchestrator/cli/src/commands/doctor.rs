//! `doctor`: the usual causes of trouble, looked for one by one.

mod cluster;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use clap::Args;
use neuroca_deploy_core::config::model::Environment;
use neuroca_deploy_engine::ports::Secrets;
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::site::{Adapter, LocalSite, Site};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy doctor
  neuroca-deploy doctor production";

/// Disk space below which a deployment is likely to fail.
const SPACE: u64 = 512 * 1024 * 1024;

/// Check prerequisites and the usual causes of trouble.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// The environment (default: all of the project's).
    #[arg(value_name = "ENV")]
    environment: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    environment: Option<String>,
    name: &'static str,
    verdict: Verdict,
    what: String,
    hint: Option<String>,
}

/// Collects checks of one environment.
struct Checks {
    environment: Option<String>,
    found: Vec<Check>,
}

impl Checks {
    fn good(&mut self, name: &'static str, what: impl Into<String>) {
        self.add(name, Verdict::Good, what.into(), None);
    }

    fn bad(&mut self, name: &'static str, what: impl Into<String>, hint: impl Into<String>) {
        self.add(name, Verdict::Bad, what.into(), Some(hint.into()));
    }

    fn warn(&mut self, name: &'static str, what: impl Into<String>, hint: impl Into<String>) {
        self.add(name, Verdict::Warning, what.into(), Some(hint.into()));
    }

    fn failure(&mut self, name: &'static str, failure: &Failure) {
        let problems = failure.problems.iter().map(|p| format!("{}: {}", p.place, p.message));
        let what: Vec<String> = problems.collect();
        let what = if what.is_empty() { failure.what.clone() } else { what.join("; ") };
        let hint = failure.problems.iter().find_map(|p| p.hint.clone());
        self.add(name, Verdict::Bad, what, failure.hint.clone().or(hint));
    }

    fn add(&mut self, name: &'static str, verdict: Verdict, what: String, hint: Option<String>) {
        let environment = self.environment.clone();
        self.found.push(Check { environment, name, verdict, what, hint });
    }
}

impl Doctor {
    pub fn run(self, ctx: &Context) -> Result {
        let environments = match &self.environment {
            Some(environment) => {
                ctx.project.known(environment)?;
                vec![environment.clone()]
            }
            None => ctx.project.environments(),
        };
        let mut found = Vec::new();
        let mut machine = Checks { environment: None, found: Vec::new() };
        variables(&mut machine, (ctx.command_line)());
        if environments.is_empty() {
            machine.warn("project", "no project files here", "make some: neuroca-deploy init");
        }
        found.extend(machine.found);
        for environment in environments {
            let mut checks = Checks { environment: Some(environment.clone()), found: Vec::new() };
            examine(ctx, &environment, &mut checks);
            found.extend(checks.found);
        }
        let bad = found.iter().filter(|c| c.verdict == Verdict::Bad).count();
        if ctx.output.json {
            ctx.output.document("doctor", json!({ "healthy": bad == 0, "checks": found }));
        } else {
            ctx.output.data(&text(ctx, &found));
        }
        // Everything has been said above.
        Ok(if bad == 0 { Exit::Done } else { Exit::Failed })
    }
}

fn text(ctx: &Context, found: &[Check]) -> String {
    let paint = ctx.output.out;
    let mut out = String::new();
    let mut last: Option<&Option<String>> = None;
    for check in found {
        if last != Some(&check.environment) {
            let title = check.environment.as_deref().unwrap_or("this machine");
            out.push_str(&format!("{}\n", paint.strong(title)));
            last = Some(&check.environment);
        }
        let sign = match check.verdict {
            Verdict::Good => paint.good("✓"),
            Verdict::Warning => paint.attention("!"),
            Verdict::Bad => paint.bad("✗"),
        };
        out.push_str(&format!("  {sign} {:10} {}\n", check.name, check.what));
        if let Some(hint) = &check.hint {
            out.push_str(&format!("    {:10} {} {hint}\n", "", paint.strong("hint:")));
        }
    }
    let bad = found.iter().filter(|c| c.verdict == Verdict::Bad).count();
    out.push_str(&match bad {
        0 => format!("{}\n", paint.good("nothing stands in the way")),
        1 => format!("{}\n", paint.bad("1 cause of trouble")),
        n => format!("{}\n", paint.bad(&format!("{n} causes of trouble"))),
    });
    out
}

/// Variables that look like flags and are none.
fn variables(checks: &mut Checks, command_line: clap::Command) {
    let mut known: Vec<String> = Vec::new();
    let mut commands = vec![command_line];
    while let Some(command) = commands.pop() {
        known.extend(
            command.get_arguments().filter_map(|a| Some(a.get_env()?.to_str()?.to_string())),
        );
        commands.extend(command.get_subcommands().cloned());
    }
    let mut odd: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("NEUROCA_DEPLOY_"))
        .filter(|name| !name.starts_with("NEUROCA_DEPLOY_SET") && !known.contains(name))
        .collect();
    odd.sort();
    if odd.is_empty() {
        checks.good("variables", "every NEUROCA_DEPLOY_ variable stands for a flag");
    }
    for name in odd {
        let close = crate::error::did_you_mean(&name, known.iter().map(String::as_str));
        let hint = close.map_or("unset it".into(), |close| format!("did you mean {close}?"));
        checks.warn("variables", format!("{name} stands for no flag and is ignored"), hint);
    }
}

fn examine(ctx: &Context, environment: &str, checks: &mut Checks) {
    let resolved = match ctx.project.resolve(environment, &[]) {
        Ok(resolved) => {
            checks.good("files", "the configuration is valid");
            resolved.environment
        }
        Err(failure) => return checks.failure("files", &failure),
    };
    let site = match Site::of_model(ctx, environment, &resolved) {
        Ok(site) => site,
        Err(failure) => return checks.failure("state", &failure),
    };
    if let Some(cluster) = site.as_kubernetes() {
        let examined = ctx.wait(async {
            cluster::examine(ctx, &site, cluster, &resolved, checks).await;
            Ok(())
        });
        return examined.unwrap_or_else(|failure| checks.failure("cluster", &failure));
    }
    artifacts(ctx, &resolved, checks);
    secrets(ctx.wait(site.secrets(&ctx.project)), &resolved, checks);
    match site.state() {
        Err(failure) => return checks.failure("state", &failure),
        Ok(_) => checks.good("state", format!("{} is private", site.dir.display())),
    }
    let Ok(site) = site.local() else { return };
    space(site, checks);
    key(site, checks);
    match site.try_writing() {
        Ok(()) => checks.good("database", "it can be read and written"),
        Err(failure) => checks.failure("database", &failure),
    }
    let held = processes(site, checks);
    ports(&resolved, &held, checks);
}

fn artifacts(ctx: &Context, environment: &Environment, checks: &mut Checks) {
    for (name, component) in &environment.components {
        match LocalSite::find_artifact(&ctx.project, name, &component.artifact) {
            Err(failure) => checks.failure("artifact", &failure),
            Ok(_) => match LocalSite::program(&ctx.project, name, component) {
                Ok(()) => {
                    checks.good("artifact", format!("{name}: {} is there", component.artifact))
                }
                Err(failure) => checks.failure("artifact", &failure),
            },
        }
    }
}

fn secrets(source: Result<Box<dyn Secrets>>, environment: &Environment, checks: &mut Checks) {
    let references = environment
        .components
        .iter()
        .flat_map(|(name, c)| c.secrets.iter().map(move |(variable, r)| (name, variable, r)));
    let references: Vec<_> = references.collect();
    if references.is_empty() {
        return;
    }
    let source = match source {
        Ok(source) => source,
        Err(failure) => return checks.failure("secrets", &failure),
    };
    for (name, variable, reference) in references {
        match source.version(reference) {
            Ok(_) => checks.good("secrets", format!("{name}: {variable} can be read")),
            Err(text) => {
                let failure = Failure::split(Exit::Failed, "secrets", &text);
                // Releases that were sealed go on without it.
                checks.warn("secrets", failure.what, failure.hint.unwrap_or_default());
            }
        }
    }
}

fn space(site: &LocalSite, checks: &mut Checks) {
    let Some(free) = site.state().ok().and_then(|state| state.free()) else { return };
    let mib = free / 1024 / 1024;
    if free < SPACE {
        let hint = "make room, or keep fewer releases with `retention`";
        checks.bad("disk", format!("only {mib} MiB are free in {}", site.dir.display()), hint);
    } else {
        checks.good("disk", format!("{mib} MiB are free"));
    }
}

fn key(site: &LocalSite, checks: &mut Checks) {
    match std::fs::metadata(&site.key) {
        Err(_) => checks.good("key", format!("{} will be made", site.key.display())),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => checks.bad(
            "key",
            format!("others may read {}", site.key.display()),
            format!("chmod 600 {}", site.key.display()),
        ),
        Ok(_) => checks.good("key", format!("{} is private", site.key.display())),
    }
}

/// Looks at keeper, supervisor and edge; gives the addresses that they hold.
fn processes(site: &LocalSite, checks: &mut Checks) -> Vec<String> {
    if !site.is_running().unwrap_or(false) {
        checks.good("processes", "nothing runs; `apply` and `local start` start what is needed");
        return Vec::new();
    }
    match site.processes() {
        Ok(now) if now.version == env!("CARGO_PKG_VERSION") => {
            checks.good("processes", format!("keeper, supervisor and edge {} are up", now.version));
            now.addresses
        }
        Ok(now) => {
            checks.warn(
                "processes",
                format!("version {} runs, this is {}", now.version, env!("CARGO_PKG_VERSION")),
                format!("neuroca-deploy local upgrade {}", site.environment),
            );
            now.addresses
        }
        Err(failure) => {
            checks.failure("processes", &failure);
            Vec::new()
        }
    }
}

fn ports(environment: &Environment, held: &[String], checks: &mut Checks) {
    let edge = &environment.edge;
    for address in [Some(&edge.listen), edge.metrics_listen.as_ref()].into_iter().flatten() {
        match TcpListener::bind(address.as_str()) {
            Ok(_) => checks.good("port", format!("{address} is free")),
            Err(_) if held.contains(address) => {
                checks.good("port", format!("{address} is held by the edge of this environment"));
            }
            Err(error) => checks.bad(
                "port",
                format!("cannot listen on {address}: {error}"),
                "find who has it with `ss -ltnp`, or set another `edge.listen`",
            ),
        }
    }
}
