#!/usr/bin/env python3
"""Figure 8: what the service leans on is stopped, one after the other, while clients ask without a pause.

PostgreSQL with a streaming replica, Redis (killed, and silent), a language model, an OIDC issuer. Four kinds of clients: with a key (writes, reads and
searches), with a token, with a token of a key that the service has not met yet, and with a question for the model.
While a part is away only the clients that need it may fail, with 502, 503 or 504; after it is back everybody has to be
served again, with no restart. Clients never retry.

AWAY_SECONDS bounds it for a try.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402
from issuer import Issuer  # noqa: E402
from model import Model  # noqa: E402
from redis_server import Redis  # noqa: E402

AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "12"))
RECOVERY_SECONDS = 60
AWAY = {502, 503, 504}


class Replica:
    """A streaming replica of a server of scripts/postgres.sh."""

    def __init__(self, primary):
        self.primary, self.port = primary, harness.free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="neuroca-replica-"))
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.as_owner([primary.bin / "pg_basebackup", "-d", primary.url, "-D", self.folder, "-R", "-X", "stream", "-c", "fast"])
        self.url = re.sub(r":\d+/", f":{self.port}/", primary.url)
        self.start()

    def as_owner(self, words, **how):
        """PostgreSQL does not run as root."""
        prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        return subprocess.run([*prefix, *map(str, words)], check=True, cwd="/", **how)

    def control(self, verb, *words):
        self.as_owner(
            [self.primary.bin / "pg_ctl", verb, "--pgdata", self.folder, "--wait", "--silent", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
        self.control("start", "--log", self.folder / "server.log", "--options", options)

    def stop(self):
        self.control("stop", "--mode", "immediate")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)


class Clients:
    """One kind of client: what it was answered, since the last time that somebody looked."""

    def __init__(self, port, work):
        self.port, self.work, self.lock = port, work, threading.Lock()
        self.answers, self.running = {}, True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        number = 0
        while self.running:
            try:
                status = self.work(self.port, number)
            except OSError as error:
                status = type(error).__name__
            with self.lock:
                self.answers[status] = self.answers.get(status, 0) + 1
            number += 1

    def since(self):
        with self.lock:
            answers, self.answers = self.answers, {}
        return answers


def with_key(token):
    """Writes, reads what was written last, pages and searches, in turn."""
    state = {}

    def work(port, number):
        client = state.setdefault("client", nca.Client(port, token))
        try:
            if number % 4 == 0:
                status, made = client.ask("POST", "/v1/memories", {"content": f"fact {number} of the day", "tier": "long_term"})
                state["id"] = made.get("id", state.get("id"))
                return status
            if number % 4 == 1:
                return client.ask("GET", f"/v1/memories/{state['id']}")[0]
            if number % 4 == 2:
                return client.ask("GET", "/v1/memories?limit=20")[0]
            return client.ask("POST", "/v1/search", {"query": f"fact {number - 3}"})[0]
        except OSError:
            state.pop("client")
            raise

    return work


def with_token(token):
    def work(port, _):
        return nca.Client(port, token()).ask("GET", "/v1/stats")[0]

    return work


def with_question(token):
    def work(port, number):
        time.sleep(0.02)
        return nca.Client(port, token).ask("POST", "/v1/llm/query", {"query": f"what is fact {number}", "stream": False})[0]

    return work


def fine(answers):
    return bool(answers) and all(isinstance(status, int) and status < 300 for status in answers)


def lose(part, stop, start, clients, needy):
    """One part away and back: what everybody was answered meanwhile, and how long until all is well again."""
    for one in clients.values():
        one.since()
    stop()
    time.sleep(AWAY_SECONDS)
    away = {name: one.since() for name, one in clients.items()}
    start()
    begun = time.monotonic()
    while True:
        for one in clients.values():
            one.since()
        time.sleep(1.5)
        if all(fine(one.since()) for one in clients.values()):
            break
        if time.monotonic() - begun > RECOVERY_SECONDS:
            raise RuntimeError(f"{part} is back, and not everybody is served")
    recovered = time.monotonic() - begun
    others = [name for name in clients if name not in needy]
    failed = {name: {s: n for s, n in away[name].items() if not (isinstance(s, int) and s < 300)} for name in clients}
    told = {
        "answers_while_away": {name: {str(s): n for s, n in answers.items()} for name, answers in away.items()},
        "failed_that_do_not_need_it": sum(sum(failed[name].values()) for name in others),
        # None would mean that the part was not away.
        "failed_that_need_it": sum(sum(failed[name].values()) for name in needy),
        "failed_otherwise_than_said": sum(n for name in needy for s, n in failed[name].items() if s not in AWAY),
        "seconds_until_all_served": round(recovered, 1),
    }  # fmt: skip
    harness.say(f"{part}: {told}")
    return told


def main():
    program = nca.binary()
    folder = harness.scratch("parts")
    model, issuer, redis = Model(), Issuer(folder), Redis()
    with nca.Postgres(*nca.DURABLE, "-c", "wal_level=replica") as server:
        replica = Replica(server)
        settings = {"AUTH": "required", "DB_READ_URL": replica.url, "OIDC_ISSUER": issuer.url, "OIDC_AUDIENCE": "nca",
                    # A limit that nobody reaches: each request asks Redis.
                    "RATE_LIMIT_PER_MINUTE": "10000000", "REDIS_URL": redis.url, **model.settings()}  # fmt: skip
        with nca.Service(program, server.url, **settings) as service:
            pid = service.process.pid
            key = re.search(r"nca\.\S+", service.run("keys", "create", "--tenant", "acme", "--name", "k", "--role", "agent"))[0]
            tokens = {"known": issuer.token(), "newest": issuer.token()}
            clients = {
                "with a key": Clients(service.port, with_key(key)),
                "with a token": Clients(service.port, with_token(lambda: tokens["known"])),
                "with a question for the model": Clients(service.port, with_question(key)),
            }
            harness.until("everybody is served", lambda: time.sleep(1) or all(fine(one.since()) for one in clients.values()), 30)
            result = {
                "replica": lose("the replica", replica.stop, replica.start, clients, ()),
                "redis": lose("Redis", redis.stop, redis.start, clients, ()),
                "redis, silent": lose("Redis, silent", redis.silence, redis.wake, clients, ()),
                "model": lose("the model", model.stop, model.start, clients, ("with a question for the model",)),
                "issuer": lose("the issuer", issuer.stop, issuer.start, clients, ()),
            }
            # Who comes with a key that nobody has seen needs the issuer.
            issuer.turn()
            tokens["newest"] = issuer.token()
            # Keys are fetched again at most every few seconds; whoever comes first may have to wait for that.
            time.sleep(6)
            clients["with a token of a new key"] = Clients(service.port, with_token(lambda: tokens["newest"]))
            time.sleep(2)
            result["issuer, after another key"] = {"answers": {str(s): n for s, n in clients["with a token of a new key"].since().items()}}
            alive = service.process.poll() is None and service.process.pid == pid
            for one in clients.values():
                one.running = False
            for one in clients.values():
                one.thread.join()
        replica.remove()
    model.stop()
    issuer.stop()
    redis.stop()
    lost = [one for one in result.values() if "failed_that_do_not_need_it" in one]
    new = result["issuer, after another key"]["answers"]
    good = alive and result["model"]["failed_that_need_it"] > 0 and set(new) == {"200"} and all(
        one["failed_that_do_not_need_it"] == 0 and one["failed_otherwise_than_said"] == 0 for one in lost
    )  # fmt: skip
    harness.finish(
        "Parts lost under load",
        "replica, Redis, model and issuer stopped one by one: no failure of a call that does not need it, and everybody served after it is back "
        "with no restart",
        good, result,
    )  # fmt: skip


if __name__ == "__main__":
    main()
