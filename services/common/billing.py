"""What a failed model call says of money: whether any provider can have billed for it.

It travels as metadata of the error, from the models service to whoever set the money aside.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.common.errors import ServiceError

_BILLED = "billed"
UNBILLED: Mapping[str, str] = {_BILLED: "no"}
"""Metadata of a call that no provider took: it never reached one, or was refused before anything was read."""


def is_unbilled(error: ServiceError) -> bool:
    """Whether the call surely costs nothing. False where nobody knows."""
    return error.metadata.get(_BILLED) == UNBILLED[_BILLED]
