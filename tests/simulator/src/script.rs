//! What a history is before it is lived through: plain values, from which it follows entirely.

/// One history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Script {
    pub setting: Setting,
    /// Releases, one after the other.
    pub runs: Vec<Run>,
    pub faults: Vec<Fault>,
}

/// What stays the same throughout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Setting {
    pub way: Way,
    /// Of a canary: which steps, what an inconclusive one comes to, requests in an interval.
    pub steps: u8,
    pub on_inconclusive: Undecided,
    pub requests: u32,
    /// What somebody says after a while when only a person can say how it goes on, and whether the
    /// command waits for that.
    pub decision: Wish,
    pub leaves: bool,
    /// Components beside `api`.
    pub web: bool,
    pub worker: bool,
    pub hooks: bool,
    /// Whether a first release serves when the history begins.
    pub installed: bool,
    /// Whether an old release is kept warm or stopped.
    pub warm: bool,
    /// How long a process takes to be ready, a request to end, an effect to be answered, the
    /// router to do as told.
    pub ready_ms: u32,
    pub request_ms: u32,
    pub effect_ms: u32,
    pub lag_ms: u32,
    /// Whether long-lived streams outlast requests.
    pub streams: bool,
    /// Whether a watcher hears of changes at once.
    pub prompt: bool,
    /// Whether a dead driver's lock is free at once, or has to expire.
    pub same_machine: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    BlueGreen,
    Canary,
    Recreate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Undecided {
    Pause,
    Promote,
    Rollback,
}

/// A release that somebody applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    pub change: Change,
    /// How the new `api` (or, if only that changes, `worker`) fares.
    pub fate: Fate,
    /// Whether old processes that were stopped come up again.
    pub old_returns: bool,
    pub refuses: Option<Refuses>,
}

/// In what the release differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    Everything,
    OnlyApi,
    OnlyWorker,
    /// One replica of `api` more.
    Scaled,
    /// A new version of `api`, and `web` comes or goes.
    WebComesOrGoes,
    WorkerComesOrGoes,
    /// No component changes.
    Relabelled,
    /// Back to the release that was deployed before.
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    Well,
    NeverReady,
    CrashLoop,
    /// Loses readiness so long after it got all of the traffic.
    DiesUnderTraffic {
        after_ms: u32,
    },
    /// So many percent of its answers are errors.
    Errs {
        percent: u8,
    },
}

/// An effect that the target refuses in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refuses {
    Artifact,
    Secrets,
    PreDeploy,
    Migration,
    Start,
    Route,
    SmokeTest,
    PostDeploy,
    EndStreams,
    KeepWarm,
    Stop,
}

/// Something that goes wrong, or that an operator does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    pub place: Place,
    pub what: What,
}

/// A moment: so long after a boundary. Boundaries are before and after each journal write, each
/// effect and each intent that is taken, counted through the whole history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub boundary: u32,
    pub later_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The driver dies; somebody goes on so long after.
    Crash {
        successor_ms: u32,
    },
    /// The driver stands still, its lock is not renewed meanwhile.
    Stall {
        ms: u32,
    },
    /// Somebody breaks the lock and goes on at once; the driver does not know.
    TakeOver,
    /// Somebody runs the same command, ready to wait so long for the lock.
    Second {
        wait_ms: u32,
    },
    /// Somebody applies the plan of the release before.
    OldPlan,
    /// Ctrl-C.
    Interrupt {
        successor_ms: u32,
    },
    /// What happens to the next effect's request or answer.
    RequestLost,
    AnswerLost,
    /// Nobody answers, and it arrives so much later.
    RequestLate {
        ms: u32,
    },
    RequestTwice,
    AnswerLate {
        ms: u32,
    },
    /// The next journal write fails: before or after it became durable.
    StoreFails {
        written: bool,
    },
    /// The target cannot be looked at.
    Blind {
        ms: u32,
    },
    /// The next look arrives so much later than it was taken.
    LookLate {
        ms: u32,
    },
    /// The router does not say what is in force, or says what was in force before.
    RouterSilent {
        ms: u32,
    },
    RouterStale {
        ms: u32,
    },
    /// The router takes so much longer than usual.
    RouterLags {
        ms: u32,
    },
    /// The router has the split of before again, and says so.
    RouterForgets,
    /// There are no counts; they come, but empty, or late, or again; or both sides err alike.
    CountsGone {
        ms: u32,
    },
    CountsEmpty {
        ms: u32,
    },
    CountsLate {
        ms: u32,
    },
    CountsAgain {
        ms: u32,
    },
    /// More errors than requests.
    CountsAbsurd {
        ms: u32,
    },
    BothErr {
        ms: u32,
    },
    /// Processes lose their readiness for a while.
    Flap {
        side: Side,
        ms: u32,
    },
    /// The machine's clock jumps.
    ClockJumps {
        ms: i32,
    },
    Operator(Wish),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Old,
    New,
}

/// What an operator may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wish {
    Pause,
    Resume,
    Promote,
    PromoteFully,
    Abort,
    Rollback,
    Supersede,
}

impl What {
    /// Whether the verdict over a release does not depend on it, as long as it is short.
    pub fn is_neutral(self) -> bool {
        !matches!(
            self,
            What::Flap { .. }
                | What::ClockJumps { .. }
                | What::Operator(_)
                | What::BothErr { .. }
                | What::OldPlan
        )
    }

    /// Time that it may cost, beside waiting for the lock to expire.
    pub fn costs_ms(self) -> u32 {
        match self {
            What::Crash { successor_ms } | What::Interrupt { successor_ms } => successor_ms,
            What::Stall { ms } | What::RequestLate { ms } | What::AnswerLate { ms } => ms,
            What::Blind { ms } | What::LookLate { ms } => ms,
            What::RouterSilent { ms } | What::RouterStale { ms } | What::RouterLags { ms } => ms,
            What::CountsGone { ms } | What::CountsEmpty { ms } | What::CountsLate { ms } => ms,
            What::CountsAgain { ms } | What::CountsAbsurd { ms } | What::BothErr { ms } => ms,
            What::StoreFails { .. } => 1_000,
            _ => 0,
        }
    }
}
