"""Write docs/tools.md from the catalogue; with --check, fail if it is not what the contracts say.

The page is for people: what a model reads of a tool is its description and the JSON Schema of its arguments,
which `astra tools show <name>` prints.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tools.md"
sys.path[:0] = [str(ROOT), str(ROOT / "gen" / "python")]

from aucert.tools.v1.tool_pb2 import (  # noqa: E402 - found by the path above
    TOOL_EFFECT_IDEMPOTENT_WRITE,
    TOOL_EFFECT_READ,
    TOOL_EFFECT_WRITE,
    TOOL_TRUST_ANY,
)
from services.tools.catalogue import ToolEntry, read_catalogue  # noqa: E402

HEAD = """\
# The tools

Made from the contracts by `scripts/tools_reference.py`; `make lint` checks that it is up to date. Change the
comments and rules in `proto/aucert/tools/v1/` instead ([adding-a-tool.md](adding-a-tool.md)).

Each tool is one RPC: offered to models by name, called as a typed RPC, by `astra tools call <name> '{…}'` or
over MCP ([mcp.md](mcp.md)). An integration without credentials is absent; `astra tools list` and
`astra doctor` say what is missing. A result that does not fit ends with a continuation, which is passed back
with the same arguments.

| effect | meaning | when a call is repeated |
|---|---|---|
| read | changes nothing | it is made again |
| write | changes something | ledger and vendor are asked first, so it is made once ([how](reliability.md)) |
| idempotent write | sets something as asked | as write: what people did since is not undone |

*any run*: runs of strangers have it too. *trusted*: only runs whose requesters all belong to the place they
wrote in, or an operator without a run. What a vendor allows is shared by all processes
([how](reliability.md)); servers of one's own may allow more."""
EFFECTS = {
    TOOL_EFFECT_READ: "read",
    TOOL_EFFECT_WRITE: "write",
    TOOL_EFFECT_IDEMPOTENT_WRITE: "idempotent write",
}


def page() -> str:
    """The whole page."""
    catalogue = read_catalogue((ROOT / "gen" / "astra.binpb").read_bytes())
    parts = [HEAD]
    for integration, entries in groupby(catalogue.values(), key=lambda entry: entry.integration):
        of_vendor = list(entries)
        limit = of_vendor[0].rate_limit
        parts.append(f"## {integration}")
        parts += [f"The vendor allows: {limit}."] if limit else []
        parts += [_section(entry) for entry in of_vendor]
    return "\n\n".join(parts) + "\n"


def _section(entry: ToolEntry) -> str:
    promises = [
        EFFECTS[entry.options.effect],
        "any run" if entry.options.trust == TOOL_TRUST_ANY else "trusted",
        f"at most {entry.timeout.total_seconds():g} s",
        f"`{entry.service}/{entry.method}`",
    ]
    schema = json.loads(entry.parameters_json)
    rows = _rows(schema, "")
    table = ["| argument | type | |", "|---|---|---|", *rows] if rows else ["No arguments."]
    return "\n".join([f"### {entry.name}", "", " · ".join(promises), "", entry.description, "", *table])


def _rows(schema: dict[str, Any], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, each in schema["properties"].items():
        required = "required, " if name in schema["required"] else ""
        text = each.get("description", "").replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {required}{_kind(each)} | {text} |")
        inner = each.get("items", each)
        if inner.get("type") == "object":
            rows += _rows(inner, f"{prefix}{name}[].")
    return rows


def _kind(schema: dict[str, Any]) -> str:
    if schema["type"] == "array":
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"array of {_kind(schema['items'])}{most}"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = [
        *([f"at least {low}"] if low is not None and high is None else []),
        *([f"{low or 0} to {high}"] if high is not None else []),
        *([f"more than {schema['exclusiveMinimum']}"] if "exclusiveMinimum" in schema else []),
        *([f"at most {schema['maxLength']} characters"] if "maxLength" in schema else []),
    ]
    return ", ".join([schema["type"], *bounds])


def main() -> int:
    """Write the page, or compare it."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/tools.md is not what the contracts say: run scripts/tools_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
