"""What the figures of the service share: a PostgreSQL of their own, the service as a process, a client.

Knows no figure and no target number.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402

# What a server that people trust does, and a throw-away one for tests does not.
DURABLE = ("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on")


def image():
    """The folder with all that the image holds."""
    folder = (harness.TARGET_DIR / "prove" / "image").resolve()
    subprocess.run([harness.REPO / "scripts/image.sh", folder], check=True, stdout=sys.stderr)
    return folder


def binary():
    """The executable of the image; NEUROCA names another one."""
    return os.environ.get("NEUROCA") or str(image() / "neuroca")


class Postgres:
    """A server of scripts/postgres.sh, with more options of `postgres`. It ends when this process does."""

    SCRIPT = (
        'source scripts/postgres.sh; trap postgres_stop EXIT; postgres_start "$@" '
        '&& echo "$POSTGRES_URL $POSTGRES_PID $(postgres_bin)" && read -r _'
    )

    def __init__(self, *options):
        self.shell = subprocess.Popen(
            ["bash", "-c", self.SCRIPT, "postgres", *options],
            cwd=harness.REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        words = self.shell.stdout.readline().split()
        if len(words) != 3:
            raise RuntimeError("no PostgreSQL: what scripts/postgres.sh said is above")
        self.url, self.pid, self.bin = words[0], int(words[1]), Path(words[2])
        self.made = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The shell reads; the end of its input ends the server.
        self.shell.stdin.close()
        self.shell.wait(timeout=60)

    def database(self):
        """The address of a new, empty database."""
        self.made += 1
        name = f"figure_{self.made}"
        self.sql(f"CREATE DATABASE {name}")
        return f"{self.url.rsplit('/', 1)[0]}/{name}"

    def sql(self, statement, url=None):
        """Rows, each a list of text."""
        done = subprocess.run(
            [self.bin / "psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", url or self.url, "-c", statement],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [line.split("\t") for line in done.stdout.splitlines()]


class Service:
    """`neuroca serve` on a database, ready."""

    def __init__(self, program, database, port=None, migrate=True, **settings):
        self.port = port or harness.free_port()
        self.program = str(program)
        self.environ = {
            "PORT": str(self.port), "NEUROCA_DB_URL": database, "NEUROCA_LOG_LEVEL": "error",
            **{f"NEUROCA_{name}": str(value) for name, value in settings.items()},
        }  # fmt: skip
        if migrate:
            self.run("migrate")
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def run(self, *words):
        done = subprocess.run(
            [self.program, *words], env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"neuroca {words} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def spawn(self, verb):
        return subprocess.Popen(
            [self.program, verb], env=self.environ, stdin=subprocess.DEVNULL, stdout=sys.stderr
        )

    def start(self):
        self.process = self.spawn("serve")
        harness.until("the service is ready", self.ready, 60)

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the service ended with {self.process.returncode}")
        try:
            return Client(self.port).ask("GET", "/health/ready")[0] == 200
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()


class Client:
    """One connection that is kept, and no retries: what fails is raised."""

    def __init__(self, port, token=None, timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def ask(self, method, path, body=None, **headers):
        """(status, what the answer holds); JSON where it is JSON."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            sent["content-type"] = "application/json"
            body = json.dumps(body)
        try:
            self.connection.request(method, path, body, sent)
            answer = self.connection.getresponse()
            data = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        self.answer = answer
        if "json" in (answer.getheader("content-type") or ""):
            return answer.status, json.loads(data)
        return answer.status, data

    def all_memories(self):
        """Every memory that is current, page by page."""
        path = "/v1/memories?limit=1000"
        cursor = None
        while True:
            status, page = self.ask("GET", path if cursor is None else f"{path}&cursor={cursor}")
            if status != 200:
                raise RuntimeError(f"a page of memories: {status} {page}")
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return


class Redis:
    """A connection to Redis: what figures ask of it, and no more."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self.answer()

    def answer(self):
        kind, rest = (line := self.file.readline().rstrip(b"\r\n"))[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(f"Redis: {rest.decode()}")
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode(errors="replace")
        return rest.decode()

    def close(self):
        self.file.close()
        self.socket.close()
