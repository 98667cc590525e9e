#!/usr/bin/env python3
"""Figure 2: search and write latency with 16 clients that never pause, on 10,000 and 100,000 memories in PostgreSQL, and
that of redis agent-memory-server on Redis Stack with the same memories, questions and clients.

PostgreSQL syncs as in production. Clients are connections of wrk (Debian: wrk), each of which sends its next request when
the last one is answered; rounds of searches and of writes take turns, the median round counts. One more round
has clients that pause for 50 to 100 ms between an answer and the next request, as agents do at least. Each search asks with some
words of a sentence that is there, every second one within its subject; one round asks with a word misspelt. Wherever the target names a size it is 100,000.
The same is measured with the memories encrypted at rest, at that size.

The peer searches by vectors, which a hash answers at once (embedder.py), so that no model is measured; it acknowledges
a write before it is done and ours after. Its memories are added one batch after the other for two minutes at most;
how many there were is told.

SIZES, ROUNDS, SECONDS_EACH and PEER_SIZE bound it for a try; PEER_SIZE=0 leaves the peer out, and
SIZES=10000,100000,1000000 shows further growth in a quarter of an hour more.
"""

import itertools
import json
import os
import secrets
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
from peer import Missing, Peer  # noqa: E402

SIZES = [int(size) for size in os.environ.get("SIZES", "10000,100000").split(",")]
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "6"))
CLIENTS, THREADS = 16, 2
SUBJECTS = 200
PAUSE_MILLIS = 50
AT = 100_000
PEER_SIZE = int(os.environ.get("PEER_SIZE", str(AT)))
PEER_PATIENCE = 120


def draft(corpus, number):
    return {"content": corpus.sentence(), "subject": f"person {number % SUBJECTS}", "tier": "long_term",
            "occurred_at": f"20{10 + number % 15}-0{1 + number % 9}-1{number % 10}T12:00:00Z"}  # fmt: skip


