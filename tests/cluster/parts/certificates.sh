# The cluster's certificates: two authorities, P-256 keys without passphrases, and a kubeconfig for
# each client. They live and die with the state.

# openssl_quietly: its progress is noise, its errors are not.
openssl_quietly() {
    local said
    said=$(openssl "$@" 2>&1) || die "openssl $1 failed: $said"
}

authority() { # NAME COMMON_NAME
    openssl_quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -keyout "$pki/$1.key" -out "$pki/$1.crt" -subj "/CN=$2"
}

# certificate NAME AUTHORITY USAGE SUBJECT [ALTERNATIVE_NAMES]
certificate() {
    local extensions=(
        -addext basicConstraints=critical,CA:FALSE
        -addext keyUsage=critical,digitalSignature
        -addext "extendedKeyUsage=$3"
    )
    [[ -z ${5:-} ]] || extensions+=(-addext "subjectAltName=$5")
    openssl_quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -CA "$pki/$2.crt" -CAkey "$pki/$2.key" -keyout "$pki/$1.key" -out "$pki/$1.crt" \
        -subj "$4" "${extensions[@]}"
}

client() { certificate "$1" ca clientAuth "$2"; }

# client_config NAME: how the client of that name reaches the API server.
client_config() {
    cat >"$state/kubeconfig/$1.conf" <<CONFIG
apiVersion: v1
kind: Config
current-context: test
contexts:
  - {name: test, context: {cluster: test, user: $1}}
clusters:
  - name: test
    cluster:
      server: https://$api_host:$api_port
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$pki/$1.crt")
      client-key-data: $(base64 -w0 "$pki/$1.key")
CONFIG
}

make_certificates() {
    (umask 077 && mkdir -p "$pki" "$state/kubeconfig")
    authority ca cluster-ca
    authority front-ca front-proxy-ca
    local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
    certificate apiserver ca serverAuth /CN=kube-apiserver \
        "$names,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$service_ip,IP:$node_ip"
    certificate front-proxy front-ca clientAuth /CN=front-proxy-client
    client apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
    client admin /O=system:masters/CN=admin
    client controller-manager /CN=system:kube-controller-manager
    openssl_quietly ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
    openssl_quietly ec -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub"
    client_config admin
    client_config controller-manager
    [[ $profile == sealed ]] || return 0
    client scheduler /CN=system:kube-scheduler
    client proxy /CN=system:kube-proxy
    client kubelet "/O=system:nodes/CN=system:node:$node_name"
    certificate kubelet-serving ca serverAuth "/O=system:nodes/CN=system:node:$node_name" \
        "DNS:$node_name,IP:$node_ip"
    local name
    for name in scheduler proxy kubelet; do
        client_config "$name"
    done
}
