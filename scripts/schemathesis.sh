#!/usr/bin/env bash
# Schemathesis with all checks over the document of two real servers, one without authentication and one with: schemathesis.sh MINUTES.
# A probe is connected to each. Fails on any failure of a check, a panic, a server that is not ready afterwards. BIN_DIR holds the binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh
minutes=${1:-10}
bin=${BIN_DIR:-target/debug}
venv=target/schemathesis
work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT

[ -x "$bin/legator" ] && [ -x "$bin/legator-probe" ] || cargo build --workspace --bins --locked
if ! "$venv/bin/schemathesis" --version >/dev/null 2>&1; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q 'schemathesis>=4,<5'
fi

# A model that says one sentence, so that questions in chats are taken and answered.
model_port=$((20000 + RANDOM % 20000))
export LEGATOR_LLM_PROVIDER=openai LEGATOR_LLM_URL="http://127.0.0.1:$model_port/v1" LEGATOR_LLM_MODEL=stub LEGATOR_LLM_KEY=none

stub_model() { # PORT
    python3 - "$1" <<'PY' >"$work/model.log" 2>&1 &
import http.server, json, sys

class Model(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for delta, reason in (({"role": "assistant", "content": "Nothing to do."}, None), ({}, "stop")):
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "stub",
                     "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Model).serve_forever()
PY
    started+=("$!")
}

try() { # NAME URL PHASES [ARGS...]: a quarter of the time
    local log="$work/$1.txt" code=0
    "$venv/bin/schemathesis" --no-color --config-file scripts/schemathesis.toml run "$2/openapi.json" --phases "$3" "${@:4}" --checks all \
        --max-time "$((minutes * 15))" --request-timeout 30 --suppress-health-check all --generation-database none >"$log" 2>&1 || code=$?
    printf 'schemathesis: %s: %s\n' "$1" "$(grep -A1 '^Test cases:' "$log" | tail -1 | xargs), $(grep -m1 '  Tested: ' "$log" | xargs) operations"
    if [ "$code" != 0 ]; then
        grep -v '^ *$' "$log" | head -400
        return 1
    fi
}

run() { # NAME PORT [KEY]: starts a server and tries it for half the time
    local name=$1 address=127.0.0.1:$2 key=${3:-} data="$work/$1" token signed=()
    stub_model "$model_port"
    if [ -n "$key" ]; then
        key=$("$bin/legator" admin bootstrap --data-dir "$data")
        signed=(-H "Authorization: Bearer $key")
        start_server "$bin/legator" "$data" "$address" --auth=true
    else
        start_server "$bin/legator" "$data" "$address"
    fi
    # Its level is `observe`: whatever is asked for and approved here, nothing on this machine is changed.
    token=$(curl -sf "${signed[@]}" --json '{"level": "observe"}' "$url/api/v1/tokens" | jq -er .token)
    "$bin/legator-probe" run --server "$url" --token "$token" --name web-03 --state-dir "$data/probe" >>"$data/probe.log" 2>&1 &
    started+=("$!")
    wait_for 60 online "$url" "${signed[@]}"
    # A window ends within 90 days from now, which no example in a document can say.
    curl -sf "${signed[@]}" --json "{\"selector\": \"env=none\", \"until\": \"$(date -u -d '+1 day' +%FT%TZ)\", \"reason\": \"a move\"}" \
        "$url/api/v1/freezes" >/dev/null
    # Each operation by itself; then what answers lead to, with ids that exist.
    for phases in examples,coverage,fuzzing stateful; do
        try "$name-${phases##*,}" "$url" "$phases" "${signed[@]}" || return 1
        if [ -n "$key" ] && ! curl -sf "${signed[@]}" "$url/api/v1/me" >/dev/null; then
            # Withdrawing keys and persons is tried too, in the end with the admin's own: from then on all is refused.
            echo "schemathesis: $name-${phases##*,} took its own key away; what came after was refused"
            [ "$phases" = stateful ] || return 1
        fi
    done
    curl -sf "$url/readyz" >/dev/null || { echo "schemathesis: $name is not ready any more" >&2; return 1; }
    if grep -q panicked "$data/legator.log" "$data/probe.log"; then echo "schemathesis: a panic in $name" >&2; return 1; fi
}

online() { # URL [CURL ARGS]
    curl -sf "${@:2}" "$1/api/v1/hosts" | jq -e '.items[] | select(.status == "online")'
}

failed=0
run open $((20000 + RANDOM % 20000)) || failed=1
stop_all
run keys $((20000 + RANDOM % 20000)) yes || failed=1
[ "$failed" = 0 ] || { echo "schemathesis: FAILED" >&2; exit 1; }
echo "schemathesis: all checks passed over two servers in $minutes min"
