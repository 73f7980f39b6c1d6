"""Astra's composition root: every part is built here and handed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from aucert.astra.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from aucert.astra.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from aucert.astra.v1.effect_service_pb2_grpc import add_EffectServiceServicer_to_server
from aucert.astra.v1.knowledge_base_service_pb2_grpc import (
    add_KnowledgeBaseServiceServicer_to_server,
)
from aucert.astra.v1.model_default_service_pb2_grpc import add_ModelDefaultServiceServicer_to_server
from aucert.astra.v1.principal_service_pb2_grpc import add_PrincipalServiceServicer_to_server
from aucert.astra.v1.quota_service_pb2_grpc import add_QuotaServiceServicer_to_server
from aucert.astra.v1.repository_service_pb2_grpc import add_RepositoryServiceServicer_to_server
from aucert.astra.v1.task_run_service_pb2_grpc import add_TaskRunServiceServicer_to_server
from aucert.astra.v1.thread_post_service_pb2_grpc import add_ThreadPostServiceServicer_to_server
from aucert.astra.v1.token_vault_service_pb2_grpc import add_TokenVaultServiceServicer_to_server
from aucert.astra.v1.transcript_service_pb2_grpc import add_TranscriptServiceServicer_to_server
from services.astra.agent_store import AgentStore
from services.astra.attempt_store import AttemptStore
from services.astra.audit_store import AuditStore
from services.astra.budget_servicer import BudgetServicer
from services.astra.budget_store import BudgetStore
from services.astra.budget_sweep import BudgetSweep
from services.astra.effect_servicer import EffectServicer
from services.astra.effect_store import EffectStore
from services.astra.ending_store import EndingStore
from services.astra.envelope import KeyRing, read_keys
from services.astra.knowledge_search import KnowledgeSearch
from services.astra.knowledge_servicer import KnowledgeBaseServicer
from services.astra.knowledge_store import KnowledgeStore
from services.astra.model_default_servicer import ModelDefaultServicer
from services.astra.model_default_store import ModelDefaultStore
from services.astra.notifications import Notifications
from services.astra.principal_servicer import PrincipalServicer
from services.astra.principal_store import LocalAuthenticator, PrincipalStore
from services.astra.quota_servicer import QuotaServicer
from services.astra.quota_store import QuotaStore
from services.astra.reading_along import ReadingAlong
from services.astra.registry_servicer import AgentServicer, RepositoryServicer
from services.astra.registry_store import RegistryStore
from services.astra.settings import AstraSettings
from services.astra.spend import SpendStore
from services.astra.stop_store import StopStore
from services.astra.sweeper import Sweeper
from services.astra.task_run_servicer import TaskRunServicer
from services.astra.task_run_store import TaskRunStore
from services.astra.thread_post_servicer import ThreadPostServicer
from services.astra.thread_post_store import ThreadPostStore
from services.astra.transcript_servicer import TranscriptServicer
from services.astra.transcript_store import TranscriptStore
from services.astra.usage_store import UsageStore
from services.astra.vault_rotation import VaultRotation
from services.astra.vault_servicer import VaultServicer
from services.astra.vault_store import VaultStore
from services.astra.watching import Watching
from services.common.database import RELAY_POOL_SIZE, Database
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.server import Dependency, Registration, RunningServer, serve

log = structlog.get_logger()


@asynccontextmanager
async def running(settings: AstraSettings) -> AsyncIterator[RunningServer]:
    """Serve Astra until the block is left. Raises RoleTooPowerful, and DatabaseUnavailable at the start."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url.get_secret_value(), application="astra")
        stack.push_async_callback(database.close)
        relay = Database(
            settings.relay_database_url.get_secret_value(), application="astra-relay", size=RELAY_POOL_SIZE
        )
        stack.push_async_callback(relay.close)
        await database.refuse_powerful_role()

        notifications = Notifications(settings.database_url.get_secret_value())
        principals = PrincipalStore(relay)
        sweeper = Sweeper(
            relay,
            EndingStore(database),
            BudgetSweep(relay, database),
            interval_seconds=settings.sweep_interval_seconds,
        )
        await stack.enter_async_context(notifications.listening())
        await stack.enter_async_context(sweeper.sweeping())
        server = serve(
            name="astra",
            host=settings.host,
            port=settings.port,
            registrations=[
                *_registrations(database, relay, notifications, principals),
                _vault(database, relay, read_keys(settings.vault_key.get_secret_value())),
            ],
            authenticator=LocalAuthenticator(principals),
            dependencies=[Dependency("postgresql", partial(_ping, database, relay))],
        )
        running_server = await stack.enter_async_context(server)
        stack.callback(notifications.end_watches)  # first of all, so that draining waits for no stream
        yield running_server


