#!/usr/bin/env python3
"""Figure 8: a canary secret is put through every command and error path, and then looked for.

Looked at: every output, every file of the project, of its state and of the user's home (also inside of
gzip, in base64, in hexadecimal), `/proc/*/cmdline` and `/proc/*/environ` of every process while it all
happens. Only the component itself may have it, and it must: else the search would prove nothing.
"""

import base64
import gzip
import os
import signal
import sys
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import Project, finish, release, say, until  # noqa: E402
from search import Canary, Watch, files_with  # noqa: E402

# None of the service's own: changing the one that encrypts memories takes more than a release.
REFERENCE = "components.api.secrets.API_TOKEN=env:PROVE_CANARY"
BY_FILE = "components.api.secrets.NEUROCA_LLM_API_KEY=file:{}"


class Run:
    """Every command goes through here, so that no output is left unsearched."""

    def __init__(self, project, canaries):
        self.project = project
        self.canaries = canaries
        self.hits = []
        self.commands = 0

    def __call__(self, *words, env=None, expect=None, stdin=None):
        done = self.project.run(*words, env=env, stdin=stdin)
        self.commands += 1
        shown = " ".join(map(str, words))
        for stream, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            for canary in self.canaries:
                for form in canary.forms_in(text):
                    self.hits.append(f"{stream} of `{shown}`: {canary.name} as {form}")
        say(f"exit {done.returncode}: {shown[:110]}")
        if expect is not None and done.returncode != expect:
            raise RuntimeError(
                f"`{shown}` ended with {done.returncode}, not {expect}:\n"
                + done.stderr.decode(errors="replace")
            )
        return done


def api_pids(project):
    """The bundled service, and not the tool's own processes."""
    return [pid for pid, exe in project.processes() if exe.name == "neuroca"]


