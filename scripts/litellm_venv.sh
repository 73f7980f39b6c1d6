#!/usr/bin/env bash
# Put the LiteLLM proxy into .venv-litellm, for `make bench models`: it wants another openai SDK than Astra.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements-litellm.lock
wanted=$(cat "$lock" | cksum)
stamp=.venv-litellm/.installed
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
[ -x .venv-litellm/bin/python ] || .venv/bin/python -m venv .venv-litellm
echo "installing $lock into .venv-litellm" >&2
.venv-litellm/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
echo "$wanted" >"$stamp"
