#!/usr/bin/env bash
# Long runs, SOAK_MINUTES (10) each: Schemathesis over the API, the fuzzing of every parser, kill -9 again and again; then the small real
# model and the check of licences and sources by cargo-deny. SOAK_ONLY="fuzz kill" chooses among: api fuzz kill model deny.
set -uo pipefail
cd "$(dirname "$0")/.."
minutes=${SOAK_MINUTES:-10}
failed=()

kills() { # the kill test until the time is over, at least once
    local end=$((SECONDS + minutes * 60)) rounds=0
    cargo build --workspace --bins --locked || return 1
    while [ "$rounds" = 0 ] || [ "$SECONDS" -lt "$end" ]; do
        cargo nextest run --locked --test kill --success-output immediate || return 1
        rounds=$((rounds + 1))
    done
    echo "kill: $rounds rounds of 200 plans with 20 kills, nothing lost, nothing run twice"
}

deny() {
    cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny || return 1
    # Advisories need a database from the network: make that a run of its own where there is one.
    cargo deny --locked check licenses bans sources
}

part() { # NAME COMMAND...
    local name=$1; shift
    case " ${SOAK_ONLY:-api fuzz kill model deny} " in *" $name "*) ;; *) return 0 ;; esac
    printf '\n== soak: %s\n' "$name"
    "$@" || failed+=("$name")
}

part api scripts/schemathesis.sh "$minutes"
part fuzz scripts/fuzz.sh "$minutes"
part kill kills
part model scripts/model.sh
part deny deny
if [ "${#failed[@]}" -gt 0 ]; then
    echo "soak: FAILED: ${failed[*]}" >&2
    exit 1
fi
echo "soak: every part passed"
