"""The checks of `test_chart.py` fail on a chart that is broken on purpose: once for each rule at least."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helm import policy
from tests.helm.rendering import CHART, RenderingFailed, render, run_helm

EXAMPLE = CHART / "examples/github-and-one-model.yaml"
DEPLOYMENTS, PODS, NETWORK = (
    f"templates/{name}" for name in ("deployments.yaml", "_pods.tpl", "networkpolicies.yaml")
)
STARTUP = """startupProbe:
  grpc: {port: {{ .facts.port }}, service: liveness}
  periodSeconds: 2
  failureThreshold: 45
"""
READINESS = """readinessProbe:
  grpc: {port: {{ .facts.port }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
"""
LIVENESS = """livenessProbe:
  grpc: {port: {{ .facts.port }}, service: liveness}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
"""
READS_SECRET = "      name: {{ $.secret }}\n"
BREAKS = [
    (
        "a secret in a config map",
        ("templates/_dispatcher.tpl", "GITHUB_APP_SLUG:", 'GITHUB_WEBHOOK_SECRET: "hush"\nGITHUB_APP_SLUG:'),
        "ConfigMap astra-dispatcher: GITHUB_WEBHOOK_SECRET is a secret in plain sight",
    ),
    (
        "a password in a config map under a harmless name",
        ("templates/_gateway.tpl", "WEBHOOK_", 'RECORD: "postgresql://me:hush@db/astra"\nWEBHOOK_'),
        "ConfigMap astra-gateway: RECORD is a secret in plain sight",
    ),
    (
        "a token in a Deployment",
        (DEPLOYMENTS, "          env:\n", '          env:\n            - {name: ITS_TOKEN, value: "hush"}\n'),
        "Deployment astra-worker: ITS_TOKEN is a secret in plain sight",
    ),
    (
        "a Secret of the chart's own",
        ("templates/configmaps.yaml", "kind: ConfigMap", "kind: Secret"),
        "Secret astra-tools: the chart renders a Secret",
    ),
    (
        "a key that may be missing",
        (PODS, READS_SECRET, READS_SECRET + "      optional: true\n"),
        "Deployment astra-tools: starts without a key of its Secret",
    ),
    ("no startup probe", (PODS, STARTUP, ""), "Deployment astra-models: no startupProbe"),
    ("no readiness probe", (PODS, READINESS, ""), "Deployment astra-models: no readinessProbe"),
    ("no liveness probe", (PODS, LIVENESS, ""), "Deployment astra-models: no livenessProbe"),
    (
        "pods that end while the database is away",
        (PODS, LIVENESS, LIVENESS.replace(", service: liveness", "")),
        "Deployment astra-astra: livenessProbe asks for more than life",
    ),
    (
        "a probe of another port",
        (PODS, READINESS, READINESS.replace("{{ .facts.port }}", "9999")),
        "Deployment astra-worker: readinessProbe asks no port of the container",
    ),
    (
        "no limits",
        (DEPLOYMENTS, "toYaml $values.resources", 'omit $values.resources "limits" | toYaml'),
        "Deployment astra-tools: no memory in limits",
    ),
    (
        "no limits for the migration",
        (
            "templates/migration-job.yaml",
            "toYaml .Values.migration.resources",
            'omit .Values.migration.resources "limits" | toYaml',
        ),
        "Job astra-migration: no cpu in limits",
    ),
    (
        "a disk without bounds",
        (DEPLOYMENTS, "          emptyDir:\n            sizeLimit: 256Mi\n", "          emptyDir: {}\n"),
        "Deployment astra-gateway: volume tmp has no size",
    ),
    (
        "a field Kubernetes does not know",
        (DEPLOYMENTS, "revisionHistoryLimit:", "revisionHistory:"),
        "Deployment astra-astra: invalid for Kubernetes",
    ),
    (
        "a value of the wrong type",
        (DEPLOYMENTS, "containerPort: {{ $facts.port }}", "containerPort: {{ $facts.port | quote }}"),
        "Deployment astra-astra: invalid for Kubernetes",
    ),
    ("pods that run as root", (PODS, "runAsNonRoot: true", "runAsNonRoot: false"), "runs as root"),
    ("a writable root", (PODS, "  readOnlyRootFilesystem: true\n", ""), "writable root"),
    ("capabilities", (PODS, "    drop: [ALL]\n", "    add: [NET_RAW]\n"), "keeps capabilities"),
    ("no seccomp profile", (PODS, "    type: RuntimeDefault", "    type: Unconfined"), "no seccomp profile"),
    (
        "a folder of the node",
        (
            DEPLOYMENTS,
            "          emptyDir:\n            sizeLimit: 256Mi\n",
            "          hostPath: {path: /tmp}\n",
        ),
        "a volume of the host",
    ),
    (
        "variables that other Services set",
        (PODS, "enableServiceLinks: false", "enableServiceLinks: true"),
        "variables from other Services",
    ),
    (
        "a token of the cluster",
        (PODS, "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
        "mounts a token of the cluster",
    ),
    (
        "an account for all",
        (
            DEPLOYMENTS,
            'serviceAccountName: {{ include "astra.name" $context }}',
            "serviceAccountName: astra-astra",
        ),
        "Deployment astra-dispatcher: shares the account of Deployment astra-astra",
    ),
    (
        "an open network",
        (NETWORK, "  policyTypes: [Ingress, Egress]\n{{- range", "  policyTypes: [Ingress]\n{{- range"),
        "Deployment astra-gateway: no policy closes its network by default",
    ),
    (
        "a roll-out that takes pods away first",
        (DEPLOYMENTS, "maxUnavailable: 0", "maxUnavailable: 1"),
        "Deployment astra-gateway: a roll-out takes pods away before others are ready",
    ),
    (
        "nodes that may be emptied of a whole role",
        ("templates/poddisruptionbudgets.yaml", 'include "astra.selector"', 'include "astra.labels"'),
        "Deployment astra-gateway: no PodDisruptionBudget",
    ),
    (
        "a Service that leads nowhere",
        (
            "templates/services.yaml",
            "targetPort: main, appProtocol: grpc",
            "targetPort: grpc, appProtocol: grpc",
        ),
        "Service astra-models: leads to no pod's port",
    ),
    (
        "a role that is missing",
        (
            DEPLOYMENTS,
            "---\napiVersion",
            '{{- if eq $role "worker" }}{{ continue }}{{ end }}\n---\napiVersion',
        ),
        "no Deployment for worker",
    ),
    (
        "a migration beside the roll-out",
        (
            "templates/migration-job.yaml",
            "helm.sh/hook: pre-install,pre-upgrade",
            "helm.sh/hook: post-install",
        ),
        "Job astra-migration: not made before the roll-out",
    ),
]


@pytest.fixture
def chart(tmp_path):
    return Path(shutil.copytree(CHART, tmp_path / "astra"))


def break_it(chart: Path, file: str, good: str, bad: str) -> None:
    text = (chart / file).read_text()
    assert good in text, f"{file} no longer holds what this test breaks"
    (chart / file).write_text(text.replace(good, bad))


@pytest.mark.parametrize(("edit", "finding"), [each[1:] for each in BREAKS], ids=[each[0] for each in BREAKS])
def test_a_broken_chart_is_found_out(chart, edit, finding):
    break_it(chart, *edit)
    assert finding in "\n".join(policy.findings(render(EXAMPLE, chart=chart)))


def test_values_without_a_limit_are_refused_before_anything_is_rendered(chart):
    break_it(chart, "values.yaml", 'limits: {cpu: "2", memory: 1Gi}', 'limits: {cpu: "2"}')
    with pytest.raises(RenderingFailed, match=r"/worker/resources/limits.*memory"):
        render(EXAMPLE, chart=chart)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("gatway.replicas=3", "gatway"),
        ("gateway.replica=3", "replica"),
        ("gateway.extraSettings.SLACK_BOT_TOKEN=hush", "SLACK_BOT_TOKEN"),
        ("gateway.extraSettings.LOG_LEVEL=DEBUG", "the chart sets LOG_LEVEL itself"),
        ("image.tag=latest", "/image/tag"),
        ("worker.existingSecret=", "/worker/existingSecret"),
        ("ingress.enabled=true", "/ingress"),
    ],
)
def test_values_that_make_no_sense_stop_helm(value, complaint):
    with pytest.raises(RenderingFailed, match=complaint):
        run_helm("template", "astra", str(CHART), "--values", str(EXAMPLE), "--set", value)


def test_a_template_that_does_not_render_fails_the_lint(chart):
    break_it(chart, DEPLOYMENTS, "{{ $role }}", "{{ $roll }}")
    with pytest.raises(RenderingFailed, match="undefined variable"):
        run_helm("lint", "--strict", str(chart), "--values", str(EXAMPLE))
