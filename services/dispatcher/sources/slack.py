"""Slack: which deliveries are genuine, whose turn they wait for, and which events they hold.

An event leaves out who its author is and what was said before, a reaction even the words and the thread: once
an act is known to be for an agent, its thread is fetched. Everything outside `SlackSource` is a function of
values.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from services.dispatcher.domain import (
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
from services.dispatcher.raising import or_raise
from services.dispatcher.sources import slack_payload
from services.dispatcher.sources.slack_addressing import Asked, asked, may_ask, spoken
from services.dispatcher.sources.slack_description import describe
from services.dispatcher.sources.slack_payload import Act, ActKind
from services.dispatcher.sources.source import (
    Answered,
    Genuine,
    Refused,
    Verdict,
    off_reason,
    signature_invalid,
)

SIGNATURE_HEADER, TIME_HEADER = "x-slack-signature", "x-slack-request-timestamp"
KEPT_HEADERS = frozenset({"content-type", "x-slack-retry-num", "x-slack-retry-reason"})
AGE_SECONDS_MAX = 300
"""As Slack advises: an older signature is a replay."""
CHALLENGE_CHARS_MAX = 1_000
DIRECT_MESSAGES = "im"
"""Stands for every direct message of a workspace on the allow-list, as in `slack:t012abc/im`."""
_EVENT_ID = re.compile(r"[!-~]{1,200}")
STRANGER = Person(name="", standing=Standing.EXTERNAL, is_bot=False)


class SlackSource:
    """Events of our Slack app. `secret` is the app's signing secret; its token is not needed here."""

    def __init__(self, secret: str) -> None:
        self.state = SourceState(SourceName.SLACK, "Slack", off_reason({"SLACK_SIGNING_SECRET": secret}))
        self._secret = secret

    async def admit(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
        """Check signature and age; the challenge, sent when the address is set, is given back."""
        if not is_genuine(self._secret, headers, body):
            return signature_invalid("X-Slack-Signature")
        if not is_fresh(headers, now):
            detail = f"X-Slack-Request-Timestamp is more than {AGE_SECONDS_MAX} s away from our clock."
            return Refused(HTTPStatus.UNAUTHORIZED, "SIGNATURE_STALE", detail)
        payload = slack_payload.envelope(body)
        if payload.get("type") == "url_verification":
            challenge = str(payload.get("challenge", ""))[:CHALLENGE_CHARS_MAX]
            return Answered("text/plain", challenge.encode("utf-8", "replace"))
        external_id = _external_id(payload)
        if not _EVENT_ID.fullmatch(external_id):
            return Refused(HTTPStatus.BAD_REQUEST, "DELIVERY_ID_MISSING", "event_id is missing or odd.")
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        return Genuine(external_id, _order_key(external_id, slack_payload.read_envelope(payload)), kept)

    async def find(self, content: Content, lookups: Lookups) -> list[Found] | Ignored:
        """At most one event: Slack tells of one act at a time."""
        act = slack_payload.read(content.body)
        if isinstance(act, Ignored):
            return act
        handles = await lookups.handles(SourceName.SLACK)
        look = _reaction if act.kind is ActKind.REACTION else _message
        found = await look(act, handles, lookups)
        return found if isinstance(found, Ignored) else [found]


async def _message(act: Act, handles: Mapping[str, str], lookups: Lookups) -> Found | Ignored:
    """Most messages are for nobody: the vendor is asked about those that are."""
    in_thread = bool(act.thread_ts) or act.is_direct
    thread_agent = await lookups.agent_of(SourceName.SLACK, act.thread_key) if in_thread else None
    request = asked(act, handles, thread_agent)
    if request is None:
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    repository = await _repository(act, lookups)
    if repository is None:
        return Ignored(IgnoredReason.CONTAINER_NOT_REGISTERED)
    talk = await lookups.talk(_address(act), [act.user_id])
    return classify(act, request, repository, talk)


async def _reaction(act: Act, handles: Mapping[str, str], lookups: Lookups) -> Found | Ignored:
    """The thread of a reaction is known only once it is fetched, and with it who is asked."""
    if not may_ask(act, handles):
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    repository = await _repository(act, lookups)
    if repository is None:
        return Ignored(IgnoredReason.CONTAINER_NOT_REGISTERED)
    talk = await lookups.talk(_address(act), [act.user_id])
    request = asked(act, handles, await lookups.agent_of(SourceName.SLACK, thread_key(act, talk)))
    if request is None:
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    return classify(act, request, repository, talk)


async def _repository(act: Act, lookups: Lookups) -> RegisteredRepository | None:
    for name in containers(act):
        if found := await lookups.repository_of(name):
            return found
    return None


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether time and raw body were signed with the secret. An empty secret proves nothing."""
    if not secret:
        return False
    signed = b"v0:" + headers.get(TIME_HEADER, "").encode() + b":" + body
    expected = "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers.get(SIGNATURE_HEADER, "").encode())


def is_fresh(headers: Mapping[str, str], now: datetime) -> bool:
    """Whether it was signed within AGE_SECONDS_MAX of now."""
    told = headers.get(TIME_HEADER, "")
    known = told.isascii() and told.isdecimal() and len(told) <= 15
    return known and abs(now.timestamp() - int(told)) <= AGE_SECONDS_MAX


def order_key(external_id: str, body: bytes) -> str:
    """The thread a delivery belongs to; its own id where it tells of none, so that it waits for nobody."""
    return _order_key(external_id, slack_payload.read(body))


def _order_key(external_id: str, act: Act | Ignored) -> str:
    return f"delivery/{external_id}" if isinstance(act, Ignored) else f"slack/{act.thread_key}"


def containers(act: Act) -> list[str]:
    """How the place is named on the allow-list, the closest name first."""
    names = [f"slack:{act.team_id}/{act.channel_id}".lower()]
    return [*names, f"slack:{act.team_id}/{DIRECT_MESSAGES}".lower()] if act.is_direct else names


def thread_key(act: Act, talk: Talk) -> str:
    """The thread of an act by its first message, which an event need not tell."""
    root_ts = talk.messages[0].external_id if talk.messages else act.thread_ts or act.ts
    return f"{act.team_id}/{act.channel_id}/{root_ts}"


def classify(act: Act, request: Asked, repository: RegisteredRepository, talk: Talk) -> Found | Ignored:
    """The event in an act that is for an agent, or why it starts nothing."""
    author = talk.people.get(act.user_id, STRANGER)
    item = next((each for each in talk.messages if each.external_id == act.ts), None)
    if author.is_bot:
        return Ignored(IgnoredReason.BOT_AUTHORED)
    has_standing = author.standing is Standing.MEMBER
    if not has_standing and not repository.open_to_all:
        return Ignored(IgnoredReason.AUTHOR_WITHOUT_STANDING)
    if item is None:
        return Ignored(IgnoredReason.ITEM_GONE)
    if request.command is Command.RESOLVE and talk.resolved:
        return Ignored(IgnoredReason.ALREADY_RESOLVED)
    words = spoken(act.text) if act.kind is ActKind.MESSAGE else ""  # a reaction is about others' words
    return Found(
        event=or_raise(_event(act, request, repository, talk, item, author), words),
        tags=request.tags,
        models_max=MODELS_MAX if has_standing else MODELS_WITHOUT_STANDING_MAX,
    )


def event_key(act: Act) -> str:
    """The name of an act for good: `app_mention` and `message` tell of one and the same.

    A reaction is one act whoever adds it too; a stop is one each time.
    """
    key = f"slack:{act.team_id}/{act.channel_id}/{act.ts}"
    if act.kind is ActKind.MESSAGE:
        return key
    return f"{key}/{act.reaction}"


def _event(
    act: Act, request: Asked, repository: RegisteredRepository, talk: Talk, item: Said, author: Person
) -> Event:
    stop = request.command is Command.STOP
    key = thread_key(act, talk)
    return Event(
        key=f"{event_key(act)}/{act.event_ts}" if stop and act.reaction else event_key(act),
        kind=EventKind.STOP if stop else EventKind.MESSAGE,
        source=SourceName.SLACK,
        agent_slug=request.agent,
        author=Author(
            login=author.name,
            external_id=act.user_id,
            standing=author.standing,
            trusted=author.standing is Standing.MEMBER,
        ),
        text=item.text,
        description=describe(act, talk, item, author, resolve=request.command is Command.RESOLVE),
        address=talk.address,
        thread=ThreadRef(
            source=SourceName.SLACK, key=key, address=talk.address, workflow_path=f"slack/{key}"
        ),
        operation=request.command.operation if request.command else OPERATION_DEFAULT,
        repository_id=repository.repository_id,
        source_url=item.url,
    )


def _address(act: Act) -> Json:
    """ThreadAddress as JSON, as far as the event tells it."""
    return {
        "slack": {
            "team_id": act.team_id,
            "channel_id": act.channel_id,
            "thread_ts": act.thread_ts or act.ts,
            "item_ts": act.ts,
        }
    }


def _external_id(payload: Mapping[str, object]) -> str:
    if payload.get("type") == slack_payload.RATE_LIMITED:
        minute = payload.get("minute_rate_limited")
        return f"{slack_payload.RATE_LIMITED}/{payload.get('team_id')}/{minute}"
    event_id = payload.get("event_id")
    return event_id if isinstance(event_id, str) else ""
