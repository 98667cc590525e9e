"""A project whose one component is the specimen, and what a client saw of a rollout of it.

Knows how to run an experiment and none of those that are run.
"""

import json
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Project  # noqa: E402
from lossless import Load  # noqa: E402
from terminals import Rollout  # noqa: E402

PACKAGES = ["neuroca-deploy", "neuroca-service", "neuroca-load", "neuroca-specimen"]


def flow(steps):
    """Steps as a setting of the command line."""
    words = ["{" + ", ".join(f"{key}: {str(value).lower()}" for key, value in step.items()) + "}" for step in steps]
    return f"rollout.steps=[{', '.join(words)}]"


class Specimens(Project):
    """`rollout` is the section of the environment file; `behaviour` are the variables of every release."""

    def __init__(self, bin_dir, rollout, behaviour, edge=None):
        super().__init__(bin_dir)
        self.load_program = Path(bin_dir) / "load"
        shutil.copy2(Path(bin_dir) / "specimen", self.dir / "specimen")
        component = {
            "artifact": "specimen",
            "command": ["./specimen"],
            "health": {"path": "/health/ready", "interval": "100ms"},
            "drain": "2s",
            "env": {name: str(value) for name, value in behaviour.items()},
        }
        environment = {
            "project": "specimen",
            "edge": {"access_log": False, **(edge or {})},
            "rollout": {"strategy": "canary", "rollback_window": "5s", **rollout},
            "retention": {"releases": 3},
            "components": {"api": component},
        }
        # JSON is YAML.
        (self.dir / "environments/development.yaml").write_text(json.dumps(environment))
        self.released = 0

    def next(self, **faults):
        """Settings of a release that no other one is like."""
        self.released += 1
        return [f"components.api.env.{name}={value}"
                for name, value in {"SPECIMEN_VERSION": self.released, **faults}.items()]  # fmt: skip

    def version(self):
        """What the answers of the newest release say."""
        return str(self.released)

    def first(self):
        """A release to compare with, whatever there was before."""
        self.apply(*self.next(), "rollout.strategy=blue_green", "rollout.steps=[]", "rollout.watch=0s")

    def load(self, rps, connections=256, timeout_ms=10_000):
        """Constant load, from enough connections for the requests that are slow or hang."""
        words = ["--rate", rps, "--h1-connections", connections, "--h2-connections", 0,
                 "--post-fraction", 0, "--get-path", "/", "--timeout-ms", timeout_ms]  # fmt: skip
        return Load(self.load_program, self.port, words=words)

    def roll_out(self, rps, sets=(), settle=1.0, **faults):
        """One release under load: how the command and the client saw it."""
        load = self.load(rps)
        try:
            time.sleep(settle)
            rollout = Rollout(self, [*self.next(**faults), *sets])
            code = rollout.wait(600)
            # Whoever still answers has time to do so.
            time.sleep(0.5)
            load.stop()
            return seen(code, rollout, load.result()["report"], self.version())
        finally:
            if load.running():
                load.child.kill()


def seen(code, rollout, report, version):
    """The times of a rollout in seconds since its first step, and who answered when."""
    states = rollout.states()
    split = next((state for state in states if state["phase"] == {"holding": 0}), None)
    back = next((state for state in states if state["turning_back"]), None)
    all_of_it = next((state for state in states if passed_all_steps(state)), None)
    answered = report["revisions"].get(version)

    def since_split(state):
        return None if state is None or split is None else (state["at_ms"] - split["at_ms"]) / 1000

    last = None
    if answered and back:
        last = (report["started_unix_ms"] + answered["last_ms"] - back["at_ms"]) / 1000
    return {
        "exit": code,
        "split_at_ms": split and split["at_ms"],
        "verdict_after_s": since_split(back),
        "promoted_after_s": since_split(all_of_it) if back is None else None,
        "last_answer_after_verdict_s": last,
        "canary_answers": answered and answered["responses"] + answered["failed"],
        "requests": report["requests"],
        "p50_ms": report["latency_ms"]["p50"],
        "failed": report["failed"],
        "failed_by_kind": report["failed_by_kind"],
        "reason": next((event["error"][:400] for event in rollout.events if event.get("kind") == "error"), None),
    }


def passed_all_steps(state):
    """All of the traffic was given."""
    phase = state["phase"]
    shifting_to_all = isinstance(phase, dict) and phase.get("shifting", 0) > 0 and weight(state) == 100
    return phase in ("swapping", "watching", "finishing") or shifting_to_all


def shares(state):
    traffic = state.get("traffic") or {"shares": {}}
    return [share for component in traffic["shares"].values() for share in component]


def weight(state):
    return next((share["weight"] for share in shares(state) if share.get("canary")), None)
