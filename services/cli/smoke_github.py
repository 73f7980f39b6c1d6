"""Asking on GitHub: a comment on a pull request of the stand-in."""

from __future__ import annotations

from collections.abc import Sequence

from aucert.astra.v1.task_run_pb2 import TaskRun
from services.cli import sandbox
from services.cli.client import Clients
from services.cli.reporting import say
from services.cli.smoke_source import ASKER, Job, accepted, once, run_of, stand_in
from services.cli.state import RunningStack


class GitHubSmoke:
    """A repository and a pull request are made for each run."""

    def containers(self, slug: str) -> Sequence[str]:
        """The repository has its slug's name on the stand-in too."""
        return [f"github:{slug.lower()}"]

    async def invite(self, stack: RunningStack, slug: str) -> str:
        """A pull request to comment on."""
        number, wired = await _open_pull_request(stack.sandbox_url, slug)
        if not wired:
            return ""
        return f"Comment `@atlas …` on {stack.sandbox_url}/web/github/{slug}/pull/{number}; it reads {slug}."

    async def ask(self, stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
        """Comment on a new pull request."""
        url = stand_in(stack, "GitHub")
        number, _ = await _open_pull_request(url, slug)
        body = {"repository": slug, "number": number, "author": ASKER, "body": f"@atlas {job.words}"}
        comment = await sandbox.call(url, "POST", "/_sandbox/github/comments", body)
        status = accepted("GitHub", comment["delivery"])
        say(f"{ASKER} commented on {slug}#{number}; the webhook was answered {status}")
        return await run_of(clients, comment["html_url"])

    async def check(self, stack: RunningStack, run: TaskRun) -> None:
        """The thread must hold the answer exactly once."""
        github = run.address.github
        path = f"/_sandbox/github/threads/{github.repository}/{github.number}"
        thread = await sandbox.call(stack.sandbox_url, "GET", path)
        once(run, [comment["html_url"] for comment in thread["comments"] if comment["via_app"]])


async def _open_pull_request(url: str, slug: str) -> tuple[int, bool]:
    """Make the repository and a pull request; returns its number and whether webhooks lead here."""
    await sandbox.call(url, "POST", "/_sandbox/github/repositories", {"repository": slug})
    opened = await sandbox.call(
        url,
        "POST",
        "/_sandbox/github/pulls",
        {
            "repository": slug,
            "title": "Explain the design to newcomers",
            "body": "Newcomers ask how the parts fit together. Open questions are in the comments.",
            "author": ASKER,
        },
    )
    return int(opened["number"]), opened["delivery"] is not None
