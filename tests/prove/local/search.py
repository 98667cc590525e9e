"""Looks for a canary wherever it could have slipped to. Knows no command and no product."""

import base64
import gzip
import os
import secrets
import threading
import urllib.parse
import zlib
from pathlib import Path


class Canary:
    """A value that occurs nowhere else, and the forms in which it could be written."""

    def __init__(self, name):
        self.name = name
        # Characters that percent-encoding and JSON would change, so that their forms differ.
        self.value = f"canary/{secrets.token_hex(12)}+{secrets.token_hex(8)}=".encode()
        raw = self.value
        self.forms = {
            "plain": raw,
            "hex": raw.hex().encode(),
            "HEX": raw.hex().upper().encode(),
            "percent": urllib.parse.quote(raw, safe="").encode(),
            "json": raw.replace(b"/", b"\\/"),
            "debug": ", ".join(map(str, raw[:16])).encode(),
        }
        # Base64 depends on where in the text the value starts; the middle is stable for each case.
        for shift in range(3):
            text = base64.b64encode(b"\0" * shift + raw)
            self.forms[f"base64+{shift}"] = text[4:-4]
            self.forms[f"base64url+{shift}"] = text[4:-4].translate(bytes.maketrans(b"+/", b"-_"))

    def forms_in(self, text):
        return [form for form, needle in self.forms.items() if needle in text]


def unpacked(content):
    """The content, and what is in it when it is compressed."""
    yield content
    if content[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            pass


def files_with(root, canaries, leave_out):
    """Where in a folder any form of a canary stands."""
    hits = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder) / name != leave_out]
        for name in names:
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file():
                continue
            for content in unpacked(path.read_bytes()):
                for canary in canaries:
                    for form in canary.forms_in(content):
                        hits.append(f"file {path.relative_to(root)}: {canary.name} as {form}")
            for canary in canaries:
                if canary.forms_in(name.encode()):
                    hits.append(f"file name {path.relative_to(root)}: {canary.name}")
    return hits


class Watch:
    """Looks at every process on the machine, again and again, until told to stop.

    A hit counts when it is there at two looks: between fork and exec a child shows what its parent was
    started with, and a person who gives a secret by `env:` has it in that command's environment.
    """

    def __init__(self, project, canaries):
        self.project = project
        self.canaries = canaries
        self.looks = 0
        self.once = set()
        self.confirmed = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def watch(self):
        while not self.ended.wait(0.05):
            seen = set(self.look())
            for key in seen & self.once:
                self.confirmed.setdefault(key, describe(key[0]))
            self.once = seen
            self.looks += 1

    def look(self):
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            pid = int(name)
            if pid in self.project.spawned:
                kinds = ("cmdline",)
            elif is_component(pid):
                kinds = ("cmdline",)
            else:
                kinds = ("cmdline", "environ")
            for kind in kinds:
                try:
                    text = Path(f"/proc/{pid}/{kind}").read_bytes()
                except OSError:
                    continue
                for canary in self.canaries:
                    if canary.forms_in(text):
                        yield pid, kind, canary.name

    def hits(self):
        return [f"{kind} of {what}: {name}" for (_, kind, name), what in self.confirmed.items()]


def is_component(pid):
    """The program that the secret is meant for, by its executable."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")).name == "neuroca"
    except OSError:
        return False


def describe(pid):
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return f"pid {pid} ({b' '.join(words)[:80].decode(errors='replace')})"
    except OSError:
        return f"pid {pid}"
