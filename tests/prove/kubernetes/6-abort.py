#!/usr/bin/env python3
"""Figure 6: how long `rollout abort`, given from another machine, takes at each step of a canary on real pods until no
client of the gateway is answered by the new release any more; and `rollback` after a release that is in force, while the
old one is warm.

ROUNDS bounds the run (default: 14: an abort at each place, and as many rollbacks while warm).
"""

import json
import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import Client, OnPods, Pods, sets  # noqa: E402
from harness import finish, percentile, release, say, scratch, until  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "14"))
WEIGHTS = [5, 25, 50, 75]
GATES = [{"weight": weight, "gate": True, "analysis": False} for weight in WEIGHTS]
# Where the rollout is, in turn: starting its pods; at each step, with a process that nobody sees at its gate; paused; with
# all of the traffic.
PLACES = ["starting", "step 0", "step 1", "step 2", "step 3", "paused", "watching"]


def phase(on):
    seen = on.rollout()
    return seen["phase"] if seen["running"] else None


def reach(on, place, version):
    """Starts a release and brings it there; gives the command where it is still in the foreground."""
    word = f"components.web.env.SPECIMEN_VERSION={version}"
    command = on.start("apply", "staging", "-y", *sets(word))
    if place == "starting":
        until("the start of pods", lambda: phase(on) in ("preparing", "starting"), 60)
        return command
    # It ends at the first gate with 8, and a process of its own goes on.
    if command.wait() != 8:
        raise RuntimeError(f"apply ended with {command.returncode}: {command.stderr.read()}")
    step = {"paused": 2, "watching": len(WEIGHTS)}.get(place, int(place[-1]) if place[-1].isdigit() else 0)
    for n in range(step):
        until(f"step {n}", lambda n=n: phase(on) == {"holding": n}, 60)
        on.ok("rollout", "promote", "staging")
    if place == "watching":
        until("all of the traffic", lambda: phase(on) == "watching", 60)
    else:
        until(f"step {step}", lambda: phase(on) == {"holding": step}, 60)
    if place == "paused":
        on.ok("rollout", "pause", "staging")
    return None


def until_over(on):
    until("the end of the rollout", lambda: not on.rollout()["running"], 120)


def aborted(on, place, version):
    with Client(on) as client:
        command = reach(on, place, version)
        # Long enough for some answers at the smallest weight.
        time.sleep(1.5)
        asked = time.time()
        on.ok("rollout", "abort", "staging", machine="there")
        if command:
            command.communicate(timeout=120)
        until_over(on)
        time.sleep(0.5)
    return seen(client, asked, version, {"word": "abort", "place": place})


def gone_back(on, version, before):
    """A release that is in force, then `rollback` to the one before, which is warm."""
    instant = ["rollout.steps=[]", "rollout.strategy=blue_green", "rollout.watch=0s"]
    on.ok("apply", "staging", "-y", *sets(f"components.web.env.SPECIMEN_VERSION={version}", *instant))
    with Client(on) as client:
        time.sleep(1)
        asked = time.time()
        on.ok("rollback", "staging", "-y", machine="there")
        time.sleep(0.5)
    told = seen(client, asked, version, {"word": "rollback", "place": "in force"})
    if before not in client.shares():
        raise RuntimeError(f"nobody was answered by the old release: {client.shares()}")
    return told


def seen(client, asked, version, told):
    last = client.last_of(version)
    took = max(0.0, last - asked) if last else 0.0
    told |= {"took_s": round(took, 3), "requests": len(client.answers), "failed": [a[3] for a in client.failed()]}
    return told | {"answered_by_it": client.shares().get(version, 0)}


def main():
    bin_dir = Path(os.environ["BIN"]) if "BIN" in os.environ else release("neuroca-deploy", "neuroca-service", "neuroca-specimen")
    notes = scratch("rounds")
    rounds = []
    rollout = {"strategy": "canary", "steps": GATES, "watch": "10m", "deadline": "2h"}
    first = ["rollout.steps=[]", "rollout.strategy=blue_green", "rollout.watch=0s"]
    with Pods("f6", bin_dir) as pods, OnPods(pods, bin_dir / "neuroca-deploy", "abort", rollout, {}) as on:
        on.ok("apply", "staging", "-y", *sets("components.web.env.SPECIMEN_VERSION=old", *first))
        for n in range(ROUNDS):
            file = notes / f"{n}.json"
            if not file.exists():
                place = PLACES[n // 2 % len(PLACES)]
                told = gone_back(on, f"r-{n}", "old") if n % 2 else aborted(on, place, f"r-{n}")
                file.write_text(json.dumps(told))
                say(f"{n + 1}/{ROUNDS}", json.dumps(told))
            rounds.append(json.loads(file.read_text()))
    abort = [one["took_s"] for one in rounds if one["word"] == "abort"]
    back = [one["took_s"] for one in rounds if one["word"] == "rollback"]
    failed = sum(len(one["failed"]) for one in rounds)
    reached = {one["place"] for one in rounds if one["word"] == "abort" and (one["answered_by_it"] or one["place"] == "starting")}
    finish(
        "Abort and rollback on Kubernetes",
        "`rollout abort` from any step of a canary: traffic back <= 5 s; `rollback` while the old release is warm: <= 3 s to the last wrong "
        "answer; both measured at a client of the gateway",
        max(abort) <= 5 and max(back) <= 3 and not failed and reached == set(PLACES),
        {
            "build": os.environ.get("BUILD", "release"), "load_of_the_machine": os.getloadavg()[1],
            "abort_p50_s": percentile(abort, 0.5), "abort_max_s": max(abort), "rollback_p50_s": percentile(back, 0.5),
            "rollback_max_s": max(back), "requests": sum(one["requests"] for one in rounds), "failed": failed,
            "rounds": rounds,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
