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
BUILDS=${CARGO_TARGET_DIR:-target}
# A release that was built or packaged here is taken as it is, if it is no older than the source.
if is_up_to_date "$BUILDS/release/gravimeter"; then
  exec "$BUILDS/release/gravimeter" demo "$@"
fi
need_rust
say "building (some minutes the first time)"
cargo build --locked --profile quick
exec "$BUILDS/quick/gravimeter" demo "$@"
