# The sealed profile: a whole cluster in pid, mount, network and ipc namespaces of its own. One
# SIGKILL to their pid 1 ends every process, mount and interface of it; what can stay behind are
# the cgroups and the state folder, which sealed_down removes.

# shellcheck source=images.sh
source "$here/parts/images.sh"
# shellcheck source=gateway.sh
source "$here/parts/gateway.sh"

sealed_build() {
    sealed_needs
    build_control_plane
    build_images
    build_gateway
}

sealed_cached() {
    (sealed_needs)
    cached_control_plane && [[ -f $(definitions) && -x $(traefik_folder)/traefik && -f $(image_folder)/pause.tar ]]
}

sealed_needs() {
    [[ $(id -u) -eq 0 ]] || die "the sealed cluster needs root" "the light profile does not: cluster.sh up light"
    local missing=() program
    for program in containerd ctr runc iptables conntrack ip nsenter unshare curl openssl python3; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [[ -x $cni_plugins/bridge ]] || missing+=("CNI plugins")
    ((!${#missing[@]})) || die "missing: ${missing[*]}" \
        "Debian: apt-get install --no-install-recommends containerd runc containernetworking-plugins iptables conntrack iproute2"
}

sealed_up() {
    local from=$SECONDS init
    # Lower layer of the overlay over /var is /var itself, so its upper layer cannot lie there.
    [[ $state != /var/* ]] || die "CLUSTER_STATE=$state lies below /var" "choose another folder"
    mkdir -p "$state/var" "$state/var.work" "$logs" "$pids"
    unshare_init
    init=$(cat "$pids/init")
    connect_to_host "$init"
    wait_for "the sealed cluster is up" init test -f "$state/up"
    cat "$logs/init.log" >&2
    [[ $(cat "$state/up") == 0 ]] || die "the sealed cluster did not come up" "logs: $logs"
    say "sealed: up in $((SECONDS - from)) s; $state"
}

# Starts pid 1 of the new namespaces and records its pid outside of them.
unshare_init() {
    CLUSTER_STATE=$state CLUSTER_INSTANCE=$instance CLUSTER_CACHE=$cache setsid unshare \
        --pid --mount --net --ipc --fork --propagation private -- \
        "$here/parts/sealed-init.sh" "$state" >"$logs/init.log" 2>&1 </dev/null &
    local parent=$! child=
    for _ in {1..200}; do
        child=$(pgrep -P "$parent" || true)
        # Until unshare has become pid 1's parent, its child is not yet what it will be.
        [[ -z $child ]] || ! grep -qzF sealed-init.sh "/proc/$child/cmdline" 2>/dev/null || break
        sleep 0.02
    done
    [[ -n $child ]] || die "no new namespaces" "$(cat "$logs/init.log")"
    echo "$child" >"$pids/init"
}

# A pair of interfaces, and routes to what lies behind it. They go with the namespace.
connect_to_host() { # INIT
    ip link add "$host_link" type veth peer name "$node_link" netns "$1"
    ip address add "$host_ip/30" dev "$host_link"
    ip link set "$host_link" up
    ip route add "$pod_range" via "$node_ip"
    ip route add "$service_range" via "$node_ip"
}

sealed_down() {
    stop init
    # The kernel takes the interfaces down in its own time.
    for _ in {1..100}; do
        ip link show "$host_link" >/dev/null 2>&1 || break
        sleep 0.05
    done
    remove_cgroups
    rm -rf "$state"
}

remove_cgroups() {
    local hierarchy
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
        # A group can be removed once the last process in it has been reaped.
        for _ in {1..100}; do
            [[ -d $hierarchy$cgroup ]] || break
            find "$hierarchy$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [[ -d $hierarchy$cgroup ]] || break
            sleep 0.05
        done
    done
}

sealed_shell() {
    running init || die "no sealed cluster is up" "make cluster"
    (($#)) || set -- bash
    KUBECONFIG=$kubeconfig PATH=$(module_folder kubernetes):$PATH \
        exec nsenter -t "$(cat "$pids/init")" -p -m -n -i -- "$@"
}
