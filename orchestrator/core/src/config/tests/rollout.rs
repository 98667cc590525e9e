//! Rollouts that cannot work, and the steps that follow from what is written.

use insta::assert_snapshot;

use super::*;
use crate::config::model::{Step, Strategy};
use crate::config::units::Millis;

fn rollout(lines: &str) -> String {
    format!("{SMALL}rollout:\n  strategy: canary\n{lines}")
}

#[test]
fn steps_are_read_as_written() {
    let text = rollout(
        "  steps:\n    - {weight: 0, gate: true, header_routes: [{header: x-beta, value: '1', to: canary}]}\n    - {weight: 10, pause: 2m, mirror: 5}\n    - {weight: 50, analysis: false}\n",
    );
    let policy = resolved(&[&text]).environment.rollout;
    assert_eq!(policy.strategy, Strategy::Canary);
    assert!(policy.steps[0].gate && policy.steps[0].sends_by_header());
    let second = Step { pause: Millis(120_000), mirror: 5, analysis: true, ..Step::weight(10) };
    assert_eq!(policy.steps[1], second);
    assert_eq!(policy.steps[2], Step::weight(50));
}

#[test]
fn steps_that_cannot_work_are_refused() {
    let text = rollout(
        "  deadline: 5m\n  steps:\n    - {weight: 10, pause: 3m}\n    - {weight: 10, pause: 1m}\n    - {weight: 120}\n    - {weight: 50, mirror: 101, header_routes: [{header: 'x beta', value: '1', to: canary}]}\n",
    );
    assert_snapshot!(errors(&[&text]));
}

#[test]
fn weights_that_do_not_rise_and_pauses_beyond_the_deadline_are_refused() {
    let text = rollout(
        "  deadline: 5m\n  steps:\n    - {weight: 25, pause: 3m}\n    - {weight: 10, pause: 3m}\n",
    );
    assert_snapshot!(errors(&[&text]));
}

#[test]
fn steps_without_a_canary_are_refused() {
    let text = format!("{SMALL}rollout:\n  steps: [{{weight: 10}}]\n");
    assert_snapshot!(errors(&[&text]));
}

#[test]
fn counts_from_prometheus_without_a_query_are_refused() {
    let source = |lines: &str| {
        rollout(&format!("  analysis:\n    prometheus:\n      url: http://127.0.0.1:9090\n{lines}"))
    };
    let told = [
        source(""),
        source("      requests: n{revision=\"{{revision}}\"}\n"),
        source(
            "      requests: ''\n      errors: 'sum(errors)'\n      latency: ' '\n      ratios:\n        writes: {of: '', bad: 'w{revision=\"{{revision}}\"}'}\n",
        ),
        source(
            "      interval: 0s\n      requests: n{revision=\"{{revision}}\"}\n      errors: e{revision=\"{{revision}}\"}\n",
        ),
    ];
    assert_snapshot!(
        told.iter().map(|text| errors(&[text]).to_string()).collect::<Vec<_>>().join("\n---\n")
    );
}

#[test]
fn counts_of_pods_are_for_a_cluster_and_by_selectors() {
    let source = |lines: &str| rollout(&format!("  analysis:\n    scrape:\n{lines}"));
    let good = "      requests: n_total\n      errors: 'n_total{status=~\"5..\"}'\n";
    let told = errors(&[&source(good)]).to_string();
    assert!(told.contains("asks the pods of a cluster"), "{told}");
    let told = errors(&[&source(
        "      path: metrics\n      requests: rate(n[1m])\n      errors: 'n{'\n",
    )]);
    let told = told.to_string();
    for part in
        ["scrape.path", "scrape.requests` selects nothing", "scrape.errors", "a name and matchers"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let both = format!(
        "{good}    prometheus: {{url: 'http://p', requests: 'n{{r=\"{{{{revision}}}}\"}}', errors: 'e{{r=\"{{{{revision}}}}\"}}'}}\n"
    );
    let told = errors(&[&source(&both)]).to_string();
    assert!(told.contains("not by both"), "{told}");
}
