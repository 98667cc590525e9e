#!/usr/bin/env python3
"""Figure 6: SIGKILL of the service under write load, 100 times on each database.

Eight clients add, add in batches, change and delete without a pause; after a moment that the seed chooses the
service is killed. Each then says what it was answered and what it was waiting for. After the restart every
acknowledged write has to be there, each other one whole or absent, and whoever sends an unanswered request again
under its Idempotency-Key has to find the write made once. PostgreSQL syncs as in production.

ROUNDS bounds it for a try.
"""

import hashlib
import os
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "100"))
CLIENTS = 8
BATCH = 5
LOAD_SECONDS = (0.02, 0.4)


def draft(token):
    """A memory that tells by itself whether it is whole."""
    content = f"{token} " + " ".join(hashlib.sha256(f"{token}{n}".encode()).hexdigest() for n in range(20))
    return {"content": content, "tier": "long_term", "metadata": {"sum": hashlib.sha256(content.encode()).hexdigest()}}


def is_whole(memory):
    return memory["metadata"].get("sum") == hashlib.sha256(memory["content"].encode()).hexdigest()


def token_of(memory):
    return memory["content"].split(" ", 1)[0]


class Writer(threading.Thread):
    """One client: what it was told, and the one request that it has no answer to."""

    def __init__(self, port, name, seed):
        super().__init__(daemon=True)
        self.client, self.name, self.random = nca.Client(port), name, random.Random(seed)
        self.held = {}  # id -> token of the content that was acknowledged last
        self.deleted = set()
        self.waiting = None  # (what, key or id, tokens)
        self.writes, self.wrong = 0, []

    def run(self):
        try:
            while True:
                self.write()
                self.writes += 1
        except OSError:
            pass  # Killed: that was the point.

    def write(self):
        token = f"{self.name}-{self.writes}"
        kind = self.random.random()
        if kind < 0.2:
            tokens = [f"{token}-{n}" for n in range(BATCH)]
            self.send("batch", token, tokens)
        elif kind < 0.5 and self.held:
            self.send("change", self.random.choice(list(self.held)), [token])
        elif kind < 0.6 and self.held:
            self.send("delete", self.random.choice(list(self.held)), [])
        else:
            self.send("add", token, [token])

    def send(self, what, key, tokens):
        self.waiting = (what, key, tokens)
        status, body = request(self.client, what, key, tokens)
        self.waiting = None
        if status not in (200, 201, 204):
            self.wrong.append(f"{what}: {status} {body}")
        elif what == "delete":
            self.held.pop(key)
            self.deleted.add(key)
        elif what == "batch":
            self.held.update((memory["id"], token_of(memory)) for memory in body["items"])
        else:
            self.held[body["id"]] = tokens[0]


def request(client, what, key, tokens):
    if what == "batch":
        items = {"items": [draft(token) for token in tokens]}
        return client.ask("POST", "/v1/memories:batch", items, idempotency_key=key)
    if what == "change":
        new = draft(tokens[0])
        del new["tier"]
        return client.ask("PATCH", f"/v1/memories/{key}", new)
    if what == "delete":
        return client.ask("DELETE", f"/v1/memories/{key}")
    return client.ask("POST", "/v1/memories", draft(tokens[0]), idempotency_key=key)


