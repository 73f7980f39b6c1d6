"""A real Temporal server for the whole session, and the other services in memory for each test."""

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from services.cli.embedded import temporal_binary
from tests.workflow.fakes import Services, running_services
from tests.workflow.stage import SUGGEST_CONTINUE_AS_NEW_EVENTS


async def start_temporal() -> WorkflowEnvironment:
    """A server on a free port, in memory."""
    settings = {
        "history.transferProcessorMaxPollRPS": 5000,
        "limit.historyCount.suggestContinueAsNew": SUGGEST_CONTINUE_AS_NEW_EVENTS,
    }
    return await WorkflowEnvironment.start_local(
        identity="tests",  # it is in every history, and a host's name must not be
        dev_server_existing_path=str(temporal_binary()),
        dev_server_extra_args=[
            word for name, value in settings.items() for word in ("--dynamic-config-value", f"{name}={value}")
        ],
    )


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """The server."""
    async with await start_temporal() as environment:
        yield environment


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """Astra, the dispatcher, the models and the tools, in memory."""
    async with running_services() as running:
        yield running
