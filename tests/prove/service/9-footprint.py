#!/usr/bin/env python3
"""Figure 9: what the service costs when nobody asks it anything, how soon it is ready, and how large its image is.

Measures the folder that the Dockerfile's last stage is made of, run as a container engine would run it: a root that
cannot be written to, a user who is not root (image.py). Databases hold 10,000 memories. Ready is counted from the start of
the process, mounts included, to the first 200 of /health/ready; the port is asked without a pause.

ROUNDS (starts) and SECONDS_EACH (of idleness) bound it for a try.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402
from image import Image  # noqa: E402

MEMORIES = 10_000
STARTS = int(os.environ.get("ROUNDS", "50"))
IDLE_SECONDS = int(os.environ.get("SECONDS_EACH", "20"))


def fill(service):
    client = nca.Client(service.port)
    for start in range(0, MEMORIES, 100):
        items = [
            {"content": f"number {n}: {n * 7919 % 10007} bottles hang on wall {n % 97}", "subject": f"s{n % 50}",
             "tier": "long_term"} for n in range(start, start + 100)
        ]  # fmt: skip
        status, made = client.ask("POST", "/v1/memories:batch", {"items": items})
        if status != 201:
            raise RuntimeError(f"a batch: {status} {made}")
    # The memory of a service that has worked, not of one that was never asked.
    for n in range(50):
        client.ask("POST", "/v1/search", {"query": f"which bottles hang on wall {n}"})


def start_millis(service):
    """From the start of the process to ready."""
    begun = time.perf_counter()
    service.process = service.spawn("serve")
    while True:
        try:
            if nca.Client(service.port, timeout=5).ask("GET", "/health/ready")[0] == 200:
                return (time.perf_counter() - begun) * 1000
        except OSError:
            if service.process.poll() is not None:
                raise RuntimeError(f"the service ended with {service.process.returncode}") from None
            time.sleep(0.001)


def measure(program, database):
    with nca.Service(program, database) as service:
        fill(service)
        used = harness.resident_kib(service.process.pid)[0]
        time.sleep(IDLE_SECONDS)
        rested = harness.resident_kib(service.process.pid)[0]
        service.stop()
        millis = []
        for _ in range(STARTS):
            millis.append(start_millis(service))
            service.stop()
        start_millis(service)
        time.sleep(IDLE_SECONDS)
        before = harness.cpu_seconds(service.process.pid)
        time.sleep(IDLE_SECONDS)
        idle = harness.resident_kib(service.process.pid)[0]
        spent = harness.cpu_seconds(service.process.pid) - before
        return {
            "resident_mib_idle": round(idle / 1024, 1),
            "resident_mib_at_work": round(used / 1024, 1),
            "resident_mib_idle_after_work": round(rested / 1024, 1),
            "cpu_millis_per_idle_second": round(spent * 1000 / IDLE_SECONDS, 2),
            "ready_ms_median": round(harness.percentile(millis, 0.5), 1),
            "ready_ms_p95": round(harness.percentile(millis, 0.95), 1),
            "ready_ms_worst": round(max(millis), 1),
            "starts": len(millis),
        }  # fmt: skip


def main():
    image = Image()
    with nca.Postgres() as server:
        result = {
            "image_mib": round(image.size() / 2**20, 2),
            "files": {str(path.relative_to(image.root)): path.stat().st_size for path in image.files()},
            "static": image.is_static(),
            "verbs": image.verbs(),
            "sqlite": measure(image.program, "sqlite:///data/idle.db"),
            "postgresql": measure(image.program, server.database()),
        }
    good = image.size() <= 40 * 2**20 and result["static"] and all(result["verbs"].values()) and all(
        max(one["resident_mib_idle"], one["resident_mib_idle_after_work"]) <= 30 and one["ready_ms_worst"] <= 300
        for one in (result["sqlite"], result["postgresql"])
    )  # fmt: skip
    harness.finish(
        "Footprint", "idle: at most 30 MiB resident, just started and after work; ready at most 300 ms after each of 50 starts on an "
        "existing database; image (static executable and certificates) at most 40 MiB, which runs as nobody on a read-only root",
        good, result,
    )  # fmt: skip


if __name__ == "__main__":
    main()
