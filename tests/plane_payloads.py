"""Plane's webhooks: of the first generation as its code writes them, of the second as documented."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any

WORKSPACE, PROJECT = "d250cd44-fa71-42c2-b2b5-3c73227288fc", "45b87d89-0ce0-4d6f-8903-4070f1c67f1b"
ITEM, COMMENT = "088a83b9-a53f-4dda-b2bc-c860cf455997", "4797f841-c731-4e55-971f-d9cfe1938dfb"
MARIA, ATLAS = "88fc36c8-73b0-4547-81c7-96b70f61835e", "754009ab-3fb5-424e-909a-b46e9c9d0c4f"
EVENT_ID = "0afa042d-92a9-4326-bdca-5ff5490dbf09"
MENTION = (
    f'<mention-component id="c1f4b2ce-8f6e-4b0e-a0a5-0c3fdd5b7f10" entity_identifier="{ATLAS}" '
    'entity_name="user_mention"></mention-component>'
)


def first(event: str, action: str, data: dict[str, Any], **activity: Any) -> dict[str, Any]:
    """The envelope of the first generation."""
    actor = {
        "id": MARIA,
        "first_name": "Maria",
        "last_name": "Anders",
        "email": "maria@acme.example",
        "avatar": "",
        "avatar_url": None,
        "display_name": "maria",
    }
    told = {"field": None, "new_value": None, "old_value": None, "actor": actor}
    return {
        "event": event,
        "action": action,
        "webhook_id": "285f087b-e1e0-4f90-b9f4-0b720acfac04",
        "workspace_id": WORKSPACE,
        "data": data,
        "activity": {**told, "old_identifier": None, "new_identifier": None, **activity},
    }


def comment_data(markup: str, **more: Any) -> dict[str, Any]:
    return {
        "id": COMMENT,
        "created_at": "2026-03-31T11:44:41.249292Z",
        "updated_at": "2026-03-31T11:44:41.249304Z",
        "deleted_at": None,
        "comment_html": markup,
        "attachments": [],
        "access": "INTERNAL",
        "external_source": None,
        "external_id": None,
        "edited_at": None,
        "created_by": MARIA,
        "updated_by": None,
        "project": PROJECT,
        "workspace": WORKSPACE,
        "issue": ITEM,
        "actor": MARIA,
        "parent": None,
        "description": None,
        **more,
    }


def issue_data(markup: str, **more: Any) -> dict[str, Any]:
    state = {
        "id": "067b88e5-304b-4221-ba09-94340dcc36e5",
        "name": "Todo",
        "color": "#60646C",
        "group": "unstarted",
    }
    return {
        "id": ITEM,
        "cycle": None,
        "module": None,
        "labels": [],
        "assignees": [],
        "state": state,
        "description": {},
        "created_at": "2026-03-31T11:44:41.249292Z",
        "updated_at": "2026-03-31T11:44:41.249304Z",
        "deleted_at": None,
        "point": None,
        "name": "Carts are slow",
        "description_html": markup,
        "description_stripped": None,
        "description_binary": None,
        "priority": "none",
        "start_date": None,
        "target_date": None,
        "sequence_id": 3,
        "sort_order": 75535.0,
        "completed_at": None,
        "archived_at": None,
        "is_draft": False,
        "external_source": None,
        "external_id": None,
        "created_by": MARIA,
        "updated_by": None,
        "project": PROJECT,
        "workspace": WORKSPACE,
        "parent": None,
        "estimate_point": None,
        "type": None,
        **more,
    }


def comment(
    markup: str = f"<p>{MENTION} why?</p>", *, action: str = "created", **more: Any
) -> dict[str, Any]:
    return first("issue_comment", action, comment_data(markup, **more))


def issue(markup: str = f"<p>{MENTION} why?</p>", *, action: str = "created", **more: Any) -> dict[str, Any]:
    return first("issue", action, issue_data(markup, **more))


def second(event: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The envelope of the second generation."""
    return {
        "version": "v2",
        "delivery_id": str(uuid.uuid4()),
        "event_id": EVENT_ID,
        "entity_id": ITEM,
        "entity_type": "issue",
        "event": event,
        "webhook_id": "285f087b-e1e0-4f90-b9f4-0b720acfac04",
        "workspace_id": WORKSPACE,
        "data": data,
        "previous_attributes": {},
        **more,
    }


def comment_v2(
    words: str = " why?", *, event: str = "workitem.comment.created", **more: Any
) -> dict[str, Any]:
    told = {
        "id": COMMENT,
        "access": "INTERNAL",
        "actor_id": MARIA,
        "issue_id": ITEM,
        "edited_at": None,
        "comment_stripped": words,
        **more,
    }
    return second(event, {"id": ITEM, "name": "Carts are slow", "comment": told})


def issue_v2(*, event: str = "workitem.created", **more: Any) -> dict[str, Any]:
    """With the string "None" in place of null, as Plane's own sample has it."""
    data = {
        "id": ITEM,
        "name": "Carts are slow",
        "point": "None",
        "type_id": "None",
        "is_draft": False,
        "priority": "none",
        "parent_id": "None",
        "created_at": "2026-03-31T11:44:41.249292+00:00",
        "deleted_at": "None",
        "project_id": PROJECT,
        "external_id": "None",
        "sequence_id": 3,
        "workspace_id": WORKSPACE,
        "created_by_id": MARIA,
        "updated_by_id": "None",
        "external_source": "None",
        "description_json": {},
        **more,
    }
    return second(event, data)


def encoded(told: Any) -> bytes:
    """The bytes Plane signs and sends."""
    return json.dumps(told).encode()


def signed(body: bytes, secret: str, **more: str) -> dict[str, str]:
    """Plane's headers over a body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Autopilot",
        "X-Plane-Delivery": str(uuid.uuid4()),
        "X-Plane-Event": "issue_comment",
        "X-Plane-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        **more,
    }
