"""From the JSON a model wrote to the request message of a tool, telling it exactly what was wrong."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.common.door import check_fields
from services.common.errors import Invalid
from services.tools.catalogue import ToolEntry
from services.tools.json_schema import enum_words


class ToolArgumentsInvalid(Invalid):
    """The arguments are no JSON object by the tool's schema; the text names the argument."""

    reason = "TOOL_ARGUMENTS_INVALID"


def parse_arguments(entry: ToolEntry, arguments_json: str) -> Message:
    """Read and check a call's arguments. Empty text stands for no arguments.

    Raises ToolArgumentsInvalid for broken JSON, unknown names and wrong types, FieldInvalid for values
    that break a rule.
    """
    try:
        arguments = json.loads(arguments_json or "{}")
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise ToolArgumentsInvalid(f"The arguments of {entry.name} are not valid JSON{where}.") from None
    request = entry.request()
    _fill(request, arguments, "the arguments")
    check_fields(request)
    return request


def _descriptor(message: Message) -> Descriptor:
    """The message's descriptor, whichever implementation of protobuf made it."""
    return message.DESCRIPTOR  # pyright: ignore[reportReturnType] - the two have the same interface


def _fill(message: Message, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise ToolArgumentsInvalid(f"{where} must be a JSON object, not {_kind(value)}.")
    fields = {field.name: field for field in _descriptor(message).fields}
    for name, given in value.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ToolArgumentsInvalid(f"{where} hold {name[:64]!r}, which is not known. Known: {known}.")
        if given is not None:  # null says nothing, as if it were left out
            _set(message, fields[name], given)


def _set(message: Message, field: FieldDescriptor, given: Any) -> None:
    try:
        if field.is_repeated:
            if not isinstance(given, list):
                raise ToolArgumentsInvalid(f"{field.name} must be an array, not {_kind(given)}.")
            for each in given:
                if field.message_type is not None:
                    _fill(getattr(message, field.name).add(), each, field.name)
                else:
                    getattr(message, field.name).append(_scalar(field, each))
        elif field.message_type is not None:
            _fill(getattr(message, field.name), given, field.name)
        else:
            setattr(message, field.name, _scalar(field, given))
    except (ValueError, TypeError, OverflowError):  # a number too large, or text that is no Unicode
        raise ToolArgumentsInvalid(f"{field.name} holds a value out of range.") from None


def _scalar(field: FieldDescriptor, given: Any) -> str | bool | int | float:
    if field.enum_type is not None:
        words = enum_words(field.enum_type)
        if given not in list(words):
            raise ToolArgumentsInvalid(f"{field.name} must be one of {', '.join(words)}.")
        return words[given]
    wanted, fits = {
        FieldDescriptor.TYPE_STRING: ("a string", isinstance(given, str)),
        FieldDescriptor.TYPE_BOOL: ("true or false", isinstance(given, bool)),
        FieldDescriptor.TYPE_INT32: ("a whole number", _is_whole(given)),
        FieldDescriptor.TYPE_DOUBLE: ("a number", _is_number(given)),
    }[field.type]
    if not fits:
        raise ToolArgumentsInvalid(f"{field.name} must be {wanted}, not {_kind(given)}.")
    return int(given) if field.type == FieldDescriptor.TYPE_INT32 else given


def _is_whole(given: Any) -> bool:
    return _is_number(given) and float(given).is_integer()


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = {dict: "an object", list: "an array", str: "a string", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
