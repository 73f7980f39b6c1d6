"""Which MCP servers of others this installation uses: what `MCP_SERVERS` names, read once at start-up.

A server is reached by its address, or is a program started here; both stand in this file alone. Secrets do
not: `$NAME` in a header or a variable is a key of MCP_SERVER_KEYS. What is not declared of a tool is assumed
to its disadvantage: it writes, and runs of strangers are not offered it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from aucert.tools.v1 import tool_pb2
from services.common.told import ToldToPeople

SERVERS_MAX = 20
SERVER_NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")
"""No underscore: it ends the server's part of a tool's name."""
EVERY_TENANT = "*"
_KEY = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_EFFECTS: Mapping[str, tool_pb2.ToolEffect.ValueType] = {
    "read": tool_pb2.TOOL_EFFECT_READ,
    "idempotent_write": tool_pb2.TOOL_EFFECT_IDEMPOTENT_WRITE,
    "write": tool_pb2.TOOL_EFFECT_WRITE,
}
_TRUSTS: Mapping[str, tool_pb2.ToolTrust.ValueType] = {
    "any": tool_pb2.TOOL_TRUST_ANY,
    "standing": tool_pb2.TOOL_TRUST_STANDING,
}


class ServersInvalid(ToldToPeople):
    """The file named by MCP_SERVERS cannot be used; the text says where and why."""


class KeyMissing(ToldToPeople):
    """A server needs a key that is not in MCP_SERVER_KEYS."""


class DeclaredTool(BaseModel):
    """What the operator vouches for of one tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Literal["read", "idempotent_write", "write"] = "write"
    trust: Literal["any", "standing"] = "standing"

    @property
    def effect_number(self) -> tool_pb2.ToolEffect.ValueType:
        """The effect as the catalogue has it."""
        return _EFFECTS[self.effect]

    @property
    def trust_number(self) -> tool_pb2.ToolTrust.ValueType:
        """The trust as the catalogue has it."""
        return _TRUSTS[self.trust]


class DeclaredServer(BaseModel):
    """One server: where it is, who may use it, what its tools do.

    `agents` by slug; `tenants` by id, or EVERY_TENANT, because all of them would use the same keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s@]+)?$")] = ""
    command: list[str] = Field(default_factory=list)
    headers: dict[str, str] = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    agents: Annotated[list[str], Field(min_length=1)]
    tenants: Annotated[list[str], Field(min_length=1)]
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    tools: dict[str, DeclaredTool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> DeclaredServer:
        if bool(self.url) == bool(self.command):
            raise ValueError("name either a url or a command")
        if (self.headers and not self.url) or (self.variables and not self.command):
            raise ValueError("headers belong to a url, variables to a command")
        return self

    def tool(self, name: str) -> DeclaredTool:
        """What is declared of a tool, or assumed of it."""
        return self.tools.get(name, DeclaredTool())

    def is_for(self, tenant_id: str) -> bool:
        """Whether a tenant may use it."""
        return EVERY_TENANT in self.tenants or tenant_id in self.tenants


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    servers: Annotated[dict[str, DeclaredServer], Field(max_length=SERVERS_MAX)] = Field(default_factory=dict)


def read_servers(path: Path, integrations: Collection[str]) -> dict[str, DeclaredServer]:
    """The servers by name, ordered by it; none may be called as one of our own `integrations`.

    Raises ServersInvalid.
    """
    try:
        found = _File.model_validate(tomllib.loads(path.read_text())).servers
    except OSError as error:
        raise ServersInvalid(f"MCP_SERVERS: {path} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ServersInvalid(f"MCP_SERVERS: {path} is no TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ServersInvalid(f"MCP_SERVERS: {path}: {where}: {first['msg']}.") from None
    for name in found:
        if not SERVER_NAME.fullmatch(name):
            raise ServersInvalid(f"MCP_SERVERS: {path}: {name!r} is no name: lower case, digits, dashes.")
        if name in integrations:
            raise ServersInvalid(f"MCP_SERVERS: {path}: {name} is one of Astra's own integrations.")
    return dict(sorted(found.items()))


def with_keys(texts: Mapping[str, str], keys: Mapping[str, SecretStr]) -> dict[str, str]:
    """The texts, with each `$NAME` replaced by its key. Raises KeyMissing."""

    def key(found: re.Match[str]) -> str:
        if found[1] not in keys:
            raise KeyMissing(f"{found[1]} is not in MCP_SERVER_KEYS")
        return keys[found[1]].get_secret_value()

    return {name: _KEY.sub(key, text) for name, text in texts.items()}
