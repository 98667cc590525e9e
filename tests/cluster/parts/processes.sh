# Processes that a cluster is made of: started with a log and a recorded pid, ended by that pid only.

# start NAME PROGRAM [ARGUMENT...]
start() {
    local name=$1
    shift
    setsid "$@" >"$logs/$name.log" 2>&1 </dev/null 9>&- &
    echo $! >"$pids/$name"
}

# A zombie counts as gone: whoever is its parent may take its time.
running() {
    local pid
    pid=$(cat "$pids/$1" 2>/dev/null) || return 1
    # The pid may be somebody else's by now.
    grep -qzF "$state" "/proc/$pid/cmdline" 2>/dev/null &&
        grep -qE '^State:\s+[^ZX]' "/proc/$pid/status" 2>/dev/null
}

# stop NAME: at once. Nothing here is worth a graceful end.
stop() {
    if running "$1"; then
        kill -KILL "$(cat "$pids/$1")" 2>/dev/null || true
        for _ in {1..200}; do
            running "$1" || break
            sleep 0.02
        done
    fi
    rm -f "$pids/$1"
}

# wait_for WHAT PROCESSES COMMAND...: until the command succeeds; fails as soon as one of the
# processes is gone, with the end of its log.
wait_for() {
    local what=$1 processes=$2 process
    shift 2
    local deadline=$((SECONDS + ${CLUSTER_PATIENCE:-180}))
    until "$@" >/dev/null 2>&1; do
        for process in $processes; do
            if ! running "$process"; then
                tail -n 15 "$logs/$process.log" >&2 || true
                die "$process ended before $what" "all of its log: $logs/$process.log"
            fi
        done
        ((SECONDS < deadline)) || die "$what: not within ${CLUSTER_PATIENCE:-180} s" "logs: $logs"
        sleep 0.05
    done
}
