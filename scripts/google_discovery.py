"""Takes from Google's discovery documents what the stand-in checks requests with: names, types, limits.

The documents come with the package google-api-python-client (Apache-2.0); a folder of them can be named
instead. With --check: fail if an excerpt in the repository is not what the documents make.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

SANDBOX = Path(__file__).parents[1] / "services/sandbox"
EXCERPTS = {
    "drive.v3.json": SANDBOX / "google_discovery.json",
    "docs.v1.json": SANDBOX / "google_docs_discovery.json",
}
"""Where the excerpt of each document stands."""
METHODS = (
    "docs.documents.batchUpdate",
    "docs.documents.get",
    "drive.about.get",
    "drive.changes.getStartPageToken",
    "drive.changes.list",
    "drive.changes.watch",
    "drive.channels.stop",
    "drive.comments.create",
    "drive.comments.get",
    "drive.comments.list",
    "drive.files.create",
    "drive.files.get",
    "drive.files.list",
    "drive.files.watch",
    "drive.replies.create",
    "drive.replies.list",
)
"""What we call; a method more is a line here."""
KINDS = {
    "Request": (
        "createNamedRange",
        "createParagraphBullets",
        "deleteContentRange",
        "deleteParagraphBullets",
        "insertText",
        "updateParagraphStyle",
        "updateTextStyle",
    ),
    "Response": ("createNamedRange",),
}
"""Of schemas with a property for each kind of change, those we send."""
PARAMETER_FACTS = ("type", "format", "location", "required", "minimum", "maximum", "enum")
PROPERTY_FACTS = ("type", "format", "$ref", "enum")
ALWAYS = ("alt", "fields", "key", "prettyPrint", "quotaUser")
"""Parameters of every method that are worth knowing."""


def excerpt(document: dict[str, Any]) -> dict[str, Any]:
    """The methods, and the schemas they lead to, without a word of description."""
    called = [name for name in METHODS if name.startswith(f"{document['name']}.")]
    methods = {name: _method(document, name) for name in called}
    schemas: dict[str, Any] = {}
    for method in methods.values():
        for each in (method.get("request"), method.get("response")):
            _collect(document, each, schemas)
    return {
        "document": document["id"],
        "revision": document["revision"],
        "licence": "An excerpt of Google's discovery document, Apache-2.0",
        "methods": methods,
        "schemas": dict(sorted(schemas.items())),
    }


def _method(document: dict[str, Any], name: str) -> dict[str, Any]:
    _, resource, verb = name.split(".")
    told = document["resources"][resource]["methods"][verb]
    parameters = {**{each: document["parameters"][each] for each in ALWAYS}, **told.get("parameters", {})}
    method = {
        "httpMethod": told["httpMethod"],
        "path": told["path"],
        "parameters": {each: _facts(fact, PARAMETER_FACTS) for each, fact in sorted(parameters.items())},
    }
    if "mediaUpload" in told:
        method["uploadPath"] = told["mediaUpload"]["protocols"]["simple"]["path"]
    for side in ("request", "response"):
        if side in told:
            method[side] = told[side]["$ref"]
    return method


def _collect(document: dict[str, Any], name: str | None, schemas: dict[str, Any]) -> None:
    """A schema and those its properties refer to."""
    if not name or name in schemas:
        return
    schemas[name] = {}
    properties = document["schemas"][name].get("properties", {})
    properties = {each: told for each, told in properties.items() if each in KINDS.get(name, properties)}
    schemas[name] = {each: _property(document, told, schemas) for each, told in sorted(properties.items())}


def _property(document: dict[str, Any], told: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    facts = _facts(told, PROPERTY_FACTS)
    # Drive says of most such properties that they are output only in words alone.
    if told.get("readOnly") or told.get("description", "").startswith("Output only"):
        facts["readOnly"] = True
    for inside in ("items", "additionalProperties"):
        if inside in told:
            facts[inside] = _property(document, told[inside], schemas)
    if "properties" in told:
        nested = told["properties"].items()
        facts["properties"] = {each: _property(document, inner, schemas) for each, inner in sorted(nested)}
    _collect(document, told.get("$ref"), schemas)
    return facts


def _facts(told: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}


def documents() -> Path | None:
    """The folder of documents in the installed package."""
    found = importlib.util.find_spec("googleapiclient")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "discovery_cache" / "documents"


def made_from(folder: Path, name: str) -> str:
    """The excerpt of a document as it is written."""
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    return _lines(excerpt(document)) + "\n"


def _lines(told: dict[str, Any]) -> str:
    """One line a method and a schema, so that a difference can be read."""
    parts: list[str] = []
    for name, value in told.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(each)}: {json.dumps(fact)}" for each, fact in value.items())
            parts.append(f" {json.dumps(name)}: {{\n{inner}\n }}")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}"


def main() -> None:
    """Write the excerpts, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("folder", nargs="?", type=Path, default=documents())
    asked = parser.parse_args()
    if asked.folder is None:
        sys.exit("Install google-api-python-client, or name a folder of its discovery documents.")
    for name, excerpt in EXCERPTS.items():
        text = made_from(asked.folder, name)
        if not asked.check:
            excerpt.write_text(text, encoding="utf-8")
        elif text != excerpt.read_text(encoding="utf-8"):
            sys.exit(f"{excerpt.name} is not what the documents make: run scripts/google_discovery.py")


if __name__ == "__main__":
    main()
