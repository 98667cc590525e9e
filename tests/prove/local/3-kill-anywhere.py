#!/usr/bin/env python3
"""SIGKILL of the command, and of the supervisor, before and after every kind of effect, on real processes.

The binary is built with `kill-points`: a file in the state folder names the process, the side and the
effect, and whoever reaches it kills itself. The same command is then given again; what runs, what the
edge routes and what the history says is compared with a run that nobody interrupted.
"""

import http.client
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import REPO, TARGET_DIR, Project, finish, say, until  # noqa: E402

KINDS = [
    "store_artifact", "seal_secrets", "run_hook", "migrate", "start_revision",
    "route", "end_streams", "keep_warm", "stop_revision", "record",
]  # fmt: skip

HOOKS = [
    'components.api.hooks.pre_deploy=["/bin/true"]',
    'components.api.hooks.smoke_test=["/bin/true"]',
    'components.api.hooks.post_deploy=["/bin/true"]',
    "components.api.drain=1s",
    "components.worker.drain=1s",
    "rollout.watch=200ms",
]


def build():
    subprocess.run(
        ["cargo", "build", "--locked", "--release", "--quiet", "-p", "neuroca-deploy", "-p", "neuroca-service",
         "--features", "neuroca-deploy/kill-points"],
        cwd=REPO, check=True, stdout=sys.stderr,
    )  # fmt: skip
    return TARGET_DIR / "release"


def end_state(project):
    """What an operator sees, without pids, ports and times."""
    status = json.loads(project.ok("--json", "status", "development").stdout)
    history = json.loads(project.ok("--json", "history", "development").stdout)
    revisions = {
        name: [seen["wanted"], seen["ready"], seen.get("warm_until_ms") is not None]
        for name, seen in status["observed"]["revisions"].items()
    }
    traffic = status["observed"]["traffic"]
    current = [entry["release"] for entry in history["entries"] if entry["current"]]
    return {"revisions": revisions, "traffic": traffic, "current": current}


def serves(project):
    with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/version", timeout=5) as answer:
        return answer.status == 200


def second_release(project):
    """The command that is killed, and given again; development has no such settings of its own."""
    size = "env.NEUROCA_MEMORY_WORKING_SIZE=120"
    change = project.sets(f"components.api.{size}", f"components.worker.{size}")
    return project.run("apply", "development", "-y", *change)


def stream(project):
    """An event stream on the release in force, which only the drain limit ends."""
    connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=10)
    connection.request("GET", "/v1/events")
    return connection, connection.getresponse()


def settled(project, expected):
    """The end state once it is the expected one, or as it is after five seconds: a supervisor that
    has just come back does not know what is ready before it has probed."""
    end = time.monotonic() + 5
    while True:
        got = normal(end_state(project))
        if got == expected or time.monotonic() >= end:
            return got
        time.sleep(0.05)


def main():
    bin_dir = build()
    with Project(bin_dir, settings=HOOKS) as calm:
        calm.apply()
        held = stream(calm)
        if second_release(calm).returncode != 0:
            raise RuntimeError("the uninterrupted run failed")
        held[0].close()
        expected = normal(end_state(calm))
    cases, wrong = [], []
    for process in ("command", "supervisor"):
        for kind in KINDS:
            for when in ("before", "after"):
                case = f"{process} {when} {kind}"
                with Project(bin_dir, settings=HOOKS) as project:
                    project.apply()
                    state = next(project.home.rglob("state.db")).parent
                    held = stream(project)
                    (state / "kill-point").write_text(case)
                    first = second_release(project)
                    fired = not (state / "kill-point").exists()
                    if not fired:
                        (state / "kill-point").unlink()
                    up = serves(project)
                    again = second_release(project)
                    until("the supervisor's return", lambda: project.run("status", "development").returncode == 0)
                    held[0].close()
                    got = settled(project, expected)
                    same = got == expected and again.returncode == 0 and up
                    cases.append({"case": case, "fired": fired, "first_exit": first.returncode, "converged": same})
                    if not same:
                        wrong.append(case)
                        say(case, "DIFFERS", json.dumps(got), again.stderr.decode(errors="replace")[-400:])
                    say(case, "fired" if fired else "not reached", "converged" if same else "DIFFERS")
    fired = sum(case["fired"] for case in cases)
    finish(
        "Kill anywhere",
        "SIGKILL before and after every external effect, then the same command: the end state of an uninterrupted run, every time",
        # All ten kinds in the command, the seven that the supervisor does in the supervisor.
        not wrong and fired == 2 * (10 + 7),
        {"cases": cases, "fired": fired, "converged": len(cases) - len(wrong)},
    )


def normal(state):
    """Release ids hold the port that the project listens on; the shapes are what is compared."""
    shares = {name: [(s["weight"], s["canary"]) for s in parts] for name, parts in state["traffic"]["shares"].items()}
    revisions = sorted((name.rsplit("-", 1)[0], seen) for name, seen in state["revisions"].items())
    return json.loads(json.dumps({"shares": shares, "revisions": revisions, "current": len(state["current"])}))


if __name__ == "__main__":
    main()
