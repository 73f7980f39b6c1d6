"""Builds and serves the models service: the one place where its parts meet."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from aucert.astra.v1.model_default_service_pb2_grpc import ModelDefaultServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceStub
from aucert.models.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from services.common.channels import connect
from services.common.dependencies import service_dependency
from services.common.identity import RemoteAuthenticator
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.quotas.shared import SharedLimits
from services.common.server import Registration, RunningServer, serve
from services.models.embedding.calls import EmbeddingCalls
from services.models.embedding.providers import opened_embedders
from services.models.installation import (
    build_catalogue,
    build_embedding_catalogue,
    read_catalogue_file,
)
from services.models.limits import ModelLimits
from services.models.providers import opened
from services.models.servicer import ModelServicer
from services.models.settings import ModelsSettings
from services.models.tenant_defaults import TenantDefaults

log = structlog.get_logger()


@asynccontextmanager
async def running(settings: ModelsSettings) -> AsyncGenerator[RunningServer, None]:
    """Serve until the block is left. Raises CatalogueError, ModelNotFound or ModelOff at start-up."""
    file = read_catalogue_file(settings)
    catalogue = build_catalogue(settings, file)
    default_alias = catalogue.default_alias(settings.default_model)  # one that is off would fail every run
    embedding_models = build_embedding_catalogue(settings, file)
    for entry in catalogue.entries:
        log.info("model", alias=entry.alias, available=not entry.off_reason, off_reason=entry.off_reason)
    log.info("default_model", alias=default_alias, embedding_alias=embedding_models.default_alias)
    async with AsyncExitStack() as stack:
        providers = await stack.enter_async_context(opened(settings, file.servers))
        channel = connect(settings.astra_address, settings.astra_token.get_secret_value())
        stack.push_async_callback(channel.close)
        principals = PrincipalServiceStub(channel)
        shared = SharedLimits(QuotaServiceStub(channel))
        stack.push_async_callback(shared.aclose)
        embedders = await stack.enter_async_context(
            opened_embedders(embedding_models, settings, file.servers)
        )
        servicer = ModelServicer(
            catalogue,
            providers,
            default_alias=default_alias,
            defaults=TenantDefaults(ModelDefaultServiceStub(channel)),
            embeddings=EmbeddingCalls(embedding_models, embedders),
            limits=ModelLimits(shared),
        )
        server = serve(
            name="models",
            host=settings.host,
            port=settings.port,
            registrations=[
                Registration("aucert.models.v1.ModelService", add_ModelServiceServicer_to_server, servicer)
            ],
            authenticator=RemoteAuthenticator(principals),
            dependencies=[service_dependency("astra", channel)],
        )
        yield await stack.enter_async_context(server)


def main() -> None:
    """Run the service until it is told to stop."""
    settings = ModelsSettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    configure_logs(level=settings.log_level)
    run_until_signal(lambda: running(settings))


if __name__ == "__main__":
    main()
