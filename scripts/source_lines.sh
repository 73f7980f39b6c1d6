#!/usr/bin/env bash
# Print how much source-specific code the dispatcher holds: the trigger in docs/adr/0007.
set -euo pipefail
cd "$(dirname "$0")/.."
lines=$(cat services/dispatcher/sources/*.py | wc -l)
echo "source-specific lines in the dispatcher: $lines (reconsider build or buy at 1500)"
