"""What every rendered chart must be, beyond being valid: from manifests to findings, one function a rule.

A finding names what is wrong and where. The good chart has none; `test_broken_charts.py` breaks the chart on
purpose and looks for the finding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import kubernetes_validate

from tests.helm.rendering import ROLES, Manifest, component, container_of, pods

KUBERNETES_VERSIONS = ("1.30.0", kubernetes_validate.latest_version())
"""The oldest the chart is for, and the newest whose schemas are at hand."""
SECRET_NAME = re.compile(r"TOKEN(?!_URL)|SECRET|PASSWORD|CREDENTIAL|KEY|DATABASE_URL")
SECRET_TEXT = re.compile(r"-----BEGIN|://[^/\s:@]+:[^/\s@]+@|\b(?:gh[opsu]_|github_pat_|xox[abp]-|sk-)\w{8}")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
LIVENESS = "liveness"

Rule = Callable[[list[Manifest]], Iterator[str]]


def findings(manifests: list[Manifest]) -> list[str]:
    """Everything wrong with these manifests, by every rule."""
    return [finding for rule in RULES for finding in rule(manifests)]


def invalid_manifests(manifests: list[Manifest]) -> Iterator[str]:
    """What Kubernetes' own schemas refuse; fields they do not know included."""
    for manifest in manifests:
        for version in KUBERNETES_VERSIONS:
            complaint = _complaint(json.dumps(manifest), version)
            if complaint:
                yield f"{_where(manifest)}: invalid for Kubernetes {version}: {complaint}"


@cache  # the tests break one manifest of forty at a time
def _complaint(manifest: str, version: str) -> str:
    try:
        kubernetes_validate.validate(json.loads(manifest), version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return ""


def plain_secrets(manifests: list[Manifest]) -> Iterator[str]:
    """Secrets that can be read in a manifest, or need not be there for a pod to start."""
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            yield f"{_where(manifest)}: the chart renders a Secret"
        if manifest["kind"] == "ConfigMap":
            yield from _plain(manifest, manifest.get("data", {}).items())
    for manifest, pod in pods(manifests):
        variables = container_of(pod).get("env", [])
        yield from _plain(manifest, ((each["name"], each["value"]) for each in variables if "value" in each))
        references = [each["valueFrom"]["secretKeyRef"] for each in variables if "valueFrom" in each]
        if any(each.get("optional") for each in references):
            yield f"{_where(manifest)}: starts without a key of its Secret"
        if len({each["name"] for each in references}) > 1:
            yield f"{_where(manifest)}: reads more than one Secret"


def _plain(manifest: Manifest, settings: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in settings:
        if SECRET_NAME.search(name) or SECRET_TEXT.search(value):
            yield f"{_where(manifest)}: {name} is a secret in plain sight"


def missing_probes(manifests: list[Manifest]) -> Iterator[str]:
    """Probes that are not there, ask the wrong port, or end a pod because something else is away."""
    for manifest, pod in pods(manifests):
        if manifest["kind"] != "Deployment":
            continue
        container = container_of(pod)
        ports = {value for port in container["ports"] for value in (port["name"], port["containerPort"])}
        for name in PROBES:
            probe = container.get(name)
            if probe is None:
                yield f"{_where(manifest)}: no {name}"
                continue
            asked = probe.get("grpc") or probe.get("httpGet") or {}
            if asked.get("port") not in ports:
                yield f"{_where(manifest)}: {name} asks no port of the container"
        ready, alive = container.get("readinessProbe", {}), container.get("livenessProbe", {})
        if "grpc" in alive and alive["grpc"].get("service") != LIVENESS:
            yield f"{_where(manifest)}: livenessProbe asks for more than life"
        if ready and alive and _question(ready) == _question(alive):
            yield f"{_where(manifest)}: readinessProbe and livenessProbe ask the same"


def _question(probe: Manifest) -> object:
    return probe.get("grpc") or probe.get("httpGet")


def missing_limits(manifests: list[Manifest]) -> Iterator[str]:
    """Containers that may take what they like, and volumes in memory or on disk without a size."""
    for manifest, pod in pods(manifests):
        resources = container_of(pod).get("resources", {})
        for kind in ("requests", "limits"):
            for amount in ("cpu", "memory"):
                if not resources.get(kind, {}).get(amount):
                    yield f"{_where(manifest)}: no {amount} in {kind}"
        for volume in pod["spec"].get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{_where(manifest)}: volume {volume['name']} has no size"


def weak_pods(manifests: list[Manifest]) -> Iterator[str]:
    """Pods that miss the restricted pod security standard, or could write to their own file system."""
    for manifest, pod in pods(manifests):
        spec, container = pod["spec"], container_of(pod)
        own, inner = spec.get("securityContext", {}), container.get("securityContext", {})
        held = {
            "runs as root": own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0,
            "no seccomp profile": own.get("seccompProfile", {}).get("type") != "RuntimeDefault",
            "may gain privileges": inner.get("allowPrivilegeEscalation") is not False,
            "keeps capabilities": inner.get("capabilities") != {"drop": ["ALL"]},
            "writable root": inner.get("readOnlyRootFilesystem") is not True,
            "privileged": bool(inner.get("privileged")),
            "in a namespace of the host": any(spec.get(name) for name in HOST_NAMESPACES),
            "a port of the host": any("hostPort" in port for port in container.get("ports", [])),
            "a volume of the host": any(not VOLUMES & volume.keys() for volume in spec.get("volumes", [])),
            "variables from other Services": spec.get("enableServiceLinks") is not False,
            "more than one container": bool(spec.get("initContainers")),
        }
        yield from (f"{_where(manifest)}: {what}" for what, weak in held.items() if weak)


def shared_accounts(manifests: list[Manifest]) -> Iterator[str]:
    """Pods with the cluster's credentials, or under an account that is another's."""
    accounts = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "ServiceAccount"}
    holders: dict[str, str] = {}
    for name, account in accounts.items():
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name}: hands out its token"
    for manifest, pod in pods(manifests):
        name = pod["spec"].get("serviceAccountName", "default")
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield f"{_where(manifest)}: mounts a token of the cluster"
        if name not in accounts:
            yield f"{_where(manifest)}: its account {name} is not the chart's"
        if holders.setdefault(name, _where(manifest)) != _where(manifest):
            yield f"{_where(manifest)}: shares the account of {holders[name]}"


