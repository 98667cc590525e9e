//! Drives a run in this process: shows it, listens to signals, tells how it ended.
//!
//! The engine decides and acts; this connects it with a person.

use std::future::Future;
use std::io::BufRead;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::judge::Analysis;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{Metrics, StateStore, Who};
use neuroca_deploy_engine::{EngineError, Options, Ports, Reporter, apply, resume};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::kill_points::KillPoints;
use crate::output::progress::Progress;
use crate::site::{Site, SystemClock, is_detached};

/// What to drive.
pub enum Task<'a> {
    Apply(&'a Plan),
    /// The interrupted run, whatever its plan was.
    Resume,
}

/// How.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    pub lock_wait: Duration,
    pub timeout: Option<Duration>,
    pub reason: Option<String>,
}

/// What came of it.
pub enum Driven {
    Ended(Outcome),
    /// It goes on in a process of its own, which writes to this file.
    Detached(PathBuf),
}

enum Ended {
    Run(std::result::Result<Outcome, EngineError>),
    /// A second signal: at once, and the journal tells the successor where.
    AtOnce,
}

/// Drives to the end, or to where it was told to stop.
pub async fn drive(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    task: Task<'_>,
    manner: &Manner,
) -> Result<Driven> {
    if is_detached() && matches!(task, Task::Resume) && !site.is_running()? {
        // What an operator has just stopped is not started by a process that nobody sees.
        return Err(Failure::failed("the environment was stopped meanwhile")
            .hint(format!("go on with: neuroca-deploy rollout resume {}", site.environment)));
    }
    if let Task::Apply(plan) = &task {
        site.may_do(plan).await?;
    }
    site.ensure_running().await?;
    let target = site.target(&ctx.project)?;
    let clock = SystemClock::default();
    let progress = Progress::new(ctx.output);
    let reporter = KillPoints::new(&progress, site.dir.clone());
    let stop = AtomicBool::new(false);
    let options = Options {
        holder: holder(),
        lock_wait: manner.lock_wait,
        timeout: manner.timeout,
        // A pipeline must not hang at a gate; a terminal can be asked, a detached process stays.
        leave_to_a_person: !ctx.output.interactive && !is_detached(),
        stop: &stop,
    };
    let metrics = metrics(ctx, site, store, &task).await?;
    let ports = Ports { target: target.as_ref(), store, clock: &clock, metrics: metrics.as_ref() };
    let who = who(manner.reason.clone());
    let run = async {
        match &task {
            Task::Apply(plan) => apply(ports, plan, &who, &options, &reporter).await,
            Task::Resume => resume(ports, &options, &reporter).await,
        }
    };
    let interruption = Interruption { ctx, store, progress: &progress, stop: &stop, who: &who };
    let (ended, asked) = interruption.beside(run).await?;
    progress.end();
    let environment = &site.environment;
    match (ended, asked) {
        (Ended::Run(Ok(outcome)), _) => Ok(Driven::Ended(outcome)),
        (Ended::Run(Err(EngineError::Interrupted { .. })), Asked::Detach) => {
            let log = site.detach(ctx, &["rollout", "resume", environment])?;
            Ok(Driven::Detached(log))
        }
        (Ended::Run(Err(error @ EngineError::Undecided { .. })), _) => {
            // Somebody has to watch the health of what already gets traffic.
            let log = site.detach(ctx, &["rollout", "resume", environment])?;
            ctx.output.note(&format!("it is watched without this terminal; see {}", log.display()));
            Err(Failure::of_engine(error, environment))
        }
        (Ended::Run(Err(error)), Asked::Terminate) => {
            let failure = Failure::of_engine(error, environment);
            let terminated = failure.exit == Exit::Interrupted;
            Err(Failure {
                exit: if terminated { Exit::Terminated } else { failure.exit },
                ..failure
            })
        }
        (Ended::Run(Err(error)), _) => Err(Failure::of_engine(error, environment)),
        (Ended::AtOnce, _) => {
            Err(Failure::new(Exit::Interrupted, "interrupted", "interrupted at once").hint(
                format!(
                    "the journal is open; go on with: neuroca-deploy rollout resume {environment}"
                ),
            ))
        }
    }
}

