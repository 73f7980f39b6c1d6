"""Asking in Google Drive: a comment on a document of the stand-in, about a passage of it."""

from __future__ import annotations

from collections.abc import Sequence

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.dispatcher.v1.drive_watch_service_pb2 import RegisterDriveWatchRequest
from services.cli import sandbox
from services.cli.client import Clients
from services.cli.reporting import say
from services.cli.smoke_source import ASKER, Job, accepted, once, run_of, stand_in
from services.cli.state import RunningStack
from services.sandbox.google_domain import file_id

PASSAGE = "The cart holds what a customer means to buy."


class GoogleDriveSmoke:
    """A document is made for each repository, a comment for each run."""

    def containers(self, slug: str) -> Sequence[str]:
        """The document's id follows from its name, so it is known before there is a document."""
        return [f"google-drive:file/{file_id(slug)}"]

    async def invite(self, stack: RunningStack, slug: str) -> str:
        """A document to comment on."""
        made = await sandbox.call(stack.sandbox_url, "POST", "/_sandbox/google-drive/files", {"name": slug})
        return f"Write `@atlas …` on {made['url']}; it reads {slug}." if made["wired"] else ""

    async def ask(self, stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
        """Comment on the document. A watch and an event both say that something happened: the run is one."""
        url = stand_in(stack, "Google Drive")
        await sandbox.call(url, "POST", "/_sandbox/google-drive/files", {"name": slug})
        watched = RegisterDriveWatchRequest(file_id=file_id(slug), public_base_url=stack.gateway_url)
        await clients.watches.RegisterDriveWatch(watched)
        body = {
            "file_id": file_id(slug),
            "author": ASKER,
            "content": f"@atlas {job.words}",
            "quoted": PASSAGE,
        }
        said = await sandbox.call(url, "POST", "/_sandbox/google-drive/comments", body)
        statuses = [accepted("Google Drive", each) for each in said["deliveries"] or [None]]
        say(f"{ASKER} commented at {said['link']}; watch and event were answered {statuses}")
        return await run_of(clients, said["link"])

    async def check(self, stack: RunningStack, run: TaskRun) -> None:
        """The thread must hold the answer exactly once."""
        drive = run.address.google_drive
        path = f"/_sandbox/google-drive/threads/{drive.file_id}/{drive.comment_id}"
        thread = await sandbox.call(stack.sandbox_url, "GET", path)
        once(run, [message["link"] for message in thread["messages"] if message["by_account"]])
