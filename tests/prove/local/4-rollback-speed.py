#!/usr/bin/env python3
"""How long `rollback` takes until the client sees the old revision, and no other, again.

A client on one keep-alive connection asks as fast as it is answered and notes which revision answered.
"""

import http.client
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Project, finish, percentile, release, say  # noqa: E402

ROUNDS = 50


class Client(threading.Thread):
    """Asks on one connection and never again for the same request."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopping, self.seen, self.failed = port, False, [], 0

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stopping:
            try:
                connection.request("GET", "/version")
                answer = connection.getresponse()
                answer.read()
                self.failed += answer.status >= 500
                self.seen.append((time.monotonic(), answer.headers.get("X-NCA-Revision")))
            except OSError:
                self.failed += 1
                connection.close()
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            time.sleep(0.002)

    def stop(self):
        self.stopping = True
        self.join()
        return self.seen, self.failed


def main():
    quick = ["rollout.watch=0ms", "components.api.drain=1s"]
    times, failed, requests = [], 0, 0
    with Project(release("neuroca-deploy", "neuroca-service"), settings=quick) as project:
        project.apply()
        for n in range(ROUNDS):
            project.apply(f"components.api.env.NEUROCA_MEMORY_WORKING_SIZE={100 + n + 1}")
            client = Client(project.port)
            client.start()
            time.sleep(0.1)
            started = time.monotonic()
            project.ok("rollback", "development", "-y")
            seen, lost = client.stop()
            before = [revision for at, revision in seen if at < started][-1]
            last_wrong = max(at for at, revision in seen if revision == before)
            switched = [at for at, revision in seen if revision != before]
            if not switched:
                raise RuntimeError("the client never saw the old revision")
            times.append(max(last_wrong, min(switched)) - started)
            failed += lost
            requests += len(seen)
            say(f"{n + 1}/{ROUNDS}: {times[-1] * 1000:.0f} ms")
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    finish(
        "Speed of going back",
        "rollback without arguments, old revision warm: traffic back <= 1 s (p95 of 50), measured at the client",
        p95 <= 1.0 and failed == 0,
        {"rounds": ROUNDS, "p50_s": round(p50, 3), "p95_s": round(p95, 3), "max_s": round(max(times), 3),
         "requests": requests, "failed": failed},
    )  # fmt: skip


if __name__ == "__main__":
    main()