def open_network(manifests: list[Manifest]) -> Iterator[str]:
    """Pods that no policy closes off by default, or that have none of their own."""
    policies = [each for each in manifests if each["kind"] == "NetworkPolicy"]
    closing = [
        each["spec"]["podSelector"]["matchLabels"]
        for each in policies
        if set(each["spec"].get("policyTypes", [])) == {"Ingress", "Egress"}
        and not each["spec"].keys() & {"ingress", "egress"}
    ]
    own = {component(each) for each in policies}
    for manifest, pod in pods(manifests):
        labels = pod["metadata"]["labels"]
        if not any(selector.items() <= labels.items() for selector in closing):
            yield f"{_where(manifest)}: no policy closes its network by default"
        if component(manifest) not in own:
            yield f"{_where(manifest)}: no network policy of its own"


def rough_rollouts(manifests: list[Manifest]) -> Iterator[str]:
    """Deployments that lose a pod before its successor is ready, or may lose all at once."""
    budgets = [
        each["spec"]["selector"]["matchLabels"] for each in manifests if each["kind"] == "PodDisruptionBudget"
    ]
    for manifest in manifests:
        if manifest["kind"] != "Deployment":
            continue
        spec = manifest["spec"]
        if spec.get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{_where(manifest)}: a roll-out takes pods away before others are ready"
        if spec["selector"]["matchLabels"] not in budgets:
            yield f"{_where(manifest)}: no PodDisruptionBudget"


def dangling_references(manifests: list[Manifest]) -> Iterator[str]:
    """Roles that are missing, config maps that are not there, Services that lead nowhere, loose images."""
    deployments = {component(each): each for each in manifests if each["kind"] == "Deployment"}
    yield from (f"no Deployment for {role}" for role in ROLES if role not in deployments)
    maps = {each["metadata"]["name"] for each in manifests if each["kind"] == "ConfigMap"}
    for manifest, pod in pods(manifests):
        container = container_of(pod)
        named = {source["configMapRef"]["name"] for source in container.get("envFrom", [])}
        volumes = pod["spec"].get("volumes", [])
        named |= {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
        yield from (f"{_where(manifest)}: no ConfigMap {name}" for name in sorted(named - maps))
        if not re.search(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[^:/]+$", container["image"]):
            yield f"{_where(manifest)}: {container['image']} is no fixed image"
    for manifest in manifests:
        if manifest["kind"] == "Service" and not _leads_somewhere(manifest, list(deployments.values())):
            yield f"{_where(manifest)}: leads to no pod's port"


def _leads_somewhere(service: Manifest, deployments: list[Manifest]) -> bool:
    wanted = {port["targetPort"] for port in service["spec"]["ports"]}
    for deployment in deployments:
        pod = deployment["spec"]["template"]
        if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items():
            return wanted <= {port["name"] for port in container_of(pod)["ports"]}
    return False


def late_migration(manifests: list[Manifest]) -> Iterator[str]:
    """A migration that does not run before everything else, or needs what is not there by then."""
    jobs = [each for each in manifests if each["kind"] == "Job"]
    if not jobs:
        yield "no migration"
    hooked = {"pre-install", "pre-upgrade"}
    for job in jobs:
        account = job["spec"]["template"]["spec"].get("serviceAccountName")
        needed = [
            each
            for each in manifests
            if each["kind"] == "ServiceAccount" and each["metadata"]["name"] == account
        ]
        for each in (job, *needed):
            hooks = each["metadata"].get("annotations", {}).get("helm.sh/hook", "")
            if set(hooks.split(",")) != hooked:
                yield f"{_where(each)}: not made before the roll-out"
        if container_of(job["spec"]["template"]).get("envFrom"):
            yield f"{_where(job)}: reads a config map that is not there on the first install"


def _where(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


RULES: tuple[Rule, ...] = (
    invalid_manifests,
    plain_secrets,
    missing_probes,
    missing_limits,
    weak_pods,
    shared_accounts,
    open_network,
    rough_rollouts,
    dangling_references,
    late_migration,
)
