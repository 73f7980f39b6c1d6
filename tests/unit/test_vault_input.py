"""What `astra vault put` takes, and what it says of the rest without repeating it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.cli.vault_input import INTEGRATIONS, CredentialOdd, prompted, read_credential

PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    .decode()
)
GOOGLE = {"client_id": "id", "client_secret": "s", "refresh_token": "r"}


def test_there_is_an_integration_for_each_kind_of_credential() -> None:
    assert ("github", "google", "slack", "plane", "brave") == INTEGRATIONS


@pytest.mark.parametrize(
    ("integration", "known", "text", "field", "value"),
    [
        ("slack", {}, "xoxb-1\n", "bot_token", "xoxb-1"),
        ("brave", {}, '{"api_key": "BSA"}', "api_key", "BSA"),
        ("plane", {"workspace": "acme"}, "plane_api_1", "workspace", "acme"),
        ("github", {"app_id": "7", "installation_id": "9"}, PEM, "installation_id", 9),
        ("github", {"app_id": "7"}, PEM.replace("\n", "\\n"), "private_key", PEM),
        ("google", {}, json.dumps(GOOGLE), "refresh_token", "r"),
    ],
)
def test_a_credential_is_read_from_its_secret_or_from_json(
    integration: str, known: dict[str, str], text: str, field: str, value: object
) -> None:
    credential = read_credential(integration, known, text)
    assert value == getattr(getattr(credential, integration), field)


@pytest.mark.parametrize(
    ("integration", "known", "text", "why"),
    [
        ("slack", {}, "", "bot_token missing"),
        ("plane", {}, "seeded-key", "workspace missing"),
        ("google", {}, "seeded-key", "JSON object"),
        ("google", {}, '{"client_id": "seeded-key"', "begins like JSON"),
        ("slack", {"app_id": "seeded-key"}, "seeded-key", "has no app_id"),
        ("slack", {}, '{"bot_token": {"a": "seeded-key"}}', "wrong kind"),
        ("github", {"app_id": "7"}, "seeded-key", "no private key in PEM"),
    ],
)
def test_what_is_no_credential_is_refused_without_being_repeated(
    integration: str, known: dict[str, str], text: str, why: str
) -> None:
    with pytest.raises(CredentialOdd, match=why) as caught:
        read_credential(integration, known, text)
    assert "seeded-key" not in str(caught.value)


def test_on_a_terminal_secrets_are_asked_for_without_an_echo() -> None:
    asked: dict[str, bool] = {}

    def ask(name: str, **how: Any) -> str:
        asked[name] = how["hide_input"]
        return f"my {name}"

    credential = prompted("google", {"client_id": "given"}, ask)
    assert {"client_secret": True, "refresh_token": True} == asked
    assert ("given", "my refresh_token") == (credential.google.client_id, credential.google.refresh_token)
