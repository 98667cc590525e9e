//! What the judge of a planned rollout cannot do at the present rate of requests. It is said beside
//! the plan and is no part of it: the next minute's rate is another.

use neuroca_deploy_core::judge::{Compared, Counts};
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::preview::warnings;

use crate::context::Context;
use crate::output::when;
use crate::site::Site;

/// How far the rate is looked at, in milliseconds.
const LOOK_BACK_MS: u64 = 60_000;

/// Plain sentences; none when nothing is known of the traffic.
pub async fn foresight(ctx: &Context, site: &Site, plan: &Plan) -> Vec<String> {
    let spec = &plan.rollout;
    if !spec.has_judge() || !site.is_running().unwrap_or(false) {
        return Vec::new();
    }
    let in_force = spec.compared().into_iter().filter_map(|compared| {
        Some(Compared { canary: compared.stable?, stable: None, component: compared.component })
    });
    let in_force: Vec<Compared> = in_force.collect();
    let Ok(metrics) = site.metrics(&ctx.project, &spec.analysis).await else { return Vec::new() };
    let Ok(windows) = metrics.windows(&in_force, when::now_ms() - LOOK_BACK_MS).await else {
        return Vec::new();
    };
    let seconds = windows.len() as f64 * spec.window_ms() as f64 / 1000.0;
    if seconds == 0.0 {
        return Vec::new();
    }
    let sides = windows.iter().flat_map(|window| window.components.values());
    let sum = |of: fn(&Counts) -> u64| sides.clone().map(|side| of(&side.canary)).sum::<u64>();
    let (requests, errors) = (sum(|c| c.requests), sum(|c| c.errors));
    warnings(spec, requests as f64 / seconds, errors as f64 / requests.max(1) as f64)
}

/// Says them beside what goes on.
pub fn say(ctx: &Context, sentences: &[String]) {
    for sentence in sentences {
        if ctx.output.json {
            ctx.output.event("warning", serde_json::json!({ "text": sentence }));
            continue;
        }
        ctx.output.note(&format!("{} {sentence}", ctx.output.err.attention("warning:")));
    }
}
