#!/usr/bin/env bash
# Measures what Gravimeter adds: the same agent and provider on loopback, with and without it. See docs/performance.md.
# Usage: scripts/bench.sh [delay|memory|calls|download|scrape|observers|traces]... [--full]; without a name all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

for argument in "$@"; do
  case "$argument" in
    delay|memory|calls|download|scrape|observers|traces|--full) ;;
    *) die "unknown benchmark $argument: delay, memory, calls, download, scrape, observers, traces, --full" ;;
  esac
done

need_packages gcc libc6-dev pkg-config
need_rust

say "building with --release"
cargo build --locked --release --bin gravimeter --bench bench

say "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg)"
cargo bench --locked --quiet --bench bench -- "$@"
