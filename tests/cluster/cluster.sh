#!/usr/bin/env bash
# A real Kubernetes cluster for tests, from ordinary packages: see README.md.
#
#   cluster.sh up|down|kubeconfig|status [light|sealed]
#   cluster.sh kubectl light|sealed [ARGUMENT...]
#   cluster.sh shell [COMMAND...]          inside the sealed cluster's namespaces
#   cluster.sh build [light|sealed]        only what it takes, into the cache
#   cluster.sh cached [light|sealed]       whether that was done, and the machine can run it
#
# What a person follows goes to stderr; stdout holds one line, the path of the kubeconfig.
set -euo pipefail

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d' >&2
    exit 64
}

verb=${1:-}
case $verb in
up | down | kubeconfig | status | build | cached)
    profile=${2:-sealed}
    [[ $profile == light || $profile == sealed ]] || usage
    (($# <= 2)) || usage
    ;;
kubectl)
    profile=${2:-}
    [[ $profile == light || $profile == sealed ]] || usage
    ;;
shell) profile=sealed ;;
*) usage ;;
esac

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=parts/settings.sh
source "$here/parts/settings.sh"
# shellcheck source=parts/processes.sh
source "$here/parts/processes.sh"
# shellcheck source=parts/binaries.sh
source "$here/parts/binaries.sh"
# shellcheck source=parts/control-plane.sh
source "$here/parts/control-plane.sh"
# shellcheck source=parts/light.sh
source "$here/parts/light.sh"
# shellcheck source=parts/sealed.sh
source "$here/parts/sealed.sh"

case $verb in
up)
    # Two at once would fight for the same folder: the second waits, and finds the cluster up. What is
    # locked is the folder above, so that no lock file stays.
    mkdir -p "$(dirname "$state")"
    exec 9<"$(dirname "$state")"
    flock 9
    "${profile}_build"
    if api_ready; then
        say "already up"
    else
        "${profile}_down"
        "${profile}_up" 9>&-
    fi
    echo "$kubeconfig"
    ;;
down) "${profile}_down" ;;
build) "${profile}_build" ;;
cached) "${profile}_cached" ;;
kubeconfig) echo "$kubeconfig" ;;
status)
    if api_ready; then
        say "up: $(api get version | tr -d ' \n')"
        echo "$kubeconfig"
    else
        say "down"
        exit 1
    fi
    ;;
kubectl) kubectl "${@:3}" ;;
shell) sealed_shell "${@:2}" ;;
esac
