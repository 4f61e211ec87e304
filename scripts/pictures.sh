#!/usr/bin/env bash
# Takes the pictures of the page that the documentation shows: the real page, in Chromium, while the demo runs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

TOOLS=target/tools
PAGE=127.0.0.1:8749

need_packages gcc libc6-dev ca-certificates curl
need_rust
need_playwright "$TOOLS"
cargo build --locked --quiet
target/debug/gravimeter demo --no-redirect --web.listen "$PAGE" >/dev/null &
demo=$!
trap 'kill "$demo"; wait "$demo" || true' EXIT
for _ in $(seq 60); do
  curl -sf "http://$PAGE/healthz" >/dev/null && break
  sleep 1
done
say "letting the demo run for a while, so that there is something to see"
sleep "${WARM_UP:-300}"
"$TOOLS/playwright/bin/python" tests/page/page.py pictures "http://$PAGE" docs/images
say "docs/images has the new pictures"
