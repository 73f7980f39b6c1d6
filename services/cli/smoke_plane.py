"""Asking on Plane: a comment on a work item of the stand-in."""

from __future__ import annotations

from collections.abc import Sequence

from aucert.astra.v1.task_run_pb2 import TaskRun
from services.cli import sandbox
from services.cli.client import Clients
from services.cli.reporting import say
from services.cli.smoke_source import ASKER, Job, accepted, once, run_of, stand_in
from services.cli.state import RunningStack
from services.sandbox.plane_domain import stable_id

WORK_ITEM = "Carts are slow"


class PlaneSmoke:
    """A project is made for each repository, a work item for each run."""

    def containers(self, slug: str) -> Sequence[str]:
        """The project's id follows from its name, so it is known before there is a project."""
        return [f"plane:{stable_id('project', slug)}"]

    async def invite(self, stack: RunningStack, slug: str) -> str:
        """A work item to comment on."""
        made = await sandbox.call(stack.sandbox_url, "POST", "/_sandbox/plane/projects", {"name": slug})
        if not made["wired"]:
            return ""
        filed = await _file(stack, slug, "Try the agent")
        return f"Write `@atlas …` on {filed['permalink']}; it reads {slug}."

    async def ask(self, stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
        """File a work item and mention the bot below it."""
        url = stand_in(stack, "Plane")
        filed = await _file(stack, slug, WORK_ITEM)
        body = {"work_item": filed["work_item"], "author": ASKER, "text": f"@atlas {job.words}"}
        said = await sandbox.call(url, "POST", "/_sandbox/plane/comments", body)
        statuses = [accepted("Plane", each) for each in said["deliveries"] or [None]]
        say(f"{ASKER} commented on {filed['permalink']}; the webhook was answered {statuses}")
        return await run_of(clients, said["permalink"])

    async def check(self, stack: RunningStack, run: TaskRun) -> None:
        """The work item must hold the answer exactly once."""
        path = f"/_sandbox/plane/threads/{run.address.plane.work_item_id}"
        thread = await sandbox.call(stack.sandbox_url, "GET", path)
        once(run, [comment["permalink"] for comment in thread["comments"] if comment["by_app"]])


async def _file(stack: RunningStack, slug: str, name: str) -> dict[str, str]:
    body = {"project": slug, "name": name, "author": ASKER, "text": "Adding to a cart takes seconds."}
    return await sandbox.call(stack.sandbox_url, "POST", "/_sandbox/plane/work-items", body)
