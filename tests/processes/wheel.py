"""The wheel of this checkout, and environments that hold it, but not the checkout.

Installing all dependencies takes a minute, so it is done once, to show that the lock is enough. Elsewhere
those of the environment the tests run in are lent by path; the file there that makes the checkout importable
is not read then.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "migrations", "services")
"""Packages whose files go into the wheel as they are; `gen` has a layout of its own there."""
SOURCES = (*PACKAGES, "gen")
METADATA = ("pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel in it."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def astra(self) -> Path:
        """The command, as pip made it."""
        return self.folder / "bin" / "astra"


def build_wheel(folder: Path) -> Path:
    """Build it from a copy, which setuptools may fill with what it leaves behind; needs no network."""
    copy = folder / "source"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in METADATA:
        shutil.copy(ROOT / name, copy)
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Installed:
    """Put the wheel, and nothing else, into a new environment."""
    venv.create(folder, with_pip=False)
    installed = Installed(folder, wheel)
    _pip("--python", installed.python, "install", "--no-deps", "--no-index", wheel)
    return installed


def lend_dependencies(installed: Installed) -> None:
    """Those of the environment the tests run in."""
    (site,) = installed.folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")


def install_locked(installed: Installed, lock: Path) -> None:
    """What the lock names, by its hashes, from the package index."""
    _pip("--python", installed.python, "install", "--no-compile", "--require-hashes", "--requirement", lock)


def _pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not ran.returncode, ran.stderr
