"""GitHub: which deliveries are genuine, whose turn they wait for, and which events they hold.

A webhook tells all there is to know of an act, so only the agents and the registered repository are looked
up; where an agent was called into the thread before, what was said there since is fetched. Everything outside
`GitHubSource` and `_talk` is a function of values.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus

import grpc

from services.common.errors import Exhausted, Unavailable, from_rpc
from services.dispatcher.addressing import addressed_agent, command, model_tags, own_words
from services.dispatcher.domain import (
    MODELS_MAX,
    MODELS_WITHOUT_STANDING_MAX,
    OPERATION_DEFAULT,
    Command,
    Content,
    Event,
    EventKind,
    Found,
    Ignored,
    IgnoredReason,
    Json,
    RegisteredRepository,
    SourceName,
    SourceState,
    Talk,
    ThreadRef,
)
from services.dispatcher.lookups import Lookups
from services.dispatcher.raising import or_raise
from services.dispatcher.sources import github_payload
from services.dispatcher.sources.github_description import describe
from services.dispatcher.sources.github_payload import EVENT_HEADER, Act, ItemKind
from services.dispatcher.sources.source import (
    Answered,
    Genuine,
    Refused,
    Verdict,
    off_reason,
    signature_invalid,
)

DELIVERY_HEADER = "x-github-delivery"
DELIVERY_ID_CHARS_MAX = 200
PING = "ping"
PONG = Answered("application/json", b'{"pong": true}')
SIGNATURE_HEADER = "x-hub-signature-256"
KEPT_HEADERS = frozenset(
    {
        EVENT_HEADER,
        DELIVERY_HEADER,
        "x-github-hook-id",
        "x-github-hook-installation-target-id",
        "content-type",
    }
)
STANDING = frozenset({"OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR"})
"""Associations whose authors may start runs anywhere; all others need the open start policy."""
TRUSTED = STANDING - {"CONTRIBUTOR"}
"""Associations that somebody of the repository gave: a merged change alone opens no other repository."""


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """Who we are on GitHub, to leave our own words alone. Empty: not configured as an App."""

    app_id: str = ""
    slug: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What classification must know besides the act. `handles`: lower-case handle to agent slug.

    `thread_agent`: the agent called into the act's thread. None: nobody was. `talk`: what was said there
    before, where an agent was.
    """

    app: GitHubApp
    handles: Mapping[str, str]
    repository: RegisteredRepository | None
    thread_agent: str | None = None
    talk: Talk | None = None


