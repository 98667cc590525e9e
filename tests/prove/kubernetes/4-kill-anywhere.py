#!/usr/bin/env python3
"""Figure 4: SIGKILL of the command before and after every kind of effect, on real pods; another machine goes on.

The kinds are those of `Effect::KINDS` in the core. The binary is built with `kill-points`: a file in the state folder names the
side and the effect, and whoever reaches it kills (or stops) itself. The same command is then given on a machine that has
no state of its own and sees none of the processes of the first; what is in the namespace afterwards, object by object, is
compared with a run that nobody interrupted. Meanwhile a client asks through the gateway.

Then the driver is stopped (SIGSTOP) before every kind of effect, succeeded, and woken up: nothing in the namespace may
change, and the API server itself has to refuse a write with its epoch.

KINDS bounds a try: the kinds to take, with spaces between. PARALLEL: cases side by side.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import Client, OnPods, Pods, decoded, seconds_of, sets  # noqa: E402
from harness import REPO, TARGET_DIR, finish, say, scratch, until  # noqa: E402

# A pod ends its streams itself, so that there is never a stream that the driver has to end.
NOT_HERE = ["end_streams"]
PARALLEL = int(os.environ.get("PARALLEL", "3"))
OURS = "app.kubernetes.io/managed-by=neuroca-deploy"
STATE = "neuroca-deploy/state"
EPOCH = "neuroca-deploy/epoch"


def kinds():
    text = (REPO / "orchestrator/core/src/effect.rs").read_text()
    listed = re.search(r"KINDS: \[&'static str; (\d+)\] = \[(.*?)\];", text, re.S)
    found = re.findall(r'"(\w+)"', listed[2])
    if len(found) != int(listed[1]):
        raise RuntimeError("the effects cannot be read from the core")
    asked = os.environ.get("KINDS", "").split()
    return [kind for kind in found if kind not in NOT_HERE and (not asked or kind in asked)]


def build():
    subprocess.run(
        ["cargo", "build", "--locked", "--release", "--quiet", "-p", "neuroca-deploy", "-p", "neuroca-service",
         "-p", "neuroca-specimen", "--features", "neuroca-deploy/kill-points"],
        cwd=REPO, check=True, stdout=sys.stderr,
    )  # fmt: skip
    return TARGET_DIR / "release"


def own(names, value):
    """Manifests of the user's own."""
    return "".join(
        f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value}}}\n" for name in names
    )


def project(pods, binary, name):
    version = ["./specimen", "--version"]
    hooks = {"pre_deploy": version, "smoke_test": version, "post_deploy": version}
    web = {"hooks": hooks, "migrate": version, "drain": "1s", "secrets": {"TOKEN": "file:token"}}
    # It has no port: one revision at a time.
    worker = {
        "artifact": "none", "command": ["./specimen", "--port", "8000"], "port": False, "drain": "1s",
        "kubernetes": {"image": "cluster.test/specimen:1", "cpu": "10m", "memory": "32MiB"},
    }  # fmt: skip
    files = {"kubernetes/own.yaml": own(["kept", "dropped"], "one"), "token": "t-1"}
    return OnPods(pods, binary, name, {"strategy": "blue_green"}, web, {"worker": worker}, files)


FIRST = sets("components.web.env.SPECIMEN_VERSION=one", "components.worker.env.SPECIMEN_VERSION=one")
SECOND = sets("components.web.env.SPECIMEN_VERSION=two", "components.worker.env.SPECIMEN_VERSION=two")


def first_release(on):
    on.ok("apply", "staging", "-y", *FIRST)
    # What the second one finds: another value, an object that is not there any more, another secret.
    (on.dir / "kubernetes/own.yaml").write_text(own(["kept"], "two"))
    (on.dir / "token").write_text("t-2")


def second_release(on, machine):
    return on.run("apply", "staging", "-y", "--lock-timeout", "30s", *SECOND, machine=machine)


def is_state(made):
    return STATE in (made["metadata"].get("labels") or {})


