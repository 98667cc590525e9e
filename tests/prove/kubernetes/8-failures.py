#!/usr/bin/env python3
"""How long after the cluster knows that something will not become ready does the person who applies it know?

Five causes, each in a component and in a Deployment of the user's own, on a cluster with pods. Watches of pods,
Deployments and events tell when the cluster knew; the moment at which a line of the command arrives tells when the person
did. What the line says is checked too: the cause, the event, and the last lines where a program wrote any.
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cluster import Sealed, say  # noqa: E402
from harness import finish, release  # noqa: E402

LIMIT_SECONDS = 5
IMAGE = "cluster.test/specimen:1"


class Cause:
    """Something that goes wrong, what the cluster shows then, and what a report has to say."""

    def __init__(self, name, says, env=None, image=IMAGE, cpu="10m", path="/health", quota=False, lines=False):
        self.name, self.says, self.env, self.image = name, says, env or {}, image
        self.cpu, self.path, self.quota, self.lines = cpu, path, quota, lines

    def is_known_by(self, kind, made):
        """Whether the object or event shows it."""
        status = made.get("status") or {}
        waiting = [c["state"].get("waiting", {}) for c in status.get("containerStatuses", []) if c.get("state")]
        conditions = status.get("conditions", [])
        return {
            "CrashLoopBackOff": any(w.get("reason") == "CrashLoopBackOff" for w in waiting),
            "image": any(w.get("reason") in ("ErrImagePull", "ImagePullBackOff") for w in waiting),
            "quota": any(c["type"] == "ReplicaFailure" and c["status"] == "True" for c in conditions),
            "unschedulable": any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions),
            "probe": kind == "Event" and made.get("reason") == "Unhealthy",
        }[self.name]


CAUSES = [
    Cause("CrashLoopBackOff", [r"exited with status", r"Back-off restarting"], env={"SPECIMEN_ERRORS": "none"}, lines=True),
    Cause("image", [r"cluster\.test/nowhere:1", r"ErrImagePull|ImagePullBackOff"], image="cluster.test/nowhere:1"),
    Cause("quota", [r"exceeded quota: none"], quota=True),
    Cause("unschedulable", [r"cannot be scheduled", r"Insufficient cpu"], cpu="1000"),
    Cause("probe", [r"(Readiness|Startup) probe failed", r"statuscode: 500"], env={"SPECIMEN_ERRORS": "1"}, path="/nowhere"),
]


def component(cause, namespace):
    """An environment with one component that has the cause."""
    env = {"SPECIMEN_HOST": "0.0.0.0", **cause.env}
    return {
        "project": "failing", "target": "kubernetes",
        "kubernetes": {
            "namespace": namespace,
            "gateway": {"name": "public", "namespace": "gateways", "hosts": [f"{namespace}.example.com"]},
        },
        "components": {
            "web": {
                "artifact": "none", "command": ["./specimen"], "env": env,
                "health": {"path": cause.path, "start_timeout": "40s"},
                "kubernetes": {"image": cause.image, "cpu": cause.cpu, "memory": "32MiB"},
            }
        },
    }  # fmt: skip


def own(namespace):
    return {"project": "failing", "target": "kubernetes", "kubernetes": {"namespace": namespace}, "components": {}}


def deployment(cause):
    """The same as a manifest of the user's own."""
    env = [{"name": name, "value": value} for name, value in {"SPECIMEN_HOST": "0.0.0.0", "PORT": "8000", **cause.env}.items()]
    container = {
        "name": "web", "image": cause.image, "env": env, "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": cause.cpu, "memory": "32Mi"}},
        "readinessProbe": {"httpGet": {"path": cause.path, "port": 8000}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }  # fmt: skip
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "progressDeadlineSeconds": 40, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


