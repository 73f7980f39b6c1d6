#!/usr/bin/env bash
# Lint the contracts, compare them with the last release and generate gen/ from them.
# With --check: generate aside and fail if gen/ differs.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

buf lint
buf breaking --against gen/released.binpb

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir "$out/python"
# The image keeps comments: they are the descriptions the models read.
buf build --output "$out/astra.binpb"
all=$(cd proto && find . -name '*.proto' | sed 's|^\./||' | LC_ALL=C sort)
services=$(grep -rl '^service ' proto/aucert | sed 's|^proto/||' | LC_ALL=C sort)
python -m grpc_tools.protoc --descriptor_set_in="$out/astra.binpb" \
  --python_out="$out/python" --mypy_out=quiet:"$out/python" $all
python -m grpc_tools.protoc --descriptor_set_in="$out/astra.binpb" \
  --grpc_python_out="$out/python" --mypy_grpc_out=quiet:"$out/python" $services

if [ "${1:-}" = --check ]; then
  diff --brief --recursive --exclude=__pycache__ gen/python "$out/python" && cmp gen/astra.binpb "$out/astra.binpb" ||
    { echo "gen/ is not what proto/ makes: run make proto and commit the result" >&2; exit 1; }
else
  rm -rf gen/python
  cp -r "$out/python" gen/python
  cp "$out/astra.binpb" gen/astra.binpb
fi
