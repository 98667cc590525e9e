#!/usr/bin/env bash
# Measures the published figures of one area: AREA=local [FIGURE=n] [FORCE=1] [SEED=n].
#
# Runs tests/prove/<area>/<n>-* and keeps what each prints, with commit, machine and seed, as
# docs/figures/<area>-<n>.json. A figure that is already there for this commit is skipped, so a run
# that was interrupted goes on where it stopped. Exit 1 when a figure misses its target or could not
# be measured; tests/prove/README.md has the contract of a script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

area=${AREA:-}
only=${FIGURE:-}
export SEED=${SEED:-1} PYTHONDONTWRITEBYTECODE=1
if [[ -z $area || ! -d tests/prove/$area ]]; then
    echo "prove: AREA is missing or unknown; there are:" >&2
    find tests/prove -mindepth 1 -maxdepth 1 -type d ! -name '__*' -exec basename {} \; | sort >&2
    exit 64
fi
command -v python3 >/dev/null || {
    echo "prove: python3 is missing (Debian: apt-get install python3)" >&2
    exit 1
}

# Words change no number: a figure belongs to the last commit that changed anything else.
not_words=(-- . ':!docs' ':!*.md')
PROVE_COMMIT=$(git log -1 --format=%H "${not_words[@]}")
PROVE_DIRTY=false
[[ -z $(git status --porcelain "${not_words[@]}") ]] || PROVE_DIRTY=true
export PROVE_COMMIT PROVE_DIRTY

shopt -s nullglob
scripts=()
for script in tests/prove/"$area"/[0-9]*-*; do
    number=$(basename "$script")
    number=${number%%-*}
    [[ -n $only && $only != "$number" ]] || scripts+=("$number $script")
done
if ((${#scripts[@]} == 0)); then
    echo "prove: no script tests/prove/$area/${only:-N}-*" >&2
    exit 64
fi

target_dir=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p docs/figures
missed=()
while read -r number script; do
    out=docs/figures/$area-$number.json
    if [[ -z ${FORCE:-} && $PROVE_DIRTY == false && -f $out ]] &&
        python3 tests/prove/record.py --holds "$out" "$PROVE_COMMIT"; then
        echo "prove: $area $number: there for ${PROVE_COMMIT:0:12}, skipped (FORCE=1 measures it again)" >&2
        continue
    fi
    echo "prove: $area $number: $script" >&2
    # Kept until the figure is done, so that a long one can go on where it was interrupted.
    export PROVE_SCRATCH=$target_dir/prove/$area-$number-${PROVE_COMMIT:0:12}
    mkdir -p "$PROVE_SCRATCH"
    started=$SECONDS
    if "$script" >"$PROVE_SCRATCH/result.json" </dev/null; then
        command="make prove AREA=$area FIGURE=$number SEED=$SEED"
        python3 tests/prove/record.py --write "$out" "$area" "$number" "$command" \
            "$((SECONDS - started))" "$PROVE_SCRATCH/result.json" ||
            missed+=("$number (target missed)")
        rm -rf "$PROVE_SCRATCH"
    else
        missed+=("$number (not measured)")
        echo "prove: $area $number: the script failed; nothing is written, its files are in $PROVE_SCRATCH" >&2
    fi
done < <(printf '%s\n' "${scripts[@]}" | sort -n)

if ((${#missed[@]})); then
    printf "prove: $area figure %s\n" "${missed[@]}" >&2
    exit 1
fi
