#!/usr/bin/env bash
# Writes dashboards/*.json from dashboards/source. With --check it changes nothing and says whether they are current.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# The number before the ! is the build of the SDK, the one behind it the Grafana whose schema it has.
SDK='1769699379!11.6.0'
VENV=target/tools/dashboards

TOOLS=("grafana-foundation-sdk==$SDK" ruff==0.17.6 mypy==2.4.1)

need_tools() {
  [ "$(cat "$VENV/installed" 2>/dev/null)" = "${TOOLS[*]}" ] && return
  say "installing ${TOOLS[*]} into $VENV"
  python3 -m venv --clear "$VENV"
  "$VENV/bin/pip" install -q --disable-pip-version-check "${TOOLS[@]}"
  printf %s "${TOOLS[*]}" >"$VENV/installed"
}

need_packages python3 python3-venv
need_tools
folder=dashboards
if [ "${1-}" = --check ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
"$VENV/bin/python" -B dashboards/source/generate.py "$folder"
if [ "${1-}" = --check ]; then
  for file in "$folder"/*.json dashboards/*.json; do
    name=$(basename "$file")
    cmp "$folder/$name" "dashboards/$name" || die "dashboards/$name is not what its source says: run scripts/dashboards.sh"
  done
  cd dashboards/source
  bin=../../$VENV/bin
  "$bin/ruff" format --quiet --no-cache --check . ../drawing
  "$bin/ruff" check --quiet --no-cache . ../drawing
  "$bin/mypy" --cache-dir /dev/null --no-error-summary ./*.py
  say "dashboards are current"
fi
