#!/usr/bin/env python3
"""Figure 3: constant load through the gateway, keep-alive and HTTP/2, from a client that never retries, over mixed events:
a release judged step by step and promoted, aborted, gone back from, superseded, one that changes configuration alone, pods that
are evicted, and the API server killed and started again in the middle of a shift.

REQUESTS (default: 1,000,000) and EVENTS (default: 30) bound the run; RATE is what the machine can do beside the cluster.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import OnPods, Pods, sets  # noqa: E402
from harness import finish, release, say, until  # noqa: E402
from lossless import Load  # noqa: E402

REQUESTS = int(os.environ.get("REQUESTS", "1000000"))
EVENTS = int(os.environ.get("EVENTS", "30"))
RATE = float(os.environ.get("RATE", "800"))
GATES = [{"weight": weight, "gate": True, "analysis": False} for weight in (20, 60)]
AT_ONCE = ["rollout.steps=[]", "rollout.strategy=blue_green"]


class Events:
    """What happens, in turn; each one leaves a release in force and nothing running."""

    KINDS = ["promote", "abort", "config only", "rollback", "supersede", "evict", "restart of the API server"]

    def __init__(self, on):
        self.on, self.released, self.done = on, 0, []

    def next(self):
        self.released += 1
        return f"components.web.env.SPECIMEN_VERSION=v{self.released}"

    def run(self, kind):
        began = time.time()
        getattr(self, kind.replace(" ", "_"))()
        until("the end of the rollout", lambda: not self.on.rollout()["running"], 180)
        self.done.append({"event": kind, "took_s": round(time.time() - began, 1)})
        say(f"{len(self.done)}/{EVENTS}", json.dumps(self.done[-1]))

    def at_gate(self, step):
        def there():
            seen = self.on.rollout()
            return seen["running"] and seen["phase"] == {"holding": step}

        until(f"step {step}", there, 120)

    def canary(self):
        """A release at its first gate, with a process that nobody sees."""
        self.on.ok("apply", "staging", "-y", *sets(self.next()), expect=8)
        self.at_gate(0)
        time.sleep(1)

    def promote(self):
        self.canary()
        self.on.ok("rollout", "promote", "staging")
        self.at_gate(1)
        time.sleep(1)
        self.on.ok("rollout", "promote", "staging")

    def abort(self):
        self.canary()
        self.on.ok("rollout", "abort", "staging")

    def config_only(self):
        # Nothing of the program changes, only a value.
        self.on.ok("apply", "staging", "-y", *sets(self.next(), *AT_ONCE))

    def rollback(self):
        self.on.ok("rollback", "staging", "-y")

    def supersede(self):
        self.canary()
        self.on.ok("apply", "staging", "-y", "--supersede", *sets(self.next(), *AT_ONCE))

    def evict(self):
        """One pod after the other, by the API that a drain of a node uses; between two there are two ready ones."""
        namespace = self.on.namespace
        for pod in self.serving():
            name = pod["metadata"]["name"]
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
            path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
            self.on.pods.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
            until("another pod", lambda: len(self.ready()) >= 2 and name not in self.ready(), 120)

    def restart_of_the_API_server(self):
        self.canary()
        server = self.on.pods.pid_of("kube-apiserver")
        words = Path(f"/proc/{server}/cmdline").read_text().split("\0")[:-1]
        os.kill(server, 9)
        promoting = self.on.start("rollout", "promote", "staging", "--full")
        time.sleep(2)
        self.on.pods.start_again("kube-apiserver", words)
        until("an answer of the API server", lambda: self.on.pods.kubectl("get", "--raw", "/readyz", check=False) == "ok", 120)
        if promoting.wait() != 0:
            # It was asked while nobody answered, and said so.
            self.on.ok("rollout", "promote", "staging", "--full")

    def serving(self):
        weights = self.on.status()["observed"]["traffic"]["shares"]["web"]
        revision = next(share["revision"] for share in weights if share["weight"] == 100)
        found = self.on.pods.objects(self.on.namespace, "pods", f"neuroca-deploy/revision={revision}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self):
        def is_ready(pod):
            return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))

        return [pod["metadata"]["name"] for pod in self.serving() if is_ready(pod)]


def main():
    bin_dir = Path(os.environ["BIN"]) if "BIN" in os.environ else release("neuroca-deploy", "neuroca-service", "neuroca-specimen", "neuroca-load")
    rollout = {"strategy": "canary", "steps": GATES, "watch": "1s", "rollback_window": "1m"}
    with Pods("f3", bin_dir) as pods, OnPods(
        pods, bin_dir / "neuroca-deploy", "lossless", rollout, {"replicas": 2, "drain": "3s"}, any_host=True
    ) as on:
        events = Events(on)
        on.ok("apply", "staging", "-y", *sets(events.next(), *AT_ONCE))
        words = ["--rate", RATE, "--h1-connections", 24, "--h2-connections", 4, "--post-fraction", 0, "--get-path", "/"]
        load = Load(bin_dir / "load", None, words=words, address=pods.gateway)
        began = time.time()
        try:
            while len(events.done) < EVENTS:
                events.run(Events.KINDS[len(events.done) % len(Events.KINDS)])
            while time.time() - began < REQUESTS / RATE and load.running():
                time.sleep(1)
            load.stop()
            report = load.result()["report"]
        finally:
            if load.running():
                load.child.kill()
    finish(
        "No request lost on Kubernetes",
        "0 failed of >= 1,000,000 requests through the gateway over 30 mixed events: promote, abort, rollback, superseding release, "
        "configuration alone, eviction of pods, the API server killed in the middle; keep-alive and HTTP/2",
        report["failed"] == 0 and report["requests"] >= 1_000_000 and len(events.done) >= 30 and report["http2_requests"] > 0,
        {
            "build": os.environ.get("BUILD", "release"), "load_of_the_machine": os.getloadavg()[1],
            "requests": report["requests"], "failed": report["failed"], "failed_by_kind": report["failed_by_kind"],
            "http2_requests": report["http2_requests"], "events": events.done, "rate": RATE,
            "latency_ms": report["latency_ms"], "revisions": len(report["revisions"]),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