class GitHubSource:
    """GitHub's webhooks to our App. `secret` is the webhooks'; the App's private key is not needed here."""

    def __init__(self, app: GitHubApp, secret: str) -> None:
        missing = off_reason({"GITHUB_WEBHOOK_SECRET": secret, "GITHUB_APP_ID": app.app_id})
        self.state = SourceState(SourceName.GITHUB, "GitHub", missing)
        self._app = app
        self._secret = secret

    async def admit(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
        """Check the signature; a ping needs no keeping. GitHub signs no time, so `now` says nothing."""
        del now
        if not is_genuine(self._secret, headers, body):
            return signature_invalid("X-Hub-Signature-256")
        if headers.get(EVENT_HEADER) == PING:
            return PONG
        external_id = headers.get(DELIVERY_HEADER, "")
        if not 0 < len(external_id) <= DELIVERY_ID_CHARS_MAX:
            detail = "X-GitHub-Delivery is missing or too long."
            return Refused(HTTPStatus.BAD_REQUEST, "DELIVERY_ID_MISSING", detail)
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        return Genuine(external_id, order_key(headers, body), kept)

    async def find(self, content: Content, lookups: Lookups) -> list[Found] | Ignored:
        """At most one event: a webhook tells of one act."""
        act = read(content.headers, content.body)
        if isinstance(act, Ignored):
            return act
        if unread := by_a_machine(act, self._app):  # each answer of ours comes back: nothing is asked for it
            return unread
        handles, repository, thread_agent = await asyncio.gather(
            lookups.handles(SourceName.GITHUB),
            lookups.repository_of(container(act)),
            lookups.agent_of(SourceName.GITHUB, act.thread_key),
        )
        around = Surroundings(self._app, handles, repository, thread_agent)
        found = classify(act, around)
        if isinstance(found, Ignored):
            return found
        if thread_agent and found.event.kind is EventKind.MESSAGE:
            found = classify(act, replace(around, talk=await _talk(act, lookups)))
        return found if isinstance(found, Ignored) else [found]


async def _talk(act: Act, lookups: Lookups) -> Talk | None:
    """What was said in the act's thread. None: it cannot be read; the act counts all the same.

    Raises what Astra's services raise where that will pass.
    """
    if act.resolved:
        return Talk(address={}, messages=act.said, left_out=0, people={})
    try:
        return await lookups.talk(_address(act), [])
    except grpc.aio.AioRpcError as error:
        if isinstance(from_rpc(error), Unavailable | Exhausted):
            raise
        return None


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the signature over the raw body was made with the secret. An empty secret proves nothing."""
    if not secret:
        return False
    return hmac.compare_digest(signature(secret, body).encode(), headers.get(SIGNATURE_HEADER, "").encode())


def signature(secret: str, body: bytes) -> str:
    """What GitHub sends as SIGNATURE_HEADER with this body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def order_key(headers: Mapping[str, str], body: bytes) -> str:
    """The thread a delivery belongs to; its own id where it tells of none, so that it waits for nobody."""
    act = read(headers, body)
    return f"delivery/{headers[DELIVERY_HEADER]}" if isinstance(act, Ignored) else workflow_path(act)


def read(headers: Mapping[str, str], body: bytes) -> Act | Ignored:
    """What a person wrote, or why the delivery is nothing to look at."""
    return github_payload.read(headers, body)


def workflow_path(act: Act) -> str:
    """What follows the tenant's slug in the workflow id of the act's thread."""
    return f"github/{act.thread_key}"


def container(act: Act) -> str:
    """How the repository is named on the allow-list."""
    return f"github:{act.repository}".lower()


def classify(act: Act, around: Surroundings) -> Found | Ignored:
    """The event in an act, or why it starts nothing.

    Our own words and those of other bots come first: they must not start anything whatever they say.
    """
    if unread := by_a_machine(act, around.app):
        return unread
    words = own_words(act.text)
    agent = around.thread_agent if act.resolved else addressed_agent(words, around.handles)
    if agent is None:
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    if around.repository is None:
        return Ignored(IgnoredReason.REPOSITORY_NOT_REGISTERED)
    has_standing = act.author.standing in STANDING
    if not has_standing and not around.repository.open_to_all:
        return Ignored(IgnoredReason.AUTHOR_WITHOUT_STANDING)
    asked = Command.RESOLVE if act.resolved else command(words, around.handles)
    return Found(
        event=or_raise(_event(act, agent, around.repository, asked, around.talk), words),
        tags=model_tags(words),
        models_max=MODELS_MAX if has_standing else MODELS_WITHOUT_STANDING_MAX,
    )


def by_a_machine(act: Act, app: GitHubApp) -> Ignored | None:
    """Whether we ourselves or another bot wrote it; None: a person did."""
    if _is_ours(act, app):
        return Ignored(IgnoredReason.SELF_AUTHORED)
    return Ignored(IgnoredReason.BOT_AUTHORED) if act.author_is_bot else None


def _is_ours(act: Act, app: GitHubApp) -> bool:
    by_app = bool(app.app_id) and act.app_id == app.app_id
    by_login = bool(app.slug) and act.author.login.lower() == f"{app.slug.lower()}[bot]"
    return by_app or by_login


def _event(
    act: Act, agent: str, repository: RegisteredRepository, asked: Command | None, talk: Talk | None
) -> Event:
    address = _address(act)
    return Event(
        key=act.key,
        kind=EventKind.STOP if asked is Command.STOP else EventKind.MESSAGE,
        source=SourceName.GITHUB,
        agent_slug=agent,
        author=replace(act.author, trusted=act.author.standing in TRUSTED),
        text=act.text,
        description=describe(act, talk, resolve=asked is Command.RESOLVE),
        address=address,
        thread=ThreadRef(
            source=SourceName.GITHUB,
            key=act.thread_key,
            address=address,
            workflow_path=workflow_path(act),
        ),
        operation=asked.operation if asked else OPERATION_DEFAULT,
        repository_id=repository.repository_id,
        source_url=act.url,
    )


def _address(act: Act) -> Json:
    """ThreadAddress as JSON, in which 64-bit numbers are strings."""
    return {
        "github": {
            "repository": act.repository,
            "repository_id": str(act.repository_id),
            "number": act.number,
            "review_comment_id": str(act.review_comment_id),
            "installation_id": str(act.installation_id),
            "item_kind": _ITEM_KINDS[act.kind],
            "item_id": str(act.item_id),
        }
    }


_ITEM_KINDS = {kind: f"GIT_HUB_ITEM_KIND_{kind.name}" for kind in ItemKind}
