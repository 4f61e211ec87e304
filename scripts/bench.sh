#!/usr/bin/env bash
# Measures what Gravimeter adds: the same agent and provider on loopback, with and without it. See docs/performance.md.
# Usage: scripts/bench.sh [delay|memory|calls|download|scrape|observers|statusline|traces|ledger|run]... [--full]; without a name all of them.
#        scripts/bench.sh observe [FILTER]                   bytes per second of the observer's parts, by Criterion
#        scripts/bench.sh peers [--smoke|--full] [--ours] [LOAD...]   beside other proxies, in a network namespace (root, or user namespaces)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ "${1-}" != peers ] || need_peers

for argument in "$@"; do
  # What follows these two is theirs.
  case "$1" in peers|observe) break ;; esac
  case "$argument" in
    delay|memory|calls|download|scrape|observers|statusline|traces|ledger|run|--full) ;;
    *) die "unknown benchmark $argument: delay, memory, calls, download, scrape, observers, statusline, traces, ledger, run, observe, peers, --full" ;;
  esac
done

need_packages gcc libc6-dev pkg-config
need_rust

if [ "${1-}" = observe ]; then
  exec cargo bench --locked --bench observe -- "${@:2}"
fi

say "building with --release"
cargo build --locked --release --bin gravimeter --bench bench

say "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg)"
cargo bench --locked --quiet --bench bench -- "$@"
