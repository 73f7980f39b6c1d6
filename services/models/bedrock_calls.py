"""A call of Bedrock that can be hung up from another thread, at any moment.

boto3 is synchronous: while a thread waits for an answer, nothing of its interface ends the wait. So our
connections tell the call they serve which socket they use, and hanging up shuts that socket down.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from services.models.dialogue import Json

_serving = threading.local()


class BedrockCall:
    """One `converse_stream`: `open` and `next_event` block, `hang_up` does not and may come at any time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._stream: Any = None
        self._events: Iterator[Json] = iter(())
        self._over = False

    def open(self, body: Json) -> None:
        """Send the request and wait for the answer to begin."""
        _serving.call = self
        try:
            self._stream = self._client.converse_stream(**body)["stream"]
        finally:
            _serving.call = None
        self._events = iter(self._stream)

    def next_event(self) -> Json | None:
        """The next event; None at the end, when the connection is free for another call."""
        event = next(self._events, None)
        if event is None:
            with self._lock:
                self._socket, self._over = None, True
        return event

    def connected(self, connection: socket.socket) -> None:
        """Told by the connection before it waits for the answer."""
        with self._lock:
            self._socket = connection
            if self._over:
                self._shut_down()

    def hang_up(self) -> None:
        """End the call, and with it whatever a thread waits for. Harmless once it is over."""
        with self._lock:
            self._over = True
            self._shut_down()

    def close(self) -> None:
        """Give the stream back. May wait for a thread that still reads from it."""
        if self._stream is not None:
            self._stream.close()

    def _shut_down(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side was faster
                return


def _tell(connection: Any) -> None:
    call: BedrockCall | None = getattr(_serving, "call", None)
    if call is not None and connection.sock is not None:
        call.connected(connection.sock)


class _Connection(AWSHTTPConnection):
    def getresponse(self) -> Any:
        _tell(self)
        return super().getresponse()


class _SecureConnection(AWSHTTPSConnection):
    def getresponse(self) -> Any:
        _tell(self)
        return super().getresponse()


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(AWSHTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def use_telling_connections(client: Any) -> None:
    """Have this client's connections tell their calls about their sockets."""
    # botocore has no door for this; a release that moves it fails here, at start-up.
    client._endpoint.http_session._pool_classes_by_scheme.update(http=_Pool, https=_SecurePool)
