"""AgentService and RepositoryService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import agent_service_pb2, repository_service_pb2
from aucert.astra.v1.agent_service_pb2_grpc import AgentServiceServicer
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceServicer
from services.astra.agent_store import AgentStore
from services.astra.pages import key_of, page_size, token_after
from services.astra.registry_store import RegistryStore
from services.common.caller import current_caller

if TYPE_CHECKING:
    from services.common.door import Context

REPOSITORIES_A_PAGE, REPOSITORIES_A_PAGE_MAX = 50, 200
_REPOSITORIES = "repositories"


class AgentServicer(AgentServiceServicer):
    """The agents of the caller's tenant."""

    def __init__(self, registry: RegistryStore, agents: AgentStore) -> None:
        self._registry = registry
        self._agents = agents

    async def PutAgent(
        self, request: agent_service_pb2.PutAgentRequest, context: Context
    ) -> agent_service_pb2.PutAgentResponse:
        """Register an agent, or change the one with this slug."""
        del context
        agent = await self._agents.put(current_caller().tenant_id, request)
        return agent_service_pb2.PutAgentResponse(agent=agent)

    async def PutPersonality(
        self, request: agent_service_pb2.PutPersonalityRequest, context: Context
    ) -> agent_service_pb2.PutPersonalityResponse:
        """Write a fragment of framing, or replace the one with this slug."""
        del context
        personality = await self._agents.put_personality(current_caller().tenant_id, request)
        return agent_service_pb2.PutPersonalityResponse(personality=personality)

    async def ListAgents(
        self, request: agent_service_pb2.ListAgentsRequest, context: Context
    ) -> agent_service_pb2.ListAgentsResponse:
        """List the agents with their handles."""
        del request, context
        return agent_service_pb2.ListAgentsResponse(
            agents=await self._registry.agents(current_caller().tenant_id)
        )


class RepositoryServicer(RepositoryServiceServicer):
    """The repositories of the caller's tenant."""

    def __init__(self, registry: RegistryStore) -> None:
        self._registry = registry

    async def RegisterRepository(
        self, request: repository_service_pb2.RegisterRepositoryRequest, context: Context
    ) -> repository_service_pb2.RegisterRepositoryResponse:
        """Register a repository, or change the one with the same slug."""
        del context
        return repository_service_pb2.RegisterRepositoryResponse(
            repository=await self._registry.register(current_caller().tenant_id, request)
        )

    async def GetRepository(
        self, request: repository_service_pb2.GetRepositoryRequest, context: Context
    ) -> repository_service_pb2.GetRepositoryResponse:
        """Read one repository."""
        del context
        return repository_service_pb2.GetRepositoryResponse(
            repository=await self._registry.repository(current_caller().tenant_id, request)
        )

    async def ListRepositories(
        self, request: repository_service_pb2.ListRepositoriesRequest, context: Context
    ) -> repository_service_pb2.ListRepositoriesResponse:
        """List repositories, ordered by slug."""
        del context
        limit = page_size(request.page_size, usual=REPOSITORIES_A_PAGE, most=REPOSITORIES_A_PAGE_MAX)
        key = key_of(request.page_token, _REPOSITORIES, str)
        found = await self._registry.repositories(
            current_caller().tenant_id, after=key[0] if key else "", limit=limit + 1
        )
        more = len(found) > limit
        return repository_service_pb2.ListRepositoriesResponse(
            repositories=found[:limit],
            next_page_token=token_after(_REPOSITORIES, found[limit - 1].slug) if more else "",
        )
