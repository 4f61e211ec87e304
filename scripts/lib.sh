# Shared by the scripts of this folder: installs what is missing and says what, before it does.
# shellcheck shell=bash

MINIMUM_RUST=1.88
PLAYWRIGHT=1.65.2
# Its version says which axe-core it holds: 4.12.
AXE=0.1.8

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# is_up_to_date PROGRAM: whether it was built, and nothing of the source is newer.
is_up_to_date() {
  [ -x "$1" ] && [ -z "$(find src scripts Cargo.toml Cargo.lock -newer "$1" -type f -print -quit)" ]
}

# need_packages PACKAGE...: Debian packages, installed only where they are missing.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] && return
  command -v apt-get >/dev/null || die "this machine has no apt-get; install by hand: ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# need_rust: a Rust toolchain that is new enough.
need_rust() {
  if [ -f "$HOME/.cargo/env" ]; then
    # shellcheck source=/dev/null
    . "$HOME/.cargo/env"
  fi
  if ! command -v cargo >/dev/null; then
    need_packages rustup
    say "installing the stable Rust toolchain with rustup"
    rustup default stable
  fi
  local version
  version=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$MINIMUM_RUST" "$version" | sort -V | head -n 1)" != "$MINIMUM_RUST" ]; then
    die "Rust $version is too old, $MINIMUM_RUST is needed: run 'rustup update stable', or see https://rustup.rs"
  fi
}

# need_playwright TOOLS: Playwright for Python and axe-core in a folder of their own below TOOLS; the browser is Debian's.
need_playwright() {
  local wanted="playwright==$PLAYWRIGHT axe-playwright-python==$AXE"
  need_packages chromium python3 python3-venv fonts-dejavu-core
  [ "$(cat "$1/playwright/installed" 2>/dev/null)" = "$wanted" ] && return
  say "installing $wanted into $1/playwright"
  python3 -m venv --clear "$1/playwright"
  # shellcheck disable=SC2086
  "$1/playwright/bin/pip" install -q --disable-pip-version-check --only-binary=:all: $wanted
  printf %s "$wanted" >"$1/playwright/installed"
}

# need_peers: Debian's proxies. Which of them a release does not have, the benchmark skips aloud.
need_peers() {
  local package
  need_packages iptables iproute2 util-linux
  for package in mitmproxy sslsplit squid-openssl; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed && continue
    (need_packages "$package") || { say "$package could not be installed" && continue; }
    # The package starts a proxy for the whole machine, which nobody here asked for.
    [ "$package" != squid-openssl ] || as_root systemctl disable --now squid 2>/dev/null || true
  done
}
