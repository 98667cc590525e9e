#!/usr/bin/env python3
"""Figure 7: configuration, secrets and code move and go back together, on real pods.

Each round puts another release into force - another image, another value, another secret - and goes back by `rollback`. The
ConfigMap and the Secret that the release goes back to have to be byte for byte those that it had. Meanwhile a watch sees
every version of every pod: which image it runs, and which ConfigMap and Secret its variables come from; that pair has to be
one of a release. And a client asks each pod's answers what they were made with.

ROUNDS bounds the run (default: 100 rollbacks).
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import TOOL, Client, OnPods, Pods, sets  # noqa: E402
from harness import finish, release, say, scratch  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "100"))
# Two names of one program: what differs is which of them a pod was told to run.
CODE = {"a": ["./specimen"], "b": ["/app/specimen"]}


def settings(letter):
    return sets(
        f"components.web.env.SPECIMEN_VERSION={letter}",
        f"components.web.command={json.dumps(CODE[letter])}",
        f'components.web.secrets={{TOKEN: "file:token-{letter}"}}',
    )


class Watched:
    """Every version of every pod of the namespace, as `kubectl get --watch` tells them."""

    def __init__(self, on):
        self.child = subprocess.Popen(
            [TOOL, "kubectl", "sealed", "-n", on.namespace, "get", "pods", "--watch", "--output-watch-events", "-o", "json"],
            env=on.pods.environ, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.pods, self.versions = {}, 0
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.child.stdout:
            event = json.loads(line)
            self.versions += 1
            spec = event["object"]["spec"]["containers"][0]
            sources = [list(source.values())[0]["name"] for source in spec["envFrom"]]
            self.pods.setdefault(event["object"]["metadata"]["name"], set()).add((tuple(spec["command"]), *sources))

    def end(self):
        # The shell that has started `kubectl`, and `kubectl` itself.
        os.killpg(self.child.pid, signal.SIGTERM)
        self.child.wait()
        self.thread.join(timeout=10)


def content(on, revision):
    """What pods of a revision are made with, as it lies in the cluster; identity and times included."""
    found = {}
    for kind in ("configmap", "secret"):
        made = json.loads(on.pods.kubectl("-n", on.namespace, "get", kind, revision, "-o", "json"))
        data = json.dumps(made.get("data"), sort_keys=True)
        found[kind] = [hashlib.sha256(data.encode()).hexdigest(), made["metadata"]["uid"], made.get("immutable")]
    return found


def in_force(on):
    """The revision that serves, and its release."""
    shares = on.status()["observed"]["traffic"]["shares"]["web"]
    history = json.loads(on.ok("--json", "history", "staging").stdout)["entries"]
    current = next(entry["release"] for entry in history if entry["current"])
    return next(share["revision"] for share in shares if share["weight"] == 100), current


def main():
    bin_dir = Path(os.environ["BIN"]) if "BIN" in os.environ else release("neuroca-deploy", "neuroca-service", "neuroca-specimen")
    notes = scratch("rounds") / "rounds.json"
    rounds, wrong = [], []
    files = {"token-a": "secret of a", "token-b": "secret of b"}
    with Pods("f7", bin_dir) as pods, OnPods(
        pods, bin_dir / "neuroca-deploy", "atomic", {"strategy": "blue_green"}, {"drain": "1s"}, files=files
    ) as on:
        # What an earlier try of this figure has done counts; it had a namespace of its own, and this one begins with the first.
        if notes.exists():
            rounds = json.loads(notes.read_text())
            rounds = rounds[: len(rounds) // 2 * 2]
        watched = Watched(on)
        try:
            on.ok("apply", "staging", "-y", *settings("a"))
            first, one = in_force(on)
            before = content(on, first)
            on.ok("apply", "staging", "-y", *settings("b"))
            second, two = in_force(on)
            made_of = {first: content(on, first), second: content(on, second)}
            with Client(on, threads=1, pause=0.01) as client:
                # To the other one each time.
                while len(rounds) < ROUNDS:
                    to, release_of_it = (first, one) if len(rounds) % 2 == 0 else (second, two)
                    on.ok("rollback", "staging", "-y", "--to", release_of_it)
                    now = in_force(on)[0]
                    same = content(on, now) == made_of[now]
                    rounds.append(same and now == to)
                    notes.write_text(json.dumps(rounds))
                    if not rounds[-1]:
                        wrong.append({"round": len(rounds), "to": to, "now": now, "content": content(on, now)})
                    if len(rounds) % 10 == 0:
                        say(f"{len(rounds)}/{ROUNDS}", "all the same" if all(rounds) else "DIFFERENT", client.shares())
        finally:
            watched.end()
    pairs = {(("./specimen",), first, first), (("/app/specimen",), second, second)}
    mixed = {name: sorted(map(str, made)) for name, made in watched.pods.items() if len(made) != 1 or not made <= pairs}
    finish(
        "Config atomicity on Kubernetes",
        "100 rollbacks restore byte-identical ConfigMaps and Secrets; 0 pods ever seen with code of one release and configuration of another",
        all(rounds) and len(rounds) >= 100 and not mixed and len(watched.pods) >= 4 and before == made_of[first] and not client.failed(),
        {
            "build": os.environ.get("BUILD", "release"), "load_of_the_machine": os.getloadavg()[1],
            "rollbacks": len(rounds), "identical": sum(rounds), "wrong": wrong, "pods_seen": len(watched.pods),
            "versions_of_pods_seen": watched.versions, "pods_mixed": mixed, "answers": client.shares(),
            "immutable": all(one[2] for one in made_of[first].values()), "failed": len(client.failed()),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
