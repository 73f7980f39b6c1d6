"""What a server of others says of its tools, as entries of the catalogue; nothing it says is believed.

Its description is marked as its own, its schema passes through, and its hints about effects are not looked
at: what a tool does is declared by the operator (`external_servers`). A tool that cannot be offered is left
out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aucert.tools.v1 import tool_pb2
from aucert.tools.v1.tool_service_pb2 import CallToolRequest
from services.tools.catalogue import NAME, ToolEntry
from services.tools.external_servers import DeclaredServer, DeclaredTool
from services.tools.quoting import one_line

if TYPE_CHECKING:
    from mcp_types import Tool

TOOLS_MAX = 64
"""Tools of one server that are offered."""
DESCRIPTION_CHARS_MAX = 4_000
SCHEMA_CHARS_MAX = 16_000
CHARS_MAX = 120_000
"""Descriptions and schemas of one server together: every call of a model carries them."""
NOT_AT_THE_TOP = frozenset({"allOf", "anyOf", "oneOf", "not", "enum"})
"""What OpenAI or Anthropic refuse in the schema of a tool's arguments, outside of its properties."""
PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What Anthropic takes as the name of an argument."""
FROM = "A tool of the external MCP server {server}, which describes it so: "
SERVICE = "mcp"
GRACE_SECONDS = 5.0
"""What we get to say ourselves that the server took too long."""


def entries_of(
    server: str, declared: DeclaredServer, tools: Iterable[Tool], taken: Collection[str]
) -> tuple[dict[str, ToolEntry], list[str]]:
    """The server's tools by their name here, ordered by it, and what is wrong with those left out."""
    entries: dict[str, ToolEntry] = {}
    refused: list[str] = []
    left = CHARS_MAX
    for tool in sorted(tools, key=lambda each: each.name):
        name, told = f"{server}_{tool.name}", _told(server, tool.description)
        schema = _schema(tool.input_schema)
        problem = (
            "its name is not legal" if not NAME.fullmatch(name)
            else "its name is taken" if name in taken or name in entries
            else "its schema is no object, not one that models take, or too long" if not schema
            else f"there are more than {TOOLS_MAX}" if len(entries) >= TOOLS_MAX
            else f"what it tells of them is over {CHARS_MAX} characters" if len(told) + len(schema) > left
            else ""
        )  # fmt: skip
        if problem:
            refused.append(f"{one_line(name)[:80]}: {problem}")
        else:
            left -= len(told) + len(schema)
            entries[name] = _entry(name, declared.tool(tool.name), declared, told, schema)
    return entries, refused


def own_name(server: str, name: str) -> str:
    """The tool's name at its server."""
    return name.removeprefix(f"{server}_")


def _entry(name: str, vouched: DeclaredTool, declared: DeclaredServer, told: str, schema: str) -> ToolEntry:
    options = tool_pb2.ToolOptions(
        name=name,
        effect=vouched.effect_number,
        trust=vouched.trust_number,
        approval=tool_pb2.TOOL_APPROVAL_NONE,
    )
    options.timeout.FromMilliseconds(round((declared.timeout_seconds + GRACE_SECONDS) * 1_000))
    return ToolEntry(
        name=name,
        description=told,
        parameters_json=schema,
        options=options,
        service=SERVICE,
        method=name,
        request=CallToolRequest,
        agents=tuple(declared.agents),
    )


def _told(server: str, description: str | None) -> str:
    """On one line, without what a person who reads it would not see."""
    words = " ".join((description or "").split())[:DESCRIPTION_CHARS_MAX]
    shown = "".join(character for character in words if character.isprintable())
    return f"{FROM.format(server=server)}{shown or '(nothing)'}"


def _schema(schema: Mapping[str, Any]) -> str:
    """As JSON; empty: it cannot be offered."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text if len(text) <= SCHEMA_CHARS_MAX and _is_taken_by_models(schema) else ""


def _is_taken_by_models(schema: Mapping[str, Any]) -> bool:
    """Whether it is what providers accept: for one that is not, they refuse every call of the run."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - loaded with the first server

    if schema.get("type") != "object" or not schema.keys().isdisjoint(NOT_AT_THE_TOP):
        return False
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return all(PROPERTY.fullmatch(name) for name in schema.get("properties", {}))
