#!/usr/bin/env bash
# Builds Gravimeter on a fresh Debian machine and runs its demo: a stand-in provider and stand-in agents,
# observed through the real pipeline. Arguments go to `gravimeter demo` (for example: --for 30s).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_packages gcc libc6-dev ca-certificates
if [ "$(id -u)" -eq 0 ]; then
  need_packages iptables sudo
fi
need_rust
say "building (a few minutes the first time)"
cargo build --locked --release --quiet
exec target/release/gravimeter demo "$@"
