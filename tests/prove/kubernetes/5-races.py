#!/usr/bin/env python3
"""Edits by somebody else between plan and apply, and while it is applied: is anything written that was not shown?

Each round saves a plan and lets it be applied while edits of every kind go on. A watch keeps every version of every
object in the order in which the server took them. Each write that is not the editor's has to replace exactly what was
there when the plan was made, or what the same run had written itself.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cluster import ControlPlane, Own, manifest, say  # noqa: E402
from harness import SEED, finish, release  # noqa: E402

EDITS = int(os.environ.get("EDITS", "1000"))
OBJECTS, EDITS_A_ROUND = 20, 10
EDIT = "example.com/edit"


def config(namespace, name, value):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"v": value}}


class History:
    """Every version of the namespace's ConfigMaps, in the server's order."""

    def __init__(self, api, folder):
        self.folder, self.events, self.lock = folder, [], threading.Lock()
        listed = api.ask("GET", folder)[1]
        stream = api.watch(folder, listed["metadata"]["resourceVersion"])
        self.thread = threading.Thread(target=self.follow, args=(stream,), daemon=True)
        self.thread.start()

    def follow(self, stream):
        for event in stream:
            if event["type"] != "BOOKMARK":
                with self.lock:
                    self.events.append(event)

    def until(self, version):
        """All events up to a version; the watch says that it has come so far by the object that has it."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with self.lock:
                for n, event in enumerate(self.events):
                    if event["object"]["metadata"]["resourceVersion"] == version:
                        taken, self.events = self.events[: n + 1], self.events[n + 1 :]
                        return taken
            time.sleep(0.005)
        raise TimeoutError("the watch does not come to the end of the round")


class Editor:
    """Somebody else: changes, removes and makes objects, and signs each version."""

    def __init__(self, api, folder, namespace, chance):
        self.api, self.folder, self.namespace, self.chance = api, folder, namespace, chance
        self.made, self.deleted, self.kinds = 0, set(), {}

    def edit(self, names):
        name = self.chance.choice(names)
        kind = self.chance.choice(["data", "data", "label", "remove", "make", "remove and make"])
        path = f"{self.folder}/{name}"
        self.made += 1
        sign = {"metadata": {"annotations": {EDIT: str(self.made)}}}
        patch = "application/merge-patch+json"
        if kind == "data":
            self.api.ask("PATCH", path, {**sign, "data": {"v": f"theirs-{self.made}"}}, patch)
        elif kind == "label":
            sign["metadata"]["labels"] = {"theirs": str(self.made)}
            self.api.ask("PATCH", path, sign, patch)
        if kind.startswith("remove"):
            status, found = self.api.ask("GET", path)
            uid = found["metadata"]["uid"] if status == 200 else None
            if uid and self.api.ask("DELETE", path, {"preconditions": {"uid": uid}})[0] == 200:
                self.deleted.add(uid)
        if kind.endswith("make"):
            body = config(self.namespace, name, f"theirs-{self.made}")
            body["metadata"]["annotations"] = {EDIT: str(self.made)}
            self.api.ask("POST", self.folder, body)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


def content(made):
    """What a plan shows of an object."""
    if made is None:
        return None
    meta = made["metadata"]
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if not k.startswith("neuroca-deploy/")}
    notes = {k: v for k, v in (meta.get("annotations") or {}).items() if not k.startswith("neuroca-deploy/")}
    return json.dumps([meta["uid"], labels, notes, made.get("data")], sort_keys=True)


def judge(events, before, editor):
    """Writes that are not the editor's, and those of them that replaced what no plan had shown."""
    now, written, writes, wrong = dict(before), {}, 0, []
    for event in events:
        made = event["object"]
        name, edit = made["metadata"]["name"], (made["metadata"].get("annotations") or {}).get(EDIT)
        last = now.get(name)
        last_edit = ((last or {}).get("metadata", {}).get("annotations") or {}).get(EDIT)
        gone = event["type"] == "DELETED"
        theirs = made["metadata"]["uid"] in editor.deleted if gone else (edit is not None and edit != last_edit)
        if not theirs:
            writes += 1
            shown = content(before.get(name))
            seen = content(last)
            if seen != shown and seen != written.get(name, shown):
                wrong.append(f"{event['type']} {name}: {seen} was not {shown}")
            written[name] = None if gone else content(made)
        now[name] = None if gone else made
    return writes, wrong