def end_state(on):
    """All that is in the namespace, without what differs from run to run: names of pods, times, versions."""
    found, kinds = {}, ("configmaps", "deployments", "services", "secrets", "httproutes", "jobs")
    listed = {kind: on.pods.objects(on.namespace, kind, OURS) for kind in kinds}
    # Names of revisions come from a keyed hash of the secrets, and each environment has a key of its own.
    known = {
        made["metadata"]["name"]: f"{made['metadata']['name'].rsplit('-', 1)[0]}-{made['data']['SPECIMEN_VERSION']}"
        for made in listed["configmaps"] if "SPECIMEN_VERSION" in (made.get("data") or {})
    }  # fmt: skip

    def plain(text):
        for name, meant in known.items():
            text = text.replace(name, meant)
        return text

    for kind in kinds:
        for made in listed[kind]:
            name = plain(f"{kind}/{made['metadata']['name']}")
            spec, notes = made.get("spec") or {}, made["metadata"].get("annotations") or {}
            if is_state(made):
                # The head's name and kind, and how many pieces of each kind there are.
                label = f"{kind}/state {made['metadata']['labels'][STATE]}"
                found[label] = found.get(label, 0) + 1
            elif kind == "deployments":
                status = made.get("status") or {}
                warm = "neuroca-deploy/warm-until-ms" in notes
                found[name] = [spec["replicas"], status.get("readyReplicas", 0), warm]
            elif kind == "httproutes":
                rules = spec["rules"]
                backends = [[(plain(ref["name"]), ref.get("weight")) for ref in rule.get("backendRefs", [])] for rule in rules]
                found[name] = [spec["hostnames"] == [on.host], sorted(b for b in backends if b)]
            elif kind == "jobs":
                found[name] = (made.get("status") or {}).get("succeeded")
            elif kind == "secrets":
                found[name] = sorted((key, value.decode()) for key, value in decoded(made).items())
            else:
                pairs = made.get("data") or spec.get("selector") or {}
                found[name] = sorted((key, plain(value)) for key, value in pairs.items())
    history = json.loads(on.ok("--json", "history", "staging", machine="there").stdout)["entries"]
    found["history"] = [entry["outcome"] and entry["outcome"]["outcome"] for entry in history]
    found["open"] = on.rollout()["running"]
    return json.loads(json.dumps(found))


def settled(on, expected):
    """The end state once it is the expected one, or as it is after a while: pods that are told to end take their time."""
    end = time.monotonic() + 20
    while True:
        got = end_state(on)
        if got == expected or time.monotonic() >= end:
            return got
        time.sleep(0.5)


def at_rest(on):
    """The end state of a run that nobody interrupted, once it does not change any more."""
    last = end_state(on)
    while True:
        time.sleep(2)
        now = end_state(on)
        if now == last:
            return now
        last = now


def lease(on):
    return on.pods.objects(on.namespace, "leases", OURS)[0]


def point(on, words):
    (on.dir / "here/specimen/staging/kill-point").write_text(words)


def killed(pods, binary, case, expected):
    when, kind = case
    with project(pods, binary, f"kill-{when}-{kind}".replace("_", "-")) as on:
        first_release(on)
        point(on, f"command {when} {kind}")
        before = int(lease(on)["spec"]["leaseTransitions"])
        with Client(on, threads=1, pause=0.01) as client:
            dead = second_release(on, "here")
            died = time.time()
            again = second_release(on, "there")
            got = settled(on, expected)
        now = lease(on)["spec"]
        # Killed after the last effect, the release is in force: there is nothing that would need the lock.
        took = seconds_of(now["acquireTime"]) - died if int(now["leaseTransitions"]) > before + 1 else None
        fired = dead.returncode == -signal.SIGKILL
        seen = {
            "case": f"{when} {kind}", "fired": fired, "again_exit": again.returncode,
            "converged": got == expected and again.returncode == 0,
            "taken_over_after_s": None if took is None else round(took, 2),
            "requests": len(client.answers), "failed": len(client.failed()),
        }  # fmt: skip
        if not seen["converged"]:
            keys = set(got) | set(expected)
            seen["differs"] = {key: [expected.get(key), got.get(key)] for key in keys if got.get(key) != expected.get(key)}
            seen["told"] = again.stderr[-1500:]
        say(json.dumps(seen))
        return seen


def versions(on):
    """Of every object in the namespace that the tool may write, its version."""
    found = {}
    for kind in ("deployments", "services", "configmaps", "secrets", "httproutes", "jobs", "leases"):
        for made in on.pods.objects(on.namespace, kind, OURS):
            found[f"{kind}/{made['metadata']['name']}"] = made["metadata"]["resourceVersion"]
    return found


def quiet(on):
    """The versions, once nobody has written anything for two seconds."""
    before, since = versions(on), time.monotonic()
    until_s = time.monotonic() + 60
    while time.monotonic() - since < 2 and time.monotonic() < until_s:
        time.sleep(0.25)
        now = versions(on)
        if now != before:
            before, since = now, time.monotonic()
    return before


