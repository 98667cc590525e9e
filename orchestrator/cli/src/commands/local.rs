//! `local`: the processes of the local target: installed as a service, started, upgraded, stopped.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};
use neuroca_deploy_core::config::SourceFile;
use neuroca_deploy_core::render::{context, render};
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::output::table::table;
use crate::site::{Adapter, Site, own_binary};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy local install production     # as root: a systemd unit that brings it back after a reboot
  neuroca-deploy local upgrade production     # after a new neuroca-deploy was installed
  neuroca-deploy local status production";

/// The template of the unit that `install` writes.
const UNIT: &str = "templates/local/neuroca-deploy.service.tera";

/// Install, start, upgrade and stop the processes of the local target.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Local {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a systemd unit, enable and start it.
    #[command(after_help = "Example:\n  neuroca-deploy local install production")]
    Install(Install),
    /// Start keeper, supervisor and edge, and with them what is in force.
    #[command(after_help = "Example:\n  neuroca-deploy local start production")]
    Start(Which),
    /// Drain and stop all processes; `start` brings them back.
    #[command(after_help = "Example:\n  neuroca-deploy local stop production")]
    Stop(Which),
    /// Replace keeper, supervisor and edge by this program, without dropping a connection.
    #[command(after_help = "Example:\n  neuroca-deploy local upgrade production")]
    Upgrade(Which),
    /// Show the processes and what they take.
    #[command(after_help = "Example:\n  neuroca-deploy local status production")]
    Status(Which),
    /// Run in the foreground, for a service manager.
    #[command(after_help = "Example:\n  neuroca-deploy local supervise production")]
    Supervise(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
}

#[derive(Debug, Args)]
struct Install {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Write the unit into this folder, and leave enabling it to you.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
    /// The user that it runs as (default: the present one).
    #[arg(long)]
    user: Option<String>,
}

impl Local {
    pub fn run(self, ctx: &Context) -> Result {
        match self.what {
            What::Install(install) => install.run(ctx),
            What::Supervise(which) => supervise(ctx, &which.environment),
            What::Start(which) => ctx.wait(async {
                let site = Site::of_state(ctx, &which.environment)?;
                site.local()?.ensure_running().await?;
                status(ctx, &site)
            }),
            What::Stop(which) => ctx.wait(async {
                let site = Site::of_state(ctx, &which.environment)?;
                let stopped = site.local()?.stop_everything().await?;
                if ctx.output.json {
                    ctx.output.document("stopped", json!({ "was_running": stopped }));
                } else {
                    let text = if stopped { "stopped\n" } else { "nothing was running\n" };
                    ctx.output.data(text);
                }
                Ok(Exit::Done)
            }),
            What::Upgrade(which) => ctx.wait(async {
                let site = Site::of_state(ctx, &which.environment)?;
                site.local()?.upgrade().await?;
                status(ctx, &site)
            }),
            What::Status(which) => {
                let site = Site::of_state(ctx, &which.environment)?;
                status(ctx, &site)
            }
        }
    }
}

fn status(ctx: &Context, site: &Site) -> Result {
    let processes = site.local()?;
    if !processes.is_running()? {
        return Err(Failure::failed(format!("nothing runs for {}", site.environment))
            .hint(format!("start it: neuroca-deploy local start {}", site.environment)));
    }
    let now = processes.processes()?;
    if ctx.output.json {
        ctx.output.document("processes", now);
        return Ok(Exit::Done);
    }
    let edges = now.edges.iter().enumerate().map(|(n, edge)| {
        let serves = n + 1 == now.edges.len();
        (if serves { "edge" } else { "edge, draining" }, edge)
    });
    let rows: Vec<Vec<String>> = [("keeper", &now.keeper)]
        .into_iter()
        .chain(now.supervisor.iter().map(|s| ("supervisor", s)))
        .chain(edges)
        .map(|(name, process)| {
            let mib = process.resident_kib as f64 / 1024.0;
            vec![name.into(), process.pid.to_string(), format!("{mib:.1} MiB")]
        })
        .collect();
    let mut text = table(ctx.output.out, &["PROCESS", "PID", "MEMORY"], &rows);
    text.push_str(&format!(
        "version {}, upgraded {} times, listens on {}\n",
        now.version,
        now.upgrades,
        if now.addresses.is_empty() { "nothing yet".into() } else { now.addresses.join(", ") }
    ));
    ctx.output.data(&text);
    Ok(Exit::Done)
}

