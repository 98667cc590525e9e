#!/usr/bin/env bash
# Throw-away Kubernetes clusters for tests, see tests/cluster/README.md. Sourced.
#
#   cluster_possible         whether this machine can hold one with pods
#   cluster_ready PROFILE    whether one could be started without building anything first
#   cluster_start PROFILE    starts one of its own; sets CLUSTER_KUBECONFIG and CLUSTER_GATEWAY
#   clusters_stop            ends all that were started; safe to call at any time

CLUSTER_KUBECONFIG=""
CLUSTER_GATEWAY=""
CLUSTERS=()

cluster_possible() {
    [[ $(id -u) -eq 0 ]] && unshare --pid --mount --net --ipc --fork --propagation private true 2>/dev/null
}

cluster_ready() { tests/cluster/cluster.sh cached "$1" 2>/dev/null; }

# A number that no other sealed cluster has, somebody's `make cluster` above all.
cluster_instance() {
    local number
    for number in 8 7 6 5 4 3 2 1; do
        ip link show "nclu$number" >/dev/null 2>&1 || break
    done
    echo "$number"
}

cluster_start() {
    local folder instance
    folder=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-$1.XXXXXX")
    instance=$(cluster_instance)
    CLUSTERS+=("$1 $instance $folder")
    # shellcheck disable=SC2034 # for whoever sources this, and the next one
    CLUSTER_KUBECONFIG=$(CLUSTER_STATE=$folder/state CLUSTER_INSTANCE=$instance \
        tests/cluster/cluster.sh up "$1")
    CLUSTER_GATEWAY=10.245.$instance.2:80
}

clusters_stop() {
    local started profile instance folder
    for started in "${CLUSTERS[@]}"; do
        read -r profile instance folder <<<"$started"
        CLUSTER_STATE=$folder/state CLUSTER_INSTANCE=$instance tests/cluster/cluster.sh down "$profile"
        rm -rf "$folder"
    done
    CLUSTERS=()
}
