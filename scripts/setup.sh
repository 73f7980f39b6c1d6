#!/usr/bin/env bash
# Make .venv from a lock file: `scripts/setup.sh requirements.lock`. Does nothing when it is up to date.
# Needs Python 3.11 or newer and a package index; nothing else is downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "Astra needs Python 3.11 or newer on PATH." >&2; exit 1; }

wanted=$(cat "$lock" | cksum)
stamp=.venv/.installed-$(basename "$lock" .lock)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  exit 0
fi
# The development lock holds everything the runtime lock does.
all=.venv/.installed-requirements-dev
if [ "$lock" = requirements.lock ] && [ -f "$all" ] && [ "$(cat "$all")" = "$(cat requirements-dev.lock | cksum)" ]; then
  exit 0
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "installing $lock into .venv" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
# The checkout itself is importable: the root for services and gateway, gen/python for the contracts.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n%s\n' "$PWD" "$PWD/gen/python" >"$site/astra-checkout.pth"
cat >.venv/bin/astra <<SCRIPT
#!$PWD/.venv/bin/python
from services.cli.main import main
main()
SCRIPT
chmod +x .venv/bin/astra
echo "$wanted" >"$stamp"
