"""JSON Schemas (draft 2020-12) of request messages: what a model is told it may set.

Property names are the contract's field names, comments are descriptions, field rules are bounds. A field
of a kind models handle badly (oneof, map, bytes, 64-bit numbers) is refused when the catalogue is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Json = dict[str, Any]
_SIMPLE = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "boolean",
    FieldDescriptor.TYPE_INT32: "integer",
    FieldDescriptor.TYPE_DOUBLE: "number",
}
REQUIRED = "Required. "


class SchemaError(TypeError):
    """A request message holds what cannot be offered to a model."""


def object_schema(message: Descriptor, comments: Mapping[str, str]) -> Json:
    """The schema of a message. `comments` by full name of a field. Raises SchemaError."""
    if any(oneof.name for oneof in message.oneofs):
        raise SchemaError(f"{message.full_name} has a oneof")
    return {
        "type": "object",
        "properties": {field.name: _field(field, comments) for field in message.fields},
        "required": [field.name for field in message.fields if is_required(field, comments)],
        "additionalProperties": False,
    }


def is_required(field: FieldDescriptor, comments: Mapping[str, str]) -> bool:
    """Whether a call without this field is refused: its rules refuse the empty value."""
    rules = _rules(field)
    return (
        rules.required
        or rules.string.min_len > 0
        or (rules.string.HasField("pattern") and re.search(rules.string.pattern, "") is None)
        or rules.string.uuid
        or rules.repeated.min_items > 0
        or 0 in rules.enum.not_in
        or comments.get(field.full_name, "").startswith(REQUIRED)
    )


def enum_words(enum: EnumDescriptor) -> dict[str, int]:
    """An enum's values as models write them: lower-case, without the prefix and the unspecified one."""
    unspecified = enum.values_by_number[0].name
    prefix = unspecified.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def _field(field: FieldDescriptor, comments: Mapping[str, str]) -> Json:
    schema = _value(field, _rules(field), comments)
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            raise SchemaError(f"{field.full_name} is a map")
        rules = _rules(field).repeated
        schema = {"type": "array", "items": _value(field, rules.items, comments)}
        schema |= _set(rules, min_items="minItems", max_items="maxItems", unique="uniqueItems")
    description = comments.get(field.full_name, "").removeprefix(REQUIRED)
    return {**schema, "description": description} if description else schema


def _value(field: FieldDescriptor, rules: validate_pb2.FieldRules, comments: Mapping[str, str]) -> Json:
    if field.enum_type is not None:
        return {"type": "string", "enum": list(enum_words(field.enum_type))}
    if field.message_type is not None:
        return object_schema(field.message_type, comments)
    if field.type not in _SIMPLE:
        raise SchemaError(f"{field.full_name} is of a kind not offered to models")
    schema: Json = {"type": _SIMPLE[field.type]}
    schema |= _set(rules.string, min_len="minLength", max_len="maxLength", pattern="pattern")
    if rules.string.uuid:
        schema["format"] = "uuid"
    names = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
    return schema | _set(rules.int32, **names)


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def _set(rules: Any, **names: str) -> Json:
    """The rules that are set, under the schema's names."""
    return {name: getattr(rules, rule) for rule, name in names.items() if rules.HasField(rule)}
