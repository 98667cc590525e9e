# The node: containerd with a bridge for its pods, kubelet and kube-proxy. Inside the sealed namespaces.

containerd_socket=$state/containerd/containerd.sock

ctr() { command ctr --address "$containerd_socket" --namespace k8s.io "$@"; }

node_ready() {
    kubectl get node "$node_name" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' |
        grep -q True
}

node_up() {
    mkdir -p "$state/config" "$state/cni"
    start_containerd
    wait_for "containerd answers" containerd ctr version
    import_images
    own_cgroup
    start_kubelet
    start_proxy
    wait_for "the node is Ready" "containerd kubelet kube-proxy kube-apiserver" node_ready
}

start_containerd() {
    cat >"$state/cni/10-bridge.conflist" <<CNI
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_range", "gateway": "$pod_gateway"}]],
            "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$state/cni/addresses"}},
  {"type": "portmap", "capabilities": {"portMappings": true}},
  {"type": "loopback"}
]}
CNI
    # The sandbox that tests run in has neither AppArmor nor the right to lower an OOM score.
    cat >"$state/config/containerd.toml" <<TOML
version = 2
root = "$state/containerd/root"
state = "$state/containerd/state"
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$(image pause)"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni_plugins"
    conf_dir = "$state/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$state/containerd/runc"
TOML
    start containerd containerd --config "$state/config/containerd.toml"
}

# No registry: images come as files. `imagePullPolicy: IfNotPresent` finds them.
import_images() {
    local archive
    for archive in "$(image_folder)"/*.tar; do
        ctr images import "$archive" >>"$logs/import.log" 2>&1 || die "cannot import $archive" "see $logs/import.log"
    done
}

# The kubelet wants its group to be there: in each hierarchy of version 1, where a cpuset that is
# empty accepts no process.
own_cgroup() {
    local hierarchy file
    if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
        mkdir -p "/sys/fs/cgroup$cgroup"
        return
    fi
    for hierarchy in /sys/fs/cgroup/*/; do
        mkdir -p "$hierarchy$cgroup" 2>/dev/null || continue
        for file in cpuset.cpus cpuset.mems; do
            [[ ! -f $hierarchy$file ]] || cat "$hierarchy$file" >"$hierarchy$cgroup/$file"
        done
    done
}

start_kubelet() {
    cat >"$state/config/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
healthzBindAddress: 127.0.0.1
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-serving.crt
tlsPrivateKeyFile: $pki/kubelet-serving.key
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
cgroupRoot: $cgroup
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
podLogsDir: $state/podlogs
volumePluginDir: $state/kubelet/plugins
resolvConf: ""
clusterDomain: cluster.local
clusterDNS: [${service_ip}0]
maxPods: 60
serializeImagePulls: false
# Images cannot be pulled again.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
# The disk of the machine is not the test's business.
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
nodeStatusUpdateFrequency: 2s
syncFrequency: 10s
YAML
    start kubelet "$kubernetes/kubelet" --config "$state/config/kubelet.yaml" \
        --kubeconfig "$state/kubeconfig/kubelet.conf" --hostname-override "$node_name" \
        --node-ip "$node_ip" --node-labels topology.kubernetes.io/zone=zone-a \
        --root-dir "$state/kubelet" --cert-dir "$state/kubelet/pki"
}

start_proxy() {
    cat >"$state/config/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $state/kubeconfig/proxy.conf}
bindAddress: $node_ip
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: $node_name
clusterCIDR: $pod_range
detectLocalMode: ClusterCIDR
# A test that waits for an endpoint should not wait for a batch.
iptables: {minSyncPeriod: 0s, syncPeriod: 30s}
# The limits are the host's, and not for us to raise.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nodePortAddresses: ["$node_ip/32"]
YAML
    start kube-proxy "$kubernetes/kube-proxy" --config "$state/config/proxy.yaml"
}
