"""What the golden stories do and look at: people's comments in, the record and the thread out."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from aucert.astra.v1 import repository_service_pb2
from services.cli import sandbox
from services.cli.client import Clients
from services.cli.state import RunningStack

PATIENCE_SECONDS = 40.0
"""A safety limit; stories wait for what they assert, never for time to pass."""
SCRIPT: list[dict[str, object]] = [
    {
        "tool_calls": [
            {"name": "repo_list_files", "arguments": {}},
            {"name": "repo_read_file", "arguments": {"path": "README.md"}},
        ]
    },
    {"text": "The shop is small: see README.md:1."},
]
"""One turn that reads, one that answers."""


def make_repository(path: Path) -> Path:
    """Three commits, a README, code, a specification and two decision records."""
    files = {
        "README.md": "# Shop\n\nSells things.\n",
        "src/cart.py": "def add(cart, item):\n    cart.append(item)\n",
        "docs/specs/checkout.md": "# Checkout\n\nPay, then ship.\n",
        ".context/decisions/0001-postgres.md": "# 1. PostgreSQL\n\nStatus: accepted\n",
        "docs/adr/0002-queue.md": "# 2. No queue\n\nStatus: accepted\n",
    }
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    for number, (name, text) in enumerate(files.items()):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
        if number % 2 == 0:
            git(path, "add", ".")
            git(path, "commit", "--quiet", "--message", f"Add {name}")
    return path


def git(path: Path, *arguments: str) -> str:
    person = {"GIT_AUTHOR_NAME": "Maria", "GIT_AUTHOR_EMAIL": "maria@acme.example"}
    person |= {"GIT_COMMITTER_NAME": "Maria", "GIT_COMMITTER_EMAIL": "maria@acme.example"}
    ran = subprocess.run(
        ["git", "-C", str(path), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **person, "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return ran.stdout


@dataclass
class Story:
    """A stack, a pull request on it, and eyes on both."""

    stack: RunningStack
    clients: Clients
    provider_log: Path
    slug: str
    state: Path
    sandbox_url: str
    number: int = 0
    _operator: psycopg.AsyncConnection[dict[str, Any]] | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open_pull_request(self, repository: Path) -> None:
        request = repository_service_pb2.RegisterRepositoryRequest(
            slug=self.slug, clone_url=str(repository), source_containers=[f"github:{self.slug}"]
        )
        await self.clients.repositories.RegisterRepository(request)
        await self.admin("POST", "repositories", {"repository": self.slug})
        opened = await self.admin(
            "POST", "pulls", {"repository": self.slug, "title": "Cart", "body": "Adds.", "author": "maria"}
        )
        self.number = opened["number"]

    async def admin(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        return await sandbox.call(self.sandbox_url, method, f"/_sandbox/github/{path}", body)

    async def comment(self, text: str, **more: object) -> dict[str, Any]:
        """A person comments; the answer says how the one delivery went."""
        body = {"repository": self.slug, "number": self.number, "author": "maria", "body": text, **more}
        return await self.admin("POST", "comments", body)

    async def thread(self) -> list[dict[str, Any]]:
        return (await self.admin("GET", f"threads/{self.slug}/{self.number}"))["comments"]

    async def posts(self) -> list[str]:
        """What the App said in the thread, in order."""
        return [each["body"] for each in await self.thread() if each["via_app"]]

    async def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Ask the record as an operator does."""
        async with self._asking:
            if self._operator is None or self._operator.closed:
                self._operator = await psycopg.AsyncConnection.connect(
                    self.stack.operator_database_url, row_factory=dict_row, autocommit=True
                )
            return await (await self._operator.execute(query, parameters)).fetchall()  # pyright: ignore[reportArgumentType]

    async def close(self) -> None:
        if self._operator is not None:
            await self._operator.close()

    async def settled(self, events: int = 1, patience: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Wait until this many events exist and nothing is open; returns the runs in thread order."""
        try:
            async with asyncio.timeout(patience):
                while (await self.rows(OPEN_WORK, events)) != [{"settled": True}]:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"still open: {await self.rows(STILL_OPEN)}") from None
        return await self.rows("SELECT * FROM task_runs ORDER BY thread_seq, model_alias")

    async def until(
        self, query: str, *parameters: object, patience: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until a query finds a row; returns it."""
        async with asyncio.timeout(patience):
            while not (found := await self.rows(query, *parameters)):
                await asyncio.sleep(0.05)
        return found[0]

    def provider_calls(self) -> int:
        return len(self.provider_log.read_text().splitlines()) if self.provider_log.exists() else 0


OPEN_WORK = """
SELECT (SELECT count(*) FROM thread_events) >= %s
   AND NOT EXISTS (SELECT FROM thread_events WHERE finished_time IS NULL)
   AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE status IN ('pending', 'leased'))
   AND NOT EXISTS (SELECT FROM task_runs WHERE status <> 'completed')
   AND NOT EXISTS (SELECT FROM spend_reservations WHERE status = 'open') AS settled
"""

STILL_OPEN = """
SELECT (SELECT count(*) FROM thread_events) AS events,
       (SELECT count(*) FROM thread_events WHERE finished_time IS NULL) AS unfinished_events,
       (SELECT array_agg(DISTINCT status || ' ' || outcome_reason) FROM webhook_deliveries) AS deliveries,
       (SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'leased')) AS live_deliveries,
       (SELECT array_agg(DISTINCT status) FROM task_runs) AS runs,
       (SELECT count(*) FROM task_runs WHERE status <> 'completed') AS open_runs,
       (SELECT count(*) FROM spend_reservations WHERE status = 'open') AS open_reservations
"""
