#!/usr/bin/env bash
# Looks for inputs that break a reader, with libFuzzer: scripts/fuzz.sh [TARGET|all] [SECONDS]
# Every target for a minute by default. A crash is told with its input, in tests/fuzz/artifacts; what is interesting gathers in
# target/fuzzing. Copy what is worth keeping to tests/fuzz/corpus, which `cargo test` replays.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

TARGET=${1:-all}
SECONDS_EACH=${2:-60}
FUZZ=0.13.2

need_packages gcc g++ libc6-dev pkg-config
need_rust
if [ ! -x target/tools/bin/cargo-fuzz ]; then
  say "installing cargo-fuzz $FUZZ into target/tools"
  cargo install --quiet --locked --root target/tools "cargo-fuzz@$FUZZ"
fi
# The address sanitizer of a stable toolchain.
export RUSTC_BOOTSTRAP=1

# fuzz COMMAND ARGUMENT...: cargo-fuzz in our folder.
fuzz() {
  local command=$1
  shift
  local place=(--target-dir target/fuzz)
  [ "$command" = list ] && place=()
  target/tools/bin/cargo-fuzz fuzz "$command" --fuzz-dir tests/fuzz "${place[@]}" "$@"
}

say "writing the seeds"
cargo test --locked --quiet --test it fuzz::write_seeds -- --ignored >/dev/null
if [ "$TARGET" = all ]; then
  mapfile -t targets < <(fuzz list)
else
  targets=("$TARGET")
fi
for target in "${targets[@]}"; do
  say "$target: $SECONDS_EACH s"
  mkdir -p "tests/fuzz/corpus/$target" "target/fuzzing/$target"
  # What is new goes to the first folder.
  fuzz run "$target" "target/fuzzing/$target" "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- \
    -max_total_time="$SECONDS_EACH" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0
done
