"""Plane's webhooks: what each generation tells, how it is signed, and when it is sent again.

The first generation takes any HTTP answer as delivered, even 500: only what nobody answered is tried again.
The second takes 2xx, does not repeat after 4xx, and repeats the rest. Both name each attempt anew, and after
the last one switch the webhook off: what happens from then on is told to nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from services.sandbox.plane_domain import Comment, Person, WorkItem, stable_id
from services.sandbox.plane_state import PlaneState
from services.sandbox.plane_wire import JsonObject, PlaneWire
from services.sandbox.settings import PlaneSettings
from services.sandbox.webhooks import Courier, Delivery, Letter

VENDOR = "plane"
TOLD = ("name", "description_html", "priority", "state")
"""Fields of a work item whose changes are told."""
RECEIVER_SECONDS_MAX = 30.0
"""How long Plane waits for the receiver's answer."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell. `guid` is the second generation's event id; the first has none to show."""

    guid: str
    event: str
    body: JsonObject


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Plane-Signature`, over the raw bytes sent."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class PlaneHooks:
    """Writes the notices and sees to their repeats."""

    def __init__(self, settings: PlaneSettings, state: PlaneState, courier: Courier) -> None:
        self._url = settings.webhook_url
        self._settings = settings
        self._state = state
        self._wire = PlaneWire(state)
        self._courier = courier
        self._webhook_id = stable_id("webhook", settings.workspace)
        self.version = settings.webhook_version

    @property
    def url(self) -> str:
        """Where notices go; empty: nowhere, or no longer."""
        return self._url

    def direct_to(self, url: str) -> None:
        """Send notices there from now on; switches the webhook on again."""
        self._url = url

    def item_created(self, item: WorkItem) -> list[Notice]:
        """A work item was filed."""
        if self.version == "v2":
            return [self._v2("workitem.created", item.id, "issue", self._wire.item_told_v2(item))]
        return [self._v1("issue", "created", self._wire.item_told(item), item.by)]

    def item_changed(self, before: WorkItem, after: WorkItem, by: Person) -> list[Notice]:
        """Fields were changed. The first generation tells of them one by one."""
        shown = [self._wire.item(each) for each in (before, after)]
        changes = [
            (name, shown[0][name], shown[1][name]) for name in TOLD if shown[0][name] != shown[1][name]
        ]
        if self.version == "v2":
            previous: JsonObject = {name: old for name, old, _ in changes}
            told = self._wire.item_told_v2(after)
            return [self._v2("workitem.updated", after.id, "issue", told, previous)]
        return [self._v1("issue", "updated", self._wire.item_told(after), by, change) for change in changes]

    def comment_created(self, comment: Comment) -> list[Notice]:
        """A comment was written, perhaps by us: Plane tells that too."""
        if self.version == "v2":
            return [self._comment_v2("created", comment, self._wire.comment_told_v2(comment))]
        return [self._v1("issue_comment", "created", self._wire.comment(comment), comment.by)]

    def comment_changed(self, before: Comment, after: Comment | None) -> list[Notice]:
        """An edit, or with nothing after it a deletion, which the first generation does not tell of."""
        if self.version == "v2":
            told = self._wire.comment_told_v2(after) if after else {}
            previous = self._wire.comment_told_v2(before)
            return [self._comment_v2("updated" if after else "deleted", before, told, previous)]
        if after is None:
            return []
        told = self._wire.comment(after)
        changes = [("comment_html", before.html, after.html), ("comment_json", {}, {"type": "doc"})]
        return [self._v1("issue_comment", "updated", told, after.by, change) for change in changes]

    async def deliver(self, notices: Sequence[Notice]) -> list[Delivery]:
        """Send, and see to repeats in the background; returns how the first attempts went."""
        firsts: list[Delivery] = []
        for notice in notices:
            if self._url:
                firsts.append(await self._courier.deliver(self._letter(notice)))
                if self._failed(firsts[-1]):
                    self._courier.later(self._repeat(notice))
        return firsts

    def deliver_later(self, notices: Sequence[Notice]) -> None:
        """Send in the background."""
        self._courier.later(self.deliver(notices))

    async def _repeat(self, notice: Notice) -> None:
        for delay in self._settings.retry_delays_seconds:
            await self._courier.pause(delay)
            if not self._url:
                return
            if not self._failed(await self._courier.deliver(self._letter(notice, redelivery=True))):
                return
        self._url = ""

    def _failed(self, delivery: Delivery) -> bool:
        """Whether this generation tries again."""
        answered = bool(delivery.status_code)
        if self.version == "v2":
            return not delivery.ok and not 400 <= delivery.status_code < 500
        return not answered

    def _v1(
        self,
        event: str,
        action: str,
        data: JsonObject,
        by: Person | None,
        change: tuple[str, object, object] = ("", None, None),
    ) -> Notice:
        name, old, new = change
        body: JsonObject = {
            "event": event,
            "action": action,
            "webhook_id": self._webhook_id,
            "workspace_id": self._state.workspace_id,
            "data": data,
            "activity": {
                "field": name or None,
                "new_value": new,
                "old_value": old,
                "actor": self._wire.user(by) if by else None,
                "old_identifier": None,
                "new_identifier": None,
            },
        }
        return Notice(str(uuid.uuid4()), event, body)

    def _comment_v2(
        self, verb: str, comment: Comment, data: JsonObject, previous: JsonObject | None = None
    ) -> Notice:
        return self._v2(f"workitem.comment.{verb}", comment.item.id, "issue", data, previous)

    def _v2(
        self,
        event: str,
        entity_id: str,
        entity_type: str,
        data: JsonObject,
        previous: JsonObject | None = None,
    ) -> Notice:
        guid = str(uuid.uuid4())
        body: JsonObject = {
            "version": "v2",
            "event_id": guid,
            "entity_id": entity_id,
            "entity_type": entity_type,
            "event": event,
            "webhook_id": self._webhook_id,
            "workspace_id": self._state.workspace_id,
            "data": data,
            "previous_attributes": previous or {},
        }
        return Notice(guid, event, body)

    def _letter(self, notice: Notice, *, redelivery: bool = False) -> Letter:
        """One attempt: its name is new, and in the second generation part of the body."""
        delivery_id = str(uuid.uuid4())
        named = {"delivery_id": delivery_id} if self.version == "v2" else {}
        body = json.dumps({**notice.body, **named}).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Autopilot",
            "X-Plane-Delivery": delivery_id,
            "X-Plane-Event": notice.event,
        }
        if self._settings.webhook_secret:
            headers["X-Plane-Signature"] = signature(self._settings.webhook_secret, body)
        return Letter(VENDOR, notice.guid, notice.event, None, self._url, headers, body, redelivery)
