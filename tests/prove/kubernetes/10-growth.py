#!/usr/bin/env python3
"""Time and memory of plan and apply from 100 to 20,000 objects: does either grow faster than their number?

Each size is a control plane of its own. The slope is that of the last doubling or more against the one before: 1 is linear.
"""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cluster import ControlPlane, Own, manifest, mixed, say  # noqa: E402
from harness import finish, release  # noqa: E402

SIZES = [int(size) for size in os.environ.get("SIZES", "100,1000,5000,10000,20000").split(",")]


def measured(own, *words, expect=0):
    """(seconds, MiB at most, seconds of CPU) of one command."""
    began = time.monotonic()
    child = subprocess.Popen(own.argv(*words), env=own.environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    child.returncode = code
    if code != expect:
        raise RuntimeError(f"{words} ended with {code}: {said[-1500:]}")
    return {
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "mib": round(usage.ru_maxrss / 1024, 1),
    }


def main():
    binary = Path(os.environ["BINARY"]) if "BINARY" in os.environ else release("neuroca-deploy") / "neuroca-deploy"
    table = {}
    for size in SIZES:
        with ControlPlane(f"f10-{size}") as plane, Own(plane, binary, "growth") as own:
            (own.dir / "kubernetes" / "all.yaml").write_text(manifest(mixed(size, "growth")))
            row = {
                "first_plan": measured(own, "plan", "staging"),
                "first_apply": measured(own, "apply", "staging", "-y"),
                "noop_plan": measured(own, "plan", "staging", "--detailed-exitcode"),
            }
            (own.dir / "kubernetes" / "all.yaml").write_text(manifest(mixed(size, "growth", changed=0)))
            row["one_change"] = measured(own, "apply", "staging", "-y")
            table[size] = row
            say(size, row)
    # From 1,000 on: below, what does not depend on the number is most of it.
    large = [size for size in SIZES if size >= 1000]
    low, high = large[0], large[-1]
    slope = {
        f"{what} {of}": round(math.log(table[high][what][of] / table[low][what][of]) / math.log(high / low), 2)
        for what in ("first_apply", "noop_plan") for of in ("seconds", "mib")
    }  # fmt: skip
    finish(
        "Growth: time and memory from 100 to 20,000 objects",
        "linear: an exponent of at most 1.1 from 1,000 to 20,000 objects",
        all(value <= 1.1 for value in slope.values()),
        {"table": {str(size): row for size, row in table.items()}, "exponent": slope},
    )


if __name__ == "__main__":
    main()
