#!/usr/bin/env python3
"""Figure 1: the whole way of a project on a real cluster, under the Role that `neuroca-deploy rbac` prints and nothing else.

The NCA service is deployed, its pods serve through the gateway; a canary is judged by the pods' own counters and promoted;
a bad build is judged and turned back; `rollback`; `destroy`. What the gateway noted in its own log proves the weights of each
step: which pod it sent each request to.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import Client, OnPods, Pods, sets  # noqa: E402
from harness import finish, release, say, until  # noqa: E402

STEPS = [{"weight": 10, "pause": "6s"}, {"weight": 50, "pause": "6s"}]
SHARE = "neuroca-deploy/revision"
SELECTED = 'route!~"/health.*|/metrics"'


def environment():
    service = {
        "artifact": "bundled", "drain": "2s",
        "env": {"NEUROCA_DB_URL": "sqlite://${data_dir}/nca.db", "NEUROCA_LOG_LEVEL": "warning"},
        "secrets": {"NEUROCA_SECRET_KEY": "file:key"},
        "kubernetes": {"image": "cluster.test/neuroca:1", "cpu": "20m", "memory": "64MiB"},
    }  # fmt: skip
    api = {**service, "command": ["./neuroca", "serve"], "migrate": ["./neuroca", "migrate"], "replicas": 2,
           "health": {"path": "/health/ready", "interval": "1s"}}  # fmt: skip
    worker = {**service, "command": ["./neuroca", "worker"], "port": False}
    scrape = {
        "interval": "1s",
        "requests": f"neuroca_http_requests_total{{{SELECTED}}}",
        "errors": f'neuroca_http_requests_total{{{SELECTED},status=~"5.."}}',
        "latency": f"neuroca_http_request_duration_seconds_bucket{{{SELECTED}}}",
    }
    rollout = {"strategy": "canary", "steps": STEPS, "watch": "3s", "analysis": {"scrape": scrape}}
    return rollout, {"api": api, "worker": worker}


class Steps:
    """Which split was in force when, and which address is which revision's, as the cluster tells."""

    def __init__(self, on):
        self.on, self.over = on, threading.Event()
        self.splits, self.addresses = [], {}
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.over.wait(0.3):
            for pod in self.on.pods.objects(self.on.namespace, "pods"):
                address = pod["status"].get("podIP")
                if address and SHARE in pod["metadata"]["labels"]:
                    self.addresses[address] = pod["metadata"]["labels"][SHARE]
            observed = self.on.status()["observed"]["traffic"]
            if observed:
                split = {share["revision"]: share["weight"] for share in observed["shares"]["api"]}
                self.splits.append((time.time(), split))

    def end(self):
        self.over.set()
        self.thread.join()

    def stretches(self):
        """(from, to, split) for as long as one split was seen to be in force without a break."""
        found = []
        for at, split in self.splits:
            if found and found[-1][2] == split:
                found[-1][1] = at
            else:
                found.append([at, at, split])
        return [tuple(one) for one in found if one[1] > one[0]]


def proved(on, steps):
    """For each stretch with a split, the shares that the gateway's log shows."""
    log, told = on.pods.access_log(on.host), []
    for begin, end, split in steps.stretches():
        counts = {}
        for at, address, _ in log:
            if begin <= at <= end and address in steps.addresses:
                revision = steps.addresses[address]
                counts[revision] = counts.get(revision, 0) + 1
        total = sum(counts.values())
        if total < 100:
            continue
        shares = {name: round(100 * counts.get(name, 0) / total, 2) for name in {*split, *counts}}
        # Four standard deviations of so many independent requests, and no less than a percent.
        allowed = {name: max(1.0, 4 * (max(w, 1) * (100 - w) / total) ** 0.5) for name, w in split.items()}
        good = set(counts) <= set(split) and all(abs(shares[n] - w) <= allowed[n] for n, w in split.items())
        told.append({"asked": split, "seen": shares, "requests": total, "good": good})
    return told


def weights_of(told):
    return {weight for one in told for weight in one["asked"].values()}


def under_traffic(on, work):
    with Client(on, threads=4, pause=0.004, path="/version") as client:
        steps = Steps(on)
        time.sleep(1)
        try:
            done = work()
            time.sleep(1)
        finally:
            steps.end()
    return done, client, proved(on, steps)