def given(pid):
    """The environment with which a process was started."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(entry.split(b"=", 1) for entry in raw.split(b"\0") if b"=" in entry)


def serving_with(project, canary):
    """Whether an api process has the canary, and the edge answers."""
    has = any(
        given(pid).get(b"API_TOKEN") == canary.value for pid in api_pids(project)
    )
    url = f"http://127.0.0.1:{project.port}/version"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return has and answer.status == 200


def ordinary(run, project, base, env):
    """Every command of the command line, as it is meant to be used."""
    sets = project.sets(*base)
    plan = project.root / "saved.plan"
    for verbose in ([], ["-vv"], ["--json"]):
        run(*verbose, "config", "development", *sets, env=env)
        run(*verbose, "config", "development", "--explain", *sets, env=env)
        run(*verbose, "validate", "development", *sets, env=env)
        run(*verbose, "render", "development", *sets, env=env)
        run(*verbose, "plan", "development", *sets, env=env)
        run(*verbose, "doctor", "development", env=env)
    run("render", "development", *sets, "--out", project.root / "rendered", env=env, expect=0)
    run("-vv", "plan", "development", *sets, "--out", plan, env=env, expect=0)
    run("show", plan, env=env)
    run("--json", "-vv", "show", plan, env=env)
    run("-vv", "apply", "--plan", plan, "-y", env=env, expect=0)
    run("apply", "--plan", plan, "-y", env=env, expect=3)
    for verbose in ([], ["-vv"], ["--json"]):
        for words in (
            ["status", "development"], ["history", "development"], ["diff", "development"],
            ["logs", "development"], ["logs", "development", "api"],
            ["rollout", "status", "development"], ["config", "--schema"],
            ["completion", "bash"], ["man"],
        ):
            run(*verbose, *words, env=env)


def error_paths(run, project, base, env, canary):
    """What goes wrong, each with -vv, which is where values slip out."""
    sets = project.sets(*base)
    plan = project.root / "edited.plan"
    run("-vv", "plan", "development", *sets, "--set", "components.api.env.NEUROCA_LOG_LEVEL=warning",
        "--out", plan, env=env, expect=0)
    plan.write_bytes(plan.read_bytes().replace(b'"warning"', b'"info"', 1))
    run("-vv", "apply", "--plan", plan, "-y", env=env, expect=7)
    run("-vv", "show", plan, env=env)
    run("-vv", "apply", "nowhere", "-y", env=env, expect=64)
    run("-vv", "apply", "development", "-y", *sets, "--set", "components.api.hazard=1", env=env)
    run("-vv", "apply", "development", "-y", *sets, "--release", "no-such", env=env)
    run("-vv", "plan", "development", *sets, "--set",
        "components.api.secrets.NEUROCA_DB_PASSWORD=env:NOT_THERE", env=env)
    run("-vv", "plan", "development", *sets, "--set",
        "components.api.secrets.NEUROCA_DB_PASSWORD=file:/not/there", env=env)
    for bad in (
        ["components.api.health.path=/nope", "components.api.health.start_timeout=3s"],
        ['components.api.command=["./no-such-program"]'],
        ['components.api.command=["false"]', "components.api.health.start_timeout=3s"],
        ["components.api.env.NEUROCA_DB_URL=postgres://127.0.0.1:1/none",
         "components.api.health.start_timeout=3s"],
    ):
        run("-vv", "apply", "development", "-y", *project.sets(*base, *bad), env=env)
    run("--json", "-vv", "apply", "development", "-y",
        *project.sets(*base, "components.api.health.path=/nope",
                      "components.api.health.start_timeout=3s"), env=env, expect=5)
    # A value where a reference belongs: the error shows the place, and must not show the value.
    wrong = project.dir / "environments" / "wrong.yaml"
    for text in (
        "extends: development\ncomponents:\n  api:\n    secrets:\n      API_TOKEN: {}\n",
        "extends: development\ncomponents:\n  api:\n    secrets: {}\n",
        "extends: development\ncomponents:\n  api:\n    secrets:\n"
        "      API_TOKEN: [{}\n",
    ):
        wrong.write_text(text.format(canary.value.decode()))
        for verb in ("validate", "plan", "config", "render", "apply"):
            run("-vv", verb, "wrong", *(["-y"] if verb == "apply" else []), env=env)
    wrong.unlink()


def afterwards(run, project, base, first, second, checks):
    """The shell that gave the secret is gone: from here on nobody has it but the state."""
    one, two = ({"PROVE_CANARY": canary.value.decode()} for canary in (first, second))

    def check(name, words, canary, env=None):
        ended = run("-vv", *words, env=env).returncode
        checks[name] = ended == 0 and holds(lambda: answering(project, canary))

    apply = ["apply", "development", "-y", *project.sets(*base)]
    check("component_has_it", apply, first, one)
    check("restart_without_the_shell", ["restart", "development", "api"], first)
    killed = api_pids(project)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    checks["restart_after_a_crash"] = holds(
        lambda: not set(api_pids(project)) & set(killed) and answering(project, first)
    )
    check("changed_secret_is_a_release", apply, second, two)
    check("rollback_without_the_shell", ["rollback", "development", "-y"], first)
    check("scale_without_the_shell", ["scale", "development", "api", "2"], first)
    run("-vv", "unlock", "development")


def holds(condition):
    """Whether it becomes true in the time that a person would wait."""
    try:
        return bool(until("what should hold", condition))
    except TimeoutError:
        return False


def finds_planted(project):
    """Whether the search would find what it looks for: a canary in base64, in a gzip file."""
    decoy = Canary("decoy")
    planted = project.home / "state" / "planted"
    planted.write_bytes(gzip.compress(b"key: " + base64.b64encode(decoy.value)))
    found = files_with(project.root, (decoy,), leave_out=project.bin)
    planted.unlink()
    return bool(found)


def answering(project, canary):
    """As `serving_with`, while the edge may still answer that nobody is there."""
    try:
        return serving_with(project, canary)
    except OSError:
        return False


def main():
    bin_dir = release("neuroca-deploy", "neuroca-service")
    first, second, by_file = Canary("first"), Canary("second"), Canary("by_file")
    canaries = (first, second, by_file)
    checks = {}
    with Project(bin_dir) as project:
        # The user's own file with a secret is his; it lies where it is not looked for.
        source = project.bin / "llm-key"
        source.write_bytes(by_file.value)
        source.chmod(0o600)
        base = (
            REFERENCE,
            BY_FILE.format(source),
            # Without a provider its key would be refused.
            "components.api.env.NEUROCA_LLM_PROVIDER=openai",
        )
        run = Run(project, canaries)
        env = {"PROVE_CANARY": first.value.decode()}
        with Watch(project, canaries) as watch:
            ordinary(run, project, base, env)
            error_paths(run, project, base, env, first)
            afterwards(run, project, base, first, second, checks)
            in_files = files_with(project.root, canaries, leave_out=project.bin)
            checks["a_planted_one_is_found"] = finds_planted(project)
            sealed = [
                str(path.relative_to(project.root))
                for path in project.root.rglob("*")
                if path.is_file() and path.suffix in (".age", ".key") and path.stat().st_mode & 0o077
            ]
            run("-vv", "destroy", "development", "-y")
    hits = run.hits + in_files + watch.hits()
    checks["keys_are_private"] = not sealed
    finish(
        "Secrets stay out",
        "0 hits in outputs, files, command lines and foreign environments; restart and rollback "
        "work after the shell that gave the secret is gone",
        not hits and all(checks.values()),
        {"hits": len(hits), "where": hits[:50], "commands": run.commands,
         "looks_at_proc": watch.looks, "checks": checks, "files_open_to_others": sealed},
    )


if __name__ == "__main__":
    main()
