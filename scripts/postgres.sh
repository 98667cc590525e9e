#!/usr/bin/env bash
# A throw-away PostgreSQL for tests: own folder, own port, own password, gone afterwards.
# Sourced. It never touches a server that it did not start.
#
#   postgres_bin      prints the folder of initdb and postgres, or fails
#   postgres_start    starts one, sets POSTGRES_URL and POSTGRES_PID; takes more options of `postgres`
#   postgres_stop     ends it by pid and removes its folder; safe to call at any time

POSTGRES_DIR=""
POSTGRES_PID=""
POSTGRES_URL=""

postgres_bin() {
    local candidate
    # Debian keeps the server out of PATH, one folder per major version; the newest wins.
    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5 -rV) \
        "$(pg_config --bindir 2>/dev/null || true)" \
        "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")"; do
        if [[ -x "$candidate/initdb" && -x "$candidate/postgres" ]]; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# PostgreSQL refuses to run as root.
postgres_as() {
    if [[ $(id -u) -ne 0 ]]; then
        "$@"
    elif id postgres >/dev/null 2>&1; then
        runuser -u postgres -- "$@"
    else
        runuser -u nobody -- "$@"
    fi
}

postgres_start() {
    local bin password port attempt
    bin=$(postgres_bin) || {
        echo "postgres: no initdb found; install PostgreSQL (Debian: apt-get install postgresql)" >&2
        return 1
    }
    POSTGRES_DIR=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-pg.XXXXXX")
    password=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$POSTGRES_DIR/password"
    if [[ $(id -u) -eq 0 ]]; then
        chown -R "$(postgres_as id -un)" "$POSTGRES_DIR"
    fi
    (
        cd "$POSTGRES_DIR"
        postgres_as "$bin/initdb" --pgdata="$POSTGRES_DIR/data" --username=neuroca \
            --pwfile="$POSTGRES_DIR/password" --auth=scram-sha-256 --encoding=UTF8 \
            --locale=C --no-sync
    ) >"$POSTGRES_DIR.initdb.log" 2>&1 || {
        echo "postgres: initdb failed:" >&2
        cat "$POSTGRES_DIR.initdb.log" >&2
        return 1
    }
    rm -f "$POSTGRES_DIR.initdb.log"
    # The server cannot be given port 0, so a port may be lost to somebody else: try another.
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 12000))
        if (
            cd "$POSTGRES_DIR"
            # Durability is of no use to data that is thrown away.
            postgres_as "$bin/pg_ctl" start --wait --timeout=60 --silent \
                --pgdata="$POSTGRES_DIR/data" --log="$POSTGRES_DIR/data/server.log" \
                --options="-p $port -c listen_addresses=127.0.0.1 \
                    -c unix_socket_directories='' -c fsync=off -c synchronous_commit=off \
                    -c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB $*"
        ) </dev/null >/dev/null 2>&1; then
            POSTGRES_PID=$(head -n 1 "$POSTGRES_DIR/data/postmaster.pid")
            # shellcheck disable=SC2034 # for whoever sources this
            POSTGRES_URL="postgres://neuroca:$password@127.0.0.1:$port/postgres"
            return 0
        fi
    done
    echo "postgres: the server did not start in $attempt attempts; its log:" >&2
    tail -n 20 "$POSTGRES_DIR/data/server.log" >&2
    return 1
}

postgres_stop() {
    local waited=0
    if [[ -n $POSTGRES_PID ]]; then
        # SIGINT is PostgreSQL's fast shutdown: open connections do not hold it up.
        kill -INT "$POSTGRES_PID" 2>/dev/null || true
        while kill -0 "$POSTGRES_PID" 2>/dev/null && ((waited < 100)); do
            sleep 0.1
            waited=$((waited + 1))
        done
        kill -QUIT "$POSTGRES_PID" 2>/dev/null || true
        POSTGRES_PID=""
    fi
    if [[ -n $POSTGRES_DIR ]]; then
        rm -rf "$POSTGRES_DIR"
        POSTGRES_DIR=""
    fi
}
