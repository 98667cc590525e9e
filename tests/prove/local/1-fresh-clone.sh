#!/usr/bin/env bash
# Figure 1: `make demo` and `make test` as the README states them, in a fresh clone with nothing built.
# Only the crates that cargo has already downloaded are shared with the clone.
set -euo pipefail

clone=$PROVE_SCRATCH/clone
rm -rf "$clone"
git clone -q . "$clone"
cd "$clone"
git checkout -q "$PROVE_COMMIT"
export CARGO_TARGET_DIR=$clone/target
# The clone is asked what a person would be told: nothing is left out silently, and nothing is waited for.
export CI=true DEMO_STOP=1

timed() { # LOG COMMAND...; prints exit code and seconds
    local log=$PROVE_SCRATCH/$1.log started=$SECONDS status=0
    shift
    echo "prove: $*" >&2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    tail -n 5 "$log" >&2
    echo "$status $((SECONDS - started))"
}

read -r demo_status demo_seconds < <(timed demo make demo)
read -r tests_status tests_seconds < <(timed tests make test)

python3 - "$demo_status" "$demo_seconds" "$tests_status" "$tests_seconds" "$PROVE_SCRATCH" <<'END'
import json
import re
import sys
from pathlib import Path

demo, demo_seconds, tests, tests_seconds = map(int, sys.argv[1:5])
logs = Path(sys.argv[5])
asked = re.search(r"asked (\d+) times .* (\d+) requests failed", (logs / "demo.log").read_text())
totals = re.search(r"^total: (.*)$", (logs / "tests.log").read_text(), re.M)
print(json.dumps({
    "title": "Fresh clone",
    "target": "make demo and make test both end with exit 0 in a fresh clone with nothing built",
    "pass": demo == 0 and tests == 0,
    "result": {
        "demo": {
            "exit": demo,
            "seconds_with_build": demo_seconds,
            "requests": int(asked[1]) if asked else None,
            "failed": int(asked[2]) if asked else None,
        },
        "test": {
            "exit": tests,
            "seconds_with_build": tests_seconds,
            "totals": totals[1] if totals else None,
        },
    },
}))
END
rm -rf "$clone"
