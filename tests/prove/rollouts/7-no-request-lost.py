#!/usr/bin/env python3
"""Figure 7: the load of the local area's figure 2, with canaries: steps, gates, a judge, pauses, promotions,
aborts, rollbacks, a newer release in the middle, and drivers and supervisors that are killed.

A stream may end only when its revision had no traffic for a while. EVENTS and REQUESTS bound the run
(defaults: 60 and 1,000,000).
"""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from terminals import Rollout, status, until_over, weights  # noqa: E402
from lossless import in_flight, judge, memories, pid_of  # noqa: E402
from harness import SEED, Project, finish, release, say, until  # noqa: E402

EVENTS = int(os.environ.get("EVENTS", "60"))
REQUESTS = int(os.environ.get("REQUESTS", "1000000"))
DRAIN_SECONDS = 3
SETTINGS = [
    "rollout.strategy=canary", "rollout.watch=300ms", "rollout.deadline=10m",
    f"components.api.drain={DRAIN_SECONDS}s", "components.worker.drain=1s",
]  # fmt: skip
QUICK = ("rollout.steps=[{weight: 10, pause: 1s, analysis: false}, {weight: 50, pause: 1s, analysis: false}, "
         "{weight: 90, analysis: false}]")  # fmt: skip
HELD = ("rollout.steps=[{weight: 5, pause: 2m, analysis: false}, {weight: 50, pause: 2m, analysis: false}, "
        "{weight: 80, pause: 2m, analysis: false}]")  # fmt: skip
GATED = "rollout.steps=[{weight: 20, gate: true, analysis: false}]"
JUDGED = "rollout.steps=[{weight: 20}, {weight: 50}]"
# A burst of load on two cores makes both sides slow, each at its own moments: what is
# measured here is what is lost, and latency is left out of the judge's business.
ANALYSIS = ["rollout.analysis.interval=1s", "rollout.analysis.latency.judged=false",
            "rollout.analysis.decide_within=1m"]  # fmt: skip
STEPS = 3


def settings_of(n):
    return [f"components.api.env.NEUROCA_MEMORY_WORKING_SIZE={100 + n}"]


def promote(project, *flags):
    project.ok("rollout", "promote", "development", *flags)


def steps_by_themselves(project, n, chance):
    worker = [f"components.worker.env.NEUROCA_MEMORY_WORKING_SIZE={n}"] if chance.random() < 0.5 else []
    project.apply(*settings_of(n), *worker, QUICK)


def judged(project, n, chance):
    Rollout(project, [*settings_of(n), JUDGED, *ANALYSIS]).ends(0)


def promoted_by_hand(project, n, chance):
    rollout = Rollout(project, [*settings_of(n), HELD])
    for step in range(STEPS):
        rollout.at_step(step)
        promote(project)
    rollout.ends(0)


def promoted_in_full(project, n, chance):
    rollout = Rollout(project, [*settings_of(n), HELD])
    rollout.at_step(0)
    promote(project, "--full")
    rollout.ends(0)


def held_at(project, n, step):
    """A canary that holds at a step until somebody says something."""
    rollout = Rollout(project, [*settings_of(n), HELD])
    for before in range(step):
        rollout.at_step(before)
        promote(project)
    rollout.at_step(step)
    time.sleep(0.5)
    return rollout


def aborted(project, n, chance):
    rollout = held_at(project, n, chance.randrange(STEPS))
    project.ok("rollout", "abort", "development")
    rollout.ends(8)


def rolled_back_midway(project, n, chance):
    rollout = held_at(project, n, chance.randrange(STEPS))
    project.ok("rollback", "development", "-y")
    rollout.ends(8)


def rolled_back_after(project, n, chance):
    project.apply(*settings_of(n), QUICK)
    project.ok("rollback", "development", "-y")


def paused(project, n, chance):
    rollout = held_at(project, n, chance.randrange(STEPS))
    project.ok("rollout", "pause", "development")
    time.sleep(1)
    project.ok("rollout", "resume", "development")
    promote(project, "--full")
    rollout.ends(0)


def superseded(project, n, chance):
    rollout = held_at(project, n, chance.randrange(STEPS))
    project.ok("apply", "development", "-y", "--supersede", *project.sets(*settings_of(n + 5000), QUICK))
    rollout.ends(8)


def gate(project, n, chance):
    Rollout(project, [*settings_of(n), GATED]).ends(8)
    until("a driver", lambda: status(project).get("driver"))
    promote(project)
    until_over(project)


def driver_killed(project, n, chance):
    """In the middle of a canary; the same command goes on."""
    step = chance.randrange(STEPS)
    held_at(project, n, step).kill()
    time.sleep(chance.random())
    again = Rollout(project, [*settings_of(n), HELD])
    again.at_step(step)
    promote(project, "--full")
    again.ends(0)


def driver_killed_anywhere(project, n, chance):
    """At a moment that nobody chose."""
    rollout = Rollout(project, [*settings_of(n), QUICK])
    time.sleep(chance.uniform(0.1, 3.0))
    rollout.kill()
    Rollout(project, [*settings_of(n), QUICK]).ends(0)