def main():
    binary = Path(os.environ["BINARY"]) if "BINARY" in os.environ else release("neuroca-deploy") / "neuroca-deploy"
    chance = random.Random(SEED)
    exits, wrong, writes, edits, namespace = {}, [], 0, 0, "races"
    with ControlPlane("f5") as plane, Own(plane, binary, namespace) as own:
        api, editing = plane.api(), plane.api()
        folder = f"/api/v1/namespaces/{namespace}/configmaps"
        plane.kubectl("create", "namespace", namespace)
        history, editor = History(api, folder), Editor(editing, folder, namespace, chance)
        number, usual = 0, 0.8
        while editor.made < EDITS:
            number += 1
            wanted = [f"c-{n:02}" for n in range(OBJECTS) if chance.random() < 0.8]
            value = f"ours-{number}"
            objects = [config(namespace, name, value if chance.random() < 0.7 else "same") for name in wanted]
            (own.dir / "kubernetes" / "all.yaml").write_text(manifest(objects))
            # What the editor left is taken over or away, so that each round begins with a plan.
            for made in api.ask("GET", folder)[1]["items"]:
                ours = "neuroca-deploy/environment" in (made["metadata"].get("labels") or {})
                if not ours and made["metadata"]["name"].startswith("c-"):
                    api.ask("DELETE", f"{folder}/{made['metadata']['name']}")
            plan = own.dir / "round.plan"
            own.run("plan", "staging", "--out", plan, expect=0)
            listed = api.ask("GET", folder)[1]
            before = {made["metadata"]["name"]: made for made in listed["items"]}
            mark = api.ask("POST", folder, config(namespace, f"mark-{number}-a", ""))[1]
            history.until(mark["metadata"]["resourceVersion"])
            names = [f"c-{n:02}" for n in range(OBJECTS)]
            # One round in ten is left in peace, and says how long an apply takes.
            peace = number % 10 == 1
            first = chance.randrange(3) if chance.random() < 0.1 and not peace else 0
            for _ in range(first):
                editor.edit(names)
            began = time.monotonic()
            child = subprocess.Popen(
                own.argv("apply", "--plan", plan, "-y"), env=own.environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )  # fmt: skip
            if not peace:
                time.sleep(chance.random() * usual)
                for _ in range(EDITS_A_ROUND - first):
                    editor.edit(names)
                    time.sleep(chance.random() * usual / EDITS_A_ROUND / 2)
            said = child.communicate()[1].decode(errors="replace")
            if peace:
                usual = time.monotonic() - began
            mark = api.ask("POST", folder, config(namespace, f"mark-{number}-b", ""))[1]
            events = [e for e in history.until(mark["metadata"]["resourceVersion"]) if e["object"]["metadata"]["name"].startswith("c-")]
            ours, bad = judge(events, before, editor)
            writes, edits = writes + ours, editor.made
            wrong += bad
            exits[child.returncode] = exits.get(child.returncode, 0) + 1
            if bad or child.returncode not in (0, 1, 3, 6):
                say("round", number, "exit", child.returncode, bad[:2], said[-600:])
    say(exits, "writes", writes, "edits", edits, "wrong", len(wrong))
    finish(
        "Races: edits between plan and apply",
        "0 unapproved writes under 1,000 randomised concurrent edits",
        not wrong and edits >= EDITS and writes > 0,
        {"build": "debug" if "debug" in binary.parts else "release", "edits": edits, "by_kind": editor.kinds, "rounds": number, "exits": exits, "our_writes": writes, "unapproved": wrong[:20], "unapproved_count": len(wrong)},
    )


if __name__ == "__main__":
    main()
