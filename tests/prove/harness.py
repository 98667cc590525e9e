"""What the figure scripts share: release binaries, throw-away projects, and the cost of a process tree.

Knows no figure and no target number.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TARGET_DIR = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
SEED = int(os.environ.get("SEED", "1"))
TICKS = os.sysconf("SC_CLK_TCK")


def say(*words):
    print("prove:", *words, file=sys.stderr, flush=True)


def finish(title, target, passed, result):
    """The script's one word on stdout."""
    json.dump({"title": title, "target": target, "pass": bool(passed), "result": result}, sys.stdout)
    print()


def scratch(name):
    """A folder that is kept until the figure is done."""
    path = Path(os.environ.get("PROVE_SCRATCH") or tempfile.mkdtemp(prefix="prove-")) / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def release(*packages, example=None):
    """Builds in release and returns the folder of the binaries (or of the examples)."""
    command = ["cargo", "build", "--locked", "--release", "--quiet"]
    for package in packages:
        command += ["-p", package]
    if example:
        command += ["--example", example]
    subprocess.run(command, cwd=REPO, check=True, stdout=sys.stderr)
    return TARGET_DIR / "release" / ("examples" if example else "")


def free_port():
    """A port that the system chose; it is not kept, so use it at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, check, seconds=20):
    """Waits for a condition of another process; raises when it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not happen within {seconds} s")


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def percentile(values, share):
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


# --- processes, as /proc shows them ---------------------------------------------------------


def stat(pid):
    """(parent, CPU seconds) of a process, or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may contain anything.
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def tree(root):
    """The process and all that descend from it."""
    children = {}
    for pid in pids():
        seen = stat(pid)
        if seen:
            children.setdefault(seen[0], []).append(pid)
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(root):
    return sum(seen[1] for seen in map(stat, tree(root)) if seen)


def resident_kib(pid):
    """(resident, proportional) set size; the second shares out what several processes map."""
    values = {}
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, rest = line.split(":", 1)
            values[name] = int(rest.split()[0])
    except OSError:
        return 0, 0
    return values.get("Rss", 0), values.get("Pss", 0)


# --- a project that nobody misses -----------------------------------------------------------


class Project:
    """A project made by `init` in a folder of its own, with the binaries copied beside it.

    The copies make every process of the project recognisable by its executable, so that a script
    never has to guess which supervisor is its own.
    """

    def __init__(self, bin_dir, port=None, settings=()):
        self.root = Path(tempfile.mkdtemp(prefix="neuroca-prove-")).resolve()
        self.bin = self.root / "bin"
        self.home = self.root / "home"
        self.dir = self.root / "project"
        self.tmp = self.root / "tmp"
        self.bin.mkdir()
        self.tmp.mkdir()
        self.home.mkdir(mode=0o700)
        for name in ("neuroca-deploy", "neuroca"):
            shutil.copy2(Path(bin_dir) / name, self.bin / name)
        self.tool = self.bin / "neuroca-deploy"
        self.port = port or free_port()
        self.metrics_port = free_port()
        self.settings = [
            f"edge.listen=127.0.0.1:{self.port}",
            f"edge.metrics_listen=127.0.0.1:{self.metrics_port}",
            *settings,
        ]
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            # What it drops anywhere has to be found by the scripts, and to go with the folder.
            "TMPDIR": str(self.tmp),
            # Without it root's state would go where a real installation keeps its own.
            "NEUROCA_DEPLOY_STATE_DIR": str(self.home / "state"),
        }
        self.spawned = set()
        self.ok("init", str(self.dir), project=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            # After an error one may be running still, and destroy would not take its place.
            self.run("rollout", "abort", "development", timeout=60)
            self.run("destroy", "development", "-y", timeout=60)
        finally:
            for pid, _ in self.processes():
                say(f"pid {pid} outlived destroy; ending it")
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            shutil.rmtree(self.root, ignore_errors=True)

    def sets(self, *more):
        """--set flags: the project's own, then these."""
        return [word for setting in (*self.settings, *more) for word in ("--set", setting)]

    def argv(self, *words, project=True):
        return [str(self.tool), *(["--project", str(self.dir)] if project else []), *map(str, words)]

    def run(self, *words, project=True, env=None, timeout=180, stdin=None, argv=None, **how):
        child = subprocess.Popen(
            argv or self.argv(*words, project=project),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environ, **(env or {})},
            **{"cwd": self.root, **how},
        )
        self.spawned.add(child.pid)
        try:
            out, err = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            raise RuntimeError(f"{words} took longer than {timeout} s: {err.decode(errors='replace')}")
        return subprocess.CompletedProcess(words, child.returncode, out, err)

    def ok(self, *words, expect=0, **more):
        """Runs a command that has to end with this exit code."""
        done = self.run(*words, **more)
        if done.returncode != expect:
            raise RuntimeError(
                f"{words} ended with {done.returncode}, not {expect}:\n"
                f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}"
            )
        return done

    def apply(self, *more, **how):
        return self.ok("apply", "development", "-y", *self.sets(*more), **how)

    def processes(self):
        """(pid, executable) of all that runs from this project's folder."""
        found = []
        for pid in pids():
            try:
                exe = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
            except OSError:
                continue
            if exe.startswith(f"{self.root}/"):
                found.append((pid, Path(exe)))
        return found
