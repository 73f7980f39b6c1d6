"""What Google sends, key by key as its documentation shows it, and comments as they are read from Drive."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN, AUDIENCE = "channel-token", "https://atlas.example/webhooks/google-events"
PUSHER, ACCOUNT = "pusher@acme.iam.gserviceaccount.com", "atlas@acme.example"
FILE, FOLDER, COMMENT, REPLY, CHANNEL = "1SpecId", "1FolderId", "AAABcomment", "AAABreply", "01bf-4e2b"
KEY_ID = "7f55ce"
LINK = f"https://docs.google.com/document/d/{FILE}/edit?usp=drivesdk&disco={COMMENT}"


@cache
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def public_key_pem() -> str:
    return (
        signing_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def identity_token(**claims: Any) -> str:
    """As Pub/Sub shows it; a claim that is None is left out."""
    now = int(time.time())
    known = {
        "aud": AUDIENCE,
        "azp": "113774264463038321964",
        "email": PUSHER,
        "email_verified": True,
        "exp": now + 3_600,
        "iat": now,
        "iss": "https://accounts.google.com",
        "sub": "113774264463038321964",
        **claims,
    }
    told = {name: value for name, value in known.items() if value is not None}
    return jwt.encode(told, signing_key(), algorithm="RS256", headers={"kid": KEY_ID})


def notification(
    state: str = "update", *, file_id: str = FILE, number: int = 2, **more: str
) -> dict[str, str]:
    """The headers of a notification about a file, or with an empty file id about the log of changes."""
    what = f"files/{file_id}?alt=json" if file_id else "changes?alt=json&pageToken=7"
    return {
        "content-type": "application/json; utf-8",
        "content-length": "0",
        "user-agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
        "x-goog-channel-id": CHANNEL,
        "x-goog-channel-token": TOKEN,
        "x-goog-message-number": str(number),
        "x-goog-resource-id": "ret08u3rv24htgh289g",
        "x-goog-resource-state": state,
        "x-goog-resource-uri": f"https://www.googleapis.com/drive/v3/{what}",
        **more,
    }


def push(
    kind: str = "google.workspace.drive.comment.v3.created", *, message_id: str = "136969346945"
) -> bytes:
    """A Workspace event as Pub/Sub pushes it."""
    told: dict[str, Any] = {"comment": {"id": COMMENT, "file_id": FILE, "mentioned_email_addresses": []}}
    if ".reply." in kind:
        told = {"reply": {"id": REPLY, "comment_id": COMMENT, "file_id": FILE}}
    message = {
        "attributes": {
            "ce-datacontenttype": "application/json",
            "ce-id": "3f2a",
            "ce-source": "//workspaceevents.googleapis.com/subscriptions/1",
            "ce-specversion": "1.0",
            "ce-subject": f"//drive.googleapis.com/files/{FILE}",
            "ce-time": "2026-11-23T08:00:00Z",
            "ce-type": kind,
        },
        "data": base64.b64encode(json.dumps(told).encode()).decode(),
        "messageId": message_id,
        "message_id": message_id,
        "publishTime": "2026-11-23T08:00:00Z",
    }
    return json.dumps({"message": message, "subscription": "projects/acme/subscriptions/atlas"}).encode()


def said(
    content: str = "@atlas why?", *, item_id: str = COMMENT, name: str = "Maria", **more: Any
) -> dict[str, Any]:
    """A comment or a reply as Drive shows it."""
    return {
        "id": item_id,
        "author": {"displayName": name, "me": False},
        "content": content,
        "createdTime": "2026-11-23T08:00:00.000Z",
        "deleted": False,
        **more,
    }


def read(comment: dict[str, Any] | None = None, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An act as CatchUpService tells it: the comment, or the last of the replies."""
    told = comment or said()
    file = {
        "id": FILE,
        "name": "Cart spec",
        "url": f"https://docs.google.com/document/d/{FILE}/edit?usp=drivesdk",
        "containers": [f"google-drive:file/{FILE}", f"google-drive:folder/{FOLDER}"],
        "open_to_link": False,
    }
    changed = {name: more.pop(name) for name in ("open_to_link", "containers") if name in more}
    return {
        "file": file | changed,
        "account": ACCOUNT,
        "comment": {"resolved": False, **told, "replies": list(replies)},
        "reply_id": replies[-1]["id"] if replies else "",
        "link": LINK,
        **more,
    }


def encoded(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode()
