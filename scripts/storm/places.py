"""Where people write, a class a source: how a thread is begun, gone on with, and read at the vendor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.cli import sandbox
from services.cli.smoke import SOURCES
from services.sandbox.google_domain import file_id

SLUG = "acme/storm"
CHANNEL = SLUG.replace("/", "-")
"""The repository everything belongs to, and the Slack channel that is named after it."""
DOCUMENTS = tuple(f"{SLUG}/{number}" for number in range(10))
"""Google tells of a document, not of a comment, so each one's deliveries wait for each other."""


CALL_SECONDS_MAX = 90.0
"""What a person does is answered once it was told; a vendor waits up to half a minute for each receiver."""


@dataclass(frozen=True, slots=True)
class Post:
    """What the agent wrote at the vendor."""

    url: str
    text: str


class Place(Protocol):
    """One source. `handle` is whatever the place knows a thread by."""

    name: str

    async def begin(self, title: str) -> Mapping[str, str]:
        """Open what a first comment needs, if anything; returns its handle."""
        ...

    async def say(self, handle: Mapping[str, str], text: str) -> tuple[Mapping[str, str], str]:
        """A person writes; returns the thread's handle from now on, and the comment's address."""
        ...

    async def posts(self, handle: Mapping[str, str]) -> Sequence[Post]:
        """What the agent wrote in the thread, in order."""
        ...


class _Vendor:
    def __init__(self, sandbox_url: str) -> None:
        self._sandbox_url = sandbox_url

    async def _call(self, method: str, path: str, **body: object) -> Any:
        where = f"/_sandbox/{path}"
        return await sandbox.call(self._sandbox_url, method, where, body or None, CALL_SECONDS_MAX)


class GitHub(_Vendor):
    """An issue a thread."""

    name = "github"

    async def begin(self, title: str) -> Mapping[str, str]:
        """An issue."""
        filed = await self._call(
            "POST", "github/issues", repository=SLUG, title=title, body="Seen today.", author="maria"
        )
        return {"number": str(filed["number"])}

    async def say(self, handle: Mapping[str, str], text: str) -> tuple[Mapping[str, str], str]:
        """A comment on it."""
        number = int(handle["number"])
        said = await self._call(
            "POST", "github/comments", repository=SLUG, number=number, author="maria", body=text
        )
        return handle, said["html_url"]

    async def posts(self, handle: Mapping[str, str]) -> Sequence[Post]:
        """The App's comments."""
        thread = await self._call("GET", f"github/threads/{SLUG}/{handle['number']}")
        return [Post(each["html_url"], each["body"]) for each in thread["comments"] if each["via_app"]]


class Slack(_Vendor):
    """A message in the channel and the replies below it."""

    name = "slack"

    async def begin(self, title: str) -> Mapping[str, str]:
        """Nothing: the first message is the thread."""
        del title
        return {}

    async def say(self, handle: Mapping[str, str], text: str) -> tuple[Mapping[str, str], str]:
        """A mention."""
        said = await self._call(
            "POST", "slack/messages", channel=CHANNEL, text=text, thread_ts=handle.get("ts", "")
        )
        return handle or {"channel": said["channel"], "ts": said["ts"]}, said["permalink"]

    async def posts(self, handle: Mapping[str, str]) -> Sequence[Post]:
        """The bot's messages."""
        thread = await self._call("GET", f"slack/threads/{handle['channel']}/{handle['ts']}")
        return [Post(each["permalink"], each["text"]) for each in thread["messages"] if each["by_app"]]


class GoogleDrive(_Vendor):
    """A comment on one of the documents, each in turn, and the replies below it."""

    name = "google-drive"

    def __init__(self, sandbox_url: str) -> None:
        super().__init__(sandbox_url)
        self._documents = itertools.cycle(DOCUMENTS)

    async def begin(self, title: str) -> Mapping[str, str]:
        """The document: the comment is the thread."""
        del title
        return {"file": file_id(next(self._documents))}

    async def say(self, handle: Mapping[str, str], text: str) -> tuple[Mapping[str, str], str]:
        """A comment, or a reply to it."""
        where = {"file_id": handle["file"], "author": "maria", "content": text}
        if "comment" in handle:
            said = await self._call("POST", "google-drive/replies", **where, comment_id=handle["comment"])
        else:
            said = await self._call("POST", "google-drive/comments", **where, quoted="the cart")
        return {**handle, "comment": said["comment_id"]}, said["link"]

    async def posts(self, handle: Mapping[str, str]) -> Sequence[Post]:
        """The account's replies."""
        thread = await self._call("GET", f"google-drive/threads/{handle['file']}/{handle['comment']}")
        return [Post(each["link"], each["content"]) for each in thread["messages"] if each["by_account"]]


class Plane(_Vendor):
    """A work item a thread."""

    name = "plane"

    async def begin(self, title: str) -> Mapping[str, str]:
        """A work item."""
        filed = await self._call("POST", "plane/work-items", project=SLUG, name=title, text="Seen today.")
        return {"item": filed["work_item"]}

    async def say(self, handle: Mapping[str, str], text: str) -> tuple[Mapping[str, str], str]:
        """A comment on it."""
        said = await self._call("POST", "plane/comments", work_item=handle["item"], text=text)
        return handle, said["permalink"]

    async def posts(self, handle: Mapping[str, str]) -> Sequence[Post]:
        """The bot's comments."""
        thread = await self._call("GET", f"plane/threads/{handle['item']}")
        return [Post(each["permalink"], each["text"]) for each in thread["comments"] if each["by_app"]]


def places(sandbox_url: str, names: Sequence[str]) -> list[Place]:
    """Those of these names."""
    return [PLACES[name](sandbox_url) for name in names]


PLACES: Mapping[str, Callable[[str], Place]] = {
    each.name: each for each in (GitHub, Slack, GoogleDrive, Plane)
}


async def furnish(sandbox_url: str) -> list[str]:
    """Make the repository, channel, documents and project that the places lie in; returns what they are
    called on an allow-list."""
    for path, body in (
        ("github/repositories", {"repository": SLUG}),
        ("slack/channels", {"name": CHANNEL}),
        ("plane/projects", {"name": SLUG}),
        *(("google-drive/files", {"name": name}) for name in DOCUMENTS),
    ):
        await sandbox.call(sandbox_url, "POST", f"/_sandbox/{path}", body)
    others = [SOURCES[name].containers(SLUG) for name in (GitHub.name, Slack.name, Plane.name)]
    return [
        *(each for containers in others for each in containers),
        *(f"google-drive:file/{file_id(name)}" for name in DOCUMENTS),
    ]
