#!/usr/bin/env bash
# Draws every dashboard into a picture for the documentation: what a real Prometheus answers to each panel while the demo runs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

TOOLS=target/tools/boards
PAGE=127.0.0.1:8748
PROMETHEUS=127.0.0.1:9748
SCRAPE=5
WARM_UP=${WARM_UP:-600}

need_packages gcc libc6-dev ca-certificates curl python3 python3-venv prometheus
need_rust
if [ ! -x "$TOOLS/bin/python" ]; then
  say "installing matplotlib into $TOOLS"
  python3 -m venv "$TOOLS"
  "$TOOLS/bin/pip" install -q --disable-pip-version-check --only-binary=:all: matplotlib==3.11.2
fi
cargo build --locked --quiet
folder=$(mktemp -d)
jobs=()
trap 'kill "${jobs[@]}" 2>/dev/null; wait || true; rm -rf "$folder"' EXIT
target/debug/gravimeter demo --no-redirect --web.listen "$PAGE" >/dev/null &
jobs+=($!)
cat >"$folder/prometheus.yml" <<END
global: {scrape_interval: ${SCRAPE}s}
scrape_configs: [{job_name: gravimeter, static_configs: [{targets: ["$PAGE"]}]}]
END
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" --web.listen-address="$PROMETHEUS" \
  --enable-feature=native-histograms --log.level=error &
jobs+=($!)
for _ in $(seq 60); do
  curl -sf "http://$PAGE/healthz" >/dev/null && curl -sf "http://$PROMETHEUS/-/ready" >/dev/null && break
  sleep 1
done
say "letting the demo run for $WARM_UP seconds, so that there is something to see"
sleep "$WARM_UP"
"$TOOLS/bin/python" -B dashboards/drawing/draw.py "http://$PROMETHEUS" "$SCRAPE" "$WARM_UP" dashboards docs/images
say "docs/images has the new pictures"
