#!/usr/bin/env python3
"""Figure 4: the service does what its OpenAPI document says, keeps tenants apart on every operation in it, and really
forgets.

Three parts, on each database:
- schemathesis (PyPI; SCHEMATHESIS names an installed one) with the document that is served;
- a fuzz of every operation of that document that asks who somebody is: tenant b with the ids, subjects and words of
  tenant a, then a itself. Whatever the answers hold of a's is a foreign read; a's rows, read from the database
  itself before and after, show a foreign write. A stream that does not end is read for a second;
- the deletion of a subject, after which no row of any table holds its name, a word of it or an id of its memories.

ROUNDS (requests of the fuzz to each operation) and EXAMPLES bound it for a try.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import model  # noqa: E402
import nca  # noqa: E402
import openapi  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "25"))
EXAMPLES = int(os.environ.get("EXAMPLES", "50"))
SCHEMATHESIS = "schemathesis==4.32.5"
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance",
]  # fmt: skip
CANARY = "zqcanary"


def schemathesis():
    named = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if named:
        return named
    venv = harness.scratch("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", SCHEMATHESIS], check=True, stdout=sys.stderr)
    return str(venv / "bin/schemathesis")


def conforms(service, token, document):
    """What schemathesis found. Streams that never end are not for it; the fuzz reads those."""
    streams = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
        if list(operation["responses"].get("200", {}).get("content", {})) == ["text/event-stream"]
    ]  # fmt: skip
    report = harness.scratch("schemathesis") / "report.xml"
    done = subprocess.run(
        [schemathesis(), "run", f"http://127.0.0.1:{service.port}/openapi.json", "--no-color",
         "-H", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES),
         "--seed", str(harness.SEED), "--request-timeout", "30", "--report-junit-path", report,
         *[word for one in streams for word in ("--exclude-operation-id", one)]],
        capture_output=True, text=True, cwd=harness.scratch("schemathesis"),
    )  # fmt: skip
    cases = re.search(r"(\d+) generated", done.stdout)
    if not cases or done.returncode not in (0, 1):
        raise RuntimeError(f"schemathesis ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    tested = re.search(r"Tested: (\d+)", done.stdout)
    kinds = re.findall(r"❌ (?:ST\d+ )?(.+?): (\d+)", done.stdout)
    if kinds:
        harness.say(done.stdout[-6000:])
    return {
        "cases": int(cases[1]), "operations": int(tested[1]) if tested else 0,
        "server_errors": sum(int(n) for kind, n in kinds if kind == "Server error"),
        "violations": {kind: int(n) for kind, n in kinds if kind != "Server error"},
    }  # fmt: skip


# --- rows, as the database itself has them ---------------------------------------------------


class Rows:
    """Reads past the service: all rows of all tables, as text."""

    def __init__(self, url, server):
        self.url, self.server = url, server

    def tables(self):
        if self.server:
            return [row[0] for row in self.server.sql(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", self.url)]  # fmt: skip
        with self.file() as base:
            names = base.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        # The inner tables of the full-text index hold hashes of words, of which none says whose it is.
        return [name for name, sql in names if sql and not re.match(r"memory_(terms|grams)", name)]

    def file(self):
        return sqlite3.connect(f"file:{self.url.removeprefix('sqlite://')}?mode=ro", uri=True)

    def all(self):
        """{table: [row as a text]}; binary is hexadecimal."""
        found = {}
        for table in self.tables():
            if self.server:
                found[table] = [row[0] for row in self.server.sql(f"SELECT row_to_json(t)::text FROM {table} t", self.url)]
            else:
                with self.file() as base:
                    cursor = base.execute(f"SELECT * FROM {table}")
                    names = [one[0] for one in cursor.description]
                    found[table] = [
                        json.dumps({n: v.hex() if isinstance(v, bytes) else v for n, v in zip(names, row)})
                        for row in cursor
                    ]  # fmt: skip
        return found

    def of_tenant(self, tenant):
        return {
            table: sorted(row for row in rows if json.loads(row).get("tenant") == tenant)
            for table, rows in self.all().items()
        }

    def holding(self, words):
        """Rows in which one of these stands."""
        return [
            f"{table}: {row[:300]}" for table, rows in self.all().items() for row in rows
            if any(word in row.lower().replace("-", "") for word in words)
        ]  # fmt: skip


# --- tenants -----------------------------------------------------------------------------------


def fill(client, name):
    """Something of everything that a tenant can have; (ids, subjects)."""
    ids, subjects = [], [f"{name}-subject-{n}" for n in range(3)]
    for n in range(12):
        body = {
            "content": f"{CANARY}{name} note {n} about the green house", "subject": subjects[n % 3],
            "tier": ["working", "short_term", "long_term"][n % 3], "metadata": {"mark": f"{CANARY}{name}"},
        }  # fmt: skip
        status, made = client.ask("POST", "/v1/memories", body, idempotency_key=f"{name}-{n}")
        if status != 201:
            raise RuntimeError(f"a memory: {status} {made}")
        ids.append(made["id"])
    client.ask("PATCH", f"/v1/memories/{ids[0]}", {"content": f"{CANARY}{name} changed"})
    for body in ({"name": f"{CANARY}{name}", "role": "viewer"}, {"name": f"{CANARY}{name} 2", "role": "agent"}):
        ids.append(client.ask("POST", "/v1/admin/keys", body)[1]["key"]["id"])
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
    for subject in subjects:
        client.ask("PUT", f"/v1/admin/flags/{subject}", flag)
    ids.append(client.ask("POST", "/v1/consolidations")[1]["id"])
    return ids, subjects


def ask(service, token, method, target, body, headers):
    """(status, text); what does not end is cut after a second."""
    client = nca.Client(service.port, token, timeout=30)
    sent = {**client.headers, **headers, **({"content-type": "application/json"} if body is not None else {})}
    client.connection.request(method, target, None if body is None else json.dumps(body), sent)
    answer = client.connection.getresponse()
    if answer.getheader("content-type", "").startswith("text/event-stream"):
        client.connection.sock.settimeout(1)
    data = b""
    end = time.monotonic() + 1
    try:
        while more := answer.read1(65536):
            data += more
            if client.connection.sock and client.connection.sock.gettimeout() == 1 and time.monotonic() > end:
                break
    except (TimeoutError, OSError):
        pass
    client.connection.close()
    return answer.status, data.decode(errors="replace")


def fuzz(service, tokens, rows):
    document = openapi.Document(nca.Client(service.port).ask("GET", "/openapi.json")[1])
    # What is for the whole service, as its maintenance, is no tenant's: a platform's administrator alone may.
    everything = document.operations()
    operations = [one for one in everything if one[2].get("x-role") != "platform_admin"]
    client = nca.Client(service.port, tokens["a"])
    ids, subjects = fill(client, "a")
    fill(nca.Client(service.port, tokens["b"]), "b")
    # So that counted accesses are written before rows are compared.
    time.sleep(2.5)
    before = rows.of_tenant("a")
    chance = random.Random(harness.SEED)
    tools = tools_of(client)
    # What the stranger says may stand in its own memories: ids that it never says are the ones to look for.
    said, kept = ids[::2], ids[1::2]
    known = [*said, *subjects, "green house"]
    reads, refused, errors, stops, requests = [], 0, [], [], 0
    for method, path, operation in operations:
        for _ in range(ROUNDS):
            target, body, headers = ask_for(document, path, operation, chance, (said, subjects, known), tools)
            status, text = ask(service, tokens["b"], method, target, body, headers)
            requests += 1
            reads += [f"{method} {target} {body}: {one}" for one in [*kept, f"{CANARY}a"] if one in text]
            refused += status == 404
            if method != "GET":
                # A tenant may stop itself; what stops the other one is a foreign write.
                stopped(service, tokens["b"])
                if stopped(service, tokens["a"]):
                    stops.append(f"{method} {target} {body}")
            if status >= 500 and status != 501:
                errors.append(f"{method} {target} {body}: {status} {text[:200]}")
    time.sleep(2.5)
    after = rows.of_tenant("a")
    writes = [
        f"{table}: {row[:200]}" for table in before
        for row in set(before[table]) ^ set(after.get(table, []))
    ]  # fmt: skip
    # The owner makes what it then reads.
    order = ["PUT", "POST", "GET", "PATCH", "DELETE"]
    good = [
        f"{method} {path}" for method, path, operation in sorted(operations, key=lambda one: order.index(one[0]))
        if answers_owner(service, tokens["a"], document, (method, path, operation), (ids, subjects, known), chance, tools)
    ]  # fmt: skip
    for text in reads + writes + errors + stops:
        harness.say(text)
    return {
        "operations": len(operations), "operations_of_the_platform": len(everything) - len(operations),
        "requests_of_a_stranger": requests, "answered_404": refused,
        "foreign_stops": len(stops), "foreign_reads": len(reads), "foreign_writes": len(writes), "server_errors": len(errors),
        "owners_2xx": len(good), "owners_not_2xx": sorted(f"{m} {p}" for m, p, _ in operations if f"{m} {p}" not in good),
    }  # fmt: skip


def ask_for(document, path, operation, chance, theirs, tools):
    target, body, headers = document.request(path, operation, chance, *theirs)
    # JSON-RPC has its methods inside: each of the tools is an operation of its own.
    if isinstance(body, dict) and "jsonrpc" in body:
        tool = chance.choice(tools)
        arguments = document.value(tool["inputSchema"], chance, theirs[2])
        body.update({"id": 1, "method": "tools/call", "params": {"name": tool["name"], "arguments": arguments}})
    return target, body, headers


def tools_of(client):
    """The tools that the service lists, with their schemas, each of which is a document of its own."""
    status, answer = client.ask("POST", "/v1/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
    if status != 200:
        raise RuntimeError(f"tools/list: {status} {answer}")
    return [{**tool, "inputSchema": inlined(tool["inputSchema"])} for tool in answer["result"]["tools"]]


def inlined(schema):
    own = openapi.Document(schema)

    def inline(part):
        if isinstance(part, dict):
            part = own.follow(part)
            return {name: inline(value) for name, value in part.items() if name != "$defs"}
        return [inline(one) for one in part] if isinstance(part, list) else part

    return inline(schema)


def stopped(service, token):
    """Whether the service is refused to a tenant; then it is let in again."""
    client = nca.Client(service.port, token)
    if client.ask("GET", "/v1/admin/maintenance")[1].get("mode", "off") == "off":
        return False
    client.ask("PUT", "/v1/admin/maintenance", {"mode": "off"})
    return True


def answers_owner(service, token, document, which, theirs, chance, tools):
    """Whether one of a few tries, as the document allows them, is answered 2xx."""
    method, path, operation = which
    for _ in range(60):
        target, body, headers = ask_for(document, path, operation, chance, theirs, tools)
        headers = {name: value for name, value in headers.items() if not name.startswith("If-")}
        status, _ = ask(service, token, method, target, body, headers)
        stopped(service, token)
        if 200 <= status < 300:
            return True
    return False


def forgets(service, token, rows):
    client = nca.Client(service.port, token)
    subject = "Forget Me Zebulon"
    ids = []
    for n in range(40):
        body = {"content": f"zebulonfact {n} is remembered", "subject": subject, "metadata": {"who": "zebulonmeta"},
                "tier": ["working", "short_term", "long_term"][n % 3]}  # fmt: skip
        status, made = client.ask("POST", "/v1/memories", body, idempotency_key=f"zeb-{n}")
        if status != 201:
            raise RuntimeError(f"a memory: {status} {made}")
        ids.append(made["id"])
    client.ask("PATCH", f"/v1/memories/{ids[2]}", {"content": "zebulonfact in another version"})
    client.ask("POST", f"/v1/memories/{ids[0]}/transfer", {"tier": "long_term"})
    client.ask("DELETE", f"/v1/memories/{ids[5]}")
    client.ask("POST", "/v1/llm/conversation", {"message": "zebulonsaid hello", "subject": subject, "remember": True, "stream": False})
    client.ask("POST", "/v1/search", {"query": "zebulonfact", "subject": subject})
    words = ["zebulon", *(one.replace("-", "") for one in ids)]
    had = len(rows.holding(words))
    status, receipt = client.ask("DELETE", "/v1/subjects/Forget%20Me%20Zebulon")
    if status != 200:
        raise RuntimeError(f"the deletion: {status} {receipt}")
    time.sleep(2.5)  # What was noted of accesses is written meanwhile.
    left = rows.holding(words)
    for text in left:
        harness.say("left:", text)
    return {"rows_before": had, "rows_left": len(left), "receipt": receipt["removed"]}


def measure(program, url, server):
    said = model.Model()
    with nca.Service(program, url, AUTH="required", **said.settings()) as service:
        token = {
            name: re.search(r"nca\.\S+", service.run("keys", "create", "--tenant", name, "--name", "k", "--role", "tenant_admin"))[0]
            for name in ("a", "b", "c")
        }  # fmt: skip
        rows = Rows(url, server)
        document = nca.Client(service.port).ask("GET", "/openapi.json")[1]
        result = {
            "fuzz": fuzz(service, token, rows),
            "deletion": forgets(service, token["b"], rows),
            "schemathesis": conforms(service, token["c"], document),
        }
    said.stop()
    return result


def good(one):
    tried, fuzzed = one["schemathesis"], one["fuzz"]
    return (
        tried["server_errors"] == 0 and not tried["violations"] and tried["operations"] >= fuzzed["operations"] > 20
        and fuzzed["foreign_stops"] == fuzzed["foreign_reads"] == fuzzed["foreign_writes"] == fuzzed["server_errors"] == 0
        and fuzzed["answered_404"] > 0 and fuzzed["owners_2xx"] >= 0.9 * fuzzed["operations"]
        and one["deletion"]["rows_before"] > 40 and one["deletion"]["rows_left"] == 0
    )  # fmt: skip


def main():
    program = nca.binary()
    with nca.Postgres() as server:
        result = {
            "sqlite": measure(program, f"sqlite://{harness.scratch('sqlite')}/nca.db", None),
            "postgresql": measure(program, server.database(), server),
        }
    harness.finish(
        "The contract, tenants, deletion",
        "schemathesis: no server error and no violation; every operation asked as a stranger: no foreign read or write, and "
        "at least 90 % answer their owner with 2xx; after the deletion of a subject no row holds anything of it",
        all(map(good, result.values())), result,
    )  # fmt: skip


if __name__ == "__main__":
    main()
