# Images of what is built here, as files that containerd imports; nothing is pulled.

# Where Debian puts the network plugins.
cni_plugins=${CNI_PLUGINS:-/usr/lib/cni}
# What `cargo build` made; a release build for whoever measures.
programs=${CLUSTER_PROGRAMS:-$here/../../target/debug}

# image NAME: its reference. The host is never asked: the name only has to look like one.
image() { echo "cluster.test/$1:1"; }
image_folder() { echo "$cache/images"; }

build_images() {
    local folder
    folder=$(image_folder)
    mkdir -p "$folder"
    if [[ ! -x $folder/pause || $here/binaries/pause.c -nt $folder/pause ]]; then
        cc -Os -static -s -o "$folder/pause" "$here/binaries/pause.c"
    fi
    pack pause "$folder/pause:/pause"
    if [[ ! -x $programs/neuroca || ! -x $programs/specimen ]]; then
        say "building the programs of the images"
        cargo build --locked -p neuroca-service -p neuroca-specimen --manifest-path "$here/../../Cargo.toml" >&2
    fi
    program neuroca --workdir /app "$(certificates_of_authorities):/etc/ssl/certs/ca-certificates.crt"
    program specimen --workdir /app
}

certificates_of_authorities() {
    local bundle=/etc/ssl/certs/ca-certificates.crt
    [[ -f $bundle ]] || die "there is no $bundle" "Debian: apt-get install ca-certificates"
    echo "$bundle"
}

# program NAME [OPTION...]: an image of a program of the workspace, without its debug information.
program() {
    local name=$1 stripped
    shift
    stripped=$(image_folder)/$name
    if [[ ! -x $stripped || $programs/$name -nt $stripped ]]; then
        strip -o "$stripped.part" "$programs/$name"
        mv "$stripped.part" "$stripped"
    fi
    pack "$name" "$@" "$stripped:/app/$name"
}

# pack NAME [OPTION...] ... SOURCE:/TARGET: the last file is the entry point; packed again when it changed.
pack() {
    local name=$1 archive entry=${*: -1}
    archive=$(image_folder)/$name.tar
    shift
    [[ ! -f $archive || ${entry%%:*} -nt $archive || $here/image.py -nt $archive ]] || return 0
    "$here/image.py" "$archive" "$(image "$name")" "${entry#*:}" "$@"
}