class Knowing:
    """When a watch of the namespace first showed the cause."""

    FOLDERS = {
        "Pod": "/api/v1/namespaces/{}/pods",
        "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
        "Event": "/api/v1/namespaces/{}/events",
    }

    def __init__(self, api, namespace, cause):
        self.at, self.cause, self.lock = None, cause, threading.Lock()
        for kind, folder in self.FOLDERS.items():
            path = folder.format(namespace)
            version = api.ask("GET", path)[1]["metadata"]["resourceVersion"]
            threading.Thread(target=self.follow, args=(api, kind, path, version), daemon=True).start()

    def follow(self, api, kind, path, version):
        for event in api.watch(path, version):
            if event["type"] in ("ADDED", "MODIFIED") and self.cause.is_known_by(kind, event["object"]):
                with self.lock:
                    self.at = self.at or time.monotonic()


def followed(stream, lines):
    for line in stream:
        lines.put((time.monotonic(), line.rstrip("\n")))
    lines.put(None)


def measured(cluster, own_project, knowing, cause):
    """Seconds from the cluster's knowledge to the report, seconds to the command's end, and what it lacked."""
    began = time.monotonic()
    child = subprocess.Popen(
        own_project.argv("apply", "staging", "-y"), env=own_project.environ(), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = queue.Queue()
    threading.Thread(target=followed, args=(child.stderr, lines), daemon=True).start()
    text, reported = "", None
    while (line := lines.get(timeout=180)) is not None:
        at, said = line
        text += said + "\n"
        complete = all(re.search(words, text) for words in cause.says) and (not cause.lines or "\n  | " in text)
        if complete and reported is None:
            reported = at
    code = child.wait(timeout=30)
    ended = time.monotonic()
    lacks = [words for words in cause.says if not re.search(words, text)]
    if cause.lines and "\n  | " not in text:
        lacks.append("the last lines of the log")
    if code != 5:
        lacks.append(f"exit 5: it was {code}")
    result = {"known_after": None, "reported_after_known": None, "ended_after_known": None, "exit": code, "lacks": lacks}
    if knowing.at is not None:
        result["known_after"] = round(knowing.at - began, 2)
        result["ended_after_known"] = round(ended - knowing.at, 2)
        if reported is not None:
            result["reported_after_known"] = round(reported - knowing.at, 2)
    say(cause.name, result, "" if not lacks else text[-1500:])
    return result


def main():
    binary = Path(os.environ["BINARY"]) if "BINARY" in os.environ else release("neuroca-deploy") / "neuroca-deploy"
    table = {}
    with Sealed("f8") as cluster:
        for form in ("component", "manifest"):
            for cause in CAUSES:
                namespace = f"f8-{form}-{cause.name}".lower()
                with cluster.project(binary, namespace) as project:
                    api = cluster.api()
                    cluster.kubectl("create", "namespace", namespace)
                    if cause.quota:
                        cluster.kubectl("-n", namespace, "create", "quota", "none", "--hard=pods=0")
                    environment = component(cause, namespace) if form == "component" else own(namespace)
                    (project.dir / "environments" / "staging.yaml").write_text(json.dumps(environment))
                    if form == "manifest":
                        (project.dir / "kubernetes" / "web.yaml").write_text(json.dumps(deployment(cause)))
                    table[f"{form}: {cause.name}"] = measured(cluster, project, Knowing(api, namespace, cause), cause)
                    cluster.kubectl("delete", "namespace", "--wait=false", namespace)
    late = {
        name: row for name, row in table.items()
        if row["lacks"] or row["reported_after_known"] is None or row["reported_after_known"] > LIMIT_SECONDS
    }  # fmt: skip
    finish(
        "Failure reports: from the cluster's knowledge to the person's",
        "each of five causes reported within 5 s, with its event and the last lines of the log, in components and in manifests",
        not late,
        {
            "build": "debug" if "debug" in binary.parts else "release", "load": os.getloadavg(),
            "seconds": table, "late_or_incomplete": sorted(late),
        },
    )


if __name__ == "__main__":
    main()