/// The source of counts that the plan names: of this one, or of the one that was interrupted.
async fn metrics(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    task: &Task<'_>,
) -> Result<Box<dyn Metrics>> {
    let of = async |plan: &Plan| site.metrics(&ctx.project, &plan.rollout.analysis).await;
    let open = match task {
        Task::Apply(plan) => return of(plan).await,
        Task::Resume => store.unfinished().await,
    };
    match open.map_err(|e| Failure::of_store(e, &site.environment))? {
        Some(open) => of(&open.plan).await,
        // The engine says that there is nothing to go on with.
        None => site.metrics(&ctx.project, &Analysis::default()).await,
    }
}

/// What a person or the system asked of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Pause,
    Detach,
    Terminate,
}

struct Interruption<'a> {
    ctx: &'a Context,
    store: &'a dyn StateStore,
    progress: &'a Progress,
    stop: &'a AtomicBool,
    who: &'a Who,
}

impl Interruption<'_> {
    /// Runs `run` and listens to signals beside it.
    async fn beside(
        &self,
        run: impl Future<Output = std::result::Result<Outcome, EngineError>>,
    ) -> Result<(Ended, Asked)> {
        let listen = |kind| {
            signal(kind).map_err(|e| Failure::failed(format!("cannot listen to signals: {e}")))
        };
        let mut interrupts = listen(SignalKind::interrupt())?;
        let mut terminations = listen(SignalKind::terminate())?;
        let mut run = pin!(run);
        let mut asked = Asked::Nothing;
        loop {
            tokio::select! {
                result = &mut run => return Ok((Ended::Run(result), asked)),
                _ = terminations.recv() => {
                    asked = Asked::Terminate;
                    self.stop.store(true, Ordering::SeqCst);
                }
                _ = interrupts.recv() => {
                    if asked != Asked::Nothing {
                        return Ok((Ended::AtOnce, asked));
                    }
                    asked = Asked::Pause;
                    if self.ctx.output.interactive {
                        // The run goes on while the question stands.
                        let answer = tokio::select! {
                            result = &mut run => return Ok((Ended::Run(result), Asked::Nothing)),
                            _ = interrupts.recv() => Answer::Pause,
                            answer = self.question() => answer,
                        };
                        self.progress.hold(false);
                        asked = match answer {
                            Answer::Detach => Asked::Detach,
                            Answer::Pause => Asked::Pause,
                            Answer::GoOn => Asked::Nothing,
                            Answer::Abort => {
                                self.store
                                    .leave_intent(&Intent::Abort, self.who)
                                    .await
                                    .map_err(|e| Failure::failed(format!("cannot abort: {e}")))?;
                                Asked::Nothing
                            }
                        };
                    }
                    if asked != Asked::Nothing {
                        self.progress.note("stopping after what is being done now; once more to stop at once");
                        self.stop.store(true, Ordering::SeqCst);
                    }
                }
            }
        }
    }

    async fn question(&self) -> Answer {
        self.progress.hold(true);
        self.ctx.output.ask(
            "\ninterrupted. [d]etach (goes on without this terminal), [p]ause (stop here, go on later), \
             [a]bort (turn back), [c]ontinue: ",
        );
        let (send, receive) = tokio::sync::oneshot::channel();
        // A thread of its own: nothing can end a read from a terminal, and the run must not wait.
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = std::io::stdin().lock().read_line(&mut line);
            let _ = send.send(line);
        });
        match receive.await.unwrap_or_default().trim().chars().next() {
            Some('d' | 'D') => Answer::Detach,
            Some('a' | 'A') => Answer::Abort,
            Some('c' | 'C') => Answer::GoOn,
            _ => Answer::Pause,
        }
    }
}

enum Answer {
    Detach,
    Pause,
    Abort,
    GoOn,
}

/// Who asks, for the history.
pub fn who(reason: Option<String>) -> Who {
    let named = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let uid = rustix::process::getuid().as_raw();
    let user = named.or_else(|| name_of(uid)).unwrap_or_else(|| format!("uid {uid}"));
    Who { user, reason }
}

/// The user's name, where it stands in the file that every Unix has.
fn name_of(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    })
}

/// Who holds the lock, for the error that others see.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}, pid {}", who(None).user, std::process::id())
}
