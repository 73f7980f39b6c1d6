"""How one service calls another: token, tenant, request id and a deadline on every call.

`connect` returns a channel for the generated stubs. It wraps the calls instead of using client
interceptors, which cost a task per call and treat streams differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from services.common import metadata as keys
from services.common.caller import Caller, caller_or_none

UNARY_TIMEOUT_SECONDS = 15.0
MESSAGE_BYTES_MAX = 32 * 1024 * 1024
CONNECTING: list[tuple[str, int | str]] = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # gRPC itself looks a name up once in 30 s; so long, a caller would not find who replaced its server.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A machine that died says nothing: found out within 40 s instead of by TCP's quarter of an hour.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]
"""How a channel finds the other end, and finds it again after it was replaced."""
_OPTIONS: list[tuple[str, int | str]] = [
    *CONNECTING,
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]

Metadata = Sequence[tuple[str, str]]


class ServiceChannel:
    """A channel for generated stubs that says who calls and how long they will wait.

    A call without `timeout` gets what is left of the incoming call's deadline, at most
    `UNARY_TIMEOUT_SECONDS` for unary calls; a stream without one lives as long as its reader.
    """

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._authorization = (keys.AUTHORIZATION, keys.BEARER + token)

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Called by the generated stubs."""
        invoke: Any = self._channel.unary_unary(method, *args, **kwargs)

        def call(
            request: Any, *, timeout: float | None = None, metadata: Metadata = (), **options: Any
        ) -> Any:
            caller = caller_or_none()
            left = caller.seconds_left() if caller else None
            limit = UNARY_TIMEOUT_SECONDS if timeout is None else timeout
            return invoke(
                request,
                timeout=limit if left is None else min(limit, left),
                metadata=self._metadata(caller, metadata),
                **options,
            )

        return call

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Called by the generated stubs."""
        invoke: Any = self._channel.unary_stream(method, *args, **kwargs)

        def call(
            request: Any, *, timeout: float | None = None, metadata: Metadata = (), **options: Any
        ) -> Any:
            caller = caller_or_none()
            left = caller.seconds_left() if caller else None
            limit = left if timeout is None else timeout if left is None else min(timeout, left)
            return invoke(request, timeout=limit, metadata=self._metadata(caller, metadata), **options)

        return call

    def _metadata(self, caller: Caller | None, extra: Metadata) -> list[tuple[str, str]]:
        sent = [self._authorization, *extra]
        if caller is not None:
            sent += [(keys.REQUEST_ID, caller.request_id), (keys.TENANT, caller.tenant_id)]
            if caller.origin is not None:
                sent += [
                    (keys.TASK_RUN, caller.origin.task_run_id),
                    (keys.CALL_ID, caller.origin.call_id),
                    (keys.FENCE, str(caller.origin.fence)),
                ]
        return sent

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()


def connect(address: str, token: str) -> grpc.aio.Channel:
    """Open a channel to a service, for the generated stubs. It connects when first used."""
    return ServiceChannel(address, token)  # pyright: ignore[reportReturnType] - the part of Channel that stubs use
