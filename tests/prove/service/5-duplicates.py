#!/usr/bin/env python3
"""Figure 5: 10,000 times an agent tells something again, word for word or otherwise; what stays current?

50 people with 20 facts each; every fact is told ten times. `neuroca worker` consolidates. A duplicate is a memory that
is current although another current one tells the same fact; a fact is lost when none tells it, which happens
if two facts were taken for one. Eight of the 20 kinds of facts were not looked at while the comparison was
written (told_again.py).
"""

import collections
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402
import told_again  # noqa: E402

INPUTS = int(os.environ.get("INPUTS", "10000"))
TIMES = 10
FACTS = 20


def people(chance):
    """Names that no other word is."""
    sounds = ["ba", "do", "ke", "li", "mo", "nu", "ra", "se", "ti", "vu", "wa", "zo"]
    names = set()
    while len(names) < INPUTS // (TIMES * FACTS):
        names.add("".join(chance.choice(sounds) for _ in range(3)).capitalize())
    return sorted(names)


def inputs(chance):
    """(subject, text, fact, way), shuffled: what one client tells in an order that nobody chose."""
    told = []
    for person in people(chance):
        facts = set()
        # The same kinds for everybody, one kind several times: neighbours that differ in one word.
        kinds = list(told_again.KINDS)
        while len(facts) < FACTS:
            facts.add(told_again.fact(kinds[len(facts) % len(kinds)] if chance.random() < 0.7 else
                                      chance.choice(kinds), person, chance))  # fmt: skip
        for fact in sorted(facts):
            ways = ["the same"] + [chance.choice(told_again.WAYS) for _ in range(TIMES - 1)]
            told += [(person.lower(), told_again.tell(fact, way, chance), fact, way) for way in ways]
    chance.shuffle(told)
    return told


def fill(client, told):
    """Facts and ways by the ids of the memories."""
    known = {}
    for start in range(0, len(told), 100):
        some = told[start : start + 100]
        items = [{"content": text, "subject": subject, "tier": "long_term"} for subject, text, _, _ in some]
        status, made = client.ask("POST", "/v1/memories:batch", {"items": items})
        if status != 201:
            raise RuntimeError(f"a batch: {status} {made}")
        known.update((memory["id"], (fact, way)) for memory, (_, _, fact, way) in zip(made["items"], some))
    return known


def consolidate(client):
    _, task = client.ask("POST", "/v1/consolidations")

    def done():
        seen = client.ask("GET", f"/v1/consolidations/{task['id']}")[1]
        if seen["state"] == "failed":
            raise RuntimeError(f"the consolidation failed: {seen}")
        return seen if seen["state"] == "done" else None

    return harness.until("the consolidation", done, 1800)


def judge(known, current):
    """Duplicates by way and by kind, and lost facts: of memories that tell one fact the first counts as it."""
    telling = collections.defaultdict(list)
    for memory in sorted(current, key=lambda memory: memory["id"]):
        fact, way = known[memory["id"]]
        telling[fact].append((way, memory["content"]))
    by_way, by_kind = collections.Counter(), collections.Counter()
    examples = collections.defaultdict(list)
    for fact, texts in telling.items():
        for way, text in texts[1:]:
            by_way[way] += 1
            by_kind[fact[0]] += 1
            examples[fact[0]].append(f"{texts[0][1]} | {text}")
    lost = collections.Counter(fact[0] for fact in {fact for fact, _ in known.values()} - set(telling))
    return by_way, by_kind, lost, examples


def measure(program, database, told):
    with nca.Service(program, database) as service:
        client = nca.Client(service.port)
        known = fill(client, told)
        worker = service.spawn("worker")
        try:
            consolidate(client)
        finally:
            worker.terminate()
            worker.wait(timeout=60)
        by_way, by_kind, lost, examples = judge(known, list(client.all_memories()))
    for kind in told_again.SEEN:
        for text in examples[kind][:3]:
            harness.say(f"kept: {kind}: {text}")
    unseen = sum(by_kind[kind] for kind in told_again.UNSEEN)
    of_unseen = sum(1 for _, _, fact, _ in told if fact[0] in told_again.UNSEEN)
    return {
        "inputs": len(told), "facts": len({fact for _, _, fact, _ in told}),
        "duplicates_kept": sum(by_kind.values()), "duplicates_kept_share": round(sum(by_kind.values()) / len(told), 4),
        "of_kinds_not_looked_at": {"inputs": of_unseen, "duplicates_kept_share": round(unseen / of_unseen, 4)},
        "kept_by_way": dict(by_way), "kept_by_kind": dict(by_kind),
        "facts_lost": sum(lost.values()), "lost_by_kind": dict(lost),
    }  # fmt: skip


def main():
    told = inputs(random.Random(harness.SEED))
    program = nca.binary()
    with nca.Postgres() as server:
        result = {
            "sqlite": measure(program, f"sqlite://{harness.scratch('sqlite')}/nca.db", told),
            "postgresql": measure(program, server.database(), told),
            "told": dict(collections.Counter(way for _, _, _, way in told)),
        }
    good = len(told) >= 10_000 and all(
        result[one]["duplicates_kept_share"] < 0.01 and result[one]["facts_lost"] == 0 for one in ("sqlite", "postgresql")
    )
    harness.finish("10,000 inputs told again", "under 1 % of the inputs kept as duplicates, and no fact lost", good, result)


if __name__ == "__main__":
    main()
