#!/usr/bin/env bash
# The whole test suite, as `make test` runs it. What cannot be tested here is said, loudly, at the
# start and at the end; with CI=true it is an error instead, so that green never means "left out".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/postgres.sh
source scripts/postgres.sh
# shellcheck source=scripts/programs.sh
source scripts/programs.sh
# shellcheck source=scripts/cluster.sh
source scripts/cluster.sh
trap 'postgres_stop; clusters_stop' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

left_out=()
missing() {
    if [[ ${CI:-} == true ]]; then
        echo "test: $1 is missing; CI leaves nothing out, so .ci/run must install it" >&2
        exit 1
    fi
    left_out+=("$1: $2")
}

say_left_out() {
    local line
    ((${#left_out[@]})) || return 0
    echo "!!! ======================= LEFT OUT ======================="
    for line in "${left_out[@]}"; do
        echo "!!! $line"
    done
    echo "!!! ========================================================"
}

if postgres_bin >/dev/null; then
    postgres_start
    export NEUROCA_TEST_POSTGRES_URL=$POSTGRES_URL
    echo "test: PostgreSQL $("$(postgres_bin)/postgres" --version | awk '{print $3}') started, pid $POSTGRES_PID"
else
    missing "PostgreSQL" "every test of the service on PostgreSQL (Debian: apt-get install postgresql)"
fi
# A cluster of one's own (kind, k3s) can be given in place of ours. Ours is not built unasked: that
# takes 15 CPU minutes, once.
clusters=()
if [[ -z ${NEUROCA_TEST_API_SERVER:-} ]]; then
    if cluster_ready light; then
        clusters+=(light)
    else
        missing "Kubernetes" "every test against a real API server (once: tests/cluster/cluster.sh build light)"
    fi
fi
if [[ -z ${NEUROCA_TEST_CLUSTER:-} ]]; then
    if cluster_ready sealed; then
        clusters+=(sealed)
    elif cluster_possible; then
        missing "Kubernetes with pods" "deployments to a real cluster (once: tests/cluster/cluster.sh build sealed)"
    else
        # Nothing that CI could install changes that.
        left_out+=("Kubernetes with pods: this machine gives no root, or no namespaces")
    fi
fi
command -v python3 >/dev/null ||
    missing "python3" "tests that deploy a program in another language (examples/hello)"
command -v curl >/dev/null || missing "curl" "tests of what a client that is not ours sees"
command -v redis-server >/dev/null ||
    missing "redis-server" "replicas that share a rate limit (Debian: apt-get install redis-server)"
# provided VARIABLE NAME WHAT-IS-LEFT-OUT FINDER...: the variable says where it is, by itself or by the finder.
provided() {
    local variable=$1 name=$2 left=$3 found
    [[ -z ${!variable:-} ]] || return 0
    if found=$("${@:4}"); then
        export "$variable=$found"
    else
        missing "$name" "$left (once: scripts/programs.sh)"
    fi
}
provided NEUROCA_TEST_BAO bao "memories whose keys a real KMS keeps" programs_bin bao
provided NEUROCA_TEST_OTELTAP oteltap "traces at a real receiver of OpenTelemetry" programs_bin oteltap
provided NEUROCA_TEST_OIDC_PROVIDER oidc-provider "tokens of a real OpenID provider, which needs node" programs_modules
provided NEUROCA_TEST_MODEL all-MiniLM-L6-v2 "vectors of a real sentence-transformer" programs_model
command -v prometheus >/dev/null ||
    missing "prometheus" "counts of requests from a real Prometheus (Debian: apt-get install prometheus)"
[[ $(id -u) -eq 0 ]] ||
    missing "root" "files that another user must not be able to read"
# Root in a container may not either, and nothing that CI could install changes that.
unshare -m --propagation private true 2>/dev/null ||
    left_out+=("mounts: what comes of a full or read-only file system")
# Not worth an installation of its own in CI: the unit's command is run without it as well.
command -v systemd-analyze >/dev/null ||
    left_out+=("systemd-analyze: what systemd says of the unit that \`local install\` writes")
say_left_out

# Binaries first: end-to-end tests run the real ones, which cargo builds for its own package only.
cargo build --locked --workspace --bins

# After it: their images hold what was just built.
for profile in "${clusters[@]}"; do
    cluster_start "$profile"
    case $profile in
    light) export NEUROCA_TEST_API_SERVER=$CLUSTER_KUBECONFIG ;;
    sealed) export NEUROCA_TEST_CLUSTER=$CLUSTER_KUBECONFIG NEUROCA_TEST_GATEWAY=$CLUSTER_GATEWAY ;;
    esac
done

log=$(mktemp "${TMPDIR:-/tmp}/neuroca-test.XXXXXX")
status=0
# A file and not a pipe: a process that a broken test leaves behind would hold a pipe open, and
# this script would wait for it forever.
tail -n +1 -f "$log" &
follower=$!
# --no-fail-fast: one broken crate must not hide what is broken in the others.
cargo test --locked --workspace --no-fail-fast "$@" >"$log" 2>&1 || status=$?
# The follower looks once a second.
sleep 1.5
kill "$follower" 2>/dev/null || true
wait "$follower" 2>/dev/null || true

totals=$(awk '
    /^test result:/ {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^failed/) failed += $i
            if ($(i + 1) ~ /^ignored/) skipped += $i
        }
    }
    END { printf "%d passed, %d failed, %d skipped", passed, failed, skipped }
' "$log")
if ((status)); then
    echo
    grep -E '^test .* FAILED|^error(\[|:)|panicked at' "$log" | sort -u | head -n 60 || true
fi
rm -f "$log"
say_left_out
if [[ $totals == "0 passed, 0 failed"* ]]; then
    echo "test: no test ran" >&2
    status=1
fi
# A suite of many crates ends in an empty doc test; this line is the sum of all of them.
echo "total: $totals"
exit "$status"
