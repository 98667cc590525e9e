#!/usr/bin/env python3
"""Figure 6: the same binary as a canary again and again under real load, then releases with a fault.

Several projects side by side, each with its own state, edge and clients. A fault is there at once or comes
within the steps. GOOD, BAD and PARALLEL bound the run (defaults: 100, 50, 5).
"""

import os
import random
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from experiments import Notes, side_by_side  # noqa: E402
from specimens import PACKAGES, Specimens  # noqa: E402
from harness import SEED, finish, percentile, release, say  # noqa: E402

GOOD = int(os.environ.get("GOOD", "100"))
BAD = int(os.environ.get("BAD", "50"))
PARALLEL = int(os.environ.get("PARALLEL", "5"))
RPS = 400
# Slow enough that what a fault adds is more than what a busy machine does.
BEHAVIOUR = {"SPECIMEN_ERRORS": 0.005, "SPECIMEN_P50_MS": 40, "SPECIMEN_SPREAD": 0.5}
# The judge's own constants are the defaults; only its patience and its window are shorter.
ROLLOUT = {
    "steps": [{"weight": 10, "pause": "6s"}, {"weight": 50, "pause": "6s"}],
    "watch": "1s",
    "deadline": "5m",
    "analysis": {"interval": "1s", "decide_within": "2m"},
}
EDGE = {"response_timeout": "5s"}
# Within the pauses: a fault that comes when the release has all of the traffic has nothing to be compared with.
LATEST_ONSET = 6.0


def faults():
    """Of each kind some at once and some later."""
    chance = random.Random(SEED)
    kinds = [
        ("errors 5 %", lambda: {"SPECIMEN_FAULT_ERRORS": 0.05}),
        ("1.5x slower", lambda: {"SPECIMEN_FAULT_SLOWER": 1.5}),
        ("2x slower", lambda: {"SPECIMEN_FAULT_SLOWER": 2}),
        ("hangs", lambda: {"SPECIMEN_FAULT_HANG": chance.choice([0.2, 0.9])}),
        ("crashes", lambda: {"SPECIMEN_FAULT_CRASH_S": round(chance.uniform(0, 4), 1)}),
    ]
    for n in range(BAD):
        kind, variables = kinds[n % len(kinds)]
        onset = 0 if n // len(kinds) % 2 == 0 else round(chance.uniform(1, LATEST_ONSET), 1)
        yield {"name": f"bad {n + 1}", "kind": kind, "onset_s": onset,
               "faults": {"SPECIMEN_ONSET_S": onset, **variables()}}  # fmt: skip


def main():
    bin_dir = release(*PACKAGES)
    good = [{"name": f"good {n + 1}", "kind": "same", "faults": {}} for n in range(GOOD)]
    notes = Notes("for-real")

    def work(todo):
        with Specimens(bin_dir, ROLLOUT, BEHAVIOUR, EDGE) as project:
            project.first()
            for one in todo:
                result = {**one, **project.roll_out(RPS, **one["faults"])}
                say(f"{one['name']} ({one['kind']}): exit {result['exit']}, verdict after "
                    f"{result['verdict_after_s']} s, promoted after {result['promoted_after_s']} s, last answer "
                    f"{result['last_answer_after_verdict_s']} s after the verdict")  # fmt: skip
                if result["exit"] == 8:
                    project.ok("rollout", "abort", "development")
                yield result

    good = side_by_side(PARALLEL, good, notes, work)
    bad = side_by_side(PARALLEL, list(faults()), notes, work)
    back = [one for one in good if one["exit"] == 5]
    promoted = [one for one in good if one["exit"] == 0]
    turned = [one for one in bad if one["exit"] == 5]
    last = [one["last_answer_after_verdict_s"] for one in turned]
    seen = [one for one in last if one is not None]
    seconds = [one["promoted_after_s"] for one in promoted]
    checks = {
        "false_rollbacks": len(back) <= 2,
        "all_good_ones_decided": len(back) + len(promoted) == GOOD,
        "all_bad_ones_turned_back": len(turned) == BAD,
        # Of each the client has to have had answers before.
        "traffic_back": 0 < len(seen) == len(last) and max(seen) <= 5.0,
    }
    by_kind = {}
    for one in bad:
        by_kind.setdefault(one["kind"], []).append(one["verdict_after_s"] if one["exit"] == 5 else None)
    finish(
        "Canaries for real",
        f"the same binary deployed {GOOD} times as a canary under real load: <= 2 rollbacks; {BAD} releases with a "
        "fault injected by the component: all turned back, traffic fully on the old one <= 5 s after the verdict",
        all(checks.values()),
        {"checks": checks, "false_rollbacks": len(back), "promoted": len(promoted),
         "promotion_p50_s": percentile(seconds, 0.5) if seconds else None,
         "bad_turned_back": len(turned), "last_answer_after_verdict_max_s": max(seen, default=None),
         "verdict_after_s_by_kind": by_kind, "load_rps": RPS, "side_by_side": PARALLEL,
         "good": good, "bad": bad},
    )  # fmt: skip


if __name__ == "__main__":
    main()
