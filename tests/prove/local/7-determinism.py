#!/usr/bin/env python3
"""Figure 7: plan digest and render tree are the same bytes over 100 runs and two checkouts.

The runs differ in what must not matter: folder, working folder, time zone, language, umask, order and
noise of the environment, time of day. RUNS changes how many.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import SEED, Project, finish, release, say  # noqa: E402

RUNS = int(os.environ.get("RUNS", "100"))
SECRET = "determined-by-nothing-but-itself-0123456789"


def second_checkout(project):
    """The same files in another folder, as a colleague gets them."""
    git = ["git", "-c", "user.name=prove", "-c", "user.email=prove@localhost", "-c",
           "commit.gpgsign=false", "-c", "init.defaultBranch=main"]
    other = project.root / "elsewhere" / "deeper" / "checkout"
    other.parent.mkdir(parents=True)
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "as made by init"]):
        subprocess.run([*git, *words], cwd=project.dir, check=True, stdout=sys.stderr)
    subprocess.run(
        [*git, "clone", "-q", str(project.dir), str(other)], check=True, stdout=sys.stderr,
        umask=0o077,
    )
    return other


def tree_hash(folder):
    """One hash over names and contents, in the order of the names."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder)).encode()
            content = path.read_bytes()
            whole.update(b"%d %s %d " % (len(name), name, len(content)))
            whole.update(content)
    return whole.hexdigest()


def noise(chance, project):
    """An environment that says the same of what matters, in another order."""
    words = {
        **project.environ,
        "NCA_DETERMINISM_SECRET": SECRET,
        "TZ": chance.choice(["UTC", "Pacific/Apia", "America/St_Johns"]),
        "LANG": chance.choice(["C", "C.UTF-8", "tr_TR.UTF-8"]),
        "COLUMNS": str(chance.randint(20, 300)),
        f"NOISE_{chance.randrange(10**6)}": "x" * chance.randrange(200),
    }
    order = list(words.items())
    chance.shuffle(order)
    return dict(order)


def one_run(project, checkout, chance, number, phase):
    out = project.root / f"render-{phase}-{number}"
    plan_file = project.root / f"plan-{phase}-{number}.json"
    sets = project.sets(
        "components.api.secrets.NEUROCA_SECRET_KEY=env:NCA_DETERMINISM_SECRET",
        "components.api.env.NEUROCA_LOG_LEVEL=warning",
    )
    how = {
        "env": noise(chance, project),
        "cwd": chance.choice([project.root, checkout, Path("/")]),
        "umask": chance.choice([0o022, 0o077, 0o002]),
    }
    tool = [str(project.tool), "--project", str(checkout)]
    project.ok("render", argv=[*tool, "render", "development", *sets, "--out", str(out)], **how)
    project.ok(
        "plan", argv=[*tool, "plan", "development", *sets, "--out", str(plan_file)], **how
    )
    raw = plan_file.read_bytes()
    found = {
        "plan_digest": json.loads(raw)["digest"],
        "plan_file": hashlib.sha256(raw).hexdigest(),
        "render_tree": tree_hash(out),
        "rendered_files": sum(path.is_file() for path in out.rglob("*")),
    }
    shutil.rmtree(out)
    plan_file.unlink()
    return found


def main():
    chance = random.Random(SEED)
    bin_dir = release("neuroca-deploy", "neuroca-service")
    result = {"runs": RUNS}
    with Project(bin_dir) as project:
        checkouts = [project.dir, second_checkout(project)]
        phases = {"nothing_deployed": checkouts, "over_a_release": [project.dir]}
        for phase, where in phases.items():
            if phase == "over_a_release":
                project.apply()
            say(f"{RUNS} runs, {phase}, {len(where)} checkouts")
            seen = {}
            for number in range(RUNS):
                found = one_run(project, where[number % len(where)], chance, number, phase)
                for key, value in found.items():
                    seen.setdefault(key, set()).add(value)
            result[phase] = {
                "checkouts": len(where),
                **{f"distinct_{key}": len(values) for key, values in seen.items()},
                "values": {key: sorted(values)[:5] for key, values in seen.items()},
            }
    same = all(
        count == 1
        for phase in phases
        for key, count in result[phase].items()
        if key.startswith("distinct_")
    )
    rendered = result["nothing_deployed"]["values"]["rendered_files"][0]
    finish(
        "Determinism",
        f"plan digest, plan file and render tree byte-identical over {RUNS} runs and two checkouts",
        same and rendered > 0,
        result,
    )


if __name__ == "__main__":
    main()
