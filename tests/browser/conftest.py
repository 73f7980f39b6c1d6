"""A whole stack and a real browser, once for all tests here; run by `make test-browser` alone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page

import services.worker.main
from scripts.chromium import NoChromium, chromium, executable
from services.cli.client import Clients, operator_clients
from services.cli.stack import Ports, running_stack
from services.cli.state import RunningStack, StateDirectory
from services.worker.settings import WorkerSettings
from tests.browser.teller import Teller, telling

PATIENCE_MS = 40_000
"""A safety limit; tests wait for what they assert, never for time to pass."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
COMPLAINTS = ("error", "warning")

OpenPage = Callable[..., AbstractAsyncContextManager[Page]]


def pytest_sessionstart() -> None:
    try:
        executable()
    except NoChromium as none:
        pytest.exit(str(none), returncode=1)


@dataclass
class Stage:
    """A stack without a worker, until a test lets it work: so a page is open before anything happens."""

    stack: RunningStack
    clients: Clients
    state: StateDirectory

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        stack = self.stack
        settings = {
            "ASTRA_TOKEN": self.state.secrets().tokens["worker"],
            "ASTRA_ADDRESS": stack.astra_address,
            "DISPATCHER_ADDRESS": stack.dispatcher_address,
            "MODELS_ADDRESS": stack.models_address,
            "TOOLS_ADDRESS": stack.tools_address,
            "TEMPORAL_ADDRESS": stack.temporal_address,
            "WORKER_HEALTH_PORT": 0,
        }
        async with services.worker.main.running(WorkerSettings.model_validate(settings)):
            yield


@pytest.fixture(scope="session")
async def teller() -> AsyncIterator[Teller]:
    """The model called `local`."""
    async with telling() as teller:
        yield teller


@pytest.fixture(scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory, teller: Teller) -> AsyncIterator[Stage]:
    state = StateDirectory(tmp_path_factory.mktemp("stack") / "state")
    models = {"DEFAULT_MODEL": "rehearsal", "OPENAI_BASE_URL": teller.url}
    async with (
        running_stack(state, Ports.free(), models, with_worker=False) as stack,
        operator_clients(state.path, {}) as clients,
    ):
        yield Stage(stack, clients, state)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(stage: Stage, browser: Browser) -> OpenPage:
    """A signed-in page: `async with open_page() as page`. What the browser complains of fails the test."""

    @asynccontextmanager
    async def opened(**options: object) -> AsyncIterator[Page]:
        context: BrowserContext = await browser.new_context(
            base_url=stage.stack.gateway_url, **{"viewport": DESKTOP, **options}
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: said.type in COMPLAINTS and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto("/")
        await page.get_by_label("API key").fill(stage.stack.api_key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Runs").wait_for()
        yield page
        await context.close()
        assert [] == complaints

    return opened


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """Where the documents' pictures go, when they are asked for: SCREENSHOTS=docs/images."""
    folder = os.environ.get("SCREENSHOTS", "")
    return Path(folder) if folder else None