def driver_left_dead(project, n, chance):
    """For so long that the old release has to get everything back; then it goes on, or is turned back."""
    step = chance.randrange(STEPS)
    held_at(project, n, step).kill()
    until("the old release to have all traffic", lambda: all_on_one(project), 20)
    if chance.random() < 0.5:
        again = Rollout(project, [*settings_of(n), HELD])
        again.at_step(step)
        promote(project, "--full")
        again.ends(0)
    else:
        project.run("rollout", "abort", "development")
        until_over(project)


def all_on_one(project):
    shares = weights(project)
    return shares is not None and sum(weight > 0 for weight in shares.values()) == 1


def supervisor_killed(project, n, chance):
    rollout = held_at(project, n, chance.randrange(STEPS))
    killed = pid_of(project, "supervisor")
    os.kill(killed, signal.SIGKILL)
    until("a new supervisor", lambda: pid_of(project, "supervisor") not in (None, killed))
    promote(project, "--full")
    rollout.ends(0)


def upgraded(project, n, chance):
    rollout = held_at(project, n, chance.randrange(STEPS))
    project.ok("local", "upgrade", "development")
    promote(project, "--full")
    rollout.ends(0)


KINDS = [steps_by_themselves, judged, promoted_by_hand, promoted_in_full, aborted, rolled_back_midway,
         rolled_back_after, paused, superseded, gate, driver_killed, driver_killed_anywhere,
         driver_left_dead, supervisor_killed, upgraded]  # fmt: skip


class Timeline(threading.Thread):
    """Who had traffic when, by looking again and again."""

    def __init__(self, project):
        super().__init__(daemon=True)
        self.project, self.over, self.looks = project, threading.Event(), []

    def run(self):
        while not self.over.wait(0.2):
            shares = weights(self.project)
            if shares is not None:
                self.looks.append((time.time() * 1000, {name for name, weight in shares.items() if weight > 0}))

    def stop(self):
        self.over.set()
        self.join()

    def wrongly_ended(self, report):
        """Streams that ended while their revision had traffic, or had had some a moment before: a drain
        limit has to pass first."""
        margin_ms = (DRAIN_SECONDS - 1) * 1000

        def had_traffic(end):
            at = report["started_unix_ms"] + end["ended_ms"]
            return any(
                end["revision"] in serving for seen, serving in self.looks if at - margin_ms <= seen <= at
            )

        return [end for end in report["streams"]["endings"] if had_traffic(end)]


def under_load(project, load, done, chance, enough):
    """Events, one after another, until there are enough or the load has ended."""
    while not enough() and load.running():
        kind = KINDS[len(done)] if len(done) < len(KINDS) else chance.choice(KINDS)
        busy = in_flight(project)
        began = time.monotonic()
        try:
            kind(project, len(done) + 1, chance)
        except RuntimeError as error:
            if load.running():
                raise
            # A canary without requests is not judged, and that is as it should be.
            say(f"{kind.__name__} had no more load: {error}")
            return
        name = kind.__name__.replace("_", " ")
        done.append({"event": name, "in_flight": busy, "under_load": load.running(),
                     "seconds": round(time.monotonic() - began, 1)})  # fmt: skip
        say(f"event {len(done)}: {name}, {busy} requests in flight, {done[-1]['seconds']} s")


def main():
    chance = random.Random(SEED)
    bin_dir = release("neuroca-deploy", "neuroca-service", "neuroca-load")
    done, batches = [], []
    with Project(bin_dir, settings=SETTINGS) as project:
        # A driver that nobody waits for may need a moment to give the lock back.
        project.environ["NEUROCA_DEPLOY_LOCK_TIMEOUT"] = "5s"
        project.apply(QUICK)
        project.apply(*settings_of(0), QUICK)
        timeline = Timeline(project)
        timeline.start()
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
            timeline.stop()
            if load.running():
                load.child.kill()
    sums, checks = judge(batches, REQUESTS, timeline.wrongly_ended)
    counted = [one for one in done if one["under_load"]]
    checks["events_under_load"] = len(counted) >= EVENTS
    checks["events_with_requests_in_flight"] = sum(one["in_flight"] > 0 for one in counted) >= min(
        10, EVENTS
    )
    for batch in batches:
        batch["report"]["streams"]["endings"] = batch["report"]["streams"]["endings"][:20]
        batch["report"]["changes"] = batch["report"]["changes"][:20]
    finish(
        "No request lost with canaries",
        f"0 failed of >= {REQUESTS} requests under constant load across {EVENTS} canaries that are promoted, "
        "judged, gated, paused, aborted, rolled back, superseded, and whose drivers and supervisors are killed; "
        "half of them POSTs, each of which exists exactly once; 100 streams that end only by the drain rule",
        all(checks.values()),
        {"checks": checks, "sums": sums, "events": done, "load": batches},
    )


if __name__ == "__main__":
    main()
