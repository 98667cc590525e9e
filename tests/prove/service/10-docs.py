#!/usr/bin/env python3
"""Figure 10: /docs in a real browser.

Headless Chromium (Debian: chromium and chromium-driver) opens the page of a service that asks everybody who they are, shows
every operation of the document, adds a memory through the form and reads it through another one. What the browser asks for
is taken from its own log of the network: nothing may go to any other place, and nothing may be written to its console.
"""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness  # noqa: E402
import nca  # noqa: E402


class Browser:
    """A session of WebDriver, spoken over HTTP."""

    def __init__(self):
        driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
        if not driver or not chromium:
            sys.exit("prove: figure 10 needs Chromium (Debian: apt-get install chromium chromium-driver)")
        self.port = harness.free_port()
        self.process = subprocess.Popen([driver, f"--port={self.port}"], stdout=subprocess.DEVNULL)
        harness.until("chromedriver", lambda: harness.accepts(self.port), 60)
        options = {
            "binary": chromium,
            # Root in a container has no other sandbox; it shows one page, of this machine.
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update"],
        }  # fmt: skip
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.path, self.version = f"/session/{made['sessionId']}", made["capabilities"]["browserVersion"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if method == "GET" else json.dumps(body or {}).encode(), headers={"content-type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.call("POST", f"{self.path}/url", {"url": url})

    def run(self, script, *words):
        return self.call("POST", f"{self.path}/execute/sync", {"script": script, "args": list(words)})

    def log(self, kind):
        return self.call("POST", f"{self.path}/se/log", {"type": kind})

    def quit(self):
        try:
            self.call("DELETE", self.path)
        finally:
            self.process.terminate()
            self.process.wait(timeout=30)


SEND = """
const [operation, fields, body] = arguments;
const form = document.querySelector(`#${operation} form`);
form.closest('details').open = true;
for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
if (body) form.querySelector('textarea').value = body;
form.querySelector('button').click();
"""
SEEN = """
const form = document.querySelector(`#${arguments[0]} form`);
return form.querySelector('button').disabled ? null
    : [form.querySelector('.status').textContent, form.querySelector('pre').textContent];
"""


def tries(browser, operation, fields, body=None):
    """Fills a form, presses its button, and reads what it shows."""
    browser.run(SEND, operation, fields, json.dumps(body) if body else "")
    status, text = harness.until(operation, lambda: browser.run(SEEN, operation), 30)
    return status, json.loads(text)


def asked_for(browser):
    """Every address that a page asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    return sorted({
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    })  # fmt: skip


def main():
    program = nca.binary()
    with nca.Service(program, f"sqlite://{harness.scratch('sqlite')}/nca.db", AUTH="required") as service:
        token = re.search(r"nca\.\S+", service.run("keys", "create", "--tenant", "a", "--name", "k", "--role", "agent"))[0]
        document = nca.Client(service.port).ask("GET", "/openapi.json")[1]
        operations = sorted(one["operationId"] for methods in document["paths"].values() for one in methods.values())
        home = f"http://127.0.0.1:{service.port}"
        browser = Browser()
        try:
            begun = time.perf_counter()
            browser.open(f"{home}/docs")
            shown = harness.until("the page", lambda: browser.run("return [...document.querySelectorAll('details')].map(one => one.id)"), 30)
            loaded = time.perf_counter() - begun
            refused, _ = tries(browser, "listMemories", {})
            browser.run("document.getElementById('token').value = arguments[0]", token)
            made, memory = tries(browser, "createMemory", {}, {"content": "seen in a browser", "tier": "long_term"})
            read, same = tries(browser, "readMemory", {"id": memory["id"]})
            addresses = asked_for(browser)
            # The refusal above is one that was asked for, and browsers say so.
            console = [
                line["message"] for line in browser.log("browser")
                if line["level"] in ("WARNING", "SEVERE") and "401" not in line["message"]
            ]
            version = browser.version
        finally:
            browser.quit()
    outside = [address for address in addresses if not address.startswith((f"{home}/", "data:", "about:"))]
    result = {
        "chromium": version, "operations_shown": len(shown), "operations": len(operations),
        "without_a_key": refused, "created": made, "read": read, "seconds_until_shown": round(loaded, 2),
        "requests": [address.removeprefix(home) for address in addresses], "requests_elsewhere": outside, "console": console,
    }  # fmt: skip
    good = (
        sorted(shown) == operations and refused.startswith("401") and made.startswith("201") and read.startswith("200")
        and same["content"] == "seen in a browser" and not outside and not console
    )  # fmt: skip
    harness.finish(
        "/docs in a browser", "the page loads, a call is tried, no request goes anywhere else", good, result
    )


if __name__ == "__main__":
    main()
