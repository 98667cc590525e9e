#!/usr/bin/env python3
"""Figure 2: constant load from a client that never retries, while releases come and go and processes are killed.

Half of the requests are POSTs with a key of their own; each that was acknowledged has to exist exactly
once afterwards. 100 streams are held open; one may end only when its revision does not serve any more.
EVENTS and REQUESTS bound the run (defaults: 50 and 1,000,000).
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import SEED, Project, finish, release, say, until  # noqa: E402

EVENTS = int(os.environ.get("EVENTS", "50"))
REQUESTS = int(os.environ.get("REQUESTS", "1000000"))
SETTINGS = ["rollout.watch=300ms", "components.api.drain=3s", "components.worker.drain=1s"]
KINDS = ["deploy", "config", "rollback", "supersede", "upgrade", "kill supervisor"]
# No run goes on for longer, whatever happens.
LONGEST_SECONDS = 7200


class Load:
    """The load client: until it is told to stop, or until it has sent so many requests."""

    def __init__(self, program, port, seed, requests=None):
        bound = ["--requests", str(requests)] if requests else ["--seconds", str(LONGEST_SECONDS)]
        self.child = subprocess.Popen(
            [program, "--url", f"http://127.0.0.1:{port}", *bound, "--h1-connections", "12",
             "--h2-connections", "4", "--streams", "100", "--post-fraction", "0.5",
             "--seed", str(seed), "--verify", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sys.stderr,
        )  # fmt: skip
        self.text = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        self.text = self.child.stdout.read()

    def running(self):
        return self.child.poll() is None

    def stop(self):
        self.child.terminate()

    def result(self):
        self.child.wait()
        self.reader.join()
        return json.loads(self.text)


def settings_of(n):
    return [f"components.api.env.NEUROCA_MEMORY_WORKING_SIZE={100 + n}"]


def pid_of(project, role):
    for pid, _ in project.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"__{role}".encode() in words:
            return pid
    return None


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


def in_flight(project):
    """Requests that are being answered right now, over all revisions, as the edge counts them."""
    status = json.loads(project.ok("--json", "status", "development").stdout)
    return sum(seen["in_flight"] for seen in status["observed"]["revisions"].values())


def ended_while_serving(report):
    """Streams that ended though their revision was the one that answered: no drain rule ended those."""
    wrong = []
    for end in report["streams"]["endings"]:
        serving = None
        for change in report["changes"]:
            if change["at_ms"] > end["ended_ms"]:
                break
            serving = change["revision"]
        if serving is not None and serving == end["revision"]:
            wrong.append(end)
    return wrong


def judge(batches):
    """What must hold of all load together."""
    reports = [batch["report"] for batch in batches]
    verified = [batch["verified"] for batch in batches]
    sums = {
        "requests": sum(report["requests"] for report in reports),
        "posts": sum(report["posts"] for report in reports),
        "http2_requests": sum(report["http2_requests"] for report in reports),
        "failed": sum(report["failed"] for report in reports),
        "streams_opened": sum(report["streams"]["opened"] for report in reports),
        "streams_refused": sum(report["streams"]["refused"] for report in reports),
        "streams_ended": sum(
            report["streams"]["ended_clean"] + report["streams"]["ended_broken"] for report in reports
        ),
        "streams_ended_while_serving": sum(len(ended_while_serving(report)) for report in reports),
        "acknowledged": sum(seen["acknowledged"] for seen in verified),
        "exactly_once": sum(seen["exactly_once"] for seen in verified),
        "duplicated": sum(seen["duplicated"] + seen["unacknowledged_duplicated"] for seen in verified),
        "revisions": len({name for report in reports for name in report["revisions"]}),
    }
    checks = {
        "no_request_failed": sums["failed"] == 0,
        "requests": sums["requests"] >= REQUESTS,
        "half_are_posts": sums["posts"] * 2.2 > sums["requests"],
        "each_post_exactly_once": sums["exactly_once"] == sums["acknowledged"] > 0
        and sums["duplicated"] == 0,
        "streams_end_only_by_drain": sums["streams_refused"] == 0
        and sums["streams_ended_while_serving"] == 0,
    }
    return sums, checks


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
        load = Load(bin_dir / "load", project.port, SEED)
        try:
            under_load(project, load, done, chance, lambda: len(done) >= EVENTS)
            load.stop()
            batches.append(load.result())
            sent = batches[0]["report"]["requests"]
            say(f"{sent} requests during {len(done)} events")
            if sent < REQUESTS:
                # The rest of the requests, and more events with them.
                load = Load(bin_dir / "load", project.port, SEED + 1, REQUESTS - sent)
                under_load(project, load, done, chance, lambda: False)
                batches.append(load.result())
        finally:
            if load.running():
                load.child.kill()
    sums, checks = judge(batches)
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
