"""The chart as it is: linted, rendered under every example, valid, and within the policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from gateway.main import DRAIN_SECONDS as GATEWAY_DRAIN_SECONDS
from gateway.routes import routes
from services.cli.stack_commands import SERVICES
from services.common.server import DRAIN_SECONDS, LIVENESS
from services.dispatcher.relay import DRAIN_SECONDS as RELAY_DRAIN_SECONDS
from services.models import catalogue_file
from services.tools.external_servers import read_servers
from services.worker.temporal import GRACE
from tests.helm import policy
from tests.helm.rendering import (
    CHART,
    EXAMPLES,
    ROLES,
    Manifest,
    component,
    container_of,
    named,
    pod_of,
    pods,
    render,
    run_helm,
)

ROOT = CHART.parents[1]
GIBIBYTE = 1024**3
DNS_SECONDS = 5
"""How long a cluster's DNS keeps an answer, unless somebody changed it."""
DRAINS = {
    "astra": DRAIN_SECONDS,
    "dispatcher": DRAIN_SECONDS + RELAY_DRAIN_SECONDS,
    "models": DRAIN_SECONDS,
    "tools": DRAIN_SECONDS,
    "worker": DRAIN_SECONDS + GRACE.total_seconds(),
    "gateway": GATEWAY_DRAIN_SECONDS,
}
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
each_role = pytest.mark.parametrize("role", ROLES)


@cache
def rendered(example: Path) -> list[Manifest]:
    return render(example)


@each_example
def test_helm_finds_nothing_to_complain_of(example):
    assert "0 chart(s) failed" in run_helm("lint", "--strict", str(CHART), "--values", str(example))


@each_example
def test_every_manifest_is_valid_and_within_the_policy(example):
    assert [] == policy.findings(rendered(example))


def test_the_chart_runs_exactly_the_services_there_are():
    manifests = rendered(EXAMPLES[0])
    ran = {component(manifest): container_of(pod)["args"] for manifest, pod in pods(manifests)}
    assert {service: ["serve", service] for service in SERVICES} | {"migration": ["migrate"]} == ran


@each_role
def test_a_role_reaches_whom_it_calls_and_nobody_else_of_the_release(role):
    manifests = rendered(EXAMPLES[0])
    settings = named("ConfigMap", f"astra-{role}", manifests)["data"]
    called = {name.removesuffix("_ADDRESS").lower() for name in settings if name.endswith("_ADDRESS")}
    egress = named("NetworkPolicy", f"astra-{role}", manifests)["spec"]["egress"]
    reached = {name for rule in egress for name in roles_among(rule.get("to", []))}
    admitted = {
        other
        for other in ROLES
        for rule in named("NetworkPolicy", f"astra-{other}", manifests)["spec"]["ingress"]
        if role in roles_among(rule.get("from", []))
    }
    assert (called & set(ROLES), called & set(ROLES)) == (reached, admitted)


def roles_among(peers: list[dict[str, Any]]) -> set[str]:
    labels = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in peers]
    return {each["app.kubernetes.io/component"] for each in labels if "app.kubernetes.io/component" in each}


@each_role
def test_an_address_names_the_service_and_port_it_leads_to(role):
    manifests = rendered(EXAMPLES[0])
    settings = named("ConfigMap", f"astra-{role}", manifests)["data"]
    for callee in ROLES:
        address = settings.get(f"{callee.upper()}_ADDRESS")
        if address:
            service = named("Service", f"astra-{callee}", manifests)
            [port] = service["spec"]["ports"]
            assert f"astra-{callee}.astra-system.svc.cluster.local:{port['port']}" == address
            assert "None" == service["spec"]["clusterIP"]


