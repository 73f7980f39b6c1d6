"""What a vendor's threads are to the rest of the tools service: what ThreadService can do in any of them.

A poster knows one vendor: its limits, its formatting, how a post of ours is recognised there. That a post is
sent once is `posting`'s to see to. A vendor is an entry in the map that `main.py` makes, by the field of
ThreadAddress that holds its coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools.threads import Posted
from services.tools.vendor_errors import VendorRefused


class Poster(Protocol):
    """Speaks in one vendor's threads. Raises the errors of `vendor_errors`."""

    @property
    def settle_seconds(self) -> float:
        """The longest the vendor works on a request after nobody waits for it any more."""
        ...

    def parts(self, text: str) -> list[str]:
        """A text in Markdown as the vendor takes it: formatted, cut to its limit; at least one part."""
        ...

    async def post(self, address: ThreadAddress, post: ThreadPost) -> Posted:
        """Post one part. After VendorUnavailable it may be there or not: look before posting again."""
        ...

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look in the thread for a post of ours, from its created_time on (unset: from the beginning)."""
        ...

    async def acknowledge(self, address: ThreadAddress) -> None:
        """Show the author that the item in the address was seen; nothing where the vendor has no way."""
        ...

    async def resolve(self, address: ThreadAddress) -> bool:
        """Mark the thread done. False: there is no way here."""
        ...

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """Read a thread, for events that leave it out. Raises ThreadNotFetched where none do."""
        ...


class ThreadNotFetched(VendorRefused):
    """This vendor's events tell all there is to know."""

    def __init__(self) -> None:
        super().__init__("Threads of this vendor are not fetched: its events tell all there is to know.")


Posters: TypeAlias = Mapping[str, Poster]
"""By the name of the field in ThreadAddress."""

IN_RECORD = Posted(external_id="record", url="")


class RecordPoster:
    """Threads that no vendor holds: the ledger is the only place of their posts, whole."""

    settle_seconds = 0.0

    def parts(self, text: str) -> list[str]:
        """The record takes any text."""
        return [text]

    async def post(self, address: ThreadAddress, post: ThreadPost) -> Posted:
        """It is there already."""
        del address, post
        return IN_RECORD

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """There is no thread to look in."""
        del address, post
        return None

    async def acknowledge(self, address: ThreadAddress) -> None:
        """Nobody looks."""
        del address

    async def resolve(self, address: ThreadAddress) -> bool:
        """A run is over when it is completed."""
        del address
        return False

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """The record is read elsewhere."""
        del request
        raise ThreadNotFetched


def poster_of(posters: Posters, address: ThreadAddress) -> Poster:
    """The poster of an address; the door has checked that it names a vendor."""
    return posters[address.WhichOneof("address") or ""]