def main():
    bin_dir = Path(os.environ["BIN"]) if "BIN" in os.environ else release("neuroca-deploy", "neuroca-service", "neuroca-specimen")
    rollout, components = environment()
    checks, told, failed = {}, {}, []
    with Pods("f1", bin_dir) as pods, OnPods(
        pods, bin_dir / "neuroca-deploy", "journey", rollout, None, components, {"key": "k" * 43}
    ) as on:
        (on.dir / "key").chmod(0o600)
        may = on.kubectl("auth", "can-i", "create", "namespaces").stdout.strip()
        checks["the account is no administrator"] = may == "no" and "deployer" in on.environ["KUBECONFIG"]
        on.ok("apply", "staging", "-y")
        seen = pods.objects(on.namespace, "pods", "app.kubernetes.io/component=serving")
        ready = [c["status"] for pod in seen for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        checks["pods are ready"] = ready == ["True"] * 3
        say(pods.kubectl("-n", on.namespace, "get", "pods,httproutes"))

        good = sets("components.api.env.NEUROCA_MEMORY_WORKING_SIZE=120", "components.worker.env.NEUROCA_MEMORY_WORKING_SIZE=120")
        done, client, told["promoted"] = under_traffic(on, lambda: on.run("--json", "apply", "staging", "-y", *good))
        failed += client.failed()
        checks["a canary is judged and promoted"] = done.returncode == 0 and weights_of(told["promoted"]) >= {10, 50, 100}
        say("promoted", done.returncode, told["promoted"], done.stderr[-400:])

        bad = sets(
            "components.api.kubernetes.image=cluster.test/specimen:1", "components.api.command=[./specimen]",
            "components.api.env={SPECIMEN_HOST: 0.0.0.0, SPECIMEN_METRICS: neuroca_http, SPECIMEN_ERRORS: '0.3'}",
            "components.api.migrate=[./specimen, --version]", "components.api.secrets={}",
        )  # fmt: skip
        done, client, told["turned back"] = under_traffic(on, lambda: on.run("apply", "staging", "-y", *bad))
        answers = client.shares()
        checks["a bad build is judged and turned back"] = done.returncode == 5 and "errors" in done.stdout + done.stderr
        checks["it never got more than its step"] = weights_of(told["turned back"]) <= {10, 90, 100}
        say("bad", done.returncode, told["turned back"], (done.stdout + done.stderr)[-600:], answers)
        verdict = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line][-3:]

        done, client, told["rollback"] = under_traffic(on, lambda: on.run("rollback", "staging", "-y"))
        failed += client.failed()
        checks["rollback"] = done.returncode == 0
        say("rollback", done.returncode, done.stderr[-300:])
        checks["the gateway's log proves the weights"] = all(one["good"] for part in told.values() for one in part)
        on.ok("destroy", "staging", "-y")
        on.ok("destroy", "staging", "-y", "--purge")
        kinds = "deployments,services,httproutes,secrets,leases,jobs,persistentvolumeclaims"

        def what_is_left():
            return pods.kubectl("-n", on.namespace, "get", kinds, "-l", "app.kubernetes.io/managed-by=neuroca-deploy", "-o", "name")

        # A claim goes once the pods have ended that use it.
        try:
            until("the end of all objects", lambda: not what_is_left().strip(), 60)
        except TimeoutError:
            say("left:", what_is_left())
        left = what_is_left()
        checks["nothing is left"] = left.strip() == ""
    checks["no request failed but those of the bad build"] = not failed
    finish(
        "The journey on a real cluster",
        "Under the rendered Role: deployed, pods ready, traffic, a canary judged and promoted, a bad build judged and turned back, `rollback`, "
        "`destroy`; the gateway's access log proves the weights",
        all(checks.values()),
        {
            "build": os.environ.get("BUILD", "release"), "load_of_the_machine": os.getloadavg()[1],
            "checks": checks, "steps": told, "verdict_on_the_bad_build": verdict, "answers_during_it": answers,
            "counts_from": "the pods' own /metrics, through the API server", "left": left.split(),
            "failed": [one[3] for one in failed],
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
