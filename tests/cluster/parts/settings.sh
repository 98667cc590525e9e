# Where a cluster keeps its things, and its addresses. Sourced with $here and $profile set.

# Built once, used by every cluster and every clone.
cache=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/neuroca-deploy/cluster}
# Several sealed clusters run side by side when each has a number of its own, 0 to 9.
instance=${CLUSTER_INSTANCE:-0}
# All that a running cluster writes.
state=${CLUSTER_STATE:-${TMPDIR:-/tmp}/neuroca-cluster-$profile-$instance}

logs=$state/log
pids=$state/pid
pki=$state/pki
kubeconfig=$state/kubeconfig/admin.conf

service_range=10.9$instance.0.0/16
service_ip=10.9$instance.0.1

case $profile in
light)
    api_host=127.0.0.1
    # Never dialled: the API server only refuses to advertise a loopback address.
    node_ip=10.255.255.1
    # The system chooses; they are kept for as long as the state is.
    ports=$state/ports
    # shellcheck source=/dev/null
    [[ ! -f $ports ]] || source "$ports"
    ;;
sealed)
    # A network of its own: the ports can be the usual ones.
    api_port=6443 etcd_port=2379 etcd_peer_port=2380 controller_port=10257 scheduler_port=10259
    node_name=node-$instance
    node_ip=10.245.$instance.2
    host_ip=10.245.$instance.1
    api_host=$node_ip
    pod_range=10.244.$instance.0/24
    pod_gateway=10.244.$instance.1
    cgroup=/neuroca-cluster-$instance
    host_link=nclu$instance
    node_link=uplink
    bridge=pods
    ;;
esac

say() { printf 'cluster: %s\n' "$*" >&2; }
die() {
    say "$1"
    [[ -z ${2:-} ]] || say "  $2"
    exit 1
}
