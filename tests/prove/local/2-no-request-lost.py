#!/usr/bin/env python3
"""Figure 2: constant load from a client that never retries, while releases come and go and processes are killed.

Half of the requests are POSTs with a key of their own; each that was acknowledged has to exist exactly
once afterwards. 100 streams are held open; one may end only when its revision does not serve any more.
EVENTS and REQUESTS bound the run (defaults: 50 and 1,000,000).
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import SEED, Project, finish, release, say, until  # noqa: E402
from lossless import ended_while_serving, in_flight, judge, memories, pid_of  # noqa: E402

EVENTS = int(os.environ.get("EVENTS", "50"))
REQUESTS = int(os.environ.get("REQUESTS", "1000000"))
SETTINGS = ["rollout.watch=300ms", "components.api.drain=3s", "components.worker.drain=1s"]
KINDS = ["deploy", "config", "rollback", "supersede", "upgrade", "kill supervisor"]


def settings_of(n):
    return [f"components.api.env.NEUROCA_MEMORY_WORKING_SIZE={100 + n}"]


def event(project, kind, n):
    if kind == "deploy":
        # Another component moves with it.
        project.apply(*settings_of(n), f"components.worker.env.NEUROCA_MEMORY_WORKING_SIZE={n}")
    elif kind == "config":
        project.apply(*settings_of(n))
    elif kind == "rollback":
        project.ok("rollback", "development", "-y")
    elif kind == "supersede":
        slow = subprocess.Popen(
            project.argv("apply", "development", "-y", *project.sets(*settings_of(n), "rollout.watch=5s")),
            env=project.environ, cwd=project.root, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        project.spawned.add(slow.pid)
        time.sleep(1.0)
        project.ok("apply", "development", "-y", "--supersede", *project.sets(*settings_of(n + 1000)))
        slow.wait(timeout=120)
    elif kind == "upgrade":
        project.ok("local", "upgrade", "development")
    elif kind == "kill supervisor":
        killed = pid_of(project, "supervisor")
        os.kill(killed, signal.SIGKILL)
        until("a new supervisor", lambda: pid_of(project, "supervisor") not in (None, killed))


def under_load(project, load, done, chance, enough):
    """Events, one after another, until there are enough or the load has ended."""
    while not enough() and load.running():
        kind = KINDS[len(done)] if len(done) < len(KINDS) else chance.choice(KINDS)
        busy = in_flight(project)
        event(project, kind, len(done) + 1)
        done.append({"event": kind, "in_flight": busy, "under_load": load.running()})
        say(f"event {len(done)}: {kind}, {busy} requests in flight")


def main():
    chance = random.Random(SEED)
    bin_dir = release("neuroca-deploy", "neuroca-service", "neuroca-load")
    done, batches = [], []
    with Project(bin_dir, settings=SETTINGS) as project:
        project.apply()
        project.apply(*settings_of(0))
        load = memories(bin_dir / "load", project.port, SEED)
        try:
            under_load(project, load, done, chance, lambda: len(done) >= EVENTS)
            load.stop()
            batches.append(load.result())
            sent = batches[0]["report"]["requests"]
            say(f"{sent} requests during {len(done)} events")
            if sent < REQUESTS:
                # The rest of the requests, and more events with them.
                load = memories(bin_dir / "load", project.port, SEED + 1, REQUESTS - sent)
                under_load(project, load, done, chance, lambda: False)
                batches.append(load.result())
        finally:
            if load.running():
                load.child.kill()
    sums, checks = judge(batches, REQUESTS, ended_while_serving)
    counted = [one for one in done if one["under_load"]]
    checks["events_under_load"] = len(counted) >= EVENTS
    checks["events_with_requests_in_flight"] = sum(one["in_flight"] > 0 for one in counted) >= min(
        10, EVENTS
    )
    for batch in batches:
        batch["report"]["streams"]["endings"] = batch["report"]["streams"]["endings"][:20]
    finish(
        "No request lost",
        f"0 failed of >= {REQUESTS} requests under constant load across {EVENTS} mixed events; half "
        "of them POSTs, each of which exists exactly once; 100 streams that end only by the drain rule",
        all(checks.values()),
        {"checks": checks, "sums": sums, "events": done, "load": batches},
    )


if __name__ == "__main__":
    main()
