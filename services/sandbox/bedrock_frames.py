"""Writes the binary frames of an AWS event stream: prelude, headers and payload, each with its checksum."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

_STRING = 7


def event(kind: str, payload: Mapping[str, object]) -> bytes:
    """A frame with an event."""
    return _frame({":event-type": kind, ":message-type": "event"}, payload)


def exception(kind: str, payload: Mapping[str, object]) -> bytes:
    """A frame with an error, which ends the stream."""
    return _frame({":exception-type": kind, ":message-type": "exception"}, payload)


def _frame(headers: Mapping[str, str], payload: Mapping[str, object]) -> bytes:
    body = json.dumps(payload).encode()
    named = {**headers, ":content-type": "application/json"}
    head = b"".join(_header(name, value) for name, value in named.items())
    prelude = struct.pack("!II", 16 + len(head) + len(body), len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + body
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    written = value.encode()
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(written)) + written
