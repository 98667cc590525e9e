#!/usr/bin/env bash
# The whole path on this machine, in a minute: deploy, change under load, break, be turned back.
# Leaves the project running, and says where and how to stop it; DEMO_STOP=1 stops it at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for command in cargo curl; do
    command -v "$command" >/dev/null || {
        echo "demo: $command is missing; install it and run make demo again" >&2
        exit 1
    }
done

if [[ -t 1 ]]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s# %s%s\n' "$dim" "$*" "$plain"; }
run() {
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    "$@"
}

title "Building (the first time takes a few minutes)"
run cargo build --locked --release -p neuroca-deploy -p neuroca-service -p neuroca-load -p neuroca-specimen
bin=${CARGO_TARGET_DIR:-$PWD/target}/release
bin=$(cd "$bin" && pwd)
export PATH=$bin:$PATH

folder=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-demo.XXXXXX")
# The project is named after its folder.
project=$folder/nca
# Beside the project, and not where a real installation of this machine has its state.
export NEUROCA_DEPLOY_STATE_DIR=$folder/state
deployed=false
client=""
stop_client() {
    [[ -n $client ]] || return 0
    touch "$folder/client-stop"
    wait "$client" || true
    client=""
}
load=""
stop_load() {
    [[ -n $load ]] || return 0
    kill -TERM "$load" 2>/dev/null || true
    wait "$load" || true
    load=""
}
on_exit() {
    local status=$?
    stop_client
    stop_load
    if ((status == 0)) && [[ ${DEMO_STOP:-} != 1 ]]; then
        return
    fi
    ((status == 0)) || printf '\ndemo: failed with exit %s\n' "$status" >&2
    if $deployed && ! neuroca-deploy --project "$project" destroy development -y; then
        printf 'demo: could not stop what runs from %s; its state is in %s\n' \
            "$project" "$NEUROCA_DEPLOY_STATE_DIR" >&2
        exit 1
    fi
    rm -rf "$folder"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

answers() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# What the project says, unless somebody else has it on this machine.
port=8080 metrics_port=9090
while answers "$port"; do port=$((20000 + RANDOM % 6000)); done
while answers "$metrics_port"; do metrics_port=$((26000 + RANDOM % 6000)); done
settings=()
((port == 8080)) || settings+=(--set "edge.listen=127.0.0.1:$port")
((metrics_port == 9090)) || settings+=(--set "edge.metrics_listen=127.0.0.1:$metrics_port")
url=http://127.0.0.1:$port

title "1. A project, and what would be done with it"
run neuroca-deploy init "$project"
cd "$project"
run neuroca-deploy plan development "${settings[@]}"

title "2. Deploy it"
deployed=true
run neuroca-deploy apply development -y "${settings[@]}"
run curl -fsS "$url/version"
echo

title "3. Change its configuration while a client keeps asking"
ask_until_stopped() {
    local sent=0 failed=0
    while [[ ! -e $folder/client-stop ]]; do
        sent=$((sent + 1))
        curl -fsS -m 10 -o /dev/null "$url/version" 2>>"$folder/client-errors" ||
            failed=$((failed + 1))
    done
    echo "$sent $failed" >"$folder/client-counts"
}
ask_until_stopped &
client=$!
run neuroca-deploy apply development -y "${settings[@]}" \
    --set components.api.env.NEUROCA_LOG_LEVEL=warning
note "the client is still asking"

title "4. Deploy a release that never gets ready: it is turned back by itself"
status=0
run neuroca-deploy apply development -y "${settings[@]}" \
    --set components.api.env.NEUROCA_LOG_LEVEL=warning \
    --set components.api.health.path=/nope \
    --set components.api.health.start_timeout=5s || status=$?
note "exit $status (5: not healthy, and traffic is on the old release)"
((status == 5)) || {
    echo "demo: the bad release should have ended with exit 5" >&2
    exit 1
}
run curl -fsS "$url/version"
echo

title "5. Go back by hand"
run neuroca-deploy rollback development -y

stop_client
read -r sent failed <"$folder/client-counts"
note "the client asked $sent times through all of this; $failed requests failed"
((failed == 0)) || {
    cat "$folder/client-errors" >&2
    exit 1
}

title "6. A canary, judged while 200 requests a second come in"
# In the environment file it is `rollout: {strategy: canary, steps: ...}`.
# On a machine that is busy with other things the side with little traffic is slower, release or not:
# here errors decide.
canary=(--set rollout.strategy=canary --set rollout.analysis.latency.judged=false
    --set 'rollout.steps=[{weight: 10, pause: 5s}, {weight: 50, pause: 5s}]')
load --url "$url" --rate 200 --seconds 600 >"$folder/load.json" 2>&1 &
load=$!
run neuroca-deploy apply development -y "${settings[@]}" "${canary[@]}" \
    --set components.api.env.NEUROCA_LOG_LEVEL=warning
note "the judge saw no difference, and the new release has all of the traffic"

title "7. A release that is healthy and answers every tenth request with 500"
mkdir bad artifacts
cp "$bin/specimen" bad/
printf '#!/bin/sh\n[ "$1" = migrate ] && exit 0\nSPECIMEN_ERRORS=0.1 exec ./specimen\n' >bad/neuroca
chmod +x bad/neuroca
echo 'api: bad' >artifacts/bad.yaml
status=0
run neuroca-deploy apply development -y "${settings[@]}" "${canary[@]}" \
    --set components.api.env.NEUROCA_LOG_LEVEL=warning --release bad || status=$?
note "exit $status (5): the judge turned it back"
((status == 5)) || {
    echo "demo: the bad canary should have ended with exit 5" >&2
    exit 1
}
stop_load

title "8. Where things stand"
run neuroca-deploy status development
run neuroca-deploy history development

if [[ ${DEMO_STOP:-} != 1 ]]; then
    title "It is yours now"
    cat <<END
  address   $url
  project   $project
  try       curl -s $url/version
            export NEUROCA_DEPLOY_STATE_DIR=$NEUROCA_DEPLOY_STATE_DIR PATH=$bin:\$PATH
            cd $project && neuroca-deploy logs development api
  stop      $bin/neuroca-deploy --project $project --state-dir $folder/state destroy development -y
            rm -r $folder
END
fi
