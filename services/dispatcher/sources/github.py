"""GitHub: which deliveries are genuine, whose turn they wait for, and which events they hold.

Everything here is a function of values. `classify` is told the agents and the registered repository; the
caller fetches them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from services.dispatcher.addressing import addressed_agent, asks_to_stop, model_tags, own_words
from services.dispatcher.domain import (
    Event,
    EventKind,
    Found,
    Ignored,
    IgnoredReason,
    Json,
    SourceName,
    ThreadRef,
)
from services.dispatcher.sources import github_payload
from services.dispatcher.sources.github_description import describe
from services.dispatcher.sources.github_payload import EVENT_HEADER, Act, ItemKind

DELIVERY_HEADER = "x-github-delivery"
PING = "ping"
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
MODELS_MAX = 8
MODELS_WITHOUT_STANDING_MAX = 1


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """Who we are on GitHub, to leave our own words alone. Empty: not configured as an App."""

    app_id: str = ""
    slug: str = ""


@dataclass(frozen=True, slots=True)
class RegisteredRepository:
    """The repository of this installation that an act is about. `open_to_all`: standing is not asked for."""

    repository_id: str
    open_to_all: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What classification must know besides the act. `handles`: lower-case handle to agent slug."""

    app: GitHubApp
    handles: Mapping[str, str]
    repository: RegisteredRepository | None


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the signature over the raw body was made with the secret. An empty secret proves nothing."""
    if not secret:
        return False
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers.get(SIGNATURE_HEADER, "").encode())


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
    words = own_words(act.text)
    agent = addressed_agent(words, around.handles)
    if _is_ours(act, around.app):
        return Ignored(IgnoredReason.SELF_AUTHORED)
    if act.author_is_bot:
        return Ignored(IgnoredReason.BOT_AUTHORED)
    if agent is None:
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    if around.repository is None:
        return Ignored(IgnoredReason.REPOSITORY_NOT_REGISTERED)
    has_standing = act.author.standing in STANDING
    if not has_standing and not around.repository.open_to_all:
        return Ignored(IgnoredReason.AUTHOR_WITHOUT_STANDING)
    stop = asks_to_stop(words, around.handles)
    return Found(
        event=_event(act, agent, around.repository, EventKind.STOP if stop else EventKind.MESSAGE),
        tags=model_tags(words),
        models_max=MODELS_MAX if has_standing else MODELS_WITHOUT_STANDING_MAX,
    )


def _is_ours(act: Act, app: GitHubApp) -> bool:
    by_app = bool(app.app_id) and act.app_id == app.app_id
    by_login = bool(app.slug) and act.author.login.lower() == f"{app.slug.lower()}[bot]"
    return by_app or by_login


def _event(act: Act, agent: str, repository: RegisteredRepository, kind: EventKind) -> Event:
    address = _address(act)
    return Event(
        key=f"github:{act.kind}/{act.item_id}",
        kind=kind,
        source=SourceName.GITHUB,
        agent_slug=agent,
        author=act.author,
        text=act.text,
        description=describe(act),
        address=address,
        thread=ThreadRef(
            source=SourceName.GITHUB,
            key=act.thread_key,
            address=address,
            workflow_path=workflow_path(act),
        ),
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
