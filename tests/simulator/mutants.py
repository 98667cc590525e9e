#!/usr/bin/env python3
"""Breaks the sources of the machine and the engine in a copy, one line at a time, and looks whether the simulator notices.

The product has no switch for this: a copy of the repository gets all mutants at once, each asleep until the
variable BROKEN names it, and is built once. A line that is no longer there is an error: the mutant has to follow
the code. Prints one JSON line per mutant; exit 1 when one is not caught, 2 when the list is out of date, which is all
that `--check` looks at.

    tests/simulator/mutants.py [HISTORIES] [NAME...]
    tests/simulator/mutants.py --check
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CORE, ENGINE = "orchestrator/core/src/", "orchestrator/engine/src/"
ASSESS, STEP = CORE + "rollout/assess.rs", CORE + "rollout/step.rs"
EFFECTS, INTENTS = CORE + "rollout/effects.rs", CORE + "rollout/intents.rs"
PHASES = CORE + "rollout/phases.rs"
DRIVER = ENGINE + "driver.rs"

# Name, file, what stands there, what stands there instead; {broken} asks whether this mutant is awake.
MUTANTS = [
    ("skip-the-drain", ASSESS, "    if !busy {", "    if !busy || {broken} {"),
    (
        "trust-an-unobserved-weight",
        ASSESS,
        "(observed.traffic.is_some() && observed.traffic == state.asked)",
        "({broken} || observed.traffic.is_some() && observed.traffic == state.asked)",
    ),
    (
        "route-before-ready",
        ASSESS,
        "    all_ready.then_some(Event::Ready)",
        "    (all_ready || {broken}).then_some(Event::Ready)",
    ),
    ("ignore-lost-readiness", ASSESS, "        if !seen.is_ready() {", "        if !seen.is_ready() && !{broken} {"),
    (
        "promote-without-evidence",
        ASSESS,
        "            Acceptance::Missing(what) => Some(what),",
        "            Acceptance::Missing(what) => Some(what).filter(|_| !{broken}),",
    ),
    ("walk-through-a-gate", ASSESS, "        None if step.gate => None,", "        None if step.gate && !{broken} => None,"),
    (
        "watch-for-no-time",
        ASSESS,
        "(waited >= state.spec.watch_ms).then_some(Event::Watched)",
        "(waited >= state.spec.watch_ms || {broken}).then_some(Event::Watched)",
    ),
    (
        "ignore-a-lost-route",
        ASSESS,
        "    observed.traffic.is_some() && observed.traffic != state.asked\n",
        "    observed.traffic.is_some() && observed.traffic != state.asked && !{broken}\n",
    ),
    (
        "end-streams-at-once",
        ASSESS,
        "    (waited >= limit).then_some(Event::DrainLimit)",
        "    (waited >= limit || {broken}).then_some(Event::DrainLimit)",
    ),
    (
        "ignore-the-judges-alarm",
        STEP,
        "    if let Some(alarm) = state.judge.alarm() {",
        "    if let Some(alarm) = state.judge.alarm().filter(|_| !{broken}) {",
    ),
    (
        "forget-why-it-turns-back",
        PHASES,
        "    state.verdict = Some(outcome);",
        "    state.verdict = Some(outcome).filter(|_| !{broken});",
    ),
    (
        "stop-before-unrouted",
        STEP,
        "(Phase::BackStarting, Event::Ready) if idle => enter(state, Phase::BackShifting, now),",
        "(Phase::BackStarting, Event::Ready) if idle => enter(state, if {broken} { Phase::BackStopping } else { Phase::BackShifting }, now),",
    ),
    (
        "skip-the-watch",
        STEP,
        "(Phase::Swapping, Event::Ready) if idle => enter(state, Phase::Watching, now),",
        "(Phase::Swapping, Event::Ready) if idle => enter(state, if {broken} { Phase::Finishing } else { Phase::Watching }, now),",
    ),
    (
        "promote-once-more-when-told-twice",
        INTENTS,
        "        Phase::Holding(n) if idle => enter(state, after(state, n), now),",
        "        Phase::Shifting(n) if {broken} && idle => enter(state, after(state, n), now),\n"
        "        Phase::Holding(n) if idle => enter(state, after(state, n), now),",
    ),
    (
        "let-components-move-apart",
        EFFECTS,
        "                    let comes = new.then(|| share(to, weight, weight < 100));",
        '                    let weight = if {broken} && m.component == "web" { 100 - weight } else { weight };\n'
        "                    let comes = new.then(|| share(to, weight, weight < 100));",
    ),
    (
        "start-the-new-worker-beside-the-old",
        EFFECTS,
        "    let mut effects: Vec<Effect> = stopped.map(stop_revision).collect();",
        "    let mut effects: Vec<Effect> = stopped.filter(|_| !{broken}).map(stop_revision).collect();",
    ),
    (
        "leave-the-new-release-running",
        EFFECTS,
        "        .filter(|m| m.is_new())\n        .filter_map(|m| Some((m.component.clone(), m.to.clone()?)))",
        "        .filter(|m| m.is_new() && !{broken})\n        .filter_map(|m| Some((m.component.clone(), m.to.clone()?)))",
    ),
    (
        "do-not-start-the-old-release-again",
        EFFECTS,
        "            .filter(|m| spec.returns(m) || m.is_scaled())",
        "            .filter(|m| (spec.returns(m) || m.is_scaled()) && !{broken})",
    ),
    (
        "forget-the-verdict-on-resume",
        CORE + "journal.rs",
        "                state = step(state, event, *at_ms).0;",
        "                let against = matches!(event, Event::Unhealthy { .. } | Event::Operator { .. });\n"
        "                if !(against && {broken}) {\n                    state = step(state, event, *at_ms).0;\n                }",
    ),
    (
        "skip-the-started-record",
        DRIVER,
        "        self.append(&Record::Started { effect: effect.clone() }).await?;",
        "        if !{broken} {\n            self.append(&Record::Started { effect: effect.clone() }).await?;\n        }",
    ),
    (
        "do-it-first-and-journal-it-then",
        DRIVER,
        "        self.append(&Record::Happened { at_ms, event: event.clone() }).await?;",
        "        if !({broken} && event == Event::Done) {\n"
        "            self.append(&Record::Happened { at_ms, event: event.clone() }).await?;\n        }",
    ),
    (
        "drop-an-intent",
        DRIVER,
        "            self.happened(state, Event::Operator { intent: intent.clone() }).await?;",
        "            if !{broken} {\n                self.happened(state, Event::Operator { intent: intent.clone() }).await?;\n            }",
    ),
    (
        "silence-is-a-yes",
        DRIVER,
        "                Err(TargetError::Unreachable(why)) => {",
        "                Err(TargetError::Unreachable(_)) if {broken} => return Ok(Ok(())),\n"
        "                Err(TargetError::Unreachable(why)) => {",
    ),
    (
        "no-look-is-the-last-look",
        DRIVER,
        "                    self.ports.clock.sleep(LOOK_EVERY).await;\n                    None",
        "                    self.ports.clock.sleep(LOOK_EVERY).await;\n                    {broken}.then_some(&seen)",
    ),
    (
        "go-on-while-paused",
        DRIVER,
        ".filter(|_| !state.paused).cloned()",
        ".filter(|_| !state.paused || {broken}).cloned()",
    ),
    (
        "no-counts-are-good-counts",
        DRIVER,
        "            Err(MetricsError(reason)) => {",
        "            Err(_) if {broken} => {\n"
        "                let counts = neuroca_deploy_core::judge::Counts { requests: 500, ..Default::default() };\n"
        "                let sides = neuroca_deploy_core::judge::Sides { canary: counts.clone(), stable: counts };\n"
        "                let compared = state.spec.compared().into_iter();\n"
        "                let components = compared.map(|c| (c.component, sides.clone())).collect();\n"
        "                let window = Window { end_ms: self.ports.clock.now_ms(), components };\n"
        "                self.happened(state, Event::Counted { window }).await?;\n"
        "                Ok(true)\n            }\n"
        "            Err(MetricsError(reason)) => {",
    ),
    (
        "keep-a-split-that-nobody-drove",
        ENGINE + "run.rs",
        "    if anew && state.phase != Phase::New {",
        "    if anew && state.phase != Phase::New && !{broken} {",
    ),
    (
        "apply-a-stale-plan",
        ENGINE + "run.rs",
        "    if found != plan.base {",
        "    if found != plan.base && !{broken} {",
    ),
]

AWAKE = '''
/// Whether the mutant of this name is awake; only in a copy that mutants.py made.
pub fn broken(name: &str) -> bool {
    static BROKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("BROKEN").unwrap_or_default()) == name
}
'''


def copy(to):
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=REPO, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        source, target = REPO / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def out_of_date():
    texts = [(name, path, old, (REPO / path).read_text(encoding="utf-8")) for name, path, old, _ in MUTANTS]
    return [f"{name}: {path} has this {text.count(old)} times: {old}" for name, path, old, text in texts if text.count(old) != 1]


def break_it(root):
    for name, path, old, new in MUTANTS:
        file = root / path
        text = file.read_text(encoding="utf-8")
        crate = "crate" if path.startswith(CORE) else "neuroca_deploy_core"
        file.write_text(text.replace(old, new.replace("{broken}", f'{crate}::broken("{name}")')), encoding="utf-8")
    with open(root / CORE / "lib.rs", "a", encoding="utf-8") as lib:
        lib.write(AWAKE)


def play(binary, name, histories):
    command = [binary, "--json", "--histories", str(histories)]
    done = subprocess.run(command, env={**os.environ, "BROKEN": name}, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{name}: the simulator ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main():
    gone = out_of_date()
    if gone:
        print("\n".join(gone), file=sys.stderr)
        return 2
    if sys.argv[1:] == ["--check"]:
        return 0
    histories = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    wanted = set(sys.argv[2:])
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")) / "mutants"
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder)
        copy(root)
        break_it(root)
        build = ["cargo", "build", "--locked", "--quiet", "-p", "neuroca-simulator", "--bins", "--target-dir", target]
        subprocess.run(build, cwd=root, check=True, stdout=sys.stderr)
        binary = target / "debug" / "simulator"
        asleep = play(binary, "none", 2_000)
        if asleep["violations"]:
            raise RuntimeError(f"with no mutant awake: {asleep['violations']}")
        missed = 0
        for name, *_ in MUTANTS:
            if wanted and name not in wanted:
                continue
            found = play(binary, name, histories)
            first = found["violations"][0] if found["violations"] else None
            missed += first is None
            line = {"mutant": name, "histories": found["histories"], "caught": first is not None}
            if first:
                line |= {"seed": first["seed"], "rule": first["rule"], "what": first["what"][:200]}
            print(json.dumps(line), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