def refused_by_the_server(on, epoch):
    """Whether the API server refuses a write of this epoch by the same account, and lets the lock's own pass."""

    def write(number):
        made = {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "late", "namespace": on.namespace, "annotations": {EPOCH: str(number)}},
        }  # fmt: skip
        return on.kubectl("apply", "--server-side", "--field-manager", "neuroca-deploy", "-f", "-", stdin=json.dumps(made))

    late = write(epoch)
    in_time = write(int(lease(on)["spec"]["leaseTransitions"]))
    return late.returncode != 0 and "another driver took the lock over" in late.stderr and in_time.returncode == 0


def woken(pods, binary, kind):
    with project(pods, binary, f"wake-{kind}".replace("_", "-")) as on:
        first_release(on)
        point(on, f"command before {kind} stop")
        child = on.start("apply", "staging", "-y", *SECOND)
        try:
            stopped = until_stopped(child)
            stopped_at, epoch = time.time(), int(lease(on)["spec"]["leaseTransitions"])
            again = second_release(on, "there") if stopped else None
            took = seconds_of(lease(on)["spec"]["acquireTime"]) - stopped_at
            before = quiet(on)
            child.send_signal(signal.SIGCONT)
            told = child.communicate(timeout=60)[1]
            after = quiet(on)
            refused = refused_by_the_server(on, epoch)
        finally:
            child.kill()
            child.wait()
        wrote = sorted(name for name in set(before) | set(after) if before.get(name) != after.get(name))
        seen = {
            "stopped_before": kind, "stopped": stopped, "successor_exit": again and again.returncode,
            "taken_over_after_s": round(took, 2), "exit": child.returncode, "wrote": wrote,
            "its_epoch_is_refused_by_the_server": refused, "told": told.strip().splitlines()[-2:],
        }  # fmt: skip
        say(json.dumps(seen))
        return seen


def until_stopped(child):
    """Whether it stopped itself; it may also have come to its end."""

    def state():
        if child.poll() is not None:
            return "ended"
        text = Path(f"/proc/{child.pid}/stat").read_text()
        return text[text.rindex(")") + 2] == "T" and "stopped"

    return until("the driver's stop", state, 120) == "stopped"


def kept(notes, name, work):
    """What an earlier try of this figure has measured, or what `work` gives."""
    file = notes / f"{name}.json"
    if file.exists():
        return json.loads(file.read_text())
    seen = work()
    file.write_text(json.dumps(seen))
    return seen


def main():
    binary = Path(os.environ["BINARY"]) if "BINARY" in os.environ else build() / "neuroca-deploy"
    notes = scratch("cases")
    with Pods("f4", binary.parent) as pods, ThreadPoolExecutor(PARALLEL) as side_by_side:
        with project(pods, binary, "calm") as calm:
            first_release(calm)
            calm.ok("apply", "staging", "-y", *SECOND)
            expected = at_rest(calm)
        deaths = [(when, kind) for kind in kinds() for when in ("before", "after")]
        cases = list(side_by_side.map(
            lambda case: kept(notes, f"kill {case[0]} {case[1]}", lambda: killed(pods, binary, case, expected)), deaths
        ))  # fmt: skip
        sleepers = list(side_by_side.map(
            lambda kind: kept(notes, f"wake {kind}", lambda: woken(pods, binary, kind)), kinds()
        ))  # fmt: skip
    times = [one["taken_over_after_s"] for one in cases + sleepers if one["taken_over_after_s"] is not None]
    checks = {
        "each kind was reached": all(case["fired"] for case in cases) and all(one["stopped"] for one in sleepers),
        "each converged": all(case["converged"] for case in cases),
        "taken over within 15 s": max(times) <= 15,
        "no request failed": not sum(case["failed"] for case in cases),
        "who wakes up writes nothing": not any(one["wrote"] for one in sleepers)
        and all(one["exit"] not in (0, None) for one in sleepers),
        "the server refuses its epoch": all(one["its_epoch_is_refused_by_the_server"] for one in sleepers),
    }
    finish(
        "Kill anywhere, on Kubernetes",
        "SIGKILL before and after every external effect, then the same command on another machine: what an uninterrupted run leaves, "
        "every time; a dead holder's lock taken over in <= 15 s; one that wakes up writes nothing, its epoch refused by the API server",
        all(checks.values()) and "KINDS" not in os.environ,
        {
            "build": os.environ.get("BUILD", "release"), "load_of_the_machine": os.getloadavg()[1],
            "checks": checks, "kinds": kinds(), "not_of_this_target": NOT_HERE, "parallel": PARALLEL,
            "converged": sum(case["converged"] for case in cases), "of": len(cases),
            "takeover_max_s": max(times), "takeover_median_s": sorted(times)[len(times) // 2],
            "requests": sum(case["requests"] for case in cases), "cases": cases, "woken": sleepers,
            "objects_compared": len(expected),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
