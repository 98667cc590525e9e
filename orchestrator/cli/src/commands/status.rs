//! `status`: what is in force, what runs, who gets the traffic, what a rollout waits for.

use std::time::Duration;

use clap::Args;
use neuroca_deploy_core::observed::{Observed, RevisionObserved};
use neuroca_deploy_core::release::{Release, RevisionId};
use neuroca_deploy_engine::ports::{HistoryEntry, StateStore};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::intents::{Running, running};
use crate::output::rollout::{phase_name, weight};
use crate::output::table::table;
use crate::output::{Paint, when};
use crate::planning::{Found, in_force};
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy status production
  neuroca-deploy status production --watch
  neuroca-deploy --json status production";

/// Show what is in force, what runs, and who gets the traffic.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Show it again whenever it changes.
    #[arg(short, long)]
    watch: bool,
}

impl Status {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            let mut shown = String::new();
            loop {
                let seen = Seen::look(ctx, &site, store.as_ref()).await?;
                if !self.watch {
                    seen.print(ctx, &site);
                    return seen.verdict(&site);
                }
                if ctx.output.json {
                    let body = seen.document(&site);
                    let text = body.to_string();
                    if text != shown {
                        shown = text;
                        ctx.output.event("status", body);
                    }
                } else {
                    let text = seen.text(&site, ctx.output.out);
                    if text != shown {
                        if ctx.output.out.0 {
                            ctx.output.data("\x1b[H\x1b[2J");
                        }
                        ctx.output.data(&text);
                        shown = text;
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }
}

struct Seen {
    release: Option<Release>,
    entry: Option<HistoryEntry>,
    open: Option<Running>,
    observed: std::result::Result<Observed, Failure>,
}

impl Seen {
    async fn look(ctx: &Context, site: &Site, store: &dyn StateStore) -> Result<Self> {
        let fail = |e| Failure::of_store(e, &site.environment);
        let Found { base, release, .. } = in_force(store, &site.environment).await?;
        let history = store.history(50).await.map_err(fail)?;
        let entry =
            history.into_iter().find(|e| base.release.is_some() && e.sequence == base.sequence);
        let open = running(site, store).await?;
        let observed = site.observe(&ctx.project).await;
        Ok(Self { release, entry, open, observed })
    }

    fn is_deployed(&self) -> bool {
        self.release.as_ref().is_some_and(|r| !r.components.is_empty())
    }

    /// Something should run and cannot be seen.
    fn verdict(&self, site: &Site) -> Result {
        match &self.observed {
            Err(failure) if self.is_deployed() || self.open.is_some() => {
                let start = || format!("start it: neuroca-deploy local start {}", site.environment);
                Err(match site.as_local() {
                    Some(_) => failure.clone().hint(start()),
                    None => failure.clone(),
                })
            }
            _ => Ok(Exit::Done),
        }
    }

    fn print(&self, ctx: &Context, site: &Site) {
        if !ctx.output.json {
            ctx.output.data(&self.text(site, ctx.output.out));
        } else if self.verdict(site).is_ok() {
            ctx.output.document("status", self.document(site));
        }
    }

    fn document(&self, site: &Site) -> Value {
        let observed = self.observed.as_ref().ok();
        json!({
            "project": site.project,
            "environment": site.environment,
            "release": self.release.as_ref().map(Release::id),
            "version": self.release.as_ref().and_then(|r| r.version.clone()),
            "number": self.entry.as_ref().map(|e| e.sequence),
            "listen": self.release.as_ref().filter(|r| r.kubernetes.is_none()).map(|r| &r.edge.listen),
            "observed": observed,
            "rollout": self.open.as_ref().map(|open| json!({
                "release": open.plan.rollout.release,
                "phase": open.state.phase,
                "paused": open.state.paused,
                "waits_for": open.state.waits_for(),
                "driver": open.holder,
            })),
        })
    }

    fn text(&self, site: &Site, paint: Paint) -> String {
        let title = paint.strong(&format!("{}/{}", site.project, site.environment));
        let mut out = match &self.release {
            Some(release) if !release.is_empty() => {
                let version = release.version.as_ref().map_or(String::new(), |v| format!(" ({v})"));
                let since = self.entry.as_ref().map_or(String::new(), |e| {
                    let at = when::date(e.ended_ms.unwrap_or(e.started_ms));
                    format!("  number {}, since {at}, by {}", e.sequence, e.who.user)
                });
                format!(
                    "{title}  {}{version}{since}\n{}\n",
                    paint.name(&release.id().0),
                    release.address()
                )
            }
            _ => format!("{title}  nothing is deployed\n"),
        };
        if let Ok(observed) = &self.observed
            && !observed.revisions.is_empty()
        {
            let rows: Vec<Vec<String>> =
                observed.revisions.iter().map(|(id, r)| self.row(id, r, observed, paint)).collect();
            let head =
                ["COMPONENT", "REVISION", "READY", "WEIGHT", "IN FLIGHT", "REQUESTS", "STATE"];
            out.push_str(&format!("\n{}", table(paint, &head, &rows)));
            out.push_str(&evidence(observed, paint));
        }
        if let Some(open) = &self.open {
            let driver = match &open.holder {
                Some(holder) => format!("driven by {holder}"),
                None => format!(
                    "nobody drives it; go on with: neuroca-deploy rollout resume {}",
                    site.environment
                ),
            };
            out.push_str(&format!(
                "\n{} {} {}; waits for {}\n{driver}\n",
                paint.strong("rollout"),
                paint.name(&open.plan.rollout.release.0),
                phase_name(open.state.phase),
                open.state.waits_for()
            ));
        }
        out
    }

    fn row(
        &self,
        id: &RevisionId,
        seen: &RevisionObserved,
        observed: &Observed,
        paint: Paint,
    ) -> Vec<String> {
        let ready = format!("{}/{}", seen.ready, seen.wanted);
        let weight = weight(observed, id);
        let in_force =
            self.release.as_ref().and_then(|r| r.revision(&seen.component)).as_ref() == Some(id);
        let crashes = match seen.crashes {
            0 => String::new(),
            1 => ", 1 crash".into(),
            n => format!(", {n} crashes"),
        };
        let state = match (&seen.trouble, seen.warm_until_ms) {
            _ if seen.crash_loop => paint.bad("keeps crashing"),
            (Some(trouble), _) if seen.alive < seen.wanted => {
                paint.bad(&format!("{}; starting again", trouble.what))
            }
            (Some(trouble), _) if !seen.is_ready() => paint.bad(&trouble.what),
            (_, Some(until)) => paint.dim(&format!("warm until {}", when::clock(until))),
            _ if !seen.is_ready() => paint.attention("starting"),
            _ if in_force && weight.is_none() => format!("running{crashes}"),
            _ if weight.is_some_and(|w| w > 0) => format!("serving{crashes}"),
            _ => "ready".into(),
        };
        vec![
            seen.component.clone(),
            id.to_string(),
            if seen.is_ready() { paint.good(&ready) } else { paint.bad(&ready) },
            weight.map_or("-".into(), |w| format!("{w}%")),
            (seen.in_flight + seen.streams).to_string(),
            match seen.errors {
                0 => seen.requests.to_string(),
                errors => format!("{} ({errors} errors)", seen.requests),
            },
            state,
        ]
    }
}

/// What is known of those that are not ready: the last answer and the last lines.
fn evidence(observed: &Observed, paint: Paint) -> String {
    let mut out = String::new();
    for (id, seen) in observed.revisions.iter().filter(|(_, seen)| !seen.is_ready()) {
        let Some(trouble) = &seen.trouble else { continue };
        out.push_str(&format!("\n{}: {}\n", paint.name(&id.0), trouble.what));
        if let Some(body) = trouble.body.as_deref().filter(|body| !body.is_empty()) {
            out.push_str(&format!("  answer: {body}\n"));
        }
        for line in &trouble.log_lines {
            out.push_str(&format!("  | {line}\n"));
        }
    }
    out
}
