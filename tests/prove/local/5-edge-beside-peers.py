#!/usr/bin/env python3
"""Figure 5: the edge proxy beside nginx, HAProxy, Envoy, Traefik and kamal-proxy.

One backend, one load generator, one machine, rounds that rotate the order: requests per second of
the proxy's own CPU time with 64 connections kept busy, and the latency that each adds to a direct
request with 2. ROUNDS and SECONDS_EACH shorten or lengthen it.
"""

import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers  # noqa: E402
from harness import SEED, cpu_seconds, finish, free_port, release, say, scratch  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_EACH", "5"))
# Few enough that latency is the proxy's and not that of a queue for two cores.
BUSY, CALM = 64, 2
TARGET = (
    "ahead of Traefik and kamal-proxy on requests per CPU second and on added p50 and p99; "
    "requests per CPU second at least 1/1.25 of the best"
)


def ours(folder, backends):
    port = free_port()
    binary = release("neuroca-deploy-edge", example="edge") / "edge"
    command = [binary, "--listen", f"127.0.0.1:{port}", "--access-log", folder / "ours-access.log"]
    for backend, weight in zip(backends, (90, 10)):
        command += ["--backend", f"127.0.0.1:{backend}={weight}"]
    return peers.Running("ours", command, folder, port)


def load(port, connections):
    """One run of wrk; it reconnects but never sends a request twice."""
    done = subprocess.run(
        ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{SECONDS}s",
         "--timeout", "5s", "--script", str(Path(__file__).parent / "wrk.lua"),
         f"http://127.0.0.1:{port}/v1/memories/42"],
        check=True, capture_output=True, text=True, timeout=SECONDS + 60,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["bad_status"] or seen["socket_errors"] or not seen["requests"]:
        raise RuntimeError(f"port {port}: not every request was answered with 2xx: {seen}")
    return seen


def measure(subject):
    """Both phases of one subject, with the CPU that its processes used in the first."""
    load_before = cpu_seconds(subject.pid)
    busy = load(subject.port, BUSY)
    used = cpu_seconds(subject.pid) - load_before
    calm = load(subject.port, CALM)
    return {
        "requests_per_cpu_second": busy["requests"] / used,
        "requests_per_second": busy["requests"] / busy["seconds"],
        "p50_us": calm["p50_us"],
        "p99_us": calm["p99_us"],
    }


def summary(rounds, direct):
    """Medians over the rounds; what is added is taken within each round."""
    line = {
        key: round(statistics.median(seen[key] for seen in rounds), 1) for key in rounds[0]
    }
    for key in ("p50_us", "p99_us"):
        added = [seen[key] - base[key] for seen, base in zip(rounds, direct)]
        line[f"added_{key}"] = round(statistics.median(added), 1)
    return line


def verdict(table):
    """What the target asks, one line each."""
    mine = table["ours"]
    best = max(row["requests_per_cpu_second"] for name, row in table.items() if name != "direct")
    checks = {
        "throughput_within_1.25_of_best": mine["requests_per_cpu_second"] * 1.25 >= best,
    }
    for peer in ("traefik", "kamal-proxy"):
        if peer in table:
            them = table[peer]
            checks[f"ahead_of_{peer}_on_throughput"] = (
                mine["requests_per_cpu_second"] > them["requests_per_cpu_second"]
            )
            for key in ("added_p50_us", "added_p99_us"):
                checks[f"ahead_of_{peer}_on_{key}"] = mine[key] < them[key]
    return checks


def main():
    left_out = peers.install()
    if "wrk" in left_out or "nginx" in left_out:
        sys.exit(f"figure 5 needs wrk and nginx (the backend): {left_out}")
    folder = scratch("edge")
    backend, backends = peers.backend(folder)
    running = {}
    try:
        running["ours"] = ours(folder, backends)
        for name, start in peers.PEERS.items():
            if name not in left_out:
                running[name] = start(folder, backends)
        order = ["direct", *running]
        subjects = {"direct": backend, **running}
        for name in order:
            say(f"warming {name}")
            subprocess.run(
                ["wrk", "-t1", "-c8", "-d1s", f"http://127.0.0.1:{subjects[name].port}/"],
                check=True, stdout=subprocess.DEVNULL,
            )
        chance = random.Random(SEED)
        seen = {name: [] for name in order}
        for number in range(ROUNDS):
            chance.shuffle(order)
            for name in order:
                seen[name].append(measure(subjects[name]))
                shown = {key: round(value) for key, value in seen[name][-1].items()}
                say(f"round {number + 1}/{ROUNDS} {name}: {shown}")
        table = {name: summary(rounds, seen["direct"]) for name, rounds in seen.items()}
        checks = verdict(table)
        finish(
            "Edge proxy beside its peers", TARGET, all(checks.values()),
            {"checks": checks, "table": table, "left_out": left_out, "rounds": ROUNDS,
             "seconds_each": SECONDS, "connections": {"throughput": BUSY, "latency": CALM},
             "versions": versions(running), "all_rounds": seen},
        )
    finally:
        for subject in (*running.values(), backend):
            subject.stop()


def versions(running):
    flags = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "traefik": "version",
             "kamal-proxy": "version"}
    found = {}
    for name in running:
        if name in flags:
            done = subprocess.run(
                [peers.which(name), flags[name]], capture_output=True, text=True, check=False
            )
            lines = (done.stdout + done.stderr).strip().splitlines()
            # Some say by which path they were called, which is nobody's business.
            found[name] = lines[0].split("/bin/")[-1] if lines else "unknown"
    return found


if __name__ == "__main__":
    main()
