"""The tools, derived from the contracts: a method with the option `tool` is one.

Names, promises and schemas come from the descriptors; descriptions are the contracts' comments, which
Python's generated code drops and the descriptor image `gen/astra.binpb` keeps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

# The services whose methods may be tools; importing them puts their descriptors where we look.
from aucert.tools.v1 import (
    docs_service_pb2,
    drive_service_pb2,
    github_service_pb2,
    knowledge_service_pb2,
    plane_service_pb2,
    repo_service_pb2,
    slack_service_pb2,
    tool_pb2,
    web_service_pb2,
)
from services.tools.json_schema import object_schema

FILES = (
    docs_service_pb2.DESCRIPTOR,
    drive_service_pb2.DESCRIPTOR,
    github_service_pb2.DESCRIPTOR,
    knowledge_service_pb2.DESCRIPTOR,
    plane_service_pb2.DESCRIPTOR,
    repo_service_pb2.DESCRIPTOR,
    slack_service_pb2.DESCRIPTOR,
    web_service_pb2.DESCRIPTOR,
)
Path = tuple[int, ...]
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Numbers of the fields in descriptor.proto, which make up the paths in its source info.
_MESSAGES, _SERVICES, _FIELDS, _NESTED, _METHODS = 4, 6, 2, 3, 2


class CatalogueError(TypeError):
    """The contracts describe a tool that cannot be offered; the text says which and why."""


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool and the method behind it; no `agents`: it is for all."""

    name: str
    description: str
    parameters_json: str
    options: tool_pb2.ToolOptions
    service: str
    method: str
    request: type[Message]
    agents: tuple[str, ...] = ()
    rate_limit: str = ""

    @property
    def integration(self) -> str:
        """Beginning of its name, as in "github"."""
        return self.name.partition("_")[0]

    @property
    def writes(self) -> bool:
        """Whether a call changes something, so that its outcome must not stay unclear."""
        return self.options.effect != tool_pb2.TOOL_EFFECT_READ

    @property
    def timeout(self) -> timedelta:
        """The longest a call may take."""
        return self.options.timeout.ToTimedelta()

    def to_proto(self) -> tool_pb2.Tool:
        """The tool as callers see it."""
        return tool_pb2.Tool(
            name=self.name,
            description=self.description,
            parameters_json=self.parameters_json,
            effect=self.options.effect,
            trust=self.options.trust,
            timeout=self.options.timeout,
            approval=self.options.approval,
            method=f"{self.service}/{self.method}",
            agents=self.agents,
            retry=tool_pb2.TOOL_RETRY_ONCE if self.writes else tool_pb2.TOOL_RETRY_AGAIN,
            rate_limit=self.rate_limit,
        )


def shipped_image() -> bytes:
    """The descriptor image as generated: `gen/astra.binpb` of a checkout, or of an installed wheel."""
    return (resources.files("gen") / "astra.binpb").read_bytes()


def read_catalogue(image: bytes) -> dict[str, ToolEntry]:
    """Every tool by name, ordered by name. Raises CatalogueError or SchemaError."""
    comments = read_comments(image)
    found: dict[str, ToolEntry] = {}
    for method in _methods():
        options = method.GetOptions().Extensions[tool_pb2.tool]
        if not options.name:
            continue
        if options.name in found:
            raise CatalogueError(f"two methods are the tool {options.name}")
        found[options.name] = _entry(method, options, comments)
    return dict(sorted(found.items()))


def read_comments(image: bytes) -> dict[str, str]:
    """The comment of every method and message field in the image, by full name, unwrapped."""
    comments: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(image).file:
        names = _names(file)
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name and location.leading_comments:
                comments[name] = _unwrapped(location.leading_comments)
    return comments


def _methods() -> Iterator[MethodDescriptor]:
    for file in FILES:
        for service in file.services_by_name.values():
            yield from service.methods


def _entry(method: MethodDescriptor, options: tool_pb2.ToolOptions, comments: Mapping[str, str]) -> ToolEntry:
    description = comments.get(method.full_name, "")
    problem = (
        "has no legal name" if not NAME.fullmatch(options.name)
        else "has no comment" if not description
        else "does not say what it does to the world" if not options.effect
        else "has no timeout" if options.timeout.ToTimedelta() <= timedelta()
        else ""
    )  # fmt: skip
    if problem:
        raise CatalogueError(f"the tool {options.name} ({method.full_name}) {problem}")
    schema = object_schema(method.input_type, comments)
    return ToolEntry(
        name=options.name,
        description=description,
        parameters_json=json.dumps(schema, ensure_ascii=False, separators=(",", ":")),
        options=options,
        service=method.containing_service.full_name,
        method=method.name,
        request=message_factory.GetMessageClass(
            descriptor_pool.Default().FindMessageTypeByName(method.input_type.full_name)
        ),
        rate_limit=method.containing_service.GetOptions().Extensions[tool_pb2.vendor_limit],
    )


def _names(file: FileDescriptorProto) -> dict[Path, str]:
    """Full names of methods and fields by their path in the file."""
    names: dict[Path, str] = {}
    for place, service in enumerate(file.service):
        for number, method in enumerate(service.method):
            names[_SERVICES, place, _METHODS, number] = f"{file.package}.{service.name}.{method.name}"
    for place, message in enumerate(file.message_type):
        names |= _field_names(message, f"{file.package}.{message.name}", (_MESSAGES, place))
    return names


def _field_names(message: DescriptorProto, full_name: str, path: Path) -> dict[Path, str]:
    names = {
        (*path, _FIELDS, number): f"{full_name}.{field.name}" for number, field in enumerate(message.field)
    }
    for place, nested in enumerate(message.nested_type):
        names |= _field_names(nested, f"{full_name}.{nested.name}", (*path, _NESTED, place))
    return names


def _unwrapped(comment: str) -> str:
    """Lines joined to paragraphs."""
    lines = [line.strip() for line in comment.strip().splitlines()]
    paragraphs = "\n".join(lines).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
