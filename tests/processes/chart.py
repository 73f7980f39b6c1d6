"""What the chart gives each role on this installation: its environment, and how long it may take to leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.helm.rendering import container_of, environment_of, pod_of, render
from tests.processes.pods import PORTS, Environment

MIGRATION = "migration"


def values(
    temporal_address: str, github: Environment, model: str, models_settings: Environment
) -> dict[str, Any]:
    """Values as an operator writes them; each role's Secret is called what the role is.

    `model` answers when none is asked for; empty: the chart's choice.
    """
    chosen: dict[str, Any] = {role: {"existingSecret": role} for role in (*PORTS, MIGRATION)}
    chosen["image"] = {"repository": "registry.example/astra"}
    chosen["temporal"] = {"address": temporal_address}
    chosen["github"] = {
        "appId": github["GITHUB_APP_ID"],
        "appSlug": github["GITHUB_APP_SLUG"],
        "apiUrl": github["GITHUB_API_URL"],
    }
    chosen["models"]["extraSettings"] = dict(models_settings)
    if model:
        chosen["models"]["defaultModel"] = model
    return chosen


def environments(values: Mapping[str, Any], secrets: Mapping[str, Environment]) -> dict[str, Environment]:
    """The whole environment of each role and of the migration, `secrets` being each one's Secret."""
    return {role: environment_of(role, values, secrets) for role in (*PORTS, MIGRATION)}


def grace_seconds(values: Mapping[str, Any]) -> dict[str, float]:
    """From SIGTERM to SIGKILL; the pod's whole grace less the notice its callers get before."""
    manifests = render(values)
    grace: dict[str, float] = {}
    for role in PORTS:
        pod = pod_of(role, manifests)
        notice = container_of(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace[role] = pod["spec"]["terminationGracePeriodSeconds"] - notice
    return grace
