"""A name server for the test's pods: what a cluster's DNS answers for a headless service.

It answers A records of its zone from memory, with a lifetime of zero; gRPC asks it directly by addresses like
`dns://127.0.0.1:<port>/astra:7001`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH")
_QUESTION_NAME = 0xC00C  # a pointer to the name asked for, which follows the header
_A, _INTERNET = 1, 1
_ANSWER, _NO_SUCH_NAME = 0x8400, 3


class NameServer(asyncio.DatagramProtocol):
    """`zone` maps a host to the addresses of its ready pods and may be changed while it serves."""

    def __init__(self) -> None:
        self.zone: dict[str, Sequence[str]] = {}
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - what it is
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(reply(data, self.zone), addr)


@asynccontextmanager
async def serving_names() -> AsyncIterator[NameServer]:
    """Serve on a free port of 127.0.0.1 until the block is left."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


def reply(query: bytes, zone: Mapping[str, Sequence[str]]) -> bytes:
    """The answer to a query with one question; what is asked besides addresses is answered with nothing."""
    labels, at = [], _HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    asked_type = int.from_bytes(query[at + 1 : at + 3])
    question = query[_HEADER.size : at + 5]
    found = zone.get(".".join(labels).lower())
    addresses = found or () if asked_type == _A else ()
    flags = _ANSWER | (_NO_SUCH_NAME if found is None else 0)
    header = _HEADER.pack(int.from_bytes(query[:2]), flags, 1, len(addresses), 0, 0)
    records = (
        _RECORD.pack(_QUESTION_NAME, _A, _INTERNET, 0, 4) + socket.inet_aton(address) for address in addresses
    )
    return b"".join([header, question, *records])
