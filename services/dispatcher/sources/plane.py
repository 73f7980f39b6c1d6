"""Plane: which deliveries are genuine, whose turn they wait for, and which events they hold.

A webhook never says what its author is to the workspace, and the second generation leaves out nearly all
else: once an act may be for an agent, its work item is fetched. Everything outside `PlaneSource` is a
function of values.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from datetime import datetime

from services.common.caller import caller_or_none
from services.dispatcher.addressing import addressed_agent, command, model_tags, own_words
from services.dispatcher.domain import (
    AGENT_DEFAULT,
    MODELS_MAX,
    MODELS_WITHOUT_STANDING_MAX,
    OPERATION_DEFAULT,
    Author,
    Command,
    Content,
    Event,
    EventKind,
    Found,
    Ignored,
    IgnoredReason,
    Json,
    Person,
    RegisteredRepository,
    Said,
    SourceName,
    SourceState,
    Standing,
    Talk,
    ThreadRef,
)
from services.dispatcher.lookups import Lookups
from services.dispatcher.sources import plane_payload
from services.dispatcher.sources.plane_description import describe
from services.dispatcher.sources.plane_payload import Act
from services.dispatcher.sources.source import Genuine, Verdict, off_reason, signature_invalid

SIGNATURE_HEADER = "x-plane-signature"
KEPT_HEADERS = frozenset({"content-type", "x-plane-delivery", "x-plane-event"})
PROJECTS_MAX = 50
"""Registered projects that a comment without one is looked for in."""
PERSONS_MAX = 10
"""Of the author and agents' accounts, so many are asked about."""
OUR_ID_SECONDS = 600.0
"""How long we take an account for ours: a tenant may put another key in the vault."""
OUR_IDS_MAX = 10_000
_EVENT_ID = re.compile(r"[!-~]{1,200}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MENTIONED = re.compile(r'entity_identifier="([0-9a-f-]{36})"')


class PlaneSource:
    """A webhook of one workspace. `secret` is the webhook's; the API key is not needed here."""

    def __init__(self, secret: str) -> None:
        self.state = SourceState(SourceName.PLANE, "Plane", off_reason({"PLANE_WEBHOOK_SECRET": secret}))
        self._secret = secret
        self._our_ids: dict[str, tuple[float, str]] = {}  # by tenant; known once a work item was fetched

    async def admit(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
        """Check the signature. Plane signs no time, so `now` says nothing."""
        del now
        if not is_genuine(self._secret, headers, body):
            return signature_invalid("X-Plane-Signature")
        external_id = delivery_name(body)
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        return Genuine(external_id, order_key(external_id, body), kept)

    async def find(self, content: Content, lookups: Lookups) -> list[Found] | Ignored:
        """At most one event: a webhook tells of one act."""
        act = plane_payload.read(content.body)
        if isinstance(act, Ignored):
            return act
        our_id = self._our_id()
        if act.author_id == our_id:  # each answer of ours comes back: nothing is asked for it
            return Ignored(IgnoredReason.SELF_AUTHORED)
        handles = await lookups.handles(SourceName.PLANE)
        if not may_ask(act, handles, our_id):
            return Ignored(IgnoredReason.NOT_ADDRESSED)
        repository = await lookups.repository_of(container(act.project_id)) if act.project_id else None
        places = [] if act.project_id else await _places(lookups)
        if repository is None and not places:
            return Ignored(IgnoredReason.CONTAINER_NOT_REGISTERED)
        persons = [act.author_id, *filter(_UUID.fullmatch, handles)][:PERSONS_MAX]
        talk = await lookups.talk(address(act), persons, places)
        self._remember(next((key for key, person in talk.people.items() if person.ours), ""))
        if places and (project_id := project_of(talk)):
            repository = await lookups.repository_of(container(project_id))
        if repository is None:
            return Ignored(IgnoredReason.CONTAINER_NOT_REGISTERED)
        found = classify(act, handles, repository, talk)
        return found if isinstance(found, Ignored) else [found]

    def _our_id(self) -> str:
        """The account the tenant's agents write as. Empty: not known."""
        until, known = self._our_ids.get(_tenant_id(), (0.0, ""))
        return known if until > time.monotonic() else ""

    def _remember(self, our_id: str) -> None:
        if len(self._our_ids) >= OUR_IDS_MAX:
            self._our_ids.clear()
        if our_id:
            self._our_ids[_tenant_id()] = (time.monotonic() + OUR_ID_SECONDS, our_id)


def _tenant_id() -> str:
    caller = caller_or_none()
    return caller.tenant_id if caller else ""


async def _places(lookups: Lookups) -> list[str]:
    """The registered projects, in which a work item without one may be."""
    registered = [each.partition(":")[2] for each in await lookups.containers(SourceName.PLANE)]
    return list(filter(_UUID.fullmatch, registered))[:PROJECTS_MAX]


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the signature over the raw body was made with the secret. An empty secret proves nothing."""
    if not secret:
        return False
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers.get(SIGNATURE_HEADER, "").encode())


def delivery_name(body: bytes) -> str:
    """The second generation's event id; the first has none, but repeats the very same bytes."""
    event_id = plane_payload.envelope(body).get("event_id")
    if isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id):
        return event_id
    return f"sha256/{hashlib.sha256(body).hexdigest()}"


def order_key(external_id: str, body: bytes) -> str:
    """The thread a delivery belongs to; its own id where it tells of none, so that it waits for nobody."""
    act = plane_payload.read(body)
    return f"delivery/{external_id}" if isinstance(act, Ignored) else f"plane/{act.thread_key}"


def container(project_id: str) -> str:
    """How a project is named on the allow-list."""
    return f"plane:{project_id}"


def project_of(talk: Talk) -> str:
    """Where a fetched work item is. Empty: in no registered project."""
    thread = talk.address.get("plane")
    return str(thread.get("project_id", "")) if isinstance(thread, dict) else ""


def may_ask(act: Act, handles: Mapping[str, str], our_id: str) -> bool:
    """Whether the words could name an agent. `our_id`: the account we write as; empty: not known yet."""
    if act.markup is None:
        return True
    mentioned = {*_MENTIONED.findall(act.markup)}
    if mentioned and (not our_id or our_id in mentioned or mentioned & handles.keys()):
        return True
    words = act.markup.lower()
    return any(f"{sign}{name}" in words for name in handles for sign in "@/")


def names(handles: Mapping[str, str], talk: Talk) -> dict[str, str]:
    """The handles, with the names people see of the accounts among them, and of our own."""
    accounts = {
        person.name.lower(): handles.get(key) or AGENT_DEFAULT
        for key, person in talk.people.items()
        if person.name and (person.ours or key in handles)
    }
    return {**accounts, **handles}


def classify(
    act: Act, handles: Mapping[str, str], repository: RegisteredRepository, talk: Talk
) -> Found | Ignored:
    """The event in an act, or why it starts nothing.

    Our own words and those of other programs come first: they must not start anything whatever they say.
    """
    author = author_of(act, talk)
    item = next((each for each in talk.messages if each.external_id == act.item_id), None)
    if author.ours or (item and item.ours) or act.author_id in handles:  # an agent's account is a member's
        return Ignored(IgnoredReason.SELF_AUTHORED)
    if author.is_bot:
        return Ignored(IgnoredReason.BOT_AUTHORED)
    if item is None:
        return Ignored(IgnoredReason.ITEM_GONE)
    words, known = own_words(item.text), names(handles, talk)
    agent = addressed_agent(words, known)
    if agent is None:
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    has_standing = author.standing is Standing.MEMBER
    if not has_standing and not repository.open_to_all:
        return Ignored(IgnoredReason.AUTHOR_WITHOUT_STANDING)
    return Found(
        event=_event(act, agent, repository, talk, item, command(words, known)),
        tags=model_tags(words),
        models_max=MODELS_MAX if has_standing else MODELS_WITHOUT_STANDING_MAX,
    )


def author_of(act: Act, talk: Talk) -> Person:
    """Whoever is not among the workspace's members is an outsider without a name."""
    stranger = Person(name=act.author_id, standing=Standing.EXTERNAL, is_bot=False)
    return talk.people.get(act.author_id, stranger)


def event_key(act: Act) -> str:
    """The name of an act for good, in both generations."""
    return f"plane:{'comment' if act.comment_id else 'work-item'}/{act.item_id}"


def address(act: Act) -> Json:
    """ThreadAddress as JSON, as far as the webhook tells it."""
    return {
        "plane": {
            "workspace_id": act.workspace_id,
            "project_id": act.project_id,
            "work_item_id": act.work_item_id,
            "comment_id": act.comment_id,
        }
    }


def _event(
    act: Act, agent: str, repository: RegisteredRepository, talk: Talk, item: Said, asked: Command | None
) -> Event:
    author = author_of(act, talk)
    return Event(
        key=event_key(act),
        kind=EventKind.STOP if asked is Command.STOP else EventKind.MESSAGE,
        source=SourceName.PLANE,
        agent_slug=agent,
        author=Author(
            login=author.name,
            external_id=act.author_id,
            standing=author.standing,
            trusted=author.standing is Standing.MEMBER,
        ),
        text=item.text,
        description=describe(act, talk, item, author, resolve=asked is Command.RESOLVE),
        address=talk.address,
        thread=ThreadRef(
            source=SourceName.PLANE,
            key=act.thread_key,
            address=talk.address,
            workflow_path=f"plane/{act.thread_key}",
        ),
        operation=asked.operation if asked else OPERATION_DEFAULT,
        repository_id=repository.repository_id,
        source_url=item.url,
    )
