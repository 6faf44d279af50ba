#!/usr/bin/env bash
# Installs what building and testing Legator needs on Debian. Asks for nothing when all is there.
set -euo pipefail

packages=(
    # what builds: SQLite, the cryptography and libFuzzer are C and C++
    ca-certificates gcc g++ libc6-dev make mount
    nginx-light jq curl openssl iproute2 procps psmisc
    busybox git python3 perl gawk sqlite3 attr acl util-linux
    # what the cage is tried with
    at bsdutils cron dbus-bin e2fsprogs ed file findutils gdb keyutils kmod lsof
    openssh-client python3-pip python3-venv rsync systemd util-linux-extra vim
)

missing=()
installed=$'\n'$(dpkg-query -W -f='${Package} ${Status}\n' "${packages[@]}" 2>/dev/null || true)$'\n'
for package in "${packages[@]}"; do
    [[ $installed == *$'\n'"$package install ok installed"$'\n'* ]] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}" >&2
    [ "$(id -u)" = 0 ] || { echo "setup: run as root, or install: ${missing[*]}" >&2; exit 1; }
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # A service that a package brings is not started: tests start their own.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.legator && chmod +x /usr/sbin/policy-rc.d.legator
    created=no
    [ -e /usr/sbin/policy-rc.d ] || { mv /usr/sbin/policy-rc.d.legator /usr/sbin/policy-rc.d; created=yes; }
    rm -f /usr/sbin/policy-rc.d.legator
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
    [ "$created" = no ] || rm -f /usr/sbin/policy-rc.d
fi
# OpenRC is tried on machines of the tests' own. Installed here it would take this machine's services over: it is only fetched.
openrc="$HOME/.cache/legator/openrc"
if ! ls "$openrc"/openrc_*.deb >/dev/null 2>&1; then
    echo "setup: fetching OpenRC into $openrc" >&2
    mkdir -p "$openrc"
    (cd "$openrc" && { apt-get download -qq openrc libeinfo1 librc1 insserv || { apt-get update -qq && apt-get download -qq openrc libeinfo1 librc1 insserv; }; })
fi
command -v cargo >/dev/null || { echo "setup: no cargo: install Rust 1.95 or newer (https://rustup.rs)" >&2; exit 1; }
if ! command -v cargo-nextest >/dev/null && ! cargo nextest --version >/dev/null 2>&1; then
    echo "setup: installing cargo-nextest" >&2
    cargo install --locked cargo-nextest
fi
