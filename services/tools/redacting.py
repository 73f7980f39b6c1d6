"""Puts the redactor behind every method of this service, whichever door a call comes by."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message

from services.common.errors import ServiceError
from services.common.server import Registration
from services.tools.redactor import Redactor


def redacted(registration: Registration, redactor: Redactor) -> Registration:
    """The same servicer, whose answers and errors hold no known secret."""
    return Registration(registration.service, registration.add, _Redacted(registration.servicer, redactor))


class _Redacted:
    def __init__(self, servicer: object, redactor: Redactor) -> None:
        self._servicer = servicer
        self._redactor = redactor

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        behaviour: Callable[[Any, Any], Any] = getattr(self._servicer, name)

        async def unary(request: Any, context: Any) -> Message:
            with self._told():
                response: Message = await behaviour(request, context)
            self._redactor.message(response)
            return response

        async def stream(request: Any, context: Any) -> AsyncIterator[Message]:
            with self._told():
                async for response in behaviour(request, context):
                    self._redactor.message(response)
                    yield response

        return stream if inspect.isasyncgenfunction(behaviour) else unary

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Let errors leave the block without known secrets."""
        try:
            yield
        except ServiceError as error:
            self._redactor.error(error)
            raise
