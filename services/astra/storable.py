"""Text and messages as PostgreSQL can hold them.

It holds no NUL character, and neither a person's comment nor a tool's output may fail on that.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def storable(text: str) -> str:
    """Text without NUL characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def message_to_json(message: Message, *, whole: bool = False) -> Any:
    """A message with proto names, fields that are not set left out, or `whole` with all plain fields."""
    return _tree(
        MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=whole)
    )


def _tree(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_tree(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: _tree(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
