#!/usr/bin/env python3
"""Figure 1: a million different histories in ten minutes, no invariant broken, every reachable pair of state and event
met, each mutation caught. HISTORIES changes how many.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import REPO, SEED, finish, release, say  # noqa: E402

HISTORIES = int(os.environ.get("HISTORIES", "1000000"))
# Some seeds give the same course of events, and the rarest pair takes a while; as many as that are played on top.
SPARE = HISTORIES // 4
MINUTES = 10
# Histories within which a mutation has to be noticed.
WITHIN = 20_000


def lines(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command[0]} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    simulator = release("neuroca-simulator") / "simulator"
    first = SEED * 1_000_000_000
    say(f"{HISTORIES + SPARE} histories on two threads, from seed {first}")
    histories = ["--histories", str(HISTORIES + SPARE), "--first", str(first)]
    [played] = lines([simulator, *histories, "--threads", "2", "--json"])
    coverage = played.pop("coverage")
    say("machines that are broken at the ports")
    within = ["--histories", str(WITHIN), "--first", str(first)]
    at_ports = lines([simulator, "--mutations", "--json", *within])
    say("machines whose sources are broken")
    in_sources = lines([str(REPO / "tests/simulator/mutants.py"), str(WITHIN)])
    escaped = [m["mutation"] for m in at_ports if m["seed"] is None]
    escaped += [m["mutant"] for m in in_sources if not m["caught"]]
    distinct = min(played["distinct_scripts"], played["distinct_courses"])
    passed = (
        distinct >= HISTORIES
        and played["seconds"] <= MINUTES * 60
        and not played["violations"]
        and not played["pairs_not_met"]
        and not played["pairs_unexpected"]
        and len(at_ports) + len(in_sources) >= 10
        and not escaped
    )
    finish(
        "Rollouts by simulation",
        f">= {HISTORIES} different histories in <= {MINUTES} min on two cores, 0 violations, 100 % of the reachable "
        "pairs of state and event, each mutation (>= 10) caught",
        passed,
        {
            **played,
            "different": distinct,
            "seldom_met": dict(sorted(coverage.items(), key=lambda pair: pair[1])[:10]),
            "mutations_at_the_ports": at_ports,
            "mutations_in_the_sources": in_sources,
            "escaped": escaped,
        },
    )


if __name__ == "__main__":
    main()