@each_role
def test_a_pod_is_given_the_time_its_drain_takes(role):
    pod = pod_of(role, rendered(EXAMPLES[0]))
    notice = container_of(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["spec"]["terminationGracePeriodSeconds"] >= notice + DRAINS[role] + 5


@each_role
def test_callers_can_look_a_role_up_again_before_it_stops_answering(role):
    manifests = rendered(EXAMPLES[0])
    container = container_of(pod_of(role, manifests))
    calls = [named("ConfigMap", f"astra-{other}", manifests)["data"] for other in ROLES if other != "gateway"]
    is_called = role == "gateway" or any(f"{role.upper()}_ADDRESS" in settings for settings in calls)
    notice = container["lifecycle"]["preStop"]["sleep"]["seconds"] if "lifecycle" in container else 0
    assert is_called == (notice > DNS_SECONDS)


def test_liveness_is_asked_under_the_name_the_services_answer_to():
    assert LIVENESS == policy.LIVENESS


@each_example
def test_a_volume_holds_the_mirrors_that_are_kept_and_two_that_are_in_use(example):
    manifests = rendered(example)
    [workspace] = [
        volume for volume in pod_of("tools", manifests)["spec"]["volumes"] if volume["name"] == "workspace"
    ]
    settings = named("ConfigMap", "astra-tools", manifests)["data"]
    kept, largest = int(settings["WORKSPACE_BYTES_MAX"]), int(settings["REPOSITORY_BYTES_MAX"])
    size = workspace["emptyDir"]["sizeLimit"]
    assert size.endswith("Gi")
    assert int(size.removesuffix("Gi")) * GIBIBYTE >= kept + 2 * largest


@pytest.mark.parametrize(("example", "has_console"), [("ingress", False), ("production", True)])
def test_the_world_reaches_what_it_is_meant_to_and_neither_health_nor_metrics(example, has_console):
    console = {"/", "/live", "/runs", "/sign-in", "/sign-out", "/static"}
    [ingress] = [each for each in rendered(CHART / f"examples/{example}.yaml") if each["kind"] == "Ingress"]
    opened = {
        (path["path"], path["pathType"])
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    wanted = {"/webhooks", "/api"} | ({"/mcp", *console} if has_console else set())
    assert {(path, "Exact" if path == "/" else "Prefix") for path in wanted} == opened


def test_every_page_of_the_gateway_is_open_to_the_world_with_the_console_or_a_probe():
    [ingress] = [each for each in rendered(CHART / "examples/production.yaml") if each["kind"] == "Ingress"]
    opened = {path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]}
    app = web.Application()
    app.add_routes(routes())
    first_parts = {"/" + each.canonical.split("/")[1] for each in app.router.resources()}
    assert {"/health", "/livez", "/readyz", "/metrics"} == first_parts - opened


def test_a_catalogue_of_ones_own_reaches_the_models_service_as_it_was_written():
    values = yaml.safe_load((CHART / "examples/every-provider.yaml").read_text())
    manifests = rendered(CHART / "examples/every-provider.yaml")
    [(name, text)] = named("ConfigMap", "astra-models-catalogue", manifests)["data"].items()
    container = container_of(pod_of("models", manifests))
    [folder] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "toml"]
    told = named("ConfigMap", "astra-models", manifests)["data"]["MODELS_CATALOGUE"]
    assert (values["models"]["catalogue"], f"{folder}/{name}") == (text, told)
    assert catalogue_file.read(catalogue_file.shipped(), text)


def test_mcp_servers_of_ones_own_reach_the_tools_service_as_they_were_written(tmp_path):
    values = yaml.safe_load((CHART / "examples/every-provider.yaml").read_text())
    manifests = rendered(CHART / "examples/every-provider.yaml")
    [(name, text)] = named("ConfigMap", "astra-tools-mcp-servers", manifests)["data"].items()
    container = container_of(pod_of("tools", manifests))
    [folder] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "toml"]
    told = named("ConfigMap", "astra-tools", manifests)["data"]["MCP_SERVERS"]
    assert (values["tools"]["mcpServers"], f"{folder}/{name}") == (text, told)
    (tmp_path / name).write_text(text)
    assert ["tracker"] == list(read_servers(tmp_path / name, ()))


def test_mcp_clients_may_call_the_gateway_by_the_name_of_the_ingress():
    settings = named("ConfigMap", "astra-gateway", rendered(CHART / "examples/ingress.yaml"))["data"]
    assert "astra.example.com" == settings["MCP_HOSTS"]


def test_an_autoscaled_role_leaves_the_number_of_its_pods_to_the_autoscaler():
    manifests = rendered(CHART / "examples/production.yaml")
    scaled = {component(each) for each in manifests if each["kind"] == "HorizontalPodAutoscaler"}
    counted = {
        component(each) for each in manifests if each["kind"] == "Deployment" and "replicas" in each["spec"]
    }
    assert ({"dispatcher", "worker"}, set(ROLES) - {"dispatcher", "worker"}) == (scaled, counted)


def test_the_image_runs_as_the_user_and_command_the_chart_counts_on():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    security = pod_of("astra", rendered(EXAMPLES[0]))["spec"]["securityContext"]
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    assert {f"USER {user}", 'ENTRYPOINT ["astra"]'} <= set(lines)


def test_every_value_is_described_and_known_to_the_schema():
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert [] == list(undescribed(yaml.compose(text), schema, schema, text.splitlines(), ""))


def undescribed(node: Any, part: Any, schema: Any, lines: list[str], path: str) -> Iterator[str]:
    """Walks values.yaml and its schema side by side. Flow style (`{cpu: 1}`) is described by its parent."""
    part = resolved(part, schema)
    if not isinstance(node, yaml.MappingNode) or "properties" not in part:
        return
    known = set(part["properties"]) - {"global"}
    for key, value in node.value:
        where = f"{path}/{key.value}"
        if key.value not in known:
            yield f"{where}: unknown to the schema"
        elif not node.flow_style:
            if not lines[key.start_mark.line - 1].strip().startswith("#"):
                yield f"{where}: not described"
            yield from undescribed(value, part["properties"][key.value], schema, lines, where)
    if not node.flow_style:
        yield from (
            f"{path}/{name}: without a default" for name in known - {key.value for key, _ in node.value}
        )


def resolved(part: Any, schema: Any) -> Any:
    return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def test_the_schema_takes_no_value_it_does_not_know():
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert [] == [part for part in parts(schema) if "properties" in part and not closed(part)]


def closed(part: dict[str, Any]) -> bool:
    return part.get("additionalProperties") is False or part.keys() <= {"properties", "required"}  # an `if`


def parts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "object" or isinstance(node.get("required"), list):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from parts(each)