/// The keeper in the foreground. One that was started on demand makes place for it.
fn supervise(ctx: &Context, environment: &str) -> Result {
    let site = Site::of_state(ctx, environment)?;
    neuroca_deploy_local::processes::keep(&site.dir)
        .map_err(|e| Failure::split(Exit::Failed, "keeper", &e.to_string()))?;
    Ok(Exit::Done)
}

impl Install {
    fn run(self, ctx: &Context) -> Result {
        let site = Site::of_files(ctx, &self.environment, &[])?;
        let name = format!("neuroca-deploy-{}-{}.service", site.project, site.environment);
        let text = self.unit(ctx, &site)?;
        let folder = self.out.clone().unwrap_or_else(|| "/etc/systemd/system".into());
        let path = folder.join(&name);
        if self.out.is_none() && !rustix::process::geteuid().is_root() {
            return Err(Failure::failed(format!("only root may write {}", path.display()))
                .hint("run it with sudo, or write the unit elsewhere with --out DIR"));
        }
        write(&path, &text)?;
        if self.out.is_none() {
            for words in [&["daemon-reload"][..], &["enable", "--now", &name]] {
                systemctl(words)?;
            }
        }
        if ctx.output.json {
            ctx.output.document("unit", json!({ "file": path, "enabled": self.out.is_none() }));
        } else if self.out.is_none() {
            ctx.output.data(&format!("{} is enabled and running\n", path.display()));
        } else {
            ctx.output.data(&format!("{}\n", path.display()));
            let path = std::path::absolute(&path).unwrap_or(path);
            ctx.output.note(&format!("start it: systemctl enable --now {}", path.display()));
        }
        Ok(Exit::Done)
    }

    /// The unit, from the project's template or the one that the binary carries.
    fn unit(&self, ctx: &Context, site: &Site) -> Result<String> {
        let resolved = ctx.project.resolve(&self.environment, &[])?;
        let mut values = context(&self.environment, &resolved.environment);
        let project = std::fs::canonicalize(&ctx.project.dir)
            .map_err(|e| Failure::usage(format!("{}: {e}", ctx.project.dir.display())))?;
        let user = self.user.clone().unwrap_or_else(|| crate::drive::who(None).user);
        values["host"] = json!({
            "binary": own_binary()?, "project": project, "state": site.root, "user": user,
            // As here: what was found when it was planned has to be found after a reboot.
            "path": std::env::var("PATH").ok().unwrap_or_else(|| values["host"]["path"].to_string()),
        });
        let templates: Vec<SourceFile> =
            ctx.project.templates()?.into_iter().filter(|t| t.name == UNIT).collect();
        let documents = render(&templates, &values)
            .map_err(|e| Failure::new(Exit::Usage, "template", e.to_string()))?;
        let unit = documents.into_iter().next();
        Ok(unit.ok_or_else(|| Failure::usage(format!("{UNIT} makes no document")))?.text)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| {
        Failure::failed(format!("cannot write {}: {e}", path.display()))
            .hint("check that the folder is there and that you may write to it")
    })
}

fn systemctl(words: &[&str]) -> Result<()> {
    let line = format!("systemctl {}", words.join(" "));
    let done = Command::new("systemctl").args(words).output().map_err(|e| {
        Failure::failed(format!("cannot run `{line}`: {e}")).hint(
            "there is no systemd here; write the unit with --out DIR and start \
             `neuroca-deploy local supervise ENV` with what you have",
        )
    })?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().to_string();
    Err(Failure::failed(format!("`{line}` failed: {why}")))
}
