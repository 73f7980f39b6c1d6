"""Asking on Slack: a mention in a channel of the stand-in."""

from __future__ import annotations

from collections.abc import Sequence

from aucert.astra.v1.task_run_pb2 import TaskRun
from services.cli import sandbox
from services.cli.client import Clients
from services.cli.reporting import say
from services.cli.smoke_source import ASKER, Job, accepted, once, run_of, stand_in
from services.cli.state import RunningStack
from services.sandbox.settings import SlackSettings
from services.sandbox.slack_domain import channel_id


class SlackSmoke:
    """A channel is made for each repository, a thread for each run."""

    def containers(self, slug: str) -> Sequence[str]:
        """The channel's id follows from its name, so it is known before there is a channel."""
        return [f"slack:{SlackSettings().team_id}/{channel_id(_channel(slug))}".lower()]

    async def invite(self, stack: RunningStack, slug: str) -> str:
        """A channel to write in."""
        body = {"name": _channel(slug)}
        made = await sandbox.call(stack.sandbox_url, "POST", "/_sandbox/slack/channels", body)
        if not made["wired"]:
            return ""
        page = f"{stack.sandbox_url}/web/slack/archives/{made['id']}"
        return f"Write `@atlas …` on {page}; it reads {slug}."

    async def ask(self, stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
        """Mention the bot in the channel. Two events tell of it: the run is one."""
        body = {"channel": _channel(slug), "author": ASKER, "text": f"@atlas {job.words}"}
        url = stand_in(stack, "Slack")
        said = await sandbox.call(url, "POST", "/_sandbox/slack/messages", body)
        statuses = [accepted("Slack", each) for each in said["deliveries"] or [None]]
        say(f"{ASKER} wrote in #{_channel(slug)}; the events were answered {statuses}")
        return await run_of(clients, said["permalink"])

    async def check(self, stack: RunningStack, run: TaskRun) -> None:
        """The thread must hold the answer exactly once."""
        slack = run.address.slack
        path = f"/_sandbox/slack/threads/{slack.channel_id}/{slack.thread_ts}"
        thread = await sandbox.call(stack.sandbox_url, "GET", path)
        once(run, [message["permalink"] for message in thread["messages"] if message["by_app"]])


def _channel(slug: str) -> str:
    """A channel's name for a repository, in the letters Slack allows."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in slug.lower())[:80]
