"""What a bench's figures hold for: the machine, how busy others kept it, and the versions that matter."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version


def machine(*packages: str) -> dict[str, object]:
    """Ask before the work begins: the load is what others made this machine do in the minute before."""
    found: dict[str, object] = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    return {**found, "versions": {name: version(name) for name in packages}} if packages else found


def spelled(known: Mapping[str, object]) -> str:
    """A machine on one line."""
    return ", ".join(f"{name} {value}" for name, value in known.items() if name != "versions")