def fill(service, corpus, start, end, known):
    """Adds memories up to `end`, over four connections; seconds that it took."""
    begun = time.perf_counter()
    drafts = [draft(corpus, number) for number in range(start, end)]
    known += drafts[:: max(1, len(drafts) // 5000)]
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


def wrk(service, path, bodies, name, pause=0, strict=True):
    """A round. Failed requests end the figure, or (a peer's) are told."""
    file = harness.scratch("bodies") / f"{name}.jsonl"
    file.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    done = subprocess.run(
        ["wrk", "--threads", str(THREADS), "--connections", str(CLIENTS), "--duration", f"{SECONDS}s", "--timeout", "30s",
         "--script", str(Path(__file__).parent / "requests.lua"), f"http://127.0.0.1:{service.port}{path}",
         "--", str(file), str(THREADS), str(pause)],
        check=True, capture_output=True, text=True, timeout=SECONDS + 60,
    )  # fmt: skip
    seen = json.loads(done.stdout.splitlines()[-1])
    if not seen["requests"] or (strict and (seen["bad_status"] or seen["socket_errors"])):
        raise RuntimeError(f"{path}: not every request was answered with 2xx: {seen}")
    return {**seen, "per_second": seen["requests"] / seen["seconds"]}


def questions(corpus, known, misspelt=False):
    """Every second one names the subject that it is about."""
    asked = []
    for number in range(2000):
        told = corpus.chance.choice(known)
        text = corpus.question(told["content"])
        body = {"query": corpus.misspelt(text) if misspelt else text, "limit": 10}
        asked.append({**body, "subject": told["subject"]} if number % 2 else body)
    return asked


def measure(name, search, write):
    """The median of the rounds; each of the two functions is one."""
    rounds = {"search": [], "write": []}
    for number in range(ROUNDS):
        rounds["search"].append(search())
        rounds["write"].append(write())
        shown = {name: {key: round(value) for key, value in seen[-1].items()} for name, seen in rounds.items()}
        harness.say(f"{name}, round {number + 1}/{ROUNDS}: {shown}")
    return {name: chosen(seen) for name, seen in rounds.items()}


def chosen(seen):
    median = {key: round(statistics.median(one[key] for one in seen), 2) for key in ("p50_ms", "p95_ms", "p99_ms", "per_second")}
    return {**median, "failed": sum(one["bad_status"] + one["socket_errors"] for one in seen)}


def ours(program, sizes, **settings):
    """What each size came to."""
    corpus = Corpus(harness.SEED)
    table, known, there = {}, [], 0
    with nca.Postgres(*nca.DURABLE, "-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB") as server:
        url = server.database()
        with nca.Service(program, url, **settings) as service:
            for size in sizes:
                seconds = fill(service, corpus, there, size, known)
                server.sql("VACUUM ANALYZE", url)
                seen = measure(
                    f"{size} memories{', encrypted' if settings else ''}",
                    lambda: wrk(service, "/v1/search", questions(corpus, known), "search"),
                    lambda: wrk(service, "/v1/memories", [draft(corpus, n) for n in range(5000)], "write"),
                )
                calm = [
                    wrk(service, "/v1/search", questions(corpus, known), "search", PAUSE_MILLIS),
                    wrk(service, "/v1/memories", [draft(corpus, n) for n in range(5000)], "write", PAUSE_MILLIS),
                ]
                slip = wrk(service, "/v1/search", questions(corpus, known, misspelt=True), "misspelt")
                table[size] = {**seen, "search_with_a_word_misspelt": chosen([slip]),
                               "with_pauses": {"search": chosen(calm[:1]), "write": chosen(calm[1:])}, "filled_per_second": round((size - there) / seconds),
                               "resident_mib": round(harness.resident_kib(service.process.pid)[0] / 1024, 1),
                               "database_mib": round(int(server.sql("SELECT pg_database_size(current_database())", url)[0][0]) / 2**20)}  # fmt: skip
                there = nca.Client(service.port).ask("GET", "/v1/stats")[1]["items"]
    return table


def theirs():
    """The same of the peer, at one size."""
    corpus, number = Corpus(harness.SEED), itertools.count(10**9)
    drafts = [draft(corpus, n) for n in range(PEER_SIZE)]
    known = drafts[:: max(1, len(drafts) // 5000)]
    try:
        with Peer() as peer:
            spent, there = 0.0, 0
            while there < len(drafts) and spent < PEER_PATIENCE:
                some = drafts[there : there + 1000]
                spent += peer.fill(some, there)
                there += len(some)
                if there % 10_000 == 0:
                    harness.say(f"the peer has {there} memories after {spent:.0f} s")
            seen = measure(
                f"the peer, {there} memories",
                lambda: wrk(peer, "/v1/long-term-memory/search", map(peer.question, questions(corpus, known)), "search", strict=False),
                lambda: wrk(peer, "/v1/long-term-memory/", [peer.write(draft(corpus, n), next(number)) for n in range(5000)], "write", strict=False),
            )
            return {"name": f"{peer.NAME}", "memories": there, "filled_per_second": round(there / spent),
                    **seen, "resident_mib": peer.resident_mib(), "embeddings": "a hash that answers at once, 384 numbers"}  # fmt: skip
    except Missing as why:
        harness.say(f"no peer: {why}")
        return {"not_measured": str(why)}


def main():
    if not shutil.which("wrk"):
        sys.exit("prove: figure 2 needs wrk (Debian: apt-get install wrk)")
    program = nca.binary()
    table = ours(program, SIZES)
    encrypted = ours(program, [AT], SECRET_KEY=secrets.token_hex(32)) if AT in SIZES else {}
    peer = theirs() if PEER_SIZE else {"not_measured": "left out"}
    at = table.get(AT, {"search": {"p95_ms": 1e9}, "write": {"p95_ms": 1e9}})
    ahead = "search" in peer and all(at[what]["p95_ms"] < peer[what]["p95_ms"] for what in ("search", "write"))
    good = at["search"]["p95_ms"] < 25 and at["write"]["p95_ms"] < 15 and ahead
    harness.finish(
        "Search and write latency",
        "100,000 memories in PostgreSQL, 16 clients that never pause: search p95 under 25 ms, write p95 under 15 ms, both ahead of "
        "redis agent-memory-server on the same machine",
        good, {"clients": CLIENTS, "rounds": ROUNDS, "seconds_each": SECONDS, "niceness": os.nice(0), "by_memories": table, "encrypted_at_rest": encrypted, "peer": peer},
    )  # fmt: skip


if __name__ == "__main__":
    main()
