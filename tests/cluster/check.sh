#!/usr/bin/env bash
# What the sealed cluster promises, tried: up, up again, the rendered production environment by plain
# kubectl, requests through the gateway, down, down again, and nothing left behind. Needs root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

# An instance of its own, so that somebody's cluster stays as it is.
export CLUSTER_INSTANCE=${CLUSTER_INSTANCE:-9}
work=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-cluster-check.XXXXXX")
# Beside it and not in it, so that nothing of the check's own is taken for the cluster's.
notes=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-notes.XXXXXX")
export CLUSTER_STATE=$work/cluster
cluster=$here/cluster.sh
gateway=http://10.245.$CLUSTER_INSTANCE.2
namespace=nca-production

say() { printf '== %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
finish() {
    local result=$?
    if ((result)) && [[ -f $CLUSTER_STATE/kubeconfig/admin.conf ]]; then
        "$cluster" kubectl sealed get pods,jobs,httproutes -A >&2 || true
        "$cluster" kubectl sealed get events -A --field-selector type=Warning >&2 || true
    fi
    "$cluster" down sealed
    rm -rf "$work" "$notes"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Everything of the machine that a cluster touches and could leave behind.
machine() {
    echo "# processes" && { pgrep -af "$work" || true; }
    echo "# mounts" && awk '{print $5}' /proc/self/mountinfo | sort
    echo "# network" && ip -brief link && ip route
    ip netns list
    echo "# packet filter" && iptables-save | sed 's/^#.*//; s/\[[0-9:]*\]//'
    cat /proc/sys/net/ipv4/ip_forward
    echo "# cgroups" && find /sys/fs/cgroup -name 'neuroca-cluster-*'
    echo "# files"
    ls -d "$work"/* /run/containerd/s/* /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods /run/netns/* 2>/dev/null || true
}

kubectl() { "$cluster" kubectl sealed "$@"; }
here_in() { kubectl --namespace "$namespace" "$@"; }

# eventually SECONDS COMMAND...
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

serving() { curl -fsS --max-time 5 -o /dev/null "$gateway/health/ready" 2>/dev/null; }

say "the machine as it was"
machine >"$notes/before"

say "up, and up again"
"$cluster" up sealed >/dev/null
from=$SECONDS
"$cluster" up sealed >/dev/null
((SECONDS - from <= 5)) || fail "a cluster that is up took $((SECONDS - from)) s to say so"

say "production, by plain kubectl"
cargo build --quiet --locked -p neuroca-deploy
target/debug/neuroca-deploy render production --out "$notes/production" >/dev/null \
    --set components.api.kubernetes.image=cluster.test/neuroca:1 \
    --set components.worker.kubernetes.image=cluster.test/neuroca:1
kubectl apply --server-side -f "$notes/production/kubernetes/00-namespace.yaml"
here_in create secret generic api-secrets \
    --from-file=NEUROCA_SECRET_KEY=<(head -c 32 /dev/urandom | base64 -w0)
kubectl apply --server-side -f "$notes/production/kubernetes"
here_in wait --for condition=complete --timeout 120s job --all
for deployment in api worker; do
    here_in rollout status --timeout 180s "deployment/$deployment"
done
here_in get pods

say "requests through the gateway"
eventually 30 serving || fail "$gateway/health/ready does not answer"
pod=$(here_in get pods -o 'jsonpath={.items[0].metadata.name}' \
    -l app.kubernetes.io/name=api,app.kubernetes.io/component=serving)
key=$(here_in exec "$pod" -- /app/neuroca keys create --name check --role agent)
ask() { curl -fsS --max-time 10 -H "Authorization: Bearer $key" -H 'Content-Type: application/json' "$@"; }
ask -d '{"content": "remembered on Kubernetes", "subject": "check"}' "$gateway/v1/memories" >/dev/null
ask -d '{"query": "remembered", "subject": "check"}' "$gateway/v1/search" | grep -q 'on Kubernetes' ||
    fail "what was written is not found"
answered=0
for _ in {1..200}; do
    code=$(curl -s -o /dev/null --max-time 5 -w '%{http_code}' "$gateway/version")
    [[ $code == 200 ]] || fail "$gateway/version answered $code after $answered answers"
    answered=$((answered + 1))
done
logged=$(grep -c '"RequestPath":"/version"' "$CLUSTER_STATE/log/access.log" || true)
echo "$answered of 200 answered; the gateway's log has $logged"
((logged >= answered)) || fail "the gateway saw fewer requests than were answered"

say "a rolling update under requests"
(
    while [[ ! -f $notes/enough ]]; do
        curl -s -o /dev/null --max-time 5 -w '%{http_code}\n' "$gateway/version" || true
    done >"$notes/codes"
) &
requests=$!
here_in rollout restart deployment/api >/dev/null
here_in rollout status --timeout 180s deployment/api
# The last of the old pods have yet to end, and must not take a request with them.
only_new() { [[ $(here_in get pods -o name -l app.kubernetes.io/name=api,app.kubernetes.io/component=serving | wc -l) == 2 ]]; }
eventually 90 only_new || fail "the old pods do not end"
touch "$notes/enough"
wait "$requests"
echo "$(grep -c '^200$' "$notes/codes") of $(wc -l <"$notes/codes") answered"
! grep -qv '^200$' "$notes/codes" || fail "not all were: $(sort "$notes/codes" | uniq -c | tr '\n' ' ')"

say "down, and down again"
"$cluster" down sealed
"$cluster" down sealed
machine >"$notes/after"
diff "$notes/before" "$notes/after" || fail "left behind: see above"
say "nothing left behind"
