# The light profile: etcd, API server and controller manager on loopback. No root, no interfaces,
# no pods; for whatever only talks to the API.

# shellcheck source=gateway.sh
source "$here/parts/gateway.sh"

light_build() {
    build_control_plane
    build_definitions
}

light_cached() { cached_control_plane && [[ -f $(definitions) ]]; }

light_up() {
    local from=$SECONDS
    mkdir -p "$state"
    choose_ports >"$ports"
    # shellcheck source=/dev/null
    source "$ports"
    control_plane_up
    definitions_up
    say "light: up in $((SECONDS - from)) s; $state"
}

# All at once, so that they differ.
choose_ports() {
    python3 - api_port etcd_port etcd_peer_port controller_port <<'PORTS'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in sys.argv[1:]]
for name, server in zip(sys.argv[1:], held):
    print(f"{name}={server.getsockname()[1]}")
PORTS
}

light_down() {
    local name
    for name in kube-controller-manager kube-apiserver etcd; do
        stop "$name"
    done
    rm -rf "$state"
}
