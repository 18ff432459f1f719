#!/usr/bin/env bash
# `make demo`: the digits example, twice, as processes on this computer. State lies in .demo; your own ~/.dstack isn't touched.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
export DSTACK_HOME="$root/.demo" DSTACK_LOCAL_MODE=process
export PATH="$root/.venv/bin:$PATH"
cd "$root/examples/digits"

finish() {
  dstack server stop >/dev/null 2>&1 || true
}
trap finish EXIT

say() {
  printf '\n# %s\n' "$*"
}

show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

last_run() {
  dstack ps --json --last 1 | python -c 'import json, sys; print(json.load(sys.stdin)[0]["name"])'
}

packages() {
  dstack logs "$1" | grep -c "^ *$2 .*\.whl" || true
}

trains() {
  local from=$SECONDS
  show dstack run train --backend local
  run=$(last_run)
  summary="$run: $(packages "$run" Downloading) packages downloaded, $(packages "$run" 'File was already downloaded') from the cache, $((SECONDS - from)) s"
}

say "A workflow from examples/digits: install scikit-learn, train a classifier, keep the model."
cat .dstack/workflows.yaml
trains
first=$summary

say "What it kept:"
show dstack artifacts "$run"
show dstack artifacts "$run" --output "$DSTACK_HOME/fetched/$run"
metrics=$(find "$DSTACK_HOME/fetched/$run" -name metrics.json)
show cat "${metrics#"$PWD/"}"

say "The same again: what was downloaded comes from the cache."
trains
second=$summary

show dstack ps --all
say "$first"
say "$second"
