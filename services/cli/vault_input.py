"""How a person hands `astra vault put` a credential: JSON, the one secret alone, or answers on a terminal.

Never as an argument: a process's arguments are everybody's to read. No error repeats what was given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from aucert.astra.v1.token_vault_pb2 import Credential

_KINDS = {
    field.name: tuple(field.message_type.fields)  # pyright: ignore[reportOptionalMemberAccess] - all are messages
    for field in Credential.DESCRIPTOR.fields
}
INTEGRATIONS = tuple(_KINDS)
_OPTIONAL = frozenset({"installation_id"})
Ask = Callable[..., Any]


class CredentialOdd(Exception):
    """What was given is no credential of that integration."""


def read_credential(integration: str, known: Mapping[str, str], text: str) -> Credential:
    """A credential from stdin: a JSON object of its fields, or its only secret; `known` is the rest.

    Raises CredentialOdd.
    """
    fields = _KINDS[integration]
    text = text.strip()
    if text.startswith("{"):
        return _credential(integration, {**known, **_object(text)})
    secrets = [field.name for field in fields if _is_secret(field)]
    if len(secrets) != 1:
        raise CredentialOdd(f"{integration} wants a JSON object with {_names(integration)} on stdin")
    return _credential(integration, {**known, secrets[0]: text})


def prompted(integration: str, known: Mapping[str, str], ask: Ask) -> Credential:
    """A credential asked for field by field, secrets without an echo. Raises CredentialOdd."""
    answers = dict(known)
    for field in _KINDS[integration]:
        if field.name not in answers and field.name not in _OPTIONAL:
            answers[field.name] = str(ask(field.name, hide_input=_is_secret(field)))
    return _credential(integration, answers)


def _credential(integration: str, values: Mapping[str, object]) -> Credential:
    wanted = {field.name for field in _KINDS[integration]}
    if unknown := values.keys() - wanted:
        raise CredentialOdd(f"{integration} has no {sorted(unknown)[0]}: it wants {_names(integration)}")
    missing = [name for name in sorted(wanted - _OPTIONAL) if not values.get(name)]
    if missing:
        raise CredentialOdd(f"{', '.join(missing)} missing: {integration} wants {_names(integration)}")
    known = dict(values)
    if "private_key" in known:
        known["private_key"] = _private_key(str(known["private_key"]))
    try:
        return ParseDict({integration: known}, Credential())
    except ParseError:
        raise CredentialOdd(f"a field of {integration} is of the wrong kind") from None


def _private_key(text: str) -> str:
    pem = text.replace("\\n", "\n").strip() + "\n"
    try:
        serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialOdd("private_key is no private key in PEM without a password") from None
    return pem


def _object(text: str) -> dict[str, object]:
    try:
        return cast("dict[str, object]", json.loads(text))
    except ValueError:
        raise CredentialOdd("what came on stdin begins like JSON and is none") from None


def _is_secret(field: FieldDescriptor) -> bool:
    return field.GetOptions().debug_redact


def _names(integration: str) -> str:
    return ", ".join(field.name for field in _KINDS[integration] if field.name not in _OPTIONAL)
