#!/usr/bin/env python3
"""The same objects of six kinds through five tools on one API server: first apply, no-op plan, one change, prune.

Helm and kubectl are taken from HELM and KUBECTL or PATH, kapp from PATH; what is missing is said and left out. The floor
is `raw_writer`: the same requests with nothing around them. Tools take turns, each in a namespace of its own.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cluster import ControlPlane, Own, folder_of, manifest, mixed, say  # noqa: E402
from harness import finish, release, scratch  # noqa: E402

SIZES = [int(size) for size in os.environ.get("SIZES", "100,1000,5000").split(",")]
#: How often each size is measured; the median counts.
ROUNDS = {100: 3, 1000: 3}
CHANGED = 0


def timed(argv, plane, stdin=None, expect=(0,)):
    environ = {**os.environ, "KUBECONFIG": plane.kubeconfig}
    began = time.monotonic()
    done = subprocess.run([str(word) for word in argv], env=environ, input=stdin, capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode not in expect:
        raise RuntimeError(f"{argv[:4]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return took


class Tool:
    """A tool in a namespace of its own; `write` says what is wanted next."""

    def __init__(self, plane, binaries, namespace):
        self.plane, self.binaries, self.namespace = plane, binaries, namespace
        self.folder = scratch(f"files-{namespace}")
        plane.kubectl("create", "namespace", namespace)

    def write(self, objects):
        (self.folder / "all.yaml").write_text(manifest(objects))

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Ours(Tool):
    def __init__(self, plane, binaries, namespace):
        super().__init__(plane, binaries, namespace)
        self.own = Own(plane, binaries / "neuroca-deploy", namespace)

    def write(self, objects):
        (self.own.dir / "kubernetes" / "all.yaml").write_text(manifest(objects))

    def first(self, _):
        return timed(self.own.argv("apply", "staging", "-y"), self.plane)

    def noop(self, _):
        return timed(self.own.argv("plan", "staging", "--detailed-exitcode"), self.plane)

    one_change = prune = first

    def close(self):
        self.own.__exit__()
        super().close()


class Raw(Tool):
    def lines(self, objects):
        import json

        paths = [f"{folder_of(made)}/{made['metadata']['name']}" for made in objects]
        return "\n".join(f"{path}\t{json.dumps(made)}" for path, made in zip(paths, objects))

    def call(self, verb, lines):
        return timed([self.binaries / "examples" / "raw_writer", verb], self.plane, stdin=lines)

    def first(self, objects):
        return self.call("apply", self.lines(objects))

    def noop(self, objects):
        return self.call("list", "\n".join(sorted({folder_of(made) for made in objects})))

    def one_change(self, objects):
        return self.call("apply", self.lines(objects[CHANGED : CHANGED + 1]))

    def prune(self, objects):
        gone = mixed(len(objects) * 10 // 9, self.namespace)[len(objects) :]
        return self.call("delete", "\n".join(line.split("\t")[0] for line in self.lines(gone).splitlines()))


class Kubectl(Tool):
    def apply(self, *more):
        words = [os.environ.get("KUBECTL", "kubectl"), "-n", self.namespace]
        words += ["apply", "--server-side", "-f", self.folder / "all.yaml", *more]
        os.environ.setdefault("KUBECTL_APPLYSET", "true")
        return timed(words, self.plane)

    def first(self, _):
        return self.apply("--prune", f"--applyset=configmaps/{self.namespace}-set")

    one_change = prune = first

    def noop(self, _):
        words = [os.environ.get("KUBECTL", "kubectl"), "-n", self.namespace]
        # 1: the labels of its own set differ; it has looked at everything all the same.
        return timed([*words, "diff", "--server-side", "-f", self.folder / "all.yaml"], self.plane, expect=(0, 1))


class Helm(Tool):
    def write(self, objects):
        chart = self.folder / "chart"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: own\nversion: 1.0.0\n")
        (chart / "templates" / "all.yaml").write_text(manifest(objects))

    def upgrade(self, *more):
        words = [os.environ.get("HELM", "helm"), "upgrade", "--install", "own", self.folder / "chart", "-n", self.namespace]
        return timed([*words, *more], self.plane)

    def first(self, _):
        return self.upgrade()

    one_change = prune = first

    def noop(self, _):
        return self.upgrade("--dry-run=server", "--hide-secret")


class Kapp(Tool):
    def deploy(self, *more):
        words = ["kapp", "deploy", "-y", "-a", "own", "-n", self.namespace, "-f", self.folder, *more]
        return timed(words, self.plane)

    def first(self, _):
        return self.deploy()

    one_change = prune = first

    def noop(self, _):
        return self.deploy("--diff-run")


def tools():
    found = {"neuroca-deploy": Ours, "raw writer": Raw}
    for name, kind, program in (
        ("kubectl apply --server-side", Kubectl, os.environ.get("KUBECTL", "kubectl")),
        ("Helm", Helm, os.environ.get("HELM", "helm")),
        ("kapp", Kapp, "kapp"),
    ):
        if shutil.which(program):
            found[name] = kind
        else:
            say(f"{name} is not on PATH: left out")
    return found


def until_idle(api):
    """Requests a second that nobody asked for, once the controllers are done with what was just applied."""
    for _ in range(120):
        before = api.requests_served()
        time.sleep(1)
        idle = api.requests_served() - before
        if idle <= 5:
            return idle
    raise TimeoutError("the controllers do not come to rest")


def one_round(plane, binaries, name, kind, size, number):
    """Seconds of each of the four, and for ours the requests of a plan without changes."""
    namespace = f"f2-{''.join(c for c in name.lower() if c.isalnum())[:10]}-{size}-{number}"
    tool = kind(plane, binaries, namespace)
    try:
        result = {}
        objects = mixed(size, namespace)
        tool.write(objects)
        result["first_apply"] = tool.first(objects)
        if kind is Ours:
            api = plane.api()
            idle = until_idle(api)
            before = api.requests_served()
            result["noop_plan"] = tool.noop(objects)
            served = api.requests_served() - before
            result["noop_requests"] = max(0, served - round(idle * result["noop_plan"]))
        else:
            result["noop_plan"] = tool.noop(objects)
        changed = mixed(size, namespace, changed=CHANGED)
        tool.write(changed)
        result["one_change"] = tool.one_change(changed)
        fewer = mixed(size, namespace, changed=CHANGED, without=size // 10)
        tool.write(fewer)
        result["prune_a_tenth"] = tool.prune(fewer)
        return result
    finally:
        tool.close()


def built():
    """The folder of the release binaries, with the raw writer in `examples` below it. BINARIES names one that is there."""
    if "BINARIES" in os.environ:
        return Path(os.environ["BINARIES"])
    release("neuroca-deploy-kubernetes", example="raw_writer")
    return release("neuroca-deploy")


def main():
    binaries = built()
    table = {}
    for size in SIZES:
        with ControlPlane(f"f2-{size}") as plane:
            rounds = {}
            for number in range(ROUNDS.get(size, 1)):
                for name, kind in tools().items():
                    rounds.setdefault(name, []).append(one_round(plane, binaries, name, kind, size, number))
                    say(size, name, {key: round(value, 2) for key, value in rounds[name][-1].items()})
            table[str(size)] = {
                name: {key: round(statistics.median(r[key] for r in all), 2) for key in all[0]}
                for name, all in rounds.items()
            }
    ratio = {
        size: round(by["neuroca-deploy"]["first_apply"] / by["raw writer"]["first_apply"], 2) for size, by in table.items()
    }
    thousand = table.get("1000", next(iter(table.values())))["neuroca-deploy"]
    kinds = 6
    passed = ratio.get("1000", 9) <= 1.2 and thousand["noop_plan"] <= 0.3 and thousand["noop_requests"] <= kinds + 5
    finish(
        "Side by side: the same objects through other tools",
        "first apply of 1,000 <= 1.2x the raw writer; no-op plan <= 0.3 s and <= kinds + 5 requests",
        passed,
        {"load": os.getloadavg(), "seconds": table, "first_apply_to_floor": ratio, "kinds": kinds},
    )


if __name__ == "__main__":
    main()
