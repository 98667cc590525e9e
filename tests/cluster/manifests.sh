#!/usr/bin/env bash
# Holds the rendered manifests against a real API server, the published schemas and checkov, as
# `make manifests` runs it. Brings a light cluster of its own up and down.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

work=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-manifests.XXXXXX")
export CLUSTER_STATE=$work/cluster
rendered=$work/rendered
finish() {
    "$here/cluster.sh" down light
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '== %s\n' "$*"; }
tools=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/neuroca-deploy/cluster}/manifest-tools
requirements=$here/manifests/requirements.txt

install_tools() {
    cmp -s "$requirements" "$tools/requirements.txt" && return
    say "installing $(tr '\n' ' ' <"$requirements")"
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$tools/"
}

# Two that are shipped, and one that uses every setting.
render() {
    cargo build --quiet --locked -p neuroca-deploy
    local deploy=target/debug/neuroca-deploy
    "$deploy" render staging --out "$rendered/staging" >/dev/null
    "$deploy" render production --out "$rendered/production" >/dev/null
    "$deploy" --project "$here/manifests/shop" render everything --out "$rendered/everything" >/dev/null
}

kubectl() { "$here/cluster.sh" kubectl light "$@"; }

# Strict: an unknown or repeated field is an error. A warning is one too: that is how the server says
# that a pod would be refused by Pod Security, and that a version of an API is going to be removed.
accepted_by_the_api_server() {
    local folder=$1/kubernetes said
    # A dry run puts nothing into a namespace that is not there.
    kubectl apply --server-side -f "$folder/00-namespace.yaml" >/dev/null
    said=$(kubectl apply --server-side --dry-run=server --validate=strict -f "$folder" 2>&1) || {
        printf '%s\n' "$said"
        return 1
    }
    if grep -i warning <<<"$said"; then
        return 1
    fi
    printf '   %s objects\n' "$(grep -c 'serverside-applied' <<<"$said")"
}

install_tools
render
"$here/cluster.sh" up light >/dev/null
for environment in staging production everything; do
    say "$environment: the API server, strict, with Pod Security"
    accepted_by_the_api_server "$rendered/$environment"
done
say "published schemas"
# Definitions of others (HTTPRoute) are the API server's business.
find "$rendered" -path '*/kubernetes/*.yaml' -print0 |
    xargs -0 "$tools/bin/kubernetes-validate" --strict -k 1.34 --quiet --no-warn
say "checkov"
"$tools/bin/python3" "$here/manifests/checkov.py" "$tools/bin/checkov" "$rendered"
