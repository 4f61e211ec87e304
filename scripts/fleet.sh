#!/usr/bin/env bash
# What one machine costs a fleet, measured: series, bytes of a scrape, bytes of remote write, bytes of spans.
# Runs the demo behind the very files of deploy/fleet, on loopback, for about two minutes. Needs a built gravimeter.
#   scripts/fleet.sh [PROGRAM]        default: target/release/gravimeter
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
need_packages curl prometheus python3

PROGRAM=${1:-target/release/gravimeter}
[ -x "$PROGRAM" ] || die "$PROGRAM is not there: cargo build --release"
WARM_UP=40 WINDOW=60

FOLDER=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$FOLDER"' EXIT

read -r EXPORTER AGENT STORE SPANS < <(python3 -c '
import socket
ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(port.getsockname()[1] for port in ports))')

# to_set FILE: the shipped file with this run's addresses.
to_set() {
  sed -e "s|127.0.0.1:8741|127.0.0.1:$EXPORTER|; s|http://store.example:9090|http://127.0.0.1:$STORE|" "deploy/fleet/$1" >"$FOLDER/$1"
}

# metric PORT NAME: the sum over the series of one metric.
metric() { curl -sf "http://127.0.0.1:$1/metrics" | awk -v name="$2" '$1 ~ "^" name "({|$)" { sum += $NF } END { print sum + 0 }'; }

wait_for() { until curl -sf "$1" >/dev/null; do sleep 0.2; done; }

# A collector that only counts: each line of its file is the length of a request.
python3 -c '
import http.server, sys
class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.rfile.read(length)
        print(length, flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector).serve_forever()' "$SPANS" >"$FOLDER/spans" &

to_set prometheus-agent.yml
to_set prometheus-store.yml
"$PROGRAM" serve --state.dir "$FOLDER/idle" --web.listen "127.0.0.1:$EXPORTER" --capture.listen 127.0.0.1:0 \
  --capture.connect_listen 127.0.0.1:0 --log.level error &
wait_for "http://127.0.0.1:$EXPORTER/readyz"
IDLE=$(curl -sf "http://127.0.0.1:$EXPORTER/metrics" | grep -vc '^#')
kill $!
wait $!
"$PROGRAM" demo --no-redirect --for "$((WARM_UP + WINDOW + 20))s" --web.listen "127.0.0.1:$EXPORTER" \
  --otlp "http://127.0.0.1:$SPANS" >"$FOLDER/demo" 2>&1 &
wait_for "http://127.0.0.1:$EXPORTER/readyz"
prometheus --config.file="$FOLDER/prometheus-store.yml" --web.enable-remote-write-receiver --log.level=error \
  --storage.tsdb.path="$FOLDER/store" --web.listen-address="127.0.0.1:$STORE" &
wait_for "http://127.0.0.1:$STORE/-/ready"
HOSTNAME=machine-1 prometheus --config.file="$FOLDER/prometheus-agent.yml" --enable-feature=agent,expand-external-labels \
  --log.level=error --storage.agent.path="$FOLDER/agent" --web.listen-address="127.0.0.1:$AGENT" &
wait_for "http://127.0.0.1:$AGENT/-/ready"

say "measuring for $((WARM_UP + WINDOW)) s"
sleep "$WARM_UP"
BYTES=$(metric "$AGENT" prometheus_remote_storage_bytes_total) SAMPLES=$(metric "$AGENT" prometheus_remote_storage_samples_total)
sleep "$WINDOW"
BYTES=$(($(metric "$AGENT" prometheus_remote_storage_bytes_total) - BYTES))
SAMPLES=$(($(metric "$AGENT" prometheus_remote_storage_samples_total) - SAMPLES))
curl -sf -H 'Accept: application/openmetrics-text' "http://127.0.0.1:$EXPORTER/metrics" >"$FOLDER/scrape"
ZIPPED=$(curl -sf -H 'Accept: application/openmetrics-text' -H 'Accept-Encoding: gzip' "http://127.0.0.1:$EXPORTER/metrics" | wc -c)

SENT=$(metric "$EXPORTER" gravimeter_otlp_spans_exported_total) CALLS=$(metric "$EXPORTER" gravimeter_calls_total)
SPAN_BYTES=$(awk '{ sum += $1 } END { print sum + 0 }' "$FOLDER/spans")

cat <<FIGURES
series before the first call       $IDLE
models seen                        $(grep '^gravimeter_calls_total{' "$FOLDER/scrape" | grep -o 'model="[^"]*"' | sort -u | wc -l)
series of a scrape                 $(grep -vc '^#' "$FOLDER/scrape")
  of which gen_ai_*                $(grep -c '^gen_ai_' "$FOLDER/scrape")
bytes of a scrape, plain           $(wc -c <"$FOLDER/scrape")
bytes of a scrape, gzip            $ZIPPED
series in the store                $(metric "$STORE" prometheus_tsdb_head_series)
remote write, samples/s            $((SAMPLES / WINDOW))
remote write, bytes/s              $((BYTES / WINDOW))
remote write, bytes per sample     $(awk "BEGIN { printf \"%.2f\", $BYTES / $SAMPLES }")
spans per call                     $(awk "BEGIN { printf \"%.2f\", $SENT / $CALLS }")
bytes per span, not compressed     $((SPAN_BYTES / SENT))
failed samples                     $(metric "$AGENT" 'prometheus_remote_storage_samples_failed_total')
FIGURES
