//! From start to end: the signals, and the stage that everybody can see.
//!
//! Knows neither HTTP nor a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Where the process stands; only ever moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not initialised yet.
    Starting,
    /// Serving.
    Running,
    /// Asked to end, still serving: others have to notice first.
    Draining,
    /// No new connections; what is in flight ends, streams end now.
    Stopping,
}

/// The phase, shared.
#[derive(Clone)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
    born: Instant,
    heartbeat: Arc<AtomicU64>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Starting)),
            born: Instant::now(),
            heartbeat: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// Now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on; moving back is ignored, so that a late "running" does not undo a SIGTERM.
    pub fn enter(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = next > *phase;
            if later {
                *phase = next;
            }
            later
        });
    }

    /// Waits until `wanted`, or a later phase.
    pub async fn reached(&self, wanted: Phase) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as self.
        let _ = phase.wait_for(|phase| *phase >= wanted).await;
    }

    /// Shows that the runtime turns: ends never.
    pub async fn beat(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            self.heartbeat.store(self.age(), Ordering::Relaxed);
        }
    }

    /// Time since the runtime last turned.
    pub fn since_beat(&self) -> Duration {
        Duration::from_millis(self.age().saturating_sub(self.heartbeat.load(Ordering::Relaxed)))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The request to end. Made before anything else is initialised: a SIGTERM that comes earlier
/// than its handler kills.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Installs the handlers.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
