#!/usr/bin/env python3
"""Figure 6: start of the command, a no-op plan over 10,000 releases, and what waits in memory.

Times are from the spawn of a process to its end, over RUNS fresh processes. "Evicted" says how long the first
one takes when the binary is not in the page cache (as far as the kernel agrees to drop it).
"""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Project, finish, percentile, release, resident_kib, say  # noqa: E402

RUNS = int(os.environ.get("RUNS", "200"))
RELEASES = int(os.environ.get("RELEASES", "10000"))
IDLE_SECONDS = 10


def spawn(argv, environ, cwd, expect=0):
    """Milliseconds from spawn to end."""
    null = [
        (os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)
    ]
    os.chdir(cwd)
    started = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=null)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = (time.perf_counter() - started) * 1000
    if status != expect:
        raise RuntimeError(f"{argv} ended with {status}, not {expect}")
    return took


def times(argv, project, expect=0):
    taken = [spawn(argv, project.environ, str(project.root), expect) for _ in range(RUNS)]
    return {
        "runs": RUNS,
        "p50_ms": round(percentile(taken, 0.5), 2),
        "p95_ms": round(percentile(taken, 0.95), 2),
        "max_ms": round(max(taken), 2),
    }


def evicted(argv, project):
    """One start after the binary was dropped from the page cache."""
    with open(argv[0], "rb") as binary:
        os.fsync(binary.fileno())
        os.posix_fadvise(binary.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return round(spawn(argv, project.environ, str(project.root)), 2)


def fill_history(database, count):
    """Puts so many deployed releases before the present one, each with a record as large as its own.

    Applying 10,000 times would take a day and end in the same rows.
    """
    with sqlite3.connect(database, timeout=30) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(journals)") if row[1] not in ("id", "release")]
        last, current = db.execute(
            "SELECT id, release FROM journals WHERE deployed = 1 ORDER BY id DESC LIMIT 1"
        ).fetchone()
        # The present release stays the newest: its history moves up and the others go below.
        db.execute("UPDATE journals SET id = -id - ?", (count,))
        db.execute("UPDATE journals SET id = -id")
        for table in ("plans", "records"):
            db.execute(f"UPDATE {table} SET journal = -journal - ?", (count,))
            db.execute(f"UPDATE {table} SET journal = -journal")
        copied = ", ".join(columns)
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        db.execute(
            f"{numbers} INSERT INTO journals (id, release, {copied}) "
            f"SELECT i, printf('r-%012x', i), {copied} FROM n, journals WHERE journals.id = ?",
            (count, last + count),
        )
        db.execute(
            f"{numbers} INSERT INTO releases (id, record) "
            "SELECT printf('r-%012x', i), record FROM n, releases WHERE releases.id = ?",
            (count, current),
        )
    with sqlite3.connect(database, timeout=30) as db:
        return db.execute("SELECT count(*) FROM journals WHERE deployed = 1").fetchone()[0]


def own_processes(project):
    """What the tool keeps running, by its role: the word after the binary's name."""
    found = []
    for pid, exe in project.processes():
        if exe.name != "neuroca-deploy":
            continue
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        resident, proportional = resident_kib(pid)
        role = next((word.strip("_") for word in words[1:] if word.startswith("__")), "unknown")
        found.append({"role": role, "rss_kib": resident, "pss_kib": proportional})
    return sorted(found, key=lambda process: process["role"])


def main():
    bin_dir = release("neuroca-deploy", "neuroca-service")
    with Project(bin_dir) as project:
        started = time.monotonic()
        tool = str(project.tool)
        help_cold = evicted([tool, "--help"], project)
        help_times = times([tool, "--help"], project)
        say(f"--help: {help_times}, evicted {help_cold} ms")
        project.apply()
        time.sleep(max(0.0, IDLE_SECONDS - (time.monotonic() - started)))
        idle = own_processes(project)
        say(f"idle: {idle}")
        plan = [*project.argv("plan", "development", *project.sets()), "--detailed-exitcode"]
        few = times(plan, project)
        [database] = project.home.rglob("state.db")
        deployed = fill_history(database, RELEASES)
        many = times(plan, project)
        many_cold = evicted(plan, project)
        say(f"plan: {few} with one release, {many} with {deployed}")
        history = times(project.argv("history", "development"), project)
        size = subprocess.run(["du", "-sk", str(database)], capture_output=True, text=True, check=True)
    waiting = sum(one["rss_kib"] for one in idle if one["role"] in ("supervisor", "edge"))
    checks = {
        "help_p95_at_most_20_ms": help_times["p95_ms"] <= 20,
        "noop_plan_p95_at_most_100_ms": many["p95_ms"] <= 100 and deployed > RELEASES,
        "supervisor_and_edge_at_most_40_mib": 0 < waiting <= 40 * 1024,
    }
    finish(
        "The command",
        f"--help <= 20 ms and a no-op plan <= 100 ms (p95, fresh processes) with {RELEASES} releases in the "
        "history; supervisor and edge together <= 40 MiB resident at idle",
        all(checks.values()),
        {"checks": checks, "help": help_times, "help_evicted_ms": help_cold,
         "noop_plan_one_release": few, "noop_plan": many, "noop_plan_evicted_ms": many_cold,
         "history": history, "releases": deployed, "database_kib": int(size.stdout.split()[0]),
         "idle_supervisor_and_edge_mib": round(waiting / 1024, 1), "idle_processes": idle},
    )


if __name__ == "__main__":
    main()
