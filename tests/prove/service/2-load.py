#!/usr/bin/env python3
"""Figure 2: search and write latency with 16 clients that never pause, on 10,000 to 1,000,000 memories in PostgreSQL.

PostgreSQL syncs as in production. Clients are connections of wrk (Debian: wrk), each of which sends its next request when
the last one is answered; rounds of searches and of writes take turns, the median round counts. Each search asks with some
words of a sentence that is there. Wherever the target names a size it is 100,000.

SIZES, ROUNDS and SECONDS_EACH bound it for a try.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402
from corpus import Corpus  # noqa: E402

SIZES = [int(size) for size in os.environ.get("SIZES", "10000,100000,1000000").split(",")]
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_EACH", "10"))
CLIENTS, THREADS = 16, 2
SUBJECTS = 200
AT = 100_000


def draft(corpus, number):
    return {"content": corpus.sentence(), "subject": f"person {number % SUBJECTS}", "tier": "long_term",
            "occurred_at": f"20{10 + number % 15}-0{1 + number % 9}-1{number % 10}T12:00:00Z"}  # fmt: skip


def fill(service, corpus, start, end, sentences):
    """Adds memories up to `end`, over four connections; seconds that it took."""
    begun = time.perf_counter()
    drafts = [draft(corpus, number) for number in range(start, end)]
    sentences += [one["content"] for one in drafts[:: max(1, len(drafts) // 5000)]]
    batches = iter([drafts[at : at + 100] for at in range(0, len(drafts), 100)])
    failed = []

    def work():
        client = nca.Client(service.port, timeout=120)
        for batch in batches:
            status, answer = client.ask("POST", "/v1/memories:batch", {"items": batch})
            if status != 201:
                failed.append(f"{status} {answer}")
                return

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise RuntimeError(f"a batch: {failed[0]}")
    return time.perf_counter() - begun


def wrk(service, path, bodies, name):
    file = harness.scratch("bodies") / f"{name}.jsonl"
    file.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    done = subprocess.run(
        ["wrk", "--threads", str(THREADS), "--connections", str(CLIENTS), "--duration", f"{SECONDS}s", "--timeout", "30s",
         "--script", str(Path(__file__).parent / "requests.lua"), f"http://127.0.0.1:{service.port}{path}",
         "--", str(file), str(THREADS)],
        check=True, capture_output=True, text=True, timeout=SECONDS + 60,
    )  # fmt: skip
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["bad_status"] or seen["socket_errors"] or not seen["requests"]:
        raise RuntimeError(f"{path}: not every request was answered with 2xx: {seen}")
    return {**seen, "per_second": seen["requests"] / seen["seconds"]}


def measure(service, corpus, size, sentences):
    rounds = {"search": [], "write": []}
    for number in range(ROUNDS):
        questions = [
            {"query": corpus.question(corpus.chance.choice(sentences)), "limit": 10,
             **({"subject": f"person {n % SUBJECTS}"} if n % 2 else {})} for n in range(2000)
        ]  # fmt: skip
        rounds["search"].append(wrk(service, "/v1/search", questions, "search"))
        drafts = [draft(corpus, n) for n in range(5000)]
        rounds["write"].append(wrk(service, "/v1/memories", drafts, "write"))
        shown = {name: {key: round(value) for key, value in seen[-1].items()} for name, seen in rounds.items()}
        harness.say(f"{size} memories, round {number + 1}/{ROUNDS}: {shown}")
    return {
        name: {key: round(statistics.median(one[key] for one in seen), 2) for key in ("p50_ms", "p95_ms", "p99_ms", "per_second")}
        for name, seen in rounds.items()
    }  # fmt: skip


def main():
    if not shutil.which("wrk"):
        sys.exit("prove: figure 2 needs wrk (Debian: apt-get install wrk)")
    program = nca.binary()
    corpus = Corpus(harness.SEED)
    table, sentences, there = {}, [], 0
    with nca.Postgres(*nca.DURABLE, "-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB") as server:
        url = server.database()
        with nca.Service(program, url) as service:
            for size in SIZES:
                seconds = fill(service, corpus, there, size, sentences)
                server.sql("VACUUM ANALYZE", url)
                seen = measure(service, corpus, size, sentences)
                table[size] = {**seen, "filled_per_second": round((size - there) / seconds),
                               "resident_mib": round(harness.resident_kib(service.process.pid)[0] / 1024, 1),
                               "database_mib": round(int(server.sql("SELECT pg_database_size(current_database())", url)[0][0]) / 2**20)}  # fmt: skip
                there = nca.Client(service.port).ask("GET", "/v1/stats")[1]["items"]
    at = table.get(AT, {"search": {"p95_ms": 1e9}, "write": {"p95_ms": 1e9}})
    good = at["search"]["p95_ms"] < 25 and at["write"]["p95_ms"] < 15
    harness.finish(
        "Search and write latency", "100,000 memories in PostgreSQL, 16 clients that never pause: search p95 under 25 ms, write p95 under 15 ms",
        good, {"clients": CLIENTS, "rounds": ROUNDS, "seconds_each": SECONDS, "by_memories": table},
    )  # fmt: skip


if __name__ == "__main__":
    main()
