//! Known defects of the product that histories keep away from, so that they do not hide others. Each
//! line here is to go when the defect is.

use neuroca_deploy_core::rollout::{Phase, State};

/// A router that falls back to an earlier split is noticed while a step is held, and nowhere
/// else: old processes are stopped though the router says that it sends to them.
pub fn sees_a_router_that_forgets(state: &State) -> bool {
    matches!(state.phase, Phase::Holding(n) if n + 1 < state.spec.steps.len())
}

/// While requests end, the router's word that they go on is not heard.
pub const DRAINING_DOES_NOT_ASK_THE_ROUTER: bool = true;

/// When going back has failed, the next plan takes the release in force as it should be: it does not
/// start what was stopped, and stops what still has traffic.
pub const WHAT_WAS_LEFT_IS_NOT_KNOWN: bool = true;

/// The time for processes to be ready runs from when the first one is due to be started: a driver that
/// dies between two starts makes the second one late. It is longer here than drivers are away.
pub const START_TIMEOUT_MS: u64 = 16_000;
