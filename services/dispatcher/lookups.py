"""What a source may ask while it looks for events: registry, record of threads, the vendor's thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest
from services.common.caller import current_caller
from services.dispatcher import convert
from services.dispatcher.container_reader import ContainerReader
from services.dispatcher.domain import Json, RegisteredRepository, Talk
from services.dispatcher.registry import Registry
from services.dispatcher.thread_store import ThreadStore

if TYPE_CHECKING:
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

FETCH_SECONDS = 15.0


class Lookups:
    """Answers for the current caller's tenant. Raises what the services asked raise."""

    def __init__(
        self,
        registry: Registry,
        threads: ThreadStore,
        vendors: ThreadServiceAsyncStub,
        reader: ContainerReader,
    ) -> None:
        self._registry = registry
        self._threads = threads
        self._vendors = vendors
        self._reader = reader

    async def handles(self, source: str) -> dict[str, str]:
        """Lower-case handle to agent slug, for one source."""
        return await self._registry.handles(source)

    async def repository_of(self, container: str) -> RegisteredRepository | None:
        """The repository a source container belongs to. None: it is not on the allow-list."""
        return await self._registry.repository_of(container)

    async def agent_of(self, source: str, thread_key: str) -> str | None:
        """The agent that was first called into a thread. None: nobody was."""
        return await self._threads.agent_of(current_caller().tenant_id, source, thread_key)

    async def containers(self, source: str) -> list[str]:
        """The containers of a source on the allow-list."""
        return await self._registry.containers(source)

    async def read(self, source: str, container: str, *, told_time: datetime) -> None:
        """Have a container read of which something was told then; what is found become deliveries."""
        await self._reader.read_told(current_caller().tenant_id, source, container, told_time)

    async def talk(self, address: Json, person_ids: Sequence[str], container_ids: Sequence[str] = ()) -> Talk:
        """A thread as its vendor has it, up to the item in the address, with these people described.

        Where the address names no container, it is looked for in these; a talk without address: in none.
        """
        request = FetchThreadRequest(
            address=convert.address_to_proto(address), person_ids=person_ids, container_ids=container_ids
        )
        return convert.talk(await self._vendors.FetchThread(request, timeout=FETCH_SECONDS))
