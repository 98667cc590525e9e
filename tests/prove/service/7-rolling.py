#!/usr/bin/env python3
"""Figure 7: from schema N to N+1 and back, again and again, while the binaries of both serve.

Old is the last commit of this repository whose newest schema is below that of the present one; it is built beside it. Both
serve one database, each under constant load by a client that never retries; meanwhile `neuroca migrate` and
`neuroca rollback` of the new binary take turns. Every acknowledged write has to be there exactly once. Afterwards each
binary is started on each of the two schemas.

OLD and LOAD name an older `neuroca` and a load client that were built before; REQUESTS bounds it for a try.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import lossless  # noqa: E402
import nca  # noqa: E402

REQUESTS = int(os.environ.get("REQUESTS", "100000"))
# Between two steps: long enough that requests of many kinds meet each.
PAUSE = 1.0


def schema_max(text):
    return int(re.search(r"SCHEMA_MAX: i64 = (\d+)", text)[1])


def old_commit():
    """The last commit that knew a schema less, and how many it knew."""
    file = "service/src/schema.rs"
    now = schema_max((harness.REPO / file).read_text())

    def git(*words):
        return subprocess.run(["git", *words], cwd=harness.REPO, check=True, capture_output=True, text=True).stdout

    for commit in git("log", "--format=%H", "--", file).split():
        known = schema_max(git("show", f"{commit}:{file}"))
        if known < now:
            return commit, known, now
    raise RuntimeError(f"no commit whose newest schema is below {now}")


def build_old(commit):
    """The binary of that commit; kept, since a commit stays what it is."""
    kept = harness.TARGET_DIR / "prove" / f"neuroca-{commit[:12]}"
    if kept.exists():
        return kept
    tree = harness.scratch("old") / "tree"
    subprocess.run(["git", "worktree", "prune"], cwd=harness.REPO, check=True)
    subprocess.run(["git", "worktree", "add", "--force", "--detach", tree, commit], cwd=harness.REPO, check=True, stdout=sys.stderr)
    try:
        # In the folder of the present one: what both depend on is compiled once.
        subprocess.run(
            ["cargo", "build", "--locked", "--release", "--quiet", "-p", "neuroca-service"], cwd=tree, check=True,
            stdout=sys.stderr, env={**os.environ, "CARGO_TARGET_DIR": str(harness.TARGET_DIR)},
        )  # fmt: skip
        shutil.copy2(harness.TARGET_DIR / "release" / "neuroca", kept)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=harness.REPO, check=False)
    return kept


def newest(program):
    """The schema that an empty database has after its `migrate`."""
    url = f"sqlite://{harness.scratch('newest')}/{Path(program).name}-{os.stat(program).st_ino}.db"
    told = subprocess.run([program, "migrate"], env={"NEUROCA_DB_URL": url}, check=True, capture_output=True, text=True).stdout
    return int(re.search(r"to (\d+)\s*$", told)[1])


def measure(old, new, load, database):
    """Load on both at once, until each has had its half."""
    seen = {"migrations": 0, "rollbacks": 0}
    services = {
        "new": nca.Service(new, database, DRAIN_DELAY_MS=200),
        "old": nca.Service(old, database, migrate=False, DRAIN_DELAY_MS=200),
    }
    try:
        words = ["--h1-connections", 6, "--h2-connections", 2, "--post-fraction", 0.5, "--verify"]
        loads = [
            lossless.Load(load, service.port, harness.SEED + number, REQUESTS // 2, words)
            for number, service in enumerate(services.values())
        ]
        schemas = set()
        while any(one.running() for one in loads):
            for verb in ("rollback", "migrate"):
                services["new"].run(verb)
                seen[f"{verb}s".replace("migrates", "migrations")] += 1
                schemas.add(nca.Client(services["old"].port).ask("GET", "/health/ready")[0])
                time.sleep(PAUSE)
        results = [one.result() for one in loads]
    finally:
        for service in services.values():
            service.stop()
    if schemas != {200}:
        raise RuntimeError(f"a service was not ready between two steps: {schemas}")
    verified = [one["verified"] for one in results]
    return {
        **seen, "requests": sum(one["report"]["requests"] for one in results),
        "failed": sum(one["report"]["failed"] for one in results),
        "acknowledged": sum(one["acknowledged"] for one in verified),
        "exactly_once": sum(one["exactly_once"] for one in verified),
        "duplicated": sum(one["duplicated"] + one["unacknowledged_duplicated"] for one in verified),
    }  # fmt: skip


def starts_on_both(old, new, database):
    """Each binary on each schema, as a release and a return do it."""
    for verb in ("migrate", "rollback"):
        with nca.Service(new, database, migrate=False) as service:
            service.run(verb)
            for program in (old, new):
                with nca.Service(program, database, migrate=False) as other:
                    status = nca.Client(other.port).ask("POST", "/v1/memories", {"content": verb})[0]
                    if status != 201:
                        raise RuntimeError(f"{program} after {verb}: {status}")


def main():
    commit, before, now = old_commit()
    given = os.environ.get("OLD")
    old = given or build_old(commit)
    new, load = nca.binary(), os.environ.get("LOAD") or harness.release("neuroca-load") / "load"
    schemas = [newest(program) for program in (old, new)]
    if schemas != [before, now]:
        raise RuntimeError(f"the two binaries end at schemas {schemas}, not at {before} and {now}")
    result = {}
    with nca.Postgres(*nca.DURABLE) as server:
        for name, url in {"sqlite": f"sqlite://{harness.scratch('sqlite')}/nca.db", "postgresql": server.database()}.items():
            result[name] = measure(old, new, load, url)
            starts_on_both(old, new, url)
            harness.say(f"{name}: {result[name]}")
    good = all(
        one["failed"] == 0 and one["requests"] >= REQUESTS >= 100_000 and one["duplicated"] == 0
        and one["exactly_once"] == one["acknowledged"] > 0 and one["migrations"] > 1 for one in result.values()
    )  # fmt: skip
    harness.finish(
        "From one schema to the next and back under load",
        "both versions serve one database while it is migrated and rolled back again and again: 0 failed of 100,000 requests, "
        "every acknowledged write there exactly once",
        good, {"old": "built before; which schema it ends at was asked of it" if given else commit, "schemas": schemas, **result},
    )  # fmt: skip


if __name__ == "__main__":
    main()
