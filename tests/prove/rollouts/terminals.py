"""What one terminal does and another one says to it: a rollout in the background, and where it is.

Knows no figure.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import until  # noqa: E402


class Rollout:
    """`apply --json` in a terminal of its own; its events are kept as they come."""

    def __init__(self, project, sets):
        self.project = project
        self.child = subprocess.Popen(
            project.argv("--json", "apply", "development", "-y", *project.sets(*sets)),
            env=project.environ, cwd=project.root, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        project.spawned.add(self.child.pid)
        self.events = []
        self.errors = b""
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self.read, self.read_errors)]
        for reader in self.readers:
            reader.start()

    def read(self):
        for line in self.child.stdout:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                # The last line of a command that was killed.
                return

    def read_errors(self):
        self.errors = self.child.stderr.read()

    def wait(self, seconds=120):
        """The exit code."""
        code = self.child.wait(timeout=seconds)
        for reader in self.readers:
            reader.join(timeout=5)
        return code

    def ends(self, *codes):
        """Waits for one of these exit codes."""
        code = self.wait()
        if code not in codes:
            raise RuntimeError(f"apply ended with {code}, not {codes}: {self.trouble()}")
        return code

    def trouble(self):
        """Why it did not do what it was asked, as it told."""
        told = [event for event in self.events if event.get("kind") == "error"]
        return json.dumps(told[-1]) if told else self.errors.decode(errors="replace")

    def kill(self):
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def states(self):
        return [event for event in list(self.events) if event.get("kind") == "state"]

    def at_step(self, step, seconds=60):
        """Waits until the machine holds at a step, counted from 0."""
        self.until_state(f"step {step}", lambda state: state["phase"] == {"holding": step}, seconds)

    def until_state(self, what, holds, seconds=60):
        def check():
            if any(holds(state) for state in self.states()):
                return True
            if self.child.poll() is not None:
                self.wait()
                raise RuntimeError(f"apply ended before {what}: {self.trouble()}")
            return False

        until(what, check, seconds)


def status(project):
    """Of the rollout that runs, or that none does."""
    return json.loads(project.ok("--json", "rollout", "status", "development").stdout)


def until_over(project, seconds=60):
    until("the end of the rollout", lambda: not status(project)["running"], seconds)


def weights(project):
    """Percent by revision, as the edge reports it; nothing when the supervisor is just away."""
    done = project.run("--json", "status", "development")
    if done.returncode != 0:
        return None
    traffic = json.loads(done.stdout)["observed"]["traffic"]
    if traffic is None:
        return None
    return {share["revision"]: share["weight"] for shares in traffic["shares"].values() for share in shares}
