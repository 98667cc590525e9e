#!/usr/bin/env python3
"""Figure 3: how much of the evidence for a question is among the first ten answers, and how early.

LoCoMo (Maharana et al., 2024, CC BY-NC 4.0; github snap-research/locomo, data/locomo10.zip): a turn of a
dialogue is a memory, a question knows which turns answer it. Not part of this repository: LOCOMO names
that file. The first four conversations were there to look at while the ranking was written;
the other six are reported and were not. With EMBEDDINGS, a directory that holds a sentence-transformer, the same
questions are asked once more with vectors.
"""

import contextlib
import http.client
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402

SEEN = 4
ANSWERED = {1, 2, 3, 4}  # Category 5 has no answer in the dialogue.


def read(path):
    """The conversations with their questions: of the archive that the repository has, in its order."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if re.search(r"locomo10\w*/\d+\.json$", name))
        all_of_them = [json.loads(archive.read(name)) for name in names]
    return [{"conversation": one, "qa": one["qa"]} for one in all_of_them]


def turns(conversation):
    """(id, subject-less text, time) of every turn, in order."""
    number = 1
    while f"session_{number}" in conversation or f"session_{number}_date_time" in conversation:
        when = datetime.strptime(conversation[f"session_{number}_date_time"], "%I:%M %p on %d %B, %Y")
        for turn in conversation.get(f"session_{number}", []):
            text = f"{turn['speaker']}: {turn['text']}"
            if turn.get("blip_caption"):
                text += f" [shows {turn['blip_caption']}]"
            yield turn["dia_id"], text, when
        number += 1


def questions(sample, known):
    for question in sample["qa"]:
        evidence = set(re.findall(r"D\d+:\d+", " ".join(question.get("evidence", [])))) & known
        if question["category"] in ANSWERED and evidence:
            yield question["question"], evidence


def bm25(sample):
    """What SQLite alone does: FTS5 with porter stems, the words of the question joined by OR."""
    base = sqlite3.connect(":memory:")
    base.execute("CREATE VIRTUAL TABLE t USING fts5(id UNINDEXED, text, tokenize = 'porter unicode61')")
    base.executemany("INSERT INTO t VALUES (?, ?)", [(i, text) for i, text, _ in turns(sample["conversation"])])

    def search(question):
        words = re.findall(r"\w+", question.lower())
        query = " OR ".join(f'"{word}"' for word in words)
        return [row[0] for row in base.execute("SELECT id FROM t WHERE t MATCH ? ORDER BY rank LIMIT 10", (query,))]

    return search


class Service:
    def __init__(self, binary, folder, embeddings=None):
        self.port = harness.free_port()
        self.base = f"{folder}/nca.db"
        env = {"PORT": str(self.port), "NEUROCA_DB_URL": f"sqlite://{self.base}", "NEUROCA_LOG_LEVEL": "error"}
        subprocess.run([binary, "migrate"], env=env, check=True, stdout=sys.stderr)
        verbs = ["serve"]
        if embeddings:
            env["NEUROCA_EMBEDDINGS_PATH"] = embeddings
            # A question that had to do without its vector would be another figure.
            env["NEUROCA_EMBEDDINGS_TIMEOUT_MS"] = "60000"
            verbs.append("worker")
        self.processes = [subprocess.Popen([binary, verb], env=env, stdout=subprocess.DEVNULL) for verb in verbs]
        harness.until("the service is ready", self.ready)
        if embeddings:
            harness.until("all have vectors", self.embedded, 3600)

    def embedded(self):
        with contextlib.closing(sqlite3.connect(self.base)) as base:
            missing = "SELECT (SELECT count(*) FROM memories WHERE valid_to IS NULL) - count(*) FROM memory_vectors"
            return base.execute(missing).fetchone()[0] == 0

    def ready(self):
        return harness.accepts(self.port) and self.ask("GET", "/health/ready")[0] == 200

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"content-type": "application/json"}
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        data = json.loads(answer.read())
        connection.close()
        return answer.status, data

    def fill(self, subject, sample):
        """Adds the turns; the ids of the service for theirs."""
        ids, batch = {}, []

        def send():
            status, made = self.ask("POST", "/v1/memories:batch", {"items": [item for _, item in batch]})
            assert status == 201, made
            ids.update((memory["id"], theirs) for (theirs, _), memory in zip(batch, made["items"]))
            batch.clear()

        for theirs, text, when in turns(sample["conversation"]):
            batch.append((theirs, {"content": text, "subject": subject, "tier": "long_term",
                                   "occurred_at": when.strftime("%Y-%m-%dT%H:%M:%SZ")}))
            if len(batch) == 100:
                send()
        if batch:
            send()
        return ids

    def answers(self, question, subject):
        _, found = self.ask("POST", "/v1/search", {"query": question, "subject": subject, "limit": 10})
        assert not found.get("degraded"), "vectors were to help"
        return [item["memory"]["id"] for item in found["items"]]

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)


class Tally:
    def __init__(self):
        self.found = self.early = self.asked = 0
        self.millis = []

    def add(self, evidence, answers, seconds):
        self.asked += 1
        self.found += len(evidence & set(answers)) / len(evidence)
        places = [place for place, answer in enumerate(answers, 1) if answer in evidence]
        self.early += 1 / places[0] if places else 0
        self.millis.append(seconds * 1000)

    def told(self):
        return {"questions": self.asked, "recall_at_10": round(self.found / self.asked, 3),
                "mrr": round(self.early / self.asked, 3),
                "p50_ms": round(harness.percentile(self.millis, 0.5), 2),
                "p95_ms": round(harness.percentile(self.millis, 0.95), 2)}


def main():
    data = os.environ.get("LOCOMO")
    if not data:
        sys.exit("prove: LOCOMO is not set: fetch data/locomo10.zip of github snap-research/locomo and name it: "
                 "LOCOMO=path make prove AREA=service FIGURE=3")
    samples = read(data)
    binary = nca.binary()
    folder = harness.scratch("data")
    service = Service(binary, folder)
    tallies = {}

    def tally(who, number, ids, evidence, search):
        begun = time.perf_counter()
        answers = search()
        took = time.perf_counter() - begun
        part = "seen" if number < SEEN else "unseen"
        one = tallies.setdefault(f"{who}, {part}", Tally())
        one.add(evidence, [ids.get(answer, answer) for answer in answers], took)

    def ask_all(who, service):
        for number, (sample, ids) in enumerate(zip(samples, known)):
            for question, evidence in questions(sample, set(ids.values())):
                subject = f"conversation-{number}"
                tally(who, number, ids, evidence, lambda: service.answers(question, subject))

    try:
        known = [service.fill(f"conversation-{number}", sample) for number, sample in enumerate(samples)]
        harness.say(f"{sum(map(len, known))} turns")
        ask_all("ours", service)
    finally:
        service.stop()
    for number, sample in enumerate(samples):
        alone = bm25(sample)
        for question, evidence in questions(sample, set(known[number].values())):
            tally("SQLite FTS5 alone", number, {}, evidence, lambda: alone(question))
    embeddings = os.environ.get("EMBEDDINGS")
    if embeddings:
        service = Service(binary, folder, embeddings)
        try:
            ask_all("ours with vectors", service)
        finally:
            service.stop()
    result = {name: tally.told() for name, tally in tallies.items()}
    ours, alone = result["ours, unseen"], result["SQLite FTS5 alone, unseen"]
    helped = result.get("ours with vectors, unseen", ours)
    passed = helped["recall_at_10"] >= ours["recall_at_10"] and ours["recall_at_10"] > alone["recall_at_10"] and ours["mrr"] > alone["mrr"]
    harness.finish("Retrieval on LoCoMo", "recall@10 and MRR above SQLite FTS5 alone on conversations not seen",
                   passed, result)


if __name__ == "__main__":
    main()
