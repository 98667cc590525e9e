#!/usr/bin/env python3
"""Figure 9: how long `rollout abort` and `rollback`, given from another terminal, take at each step of a
canary until no client is answered by the new release any more.

Steps are reached by `rollout promote`; some rounds hold at a gate with nobody at the first terminal, some are
paused, some have all of the traffic already. ROUNDS bounds the run (default: 50).
"""

import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from specimens import PACKAGES, Specimens, flow  # noqa: E402
from terminals import Rollout, status, until_over  # noqa: E402
from harness import finish, percentile, release, say, until  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "50"))
RPS = 300
WEIGHTS = [5, 25, 50, 75]
HELD = [{"weight": weight, "pause": "10m", "analysis": False} for weight in WEIGHTS]
GATES = [{"weight": weight, "gate": True, "analysis": False} for weight in WEIGHTS]
STEPS_OF_GATES = [flow(GATES)]
# Where the rollout is, in turn: at each step; at a gate that the first terminal has left; paused; in
# the watch period, with all of the traffic.
PLACES = ["step 0", "step 1", "step 2", "step 3", "gate", "paused", "watching"]


def reach(project, place):
    """Starts a release and brings it there; gives its command, and what it has to end with."""
    rollout = Rollout(project, [*project.next(), *(STEPS_OF_GATES if place == "gate" else [])])
    if place == "gate":
        rollout.ends(8)
        until("a driver", lambda: status(project).get("driver"))
        return rollout, None
    target = {"paused": 2, "watching": None}.get(place, int(place[-1]) if place[-1].isdigit() else None)
    for step in range(len(WEIGHTS)):
        rollout.at_step(step)
        if step == target:
            break
        project.ok("rollout", "promote", "development")
    if place == "watching":
        rollout.until_state("the watch period", lambda state: state["phase"] == "watching")
    if place == "paused":
        project.ok("rollout", "pause", "development")
    return rollout, 8


def main():
    bin_dir = release(*PACKAGES)
    rollout = {"steps": HELD, "watch": "10m", "deadline": "2h", "rollback_window": "5s"}
    behaviour = {"SPECIMEN_P50_MS": 5, "SPECIMEN_SPREAD": 0.5}
    rounds, requests, failed = [], 0, 0
    with Specimens(bin_dir, rollout, behaviour) as project:
        project.first()
        for n in range(ROUNDS):
            place = PLACES[n % len(PLACES)]
            word = ["abort", "rollback"][n // len(PLACES) % 2]
            load = project.load(RPS)
            try:
                command, code = reach(project, place)
                # Long enough for some answers at the smallest weight.
                time.sleep(1)
                asked_ms = time.time() * 1000
                if word == "abort":
                    project.ok("rollout", "abort", "development")
                else:
                    project.ok("rollback", "development", "-y")
                if code is not None:
                    command.ends(code)
                until_over(project)
                time.sleep(0.3)
                load.stop()
                report = load.result()["report"]
            finally:
                if load.running():
                    load.child.kill()
            last_ms = report["started_unix_ms"] + report["revisions"][project.version()]["last_ms"]
            took = max(0.0, last_ms - asked_ms) / 1000
            rounds.append({"place": place, "word": word, "took_s": round(took, 3)})
            requests += report["requests"]
            failed += report["failed"]
            say(f"{n + 1}/{ROUNDS}: {word} at {place}: {took * 1000:.0f} ms, {report['failed']} failed")
    times = [one["took_s"] for one in rounds]
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    finish(
        "Abort and rollback from any step",
        f"`rollout abort` or `rollback` from another terminal at each step of a canary: traffic back <= 2 s "
        f"(p95 of {ROUNDS}), measured at the client",
        p95 <= 2.0,
        {"rounds": rounds, "p50_s": p50, "p95_s": p95, "max_s": max(times), "requests": requests,
         "failed": failed},
    )  # fmt: skip


if __name__ == "__main__":
    main()
