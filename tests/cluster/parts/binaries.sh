# Programs that no Debian package has, built from Go modules into the cache. Each lies in a folder
# named after the digest of its sources, so that a change of version builds it anew and several
# clones share what they have in common.

# module_folder NAME: where the programs of binaries/NAME lie.
module_folder() {
    local key
    key=$(cd "$here/binaries/$1" && cat go.mod go.sum ./*.go | sha256sum | cut -c1-12)
    echo "$cache/$1-$key"
}

# build_module NAME [LINK...]: builds binaries/NAME unless it is there; links are further names of it.
build_module() {
    local name=$1 folder
    shift
    folder=$(module_folder "$name")
    [[ -x $folder/$name ]] && return
    mkdir -p "$cache"
    (
        flock 8
        [[ -x $folder/$name ]] && exit
        command -v go >/dev/null || die "go is missing" "install Go 1.24 or newer: https://go.dev/dl"
        say "building $name; this is done once$([[ $name != kubernetes ]] || echo ' and takes 15 CPU minutes')"
        mkdir -p "$folder"
        cd "$here/binaries/$name"
        CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(version_flags "$name")" -o "$folder/$name.new" .
        for link in "$@"; do
            ln -sf "$name" "$folder/$link"
        done
        mv "$folder/$name.new" "$folder/$name"
    ) 8>"$cache/$name.lock"
}

# Clients ask the API server for its version, and a build from a module does not know it.
version_flags() {
    [[ $1 == kubernetes ]] || return 0
    local version package=k8s.io/component-base/version
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    echo "-X $package.gitVersion=$version -X $package.gitMajor=1" \
        "-X $package.gitMinor=$(cut -d. -f2 <<<"$version") -X $package.gitTreeState=clean"
}

kubernetes_links=(kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet kubectl)

cached_control_plane() {
    [[ -x $(module_folder etcd)/etcd && -x $(module_folder kubernetes)/kubernetes ]]
}

build_control_plane() {
    build_module etcd
    build_module kubernetes "${kubernetes_links[@]}"
    etcd=$(module_folder etcd)/etcd
    kubernetes=$(module_folder kubernetes)
}

kubectl() { "$(module_folder kubernetes)/kubectl" --kubeconfig "$kubeconfig" "$@"; }
