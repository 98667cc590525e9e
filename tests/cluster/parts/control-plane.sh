# etcd, API server, controller manager and, where there are nodes, the scheduler.

# shellcheck source=certificates.sh
source "$here/parts/certificates.sh"

# api get PATH: asks the API server as its administrator.
api() {
    [[ $1 == get ]] || die "api $1: only get"
    curl --silent --show-error --fail --max-time 3 --cacert "$pki/ca.crt" \
        --cert "$pki/admin.crt" --key "$pki/admin.key" "https://$api_host:$api_port/$2"
}

api_ready() { [[ -f $kubeconfig && $(api get readyz 2>/dev/null) == ok ]]; }

etcd_healthy() { curl --silent --max-time 1 "http://127.0.0.1:$etcd_port/health" | grep -q true; }

# Pods need it, and it is the first thing that a working controller manager brings.
default_account() { api get api/v1/namespaces/default/serviceaccounts/default; }

control_plane_up() {
    (umask 077 && mkdir -p "$state/etcd")
    mkdir -p "$logs" "$pids"
    make_certificates
    start_etcd
    # An API server that finds etcd closed loses a second to its reconnecting.
    wait_for "etcd is healthy" etcd etcd_healthy
    start_api_server
    wait_for "the API server is ready" "etcd kube-apiserver" api_ready
    # Not before: until the API server's roles are there it is refused, and backs off for seconds.
    start_controller_manager
    [[ $profile != sealed ]] || start_scheduler
    wait_for "controllers work" "etcd kube-apiserver kube-controller-manager" default_account
}

start_etcd() {
    # Nothing here has to survive a power cut.
    start etcd "$etcd" --name test --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "http://127.0.0.1:$etcd_port" \
        --advertise-client-urls "http://127.0.0.1:$etcd_port" \
        --listen-peer-urls "http://127.0.0.1:$etcd_peer_port" \
        --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer_port" \
        --initial-cluster "test=http://127.0.0.1:$etcd_peer_port"
}

start_api_server() {
    local bind=0.0.0.0
    [[ $profile != light ]] || bind=127.0.0.1
    start kube-apiserver "$kubernetes/kube-apiserver" \
        --etcd-servers "http://127.0.0.1:$etcd_port" \
        --bind-address "$bind" --secure-port "$api_port" --advertise-address "$node_ip" \
        --service-cluster-ip-range "$service_range" \
        --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
        --client-ca-file "$pki/ca.crt" \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$pki/accounts.pub" \
        --service-account-signing-key-file "$pki/accounts.key" \
        --kubelet-certificate-authority "$pki/ca.crt" \
        --kubelet-client-certificate "$pki/apiserver-kubelet.crt" \
        --kubelet-client-key "$pki/apiserver-kubelet.key" \
        --kubelet-preferred-address-types InternalIP \
        --requestheader-client-ca-file "$pki/front-ca.crt" \
        --requestheader-allowed-names front-proxy-client \
        --requestheader-username-headers X-Remote-User \
        --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$pki/front-proxy.crt" \
        --proxy-client-key-file "$pki/front-proxy.key" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --allow-privileged=true --profiling=false
}

start_controller_manager() {
    # Its usual five writes a second would make every test wait for it.
    start kube-controller-manager "$kubernetes/kube-controller-manager" \
        --kubeconfig "$state/kubeconfig/controller-manager.conf" \
        --bind-address 127.0.0.1 --secure-port "$controller_port" \
        --leader-elect=false --profiling=false --use-service-account-credentials=true \
        --service-account-private-key-file "$pki/accounts.key" --root-ca-file "$pki/ca.crt" \
        --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
        --flex-volume-plugin-dir "$state/flexvolume" \
        --kube-api-qps 500 --kube-api-burst 1000
}

start_scheduler() {
    start kube-scheduler "$kubernetes/kube-scheduler" \
        --kubeconfig "$state/kubeconfig/scheduler.conf" \
        --bind-address 127.0.0.1 --secure-port "$scheduler_port" \
        --leader-elect=false --profiling=false
}
