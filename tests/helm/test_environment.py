"""What the chart tells each role is what that role reads: nothing missing, nothing for nobody."""

from __future__ import annotations

import base64
from copy import deepcopy
from functools import cache

import pytest
import yaml
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.settings import GatewaySettings
from services.astra.principals import PRINCIPALS
from services.astra.settings import AstraSettings
from services.cli.configuration import token_variable
from services.common.settings import ServiceSettings
from services.dispatcher.settings import DispatcherSettings
from services.models.settings import ModelsSettings
from services.tools.settings import ToolsSettings
from services.worker.settings import WorkerSettings
from tests.helm.rendering import EXAMPLES, environment_of

SETTINGS: dict[str, type[ServiceSettings]] = {
    "astra": AstraSettings,
    "dispatcher": DispatcherSettings,
    "models": ModelsSettings,
    "tools": ToolsSettings,
    "worker": WorkerSettings,
    "gateway": GatewaySettings,
}
LEFT_OUT = {
    ("astra", "ASTRA_ADDRESS"): "it calls nobody",
    ("models", "AWS_DEFAULT_REGION"): "AWS_REGION is set",
    ("models", "AWS_PROFILE"): "a laptop's way to sign in",
    ("models", "AWS_SESSION_TOKEN"): "temporary keys end before their pod does",
    ("models", "AWS_WEB_IDENTITY_TOKEN_FILE"): "the cluster sets it, by the account's annotation",
    ("models", "AWS_CONTAINER_CREDENTIALS_FULL_URI"): "the cluster sets it",
    ("models", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"): "another platform than Kubernetes",
    ("models", "MODELS_SCRIPT"): "a model for tests",
    ("models", "MODELS_SCRIPT_LOG"): "a model for tests",
}
VALUES = {path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES}
"""The examples, and one for each way to sign in to Bedrock."""
for sign_in in ("apiKey", "instanceRole"):
    VALUES[f"bedrock-{sign_in}"] = deepcopy(VALUES["production"])
    VALUES[f"bedrock-{sign_in}"]["models"]["providers"]["bedrock"]["signIn"] = sign_in
each_role = pytest.mark.parametrize("role", SETTINGS)
each_example = pytest.mark.parametrize("example", VALUES)


class AnySecret(dict[str, str]):
    """Holds every key that is asked for."""

    def __missing__(self, key: str) -> str:
        return WHOLE.get(key, f"the {key}")


class AnySecrets(dict[str, AnySecret]):
    """Holds every Secret that is asked for."""

    def __missing__(self, name: str) -> AnySecret:
        return AnySecret()


PRIVATE_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    .decode()
)


WHOLE = {
    "GITHUB_APP_PRIVATE_KEY": PRIVATE_KEY,
    "CONSOLE_SESSION_KEY": Fernet.generate_key().decode(),
    "VAULT_KEY": "2026-11:" + base64.b64encode(b"k" * 32).decode(),
    "MODELS_SERVER_KEYS": '{"VLLM_KEY": "the key"}',
    "MCP_SERVER_KEYS": '{"TRACKER_TOKEN": "the token"}',
}
"""Keys whose form is checked at the start."""


@cache
def told(role: str, example: str) -> dict[str, str]:
    """What the chart tells a role, without what the example itself added."""
    added = VALUES[example].get(role, {}).get("extraSettings", {})
    environment = environment_of(role, VALUES[example], AnySecrets())
    return {name: value for name, value in environment.items() if name not in added}


def read(role: str) -> set[str]:
    return {str(field.alias) for field in SETTINGS[role].model_fields.values()}


@each_example
@each_role
def test_a_role_starts_with_what_the_chart_tells_it(role, example, monkeypatch, tmp_path):
    environment = told(role, example)
    monkeypatch.chdir(tmp_path)  # without a .env
    for name in read(role):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = SETTINGS[role]()  # pyright: ignore[reportCallIssue] - the environment fills it
    assert ("0.0.0.0", set()) == (settings.host, environment.keys() - read(role))


@each_role
def test_every_setting_of_a_role_can_be_set_or_is_left_out_for_a_reason(role):
    settable = {name for example in VALUES for name in told(role, example)}
    left_out = {name for other, name in LEFT_OUT if other == role}
    assert left_out == read(role) - settable


def test_the_migration_is_told_the_owner_the_passwords_and_every_token():
    environment = told("migration", "minimal")
    passwords = {f"{role}_DATABASE_PASSWORD" for role in ("SERVICE", "RELAY", "OPERATOR")}
    tokens = {token_variable(name) for name in PRINCIPALS}
    plain = {"LOG_LEVEL", "OPERATOR_IDENTITIES", "OWNER_DATABASE_URL"}
    assert plain | passwords | tokens == environment.keys()


def test_a_key_that_is_missing_in_a_secret_is_named():
    with pytest.raises(KeyError, match="ASTRA_TOKEN"):
        environment_of("gateway", VALUES["minimal"], {"astra-gateway": {}})
