"""Renders the chart as `helm install` would, without a cluster, and reads what came out.

Judging it is left to `policy.py`. Tests elsewhere use `environment_of` to start a role as the chart does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "astra"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
HELM = Path(sys.executable).with_name("helm")
RELEASE, NAMESPACE = "astra", "astra-system"
HELM_SECONDS_MAX = 30
ROLES = ("astra", "dispatcher", "models", "tools", "worker", "gateway")

Manifest = dict[str, Any]
Values = Mapping[str, Any]


class RenderingFailed(Exception):
    """helm refused; the message is its own."""


def run_helm(*arguments: str) -> str:
    """What helm wrote. Raises RenderingFailed with what it complained of."""
    done = subprocess.run(
        [HELM, *arguments], capture_output=True, text=True, timeout=HELM_SECONDS_MAX, check=False
    )
    if done.returncode:
        raise RenderingFailed(f"{done.stdout}\n{done.stderr}".strip())
    return done.stdout


def render(values: Values | Path, *, chart: Path = CHART) -> list[Manifest]:
    """Every manifest of the chart under these values (a mapping or a values file), hooks included."""
    if isinstance(values, Path):
        text = run_helm("template", RELEASE, str(chart), "--namespace", NAMESPACE, "--values", str(values))
        return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        file.flush()
        return render(Path(file.name), chart=chart)


def environment_of(role: str, values: Values, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The environment in which the chart starts a role, or `migration`.

    `secrets` holds the Secrets by the names `existingSecret` gives them, each a mapping of its keys.
    Raises KeyError for a Secret or key that is not there: Kubernetes would not start the pod either.
    """
    manifests = render(values)
    container = container_of(pod_of(role, manifests))
    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environment |= named("ConfigMap", source["configMapRef"]["name"], manifests)["data"]
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        environment[variable["name"]] = (
            secrets[reference["name"]][reference["key"]] if reference else variable["value"]
        )
    return environment


def pod_of(role: str, manifests: list[Manifest]) -> Manifest:
    """The pod template of a role's Deployment, or of the migration's Job."""
    for manifest, pod in pods(manifests):
        if component(manifest) == role:
            return pod
    raise KeyError(f"no role {role}")


def pods(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Whatever starts pods, each with its pod template."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "Job"}:
            yield manifest, manifest["spec"]["template"]


def container_of(pod: Manifest) -> Manifest:
    """The one container of a pod."""
    [container] = pod["spec"]["containers"]
    return container


def named(kind: str, name: str, manifests: list[Manifest]) -> Manifest:
    """The manifest of this kind and name. Raises KeyError."""
    for manifest in manifests:
        if manifest["kind"] == kind and manifest["metadata"]["name"] == name:
            return manifest
    raise KeyError(f"no {kind} {name}")


def component(manifest: Manifest) -> str:
    """The role a manifest belongs to; empty for those of the whole release."""
    return manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
