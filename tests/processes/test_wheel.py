"""The wheel holds all that runs and nothing else, and runs without the checkout."""

from __future__ import annotations

import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.processes.pods import PORTS
from tests.processes.wheel import PACKAGES, ROOT, Installed, install, install_locked

NEED_MORE = {"services.cli.local_model_server"}
"""Programs of their own, run in an environment that holds more."""
IMPORT_ALL = f"""
import importlib, json, pkgutil, sys
ours = ("aucert", "buf", "gateway", "services")
for name in ours:
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + "."):
        if module.name not in {NEED_MORE!r}:
            importlib.import_module(module.name)
files = {{name: module.__file__ for name, module in sys.modules.items()
         if name.split(".")[0] in ours and getattr(module, "__file__", None)}}
print(json.dumps({{"path": sys.path, "files": files}}))
"""


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(installed: Installed):
    ours = {str(file.relative_to(ROOT)) for package in PACKAGES for file in files_below(ROOT / package)}
    generated = {str(file.relative_to(ROOT / "gen/python")) for file in files_below(ROOT / "gen/python")}
    wanted = ours | generated | {"gen/astra.binpb"}
    held = {name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name}
    assert (set(), set()) == (wanted - held, held - wanted)


def test_every_module_comes_from_the_wheel_and_none_from_the_checkout(installed: Installed):
    ran = run(installed.python, "-c", IMPORT_ALL)
    assert 0 == ran.returncode, ran.stderr
    found = json.loads(ran.stdout)
    assert {str(ROOT), str(ROOT / "gen/python")}.isdisjoint(found["path"])
    assert {"services.cli.main", "gateway.main", "aucert.astra.v1.task_run_pb2"} <= found["files"].keys()
    assert all(Path(file).is_relative_to(installed.folder) for file in found["files"].values())


@pytest.mark.timeout(600)
def test_with_nothing_but_the_locked_dependencies_every_entry_point_starts(installed: Installed):
    with tempfile.TemporaryDirectory() as folder:
        empty = install(installed.wheel, Path(folder))
        install_locked(empty, ROOT / "requirements.lock")
        imported = run(empty.python, "-c", IMPORT_ALL)
        assert 0 == imported.returncode, imported.stderr
        assert 0 == run(empty.astra, "--help").returncode
        unconfigured = {role: run(empty.astra, "serve", role) for role in PORTS}
        unconfigured["migrate"] = run(empty.astra, "migrate")
    assert dict.fromkeys(unconfigured, 1) == {name: ran.returncode for name, ran in unconfigured.items()}
    missing = {name: ran.stderr.splitlines()[-1] for name, ran in unconfigured.items()}
    assert all("ASTRA_TOKEN" in missing[role] for role in PORTS), missing
    assert "OWNER_DATABASE_URL" in missing["migrate"]


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """In an empty folder, with an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            list(map(str, command)), cwd=folder, env={}, capture_output=True, text=True, check=False
        )
