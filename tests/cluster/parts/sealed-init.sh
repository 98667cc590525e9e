#!/usr/bin/env bash
# Pid 1 of the sealed cluster: makes the namespaces a machine of their own, starts the cluster, and
# stays. Started by sealed.sh only. Its argument is the state, by which its process is recognised.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
profile=sealed
for part in settings processes binaries control-plane images gateway node volumes; do
    # shellcheck source=/dev/null
    source "$here/parts/$part.sh"
done
build_control_plane # nothing is left to build: it says where the programs are

# What was mounted for the host shows the host's processes and interfaces.
own_file_systems() {
    mount -t proc proc /proc
    # The cgroups are the host's and stay visible below the new /sys.
    mkdir -p "$state/cgroup"
    mount --rbind /sys/fs/cgroup "$state/cgroup"
    mount -t sysfs sysfs /sys
    mount --rbind "$state/cgroup" /sys/fs/cgroup
    umount -l "$state/cgroup"
    mount -t tmpfs tmpfs /run
    mkdir -p /run/netns /run/lock
    # The fixed places of kubelet, containerd and the network plugins end up in the state.
    mount -t overlay overlay -o "lowerdir=/var,upperdir=$state/var,workdir=$state/var.work" /var
    # Containers get their volumes by propagation; within these namespaces only.
    mount --make-rshared /
}

own_network() {
    ip link set lo up
    for _ in {1..500}; do
        ip link show "$node_link" >/dev/null 2>&1 && break
        sleep 0.02
    done
    ip address add "$node_ip/30" dev "$node_link"
    ip link set "$node_link" up
    # kube-proxy rewrites what goes to a Service, but the kernel looks for a route first.
    ip route add "$service_range" via "$host_ip"
    ip link add "$bridge" type bridge
    ip address add "$pod_gateway/24" dev "$bridge"
    ip link set "$bridge" up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    # Without it packets between two pods pass the bridge and miss the Services' rules.
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

bring_up() {
    own_file_systems
    own_network
    control_plane_up
    node_up
    volumes_up
    gateway_up
}

finish() {
    echo "$1" >"$state/up.part"
    mv "$state/up.part" "$state/up"
    # Orphans of every pod become children of pid 1, and bash reaps them.
    while :; do
        sleep 3600 &
        wait $! || true
    done
}

# Not in pid 1 itself: `die` would end it, and whoever waits would see it gone before its reason.
# Nor as a condition: bash would go on after errors in it.
bring_up &
result=0
wait $! || result=$?
finish "$result"
