#!/usr/bin/env bash
# Changes the code in one small place at a time and sees whether a unit test notices: scripts/mutants.sh FILE [ARGUMENT]...
# FILE is below src/; the arguments are for cargo-mutants, for instance --shard 0/4 for a quarter of them.
# What survives is listed in target/mutants/mutants.out/missed.txt. Each change is a build of its own, 10 to 30 seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

MUTANTS=27.1.0
TOOLS=target/tools/mutants

[ $# -gt 0 ] || die "which file? scripts/mutants.sh src/observe/sse.rs"
file=$1
shift
[ -f "$file" ] || die "$file: there is no such file"
need_rust
if [ ! -x "$TOOLS/bin/cargo-mutants" ]; then
  say "installing cargo-mutants $MUTANTS into $TOOLS"
  cargo install --locked --root "$TOOLS" "cargo-mutants@$MUTANTS"
fi
# Sources are changed in a copy of the tree. Its builds are kept, so that only the first run builds everything.
export CARGO_TARGET_DIR=$PWD/target/mutants/build
mkdir -p "$CARGO_TARGET_DIR"
# Only the tests of the room that the file belongs to: src/observe/sse.rs is tested by observe::.
room=$(cut -d/ -f2 <<<"$file")
# --lib for the build too: else every change would also build the programs and all other tests.
exec "$TOOLS/bin/cargo-mutants" mutants --cargo-arg=--lib --file "$file" --output target/mutants "$@" -- -- "${room%.rs}::"
