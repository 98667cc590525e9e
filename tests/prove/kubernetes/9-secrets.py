#!/usr/bin/env python3
"""Figure 9: secrets that occur nowhere else, and where they turn up once they were deployed to real pods.

They are deployed, changed, rolled back, turned back and restored by another machine, with all that the tool can say switched
on. After each command every key of etcd is read: only Secrets that pods read may hold them, in any form; release records and
journals are unpacked first. So are all outputs of the tool, the state folders of both machines, every log of the cluster and its
gateway, and the pods' own. That the pods have the secrets is shown too: else the search would prove nothing.
"""

import base64
import json
import os
import re
import sys
import zlib
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "local"))
from pods import OnPods, Pods, sets  # noqa: E402
from search import Canary, files_with  # noqa: E402
from harness import finish, release, say  # noqa: E402


def layers(data):
    """The bytes, and what is packed anywhere in them."""
    yield data
    for start in re.finditer(rb"\x1f\x8b\x08", data):
        try:
            yield from layers(zlib.decompressobj(31).decompress(data[start.start() :]))
        except zlib.error:
            continue


def found_in(data, canaries):
    return {canary.name for layer in layers(data) for canary in canaries if canary.forms_in(layer)}


class Search:
    """Runs commands, and looks everywhere after each."""

    def __init__(self, on, canaries):
        self.on, self.canaries = on, canaries
        self.hits, self.kept_by, self.commands, self.keys, self.states = [], set(), 0, 0, 0

    def __call__(self, *words, expect=0, **how):
        done = self.on.run(*words, **how)
        self.commands += 1
        for stream in (done.stdout, done.stderr):
            self.note(f"output of {' '.join(words)}", found_in(stream.encode(), self.canaries))
        if expect is not None and done.returncode != expect:
            raise RuntimeError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        say("exit", done.returncode, *words[:6])
        return done

    def note(self, where, names):
        self.hits += [f"{where}: {name}" for name in sorted(names)]

    def etcd(self):
        """Every key, by etcd's own interface, inside of the cluster."""
        asked = self.on.pods.shell(
            "curl", "-sS", "http://127.0.0.1:2379/v3/kv/range", "-d", '{"key":"AA==","range_end":"AA=="}'
        )  # fmt: skip
        entries = json.loads(asked.stdout)["kvs"]
        self.keys = max(self.keys, len(entries))
        for entry in entries:
            key, value = base64.b64decode(entry["key"]).decode(), base64.b64decode(entry.get("value", ""))
            names = found_in(value, self.canaries)
            ours = key.startswith(f"/registry/secrets/{self.on.namespace}/")
            state = key.rsplit("/", 1)[-1].startswith("neuroca-deploy.")
            self.states += ours and state and sum(1 for _ in layers(value)) > 1
            if names and ours and not state:
                self.kept_by.add(key)
            else:
                self.note(key, names)

    def everything_else(self):
        for folder in ("log", "kubeconfig", "config"):
            self.hits += files_with(self.on.pods.state / folder, self.canaries, None)
        for machine in ("here", "there"):
            self.hits += files_with(self.on.dir / machine, self.canaries, None)
        for pod in self.on.pods.objects(self.on.namespace, "pods"):
            name = pod["metadata"]["name"]
            self.note(f"log of {name}", found_in(self.on.pods.kubectl("-n", self.on.namespace, "logs", name).encode(), self.canaries))


def pods_with(on, canary):
    """How many running pods have the value in their environment: read by the kubelet's own `exec`."""
    count = 0
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            program = os.readlink(file.parent / "exe")
            text = file.read_bytes()
        except OSError:
            continue
        count += program.endswith("/specimen") and canary.value in text
    return count


def main():
    bin_dir = Path(os.environ["BIN"]) if "BIN" in os.environ else release("neuroca-deploy", "neuroca-service", "neuroca-specimen")
    by_file, by_variable, changed = Canary("by file"), Canary("by variable"), Canary("changed")
    canaries = [by_file, by_variable, changed]
    component = {"drain": "1s", "secrets": {"FROM_FILE": "file:token", "FROM_VARIABLE": "env:PROVE_CANARY"}}
    rollout = {"strategy": "canary", "steps": [{"weight": 50, "gate": True, "analysis": False}]}
    with Pods("f9", bin_dir) as pods, OnPods(pods, bin_dir / "neuroca-deploy", "secret", rollout, component) as on:
        run, env = Search(on, canaries), {"PROVE_CANARY": by_variable.value.decode()}
        token = on.dir / "token"
        token.write_text(by_file.value.decode())
        token.chmod(0o600)
        one, two = sets("components.web.env.SPECIMEN_VERSION=one"), sets("components.web.env.SPECIMEN_VERSION=two")
        run("-vv", "plan", "staging", *one, env=env, expect=None)
        run("-vv", "apply", "staging", "-y", *one, env=env)
        run.etcd()
        has = pods_with(on, by_file), pods_with(on, by_variable)
        token.write_text(changed.value.decode())
        run("--json", "-vv", "apply", "staging", "-y", *two, env=env, expect=8)
        run.etcd()
        run("-vv", "rollout", "abort", "staging", machine="there")
        run("-vv", "apply", "staging", "-y", *two, "--set", "rollout.steps=[]", "--set", "rollout.strategy=blue_green", env=env)
        has_changed = pods_with(on, changed)
        run.etcd()
        # Errors, which is where values slip out: an image that is not there, a crash, a secret that is too large.
        broken = "components.web.kubernetes.image=cluster.test/nowhere:1"
        fast = sets("rollout.steps=[]", "rollout.strategy=blue_green", "components.web.health.start_timeout=8s")
        run("-vv", "apply", "staging", "-y", *two, *fast, "--set", broken, env=env, expect=5)
        run("-vv", "apply", "staging", "-y", *two, *fast, "--set", "components.web.env.SPECIMEN_ERRORS=none", env=env, expect=5)
        run.etcd()
        run("-vv", "rollback", "staging", "-y", machine="there")
        for words in (["status"], ["history"], ["logs"], ["rollout", "status"], ["diff"], ["doctor"], ["config"], ["plan"]):
            for loud in (["-vv"], ["--json"]):
                run(*loud, *words, "staging", env=env, expect=None)
        run.etcd()
        run.everything_else()
        kept_by = sorted(run.kept_by)
        run("-vv", "destroy", "staging", "-y")
        run.etcd()
        run("-vv", "destroy", "staging", "-y", "--purge")
        run.kept_by.clear()
        run.etcd()
        left = sorted(run.kept_by)
    checks = {
        "pods have them": min(has) >= 2 and has_changed >= 2,
        "no hit outside of Secrets that pods read": not run.hits,
        "the Secrets were found": len(kept_by) >= 2,
        "records were unpacked": run.states > 0,
        "none is left after `destroy --purge`": not left,
    }
    finish(
        "Canary secrets on Kubernetes",
        "0 hits outside Secret objects: etcd key by key, records unpacked, outputs, logs of tool, cluster, gateway and pods, state folders",
        all(checks.values()),
        {
            "build": os.environ.get("BUILD", "release"), "load_of_the_machine": os.getloadavg()[1],
            "checks": checks, "hits": run.hits, "secrets_of_pods": len(kept_by), "commands": run.commands,
            "keys_of_etcd": run.keys, "packed_states_read": run.states, "forms_of_each": len(by_file.forms),
            "pods_with": [*has, has_changed],
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
