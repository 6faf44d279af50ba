#!/usr/bin/env bash
# Functions to start and stop one Legator and probes, for run.sh and bench.sh. Source it.
# Each start_* sets a variable with the process id; stop_all ends what was started here, and nothing else.

started=()

wait_for() { # SECONDS COMMAND...: until the command succeeds
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { echo "gave up waiting for: $*" >&2; return 1; }
        sleep 0.05
    done
}

start_server() { # BIN DATA_DIR ADDRESS [ARGS...]
    local bin=$1 data=$2 address=$3; shift 3
    mkdir -p "$data"
    "$bin" up --data-dir "$data" --listen "$address" "$@" >>"$data/legator.log" 2>&1 &
    server_pid=$!
    started+=("$server_pid")
    url="http://$address"
    wait_for 60 curl -sf "$url/readyz" || { tail -20 "$data/legator.log" >&2; return 1; }
}

start_probe() { # BIN STATE_DIR URL NAME
    local bin=$1 state=$2 server=$3 name=$4 token
    mkdir -p "$state"
    token=$(curl -sf -X POST "$server/api/v1/tokens" | jq -er .token)
    "$bin" run --server "$server" --token "$token" --name "$name" --state-dir "$state" >>"$state/probe.log" 2>&1 &
    probe_pid=$!
    started+=("$probe_pid")
}

host_online() { # URL NAME
    curl -sf "$1/api/v1/hosts" | jq -e --arg name "$2" '.items[] | select(.name == $name and .status == "online")'
}

stop_all() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    started=()
}
