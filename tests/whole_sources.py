"""The sources as the dispatcher has them, between lookups by which as much as possible gets through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from gateway.webhooks import ALIASES
from services.dispatcher import convert
from services.dispatcher.domain import (
    Content,
    Found,
    Ignored,
    Json,
    Person,
    RegisteredRepository,
    Said,
    Standing,
    Talk,
)
from services.dispatcher.lookups import Lookups
from services.dispatcher.sources.github import GitHubApp, GitHubSource
from services.dispatcher.sources.google_drive import GoogleDriveSource
from services.dispatcher.sources.google_events import GoogleEventsSource
from services.dispatcher.sources.plane import PlaneSource
from services.dispatcher.sources.slack import SlackSource
from services.dispatcher.sources.source import Answered, Genuine, Refused, Source
from tests import google_payloads
from tests.webhook_routes import SECRET, Sent


class Keys:
    """Google's keys, known."""

    async def key(self, _key_id: str) -> str:
        return google_payloads.public_key_pem()


SOURCES: Mapping[str, Source] = {
    "github": GitHubSource(GitHubApp("770001", "astra-atlas"), SECRET),
    "slack": SlackSource(SECRET),
    "plane": PlaneSource(SECRET),
    "google-drive": GoogleDriveSource(SECRET),
    "google-events": GoogleEventsSource(
        google_payloads.AUDIENCE, google_payloads.PUSHER, cast("Any", Keys())
    ),
}


@dataclass(frozen=True, slots=True)
class EverythingIsThere:
    """Everybody may ask, everything is registered; what is fetched says `text`."""

    text: str = "@atlas why?"
    thread_agent: str | None = "atlas"
    known_handles: Mapping[str, str] = field(default_factory=lambda: {"atlas": "atlas"})

    async def handles(self, _source: str) -> dict[str, str]:
        return dict(self.known_handles)

    async def repository_of(self, _container: str) -> RegisteredRepository:
        return RegisteredRepository("repository", open_to_all=True)

    async def agent_of(self, _source: str, thread_key: str) -> str | None:
        assert storable(thread_key)
        return self.thread_agent

    async def containers(self, _source: str) -> list[str]:
        return ["plane:45b87d89-0ce0-4d6f-8903-4070f1c67f1b"]

    async def read(self, _source: str, container: str, *, told_time: datetime) -> None:
        assert storable(container)

    async def talk(self, address: Json, person_ids: Sequence[str], places: Sequence[str] = ()) -> Talk:
        thread = convert.address_to_proto(address)
        if places:  # a comment of Plane's that did not say where it is
            thread.plane.project_id = places[0]
        item = thread.slack.item_ts or thread.plane.comment_id or thread.plane.work_item_id
        item = item or str(thread.github.item_id)
        people = {each: Person("maria", Standing.MEMBER, is_bot=False) for each in person_ids}
        said = Said(item, "maria", ours=False, text=self.text, url="https://vendor.example/1")
        return Talk(address=convert.address_from_proto(thread), messages=(said,), left_out=0, people=people)


async def admit(sent: Sent) -> Genuine | Answered | Refused:
    """What its source makes of a webhook at the door."""
    source = ALIASES.get(sent.source, sent.source)
    headers = {name.lower(): value for name, value in sent.headers.items()}
    return await SOURCES[source].admit(headers, sent.body, now=datetime.now(UTC))


async def found_in(
    source: str, headers: Mapping[str, str], body: bytes, around: EverythingIsThere | None = None
) -> list[Found] | Ignored:
    """The events in a kept delivery."""
    lookups = cast("Lookups", around or EverythingIsThere())
    return await SOURCES[source].find(Content(headers, body, datetime.now(UTC)), lookups)


def check(found: list[Found] | Ignored) -> None:
    """What was found must be fit to be recorded and handed on."""
    for each in found if isinstance(found, list) else ():
        event = each.event
        assert event.thread is not None
        assert storable(event.key)
        assert storable(event.thread.workflow_path)
        for text in (event.text, event.description, event.author.login, event.source_url):
            assert "\0" not in text.encode().decode()
            assert len(text) <= 65_536
        convert.address_to_proto(event.address)


def storable(text: str) -> bool:
    """Whether PostgreSQL takes it, in a key too."""
    return "\0" not in text and len(text.encode()) <= 2_000