class Ledger:
    """What has to be there, over all rounds."""

    def __init__(self):
        self.held, self.deleted = {}, set()
        self.sums = dict.fromkeys(
            ["kills", "acknowledged", "unanswered", "found_whole", "found_absent",
             "lost", "torn", "made_twice", "refused", "not_searchable"], 0,
        )  # fmt: skip
        self.examples = []

    def wrong(self, what, example):
        self.sums[what] += 1
        harness.say(f"{what}: {example}")
        if len(self.examples) < 10:
            self.examples.append(f"{what}: {example}")

    def settle(self, client, writers):
        """After the restart: what of the last round is there, and what the open requests have become."""
        self.sums["kills"] += 1
        for writer in writers:
            self.sums["acknowledged"] += writer.writes
            for text in writer.wrong:
                self.wrong("refused", text)
            self.held.update(writer.held)
            self.deleted |= writer.deleted
            if writer.waiting:
                self.sums["unanswered"] += 1
                self.settle_open(client, *writer.waiting)
            for key in writer.held:
                # An open deletion may have been done; an open change has been looked at and is in `held`.
                if key in self.held:
                    self.expect(client, key, self.held[key])
            for key in writer.deleted:
                if client.ask("GET", f"/v1/memories/{key}")[0] != 404:
                    self.wrong("lost", f"the deletion of {key}")

    def settle_open(self, client, what, key, tokens):
        if what in ("change", "delete"):
            status, memory = client.ask("GET", f"/v1/memories/{key}")
            before = self.held.pop(key)
            if what == "delete" and status == 404:
                self.deleted.add(key)
                self.sums["found_whole"] += 1
            elif status != 200:
                self.wrong("lost", f"{key} under an open {what}: {status}")
            else:
                done = what == "change" and token_of(memory) == tokens[0]
                self.held[key] = tokens[0] if done else before
                self.sums["found_whole" if done else "found_absent"] += 1
                self.expect(client, key, self.held[key])
            return
        there = found(client, tokens)
        if len(there) not in (0, len(tokens)):
            self.wrong("torn", f"{len(there)} of {len(tokens)} of {key}")
        self.sums["found_whole" if there else "found_absent"] += 1
        status, body = request(client, what, key, tokens)
        made = [body] if what == "add" else body.get("items", [])
        if status != 201 or len(made) != len(tokens) or (there and there != {one["id"] for one in made}):
            self.wrong("made_twice", f"{key} sent again: {status}, {len(there)} were there")
        elif found(client, tokens) != {one["id"] for one in made}:
            self.wrong("not_searchable", key)
        self.held.update((one["id"], token_of(one)) for one in made)

    def expect(self, client, key, token):
        status, memory = client.ask("GET", f"/v1/memories/{key}")
        if status != 200 or token_of(memory) != token:
            self.wrong("lost", f"{key} with {token}: {status} {str(memory)[:100]}")
        elif not is_whole(memory):
            self.wrong("torn", key)

    def close(self, client):
        """All of it at once: nothing is missing, nothing else is there, and the counts agree."""
        there = {memory["id"]: memory for memory in client.all_memories()}
        for key, token in self.held.items():
            if key not in there or token_of(there[key]) != token:
                self.wrong("lost", f"{key} at the end")
        for key, memory in there.items():
            if key not in self.held or not is_whole(memory):
                self.wrong("torn", f"{key} at the end")
        counted = client.ask("GET", "/v1/stats")[1]["items"]
        self.sums["memories"] = len(there)
        if counted != len(there):
            self.wrong("torn", f"counted {counted}, there are {len(there)}")


def found(client, tokens):
    """The ids of the memories with exactly these tokens, by a word that only they have."""
    ids = set()
    for token in tokens:
        word = draft(token)["content"].split(" ")[1]
        status, answer = client.ask("POST", "/v1/search", {"query": word, "limit": 10})
        if status != 200:
            raise RuntimeError(f"search: {status} {answer}")
        ids |= {hit["memory"]["id"] for hit in answer["items"] if token_of(hit["memory"]) == token}
    return ids


def measure(program, database, seed, at_rest=lambda: None):
    """`at_rest` returns when nothing of the killed process goes on."""
    chance = random.Random(seed)
    ledger = Ledger()
    service = nca.Service(program, database)
    with service:
        for number in range(ROUNDS):
            writers = [Writer(service.port, f"r{number}c{n}x{seed}", f"{seed}/{number}/{n}") for n in range(CLIENTS)]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(*LOAD_SECONDS))
            service.kill()
            for writer in writers:
                writer.join()
            at_rest()
            service.start()
            ledger.settle(nca.Client(service.port), writers)
            if (number + 1) % 20 == 0:
                harness.say(f"{number + 1} kills: {ledger.sums}")
        ledger.close(nca.Client(service.port))
    return {**ledger.sums, "examples": ledger.examples}


def main():
    program = nca.binary()
    with nca.Postgres(*nca.DURABLE) as server:
        url = server.database()

        def at_rest():
            # The server ends what it was sent before the kill, an open commit too: what is found before that may change.
            others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            harness.until("the sessions of the killed process end", lambda: server.sql(others, url) == [["0"]], 60)

        result = {
            "sqlite": measure(program, f"sqlite://{harness.scratch('sqlite')}/nca.db", harness.SEED),
            "postgresql": measure(program, url, harness.SEED + 1, at_rest),
        }
    good = all(
        one["kills"] == ROUNDS >= 100 and one["unanswered"] >= ROUNDS and not one["examples"]
        for one in result.values()
    )
    harness.finish(
        "SIGKILL under write load",
        "100 kills on each database: every acknowledged write is there, every other one is whole or absent, "
        "and sent again under its key it is made once",
        good, {"clients": CLIENTS, **result},
    )  # fmt: skip


if __name__ == "__main__":
    main()
