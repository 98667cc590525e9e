#!/usr/bin/env python3
"""Figure 8: what `rollout preview` predicts for generated policies, against real rollouts through the real edge.

Each policy has one kind of release: as good as the old one, or with one fault from its first request on; the
time until it is promoted or turned back is compared, median with median. Those that never come to that end
count as taking for ever, as in the preview. POLICIES, ROLLOUTS and PARALLEL bound the run (defaults: 20, 45, 14).
"""

import json
import os
import random
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from experiments import Notes, side_by_side  # noqa: E402
from specimens import PACKAGES, Specimens, flow  # noqa: E402
from harness import SEED, finish, release, say  # noqa: E402

POLICIES = int(os.environ.get("POLICIES", "20"))
ROLLOUTS = int(os.environ.get("ROLLOUTS", "45"))
PARALLEL = int(os.environ.get("PARALLEL", "14"))
PREVIEW_RUNS = 1000
TOLERANCE = 0.2
# The preview takes latencies to spread like this.
BEHAVIOUR = {"SPECIMEN_ERRORS": 0.01, "SPECIMEN_P50_MS": 20, "SPECIMEN_SPREAD": 0.5}
PREVIEWED = ["--error-rate", "1%", "--latency-p50", "20"]
ROLLOUT = {"steps": [{"weight": 50}], "watch": "0s", "deadline": "10m"}
# A median beyond says more about the patience of the machine than about the preview; below, windows are too coarse.
LEAST_SECONDS, MOST_SECONDS = 6, 35
KINDS = {
    "healthy": {},
    "errors 5x": {"SPECIMEN_FAULT_ERRORS": 0.05},
    "errors 10x": {"SPECIMEN_FAULT_ERRORS": 0.10},
    "latency 2x": {"SPECIMEN_FAULT_SLOWER": 2},
}
FAULTS = {"errors 5x": {"errors": 5.0}, "errors 10x": {"errors": 10.0}, "latency 2x": {"latency": 2.0}}


def drawn(chance):
    """A policy at random, and the traffic it gets."""
    weights = sorted(chance.sample([5, 10, 20, 30, 40, 50, 60], chance.choice([1, 2, 3])))
    steps = [{"weight": weight, "pause": f"{chance.choice([0, 2, 5, 10])}s"} for weight in weights]
    return {
        "rps": chance.choice([60, 100, 150, 200]),
        "sets": [
            flow(steps),
            f"rollout.analysis.interval={chance.choice(['1s', '2s'])}",
            f"rollout.analysis.alpha={chance.choice(['1%', '0.1%', '5%'])}",
            f"rollout.analysis.beta={chance.choice(['5%', '1%', '10%'])}",
            f"rollout.analysis.min_requests={chance.choice([20, 50, 100])}",
            f"rollout.analysis.errors.odds_ratio={chance.choice(['1.5', '2'])}",
        ],
    }


def predicted(project, policy, kind):
    """The median that the preview gives; `None` when that end is not to be expected."""
    words = ["rollout", "preview", "development", "--rps", policy["rps"], *PREVIEWED, "--runs", PREVIEW_RUNS,
             "--seed", SEED, *project.sets(*policy["sets"])]  # fmt: skip
    found = json.loads(project.ok("--json", *words, timeout=600).stdout)
    if kind == "healthy":
        return found["healthy"]["seconds_to_promote"]["median"]
    of_fault = next(one for one in found["faults"] if one["fault"] == FAULTS[kind])
    return of_fault["seconds_to_see"]["median"]


def policies(project):
    """As many as are wanted, whose predicted end comes in a time that can be waited for."""
    chance = random.Random(SEED)
    kinds = list(KINDS)
    found = []
    while len(found) < POLICIES:
        kind = kinds[len(found) % len(kinds)]
        policy = drawn(chance)
        seconds = predicted(project, policy, kind)
        if seconds is not None and LEAST_SECONDS <= seconds <= MOST_SECONDS:
            found.append({**policy, "policy": len(found) + 1, "kind": kind, "predicted_s": seconds})
            say(f"policy {len(found)}: {kind} at {policy['rps']} rps, {seconds} s predicted; {policy['sets']}")
    return found


def median(values, of):
    """The smallest value that half of all runs do not exceed; `None` when too many have none."""
    ordered = sorted(values)
    rank = max(1, -(-of // 2))
    return ordered[rank - 1] if rank <= len(ordered) else None


def interval(values, of):
    """Where 95 of a hundred medians would be, drawn again from what was seen."""
    chance = random.Random(SEED)
    padded = [*values, *[float("inf")] * (of - len(values))]
    medians = sorted(median(chance.choices(padded, k=of), of) for _ in range(1000))
    return [medians[25], medians[974]]


def main():
    bin_dir = release(*PACKAGES)
    notes = Notes("preview")
    with Specimens(bin_dir, ROLLOUT, BEHAVIOUR) as project:
        chosen = notes.kept("policies", lambda: policies(project))
    # One of each policy in turn, so that a policy's rollouts do not all meet the same noise.
    experiments = [
        {"name": f"policy {policy['policy']} rollout {n + 1}", **policy}
        for n in range(ROLLOUTS)
        for policy in chosen
    ]

    def work(todo):
        with Specimens(bin_dir, ROLLOUT, BEHAVIOUR) as project:
            project.first()
            for one in todo:
                seen = project.roll_out(one["rps"], one["sets"], **KINDS[one["kind"]])
                if seen["exit"] == 8:
                    project.ok("rollout", "abort", "development")
                if seen["exit"] == 0 and one["kind"] != "healthy":
                    project.first()
                took = seen["promoted_after_s" if one["kind"] == "healthy" else "verdict_after_s"]
                took = took if seen["exit"] == (0 if one["kind"] == "healthy" else 5) else None
                say(f"{one['name']}: {one['kind']}, {took} s, {one['predicted_s']} s predicted")
                yield {"name": one["name"], "policy": one["policy"], "took_s": took, "exit": seen["exit"],
                       "canary_answers": seen["canary_answers"], "reason": seen["reason"]}  # fmt: skip

    results = side_by_side(PARALLEL, experiments, notes, work)
    rows = []
    for policy in chosen:
        own = [one for one in results if one["policy"] == policy["policy"]]
        took = [one["took_s"] for one in own if one["took_s"] is not None]
        real = median(took, len(own))
        off = None if real is None else real / policy["predicted_s"] - 1
        low, high = interval(took, len(own))
        rows.append({**policy, "real_s": real, "off": off and round(off, 3),
                     "real_95": [low, high if high < float("inf") else None], "rollouts": len(own),
                     "came_to_that_end": len(took),
                     "within": off is not None and abs(off) <= TOLERANCE})  # fmt: skip
    within = sum(row["within"] for row in rows)
    finish(
        "Preview against reality",
        f"the median time to promotion or detection that the preview predicts, within 20 % of that of {ROLLOUTS} real "
        f"rollouts each, for all of {POLICIES} generated policies",
        within == len(rows),
        {"within_20_percent": within, "policies": rows},
    )


if __name__ == "__main__":
    main()
