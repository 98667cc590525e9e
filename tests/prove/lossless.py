"""What the figures about lost requests share: constant load from a client that never retries, and what
must hold of it afterwards.

Knows no event that happens meanwhile.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

# No run goes on for longer, whatever happens.
LONGEST_SECONDS = 7200


class Load:
    """The load client: until it is told to stop, or until it has sent so many requests."""

    def __init__(self, program, port, seed=1, requests=None, words=()):
        bound = ["--requests", str(requests)] if requests else ["--seconds", str(LONGEST_SECONDS)]
        self.child = subprocess.Popen(
            [program, "--url", f"http://127.0.0.1:{port}", *bound, "--seed", str(seed), "--json",
             *map(str, words)],
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


def memories(program, port, seed, requests=None):
    """Load on the bundled service: half of it POSTs with a key of their own, and 100 streams."""
    words = ["--h1-connections", 12, "--h2-connections", 4, "--streams", 100,
             "--post-fraction", 0.5, "--verify"]  # fmt: skip
    return Load(program, port, seed, requests, words)


def pid_of(project, role):
    """The process of a project that plays this role."""
    for pid, _ in project.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"__{role}".encode() in words:
            return pid
    return None


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


def judge(batches, requests, wrongly_ended):
    """Sums and checks over all load together; `wrongly_ended` finds the streams of a report that ended
    though no drain rule ended them."""
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
        "streams_ended_while_serving": sum(len(wrongly_ended(report)) for report in reports),
        "acknowledged": sum(seen["acknowledged"] for seen in verified),
        "exactly_once": sum(seen["exactly_once"] for seen in verified),
        "duplicated": sum(seen["duplicated"] + seen["unacknowledged_duplicated"] for seen in verified),
        "revisions": len({name for report in reports for name in report["revisions"]}),
    }
    checks = {
        "no_request_failed": sums["failed"] == 0,
        "requests": sums["requests"] >= requests,
        "half_are_posts": sums["posts"] * 2.2 > sums["requests"],
        "each_post_exactly_once": sums["exactly_once"] == sums["acknowledged"] > 0
        and sums["duplicated"] == 0,
        "streams_end_only_by_drain": sums["streams_refused"] == 0
        and sums["streams_ended_while_serving"] == 0,
    }
    return sums, checks
