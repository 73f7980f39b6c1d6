"""What the dispatcher asks others before it decides: agents, repositories, models of the caller's tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.agent_service_pb2 import ListAgentsRequest
from aucert.astra.v1.repository_pb2 import START_POLICY_ANYONE
from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest, ListRepositoriesRequest
from aucert.models.v1.model_service_pb2 import ResolveModelRequest
from services.common.errors import from_rpc
from services.dispatcher.domain import ModelChoice, RegisteredRepository
from services.dispatcher.errors import AgentNotFound

if TYPE_CHECKING:
    from aucert.astra.v1.agent_service_pb2_grpc import AgentServiceAsyncStub
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

REPOSITORIES_PAGE, REPOSITORIES_PAGES_MAX = 200, 50


class Registry:
    """Reads through stubs; nothing is remembered, so what was just registered counts at once."""

    def __init__(
        self,
        agents: AgentServiceAsyncStub,
        repositories: RepositoryServiceAsyncStub,
        models: ModelServiceAsyncStub,
    ) -> None:
        self._agents = agents
        self._repositories = repositories
        self._models = models

    async def handles(self, source: str) -> dict[str, str]:
        """Lower-case handle to agent slug, for one source."""
        response = await self._agents.ListAgents(ListAgentsRequest())
        return {
            handle.name.lower(): agent.slug
            for agent in response.agents
            for handle in agent.handles
            if handle.source == source
        }

    async def require_agent(self, slug: str) -> None:
        """Raise AgentNotFound unless the tenant has the agent."""
        response = await self._agents.ListAgents(ListAgentsRequest())
        if slug not in (agent.slug for agent in response.agents):
            raise AgentNotFound(slug)

    async def agent_id(self, slug: str) -> str:
        """The id of an agent of the tenant. Raises AgentNotFound."""
        response = await self._agents.ListAgents(ListAgentsRequest())
        for agent in response.agents:
            if agent.slug == slug:
                return agent.agent_id
        raise AgentNotFound(slug)

    async def repository_of(self, container: str) -> RegisteredRepository | None:
        """The repository a source container belongs to. None: it is not on the allow-list."""
        try:
            response = await self._repositories.GetRepository(
                GetRepositoryRequest(source_container=container)
            )
        except grpc.aio.AioRpcError as error:
            if from_rpc(error).reason == "REPOSITORY_NOT_FOUND":
                return None
            raise
        repository = response.repository
        return RegisteredRepository(repository.repository_id, repository.start_policy == START_POLICY_ANYONE)

    async def containers(self, source: str) -> list[str]:
        """The containers of a source on the allow-list, of at most REPOSITORIES_PAGES_MAX pages."""
        found: list[str] = []
        request = ListRepositoriesRequest(page_size=REPOSITORIES_PAGE)
        for _ in range(REPOSITORIES_PAGES_MAX):
            page = await self._repositories.ListRepositories(request)
            found += [each for repository in page.repositories for each in repository.source_containers]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return [each for each in found if each.startswith(f"{source}:")]

    async def repository_id(self, slug: str) -> str:
        """The id of a registered repository. Fails with REPOSITORY_NOT_FOUND for any other."""
        response = await self._repositories.GetRepository(GetRepositoryRequest(slug=slug))
        return response.repository.repository_id

    async def models(
        self, operation: str, *, agent: str, tags: Sequence[str] = (), alias: str = ""
    ) -> tuple[ModelChoice, ...]:
        """The models that operation, tags or alias ask an agent for. An unknown alias: MODEL_NOT_FOUND."""
        response = await self._models.ResolveModel(
            ResolveModelRequest(operation=operation, agent_slug=agent, tags=tags, model_alias=alias)
        )
        return tuple(ModelChoice(model.alias, model.label) for model in response.models)