async def _ping(*databases: Database) -> None:
    """Raise unless PostgreSQL answers as every role: tokens are looked up as another than runs."""
    await asyncio.gather(*(database.ping() for database in databases))


def _registrations(
    database: Database, relay: Database, notifications: Notifications, principals: PrincipalStore
) -> list[Registration]:
    runs = TaskRunStore(database)
    stops = StopStore(database, relay)
    reading_along = ReadingAlong(database, notifications)
    registry = RegistryStore(database)
    task_runs = TaskRunServicer(
        runs=runs,
        attempts=AttemptStore(database),
        endings=EndingStore(database),
        stops=stops,
        watching=Watching(database, notifications, runs, stops, reading_along),
        reading_along=reading_along,
    )
    servicers = [
        ("TaskRunService", add_TaskRunServiceServicer_to_server, task_runs),
        (
            "TranscriptService",
            add_TranscriptServiceServicer_to_server,
            TranscriptServicer(TranscriptStore(database)),
        ),
        (
            "BudgetService",
            add_BudgetServiceServicer_to_server,
            BudgetServicer(SpendStore(database), BudgetStore(database), UsageStore(database)),
        ),
        ("AgentService", add_AgentServiceServicer_to_server, AgentServicer(registry, AgentStore(database))),
        ("RepositoryService", add_RepositoryServiceServicer_to_server, RepositoryServicer(registry)),
        ("PrincipalService", add_PrincipalServiceServicer_to_server, PrincipalServicer(principals)),
        (
            "ThreadPostService",
            add_ThreadPostServiceServicer_to_server,
            ThreadPostServicer(ThreadPostStore(database)),
        ),
        (
            "ModelDefaultService",
            add_ModelDefaultServiceServicer_to_server,
            ModelDefaultServicer(ModelDefaultStore(database)),
        ),
        ("QuotaService", add_QuotaServiceServicer_to_server, QuotaServicer(QuotaStore(database))),
        ("EffectService", add_EffectServiceServicer_to_server, EffectServicer(EffectStore(database))),
        (
            "KnowledgeBaseService",
            add_KnowledgeBaseServiceServicer_to_server,
            KnowledgeBaseServicer(KnowledgeStore(database), KnowledgeSearch(database)),
        ),
    ]
    return [Registration(f"aucert.astra.v1.{name}", add, servicer) for name, add, servicer in servicers]


def _vault(database: Database, relay: Database, keys: KeyRing | None) -> Registration:
    log.info("vault", on=keys is not None, off_reason="" if keys else "not set: VAULT_KEY")
    servicer = VaultServicer(
        VaultStore(database, keys),
        VaultRotation(relay, database, keys),
        AuditStore(database),
        key_id=keys.current if keys else "",
    )
    add = add_TokenVaultServiceServicer_to_server
    return Registration("aucert.astra.v1.TokenVaultService", add, servicer)


def main() -> None:
    """Run Astra as a process of its own."""
    settings = AstraSettings()  # pyright: ignore[reportCallIssue] - read from the environment
    configure_logs(level=settings.log_level)
    run_until_signal(lambda: running(settings))


if __name__ == "__main__":
    main()
