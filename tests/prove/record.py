#!/usr/bin/env python3
"""Keeps one measured figure with what it takes to judge it: commit, machine, seed, command.

Knows nothing of what is measured.

    record.py --holds FILE COMMIT                              exit 0 when FILE has a result of COMMIT
    record.py --write FILE AREA NUMBER COMMAND SECONDS RESULT  exit 1 when the target was missed
"""

import datetime
import json
import os
import platform
import sys


def machine():
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next(
                (line.split(":", 1)[1].strip() for line in info if line.startswith("model name")),
                model,
            )
    except OSError:
        pass
    return {
        "cpus": os.cpu_count(),
        "cpu_model": model,
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def holds(path, commit):
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
    except (OSError, ValueError):
        return False
    return kept.get("commit") == commit and not kept.get("dirty") and "result" in kept


def write(path, area, number, command, seconds, result_path):
    with open(result_path, encoding="utf-8") as file:
        measured = json.load(file)
    record = {
        "area": area,
        "figure": int(number),
        "title": measured["title"],
        "target": measured["target"],
        "pass": measured["pass"],
        "commit": os.environ["PROVE_COMMIT"],
        # Measured with changes that no commit has: good for working, not for quoting.
        "dirty": os.environ["PROVE_DIRTY"] == "true",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": command,
        "seconds": int(seconds),
        "seed": int(os.environ["SEED"]),
        "machine": machine(),
        "result": measured["result"],
    }
    unfinished = f"{path}.new"
    with open(unfinished, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
        file.write("\n")
    os.replace(unfinished, path)
    verdict = "pass" if record["pass"] else "MISSED"
    print(f"prove: {area} {number}: {verdict}: {record['title']}: {path}", file=sys.stderr)
    return record["pass"]


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--holds":
        sys.exit(0 if holds(*sys.argv[2:]) else 1)
    if len(sys.argv) == 8 and sys.argv[1] == "--write":
        sys.exit(0 if write(*sys.argv[2:]) else 1)
    print(__doc__, file=sys.stderr)
    sys.exit(64)
