"""Workspace Events: Pub/Sub pushes what happened to comments, and shows an identity token of Google's.

An event names a comment without its words. So it is a reason to read its file, as a notification is; both may
tell of one comment, which is one event all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

import grpc
import jwt

from services.common.errors import ServiceError
from services.dispatcher.domain import Content, Found, Ignored, SourceName, SourceState
from services.dispatcher.google_keys import GoogleKeys
from services.dispatcher.lookups import Lookups
from services.dispatcher.sources import google_payload
from services.dispatcher.sources.google_drive import read_instead, read_key
from services.dispatcher.sources.source import (
    Genuine,
    Refused,
    Verdict,
    off_reason,
    signature_invalid,
)

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CLOCK_SKEW_SECONDS = 60
TOKEN_CHARS_MAX = 8_192
_MESSAGE_ID = re.compile(r"[!-~]{1,200}")
_KEY_ID = re.compile(r"[\w-]{1,200}", re.ASCII)


class GoogleEventsSource:
    """Events pushed for our audience by our subscription's service account, whose e-mail it is."""

    def __init__(self, audience: str, service_account: str, keys: GoogleKeys) -> None:
        needed = {"PUBSUB_AUDIENCE": audience, "PUBSUB_SERVICE_ACCOUNT": service_account}
        self.state = SourceState(SourceName.GOOGLE_EVENTS, "Google Workspace Events", off_reason(needed))
        self._audience = audience
        self._service_account = service_account.lower()
        self._keys = keys

    async def admit(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
        """Check the identity token. Without Google's keys nothing can be proven: Pub/Sub shall come again."""
        del now
        token = bearer(headers)
        if not could_be_genuine(token, self._audience):
            return signature_invalid("Authorization")
        try:
            key = await self._keys.key(key_id(token))
        except (grpc.aio.AioRpcError, ServiceError):
            detail = "Google's keys cannot be read now."
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "KEYS_UNAVAILABLE", detail)
        if not is_genuine(token, key, self._audience, self._service_account):
            return signature_invalid("Authorization")
        message_id = _message_id(google_payload.envelope(body))
        if not _MESSAGE_ID.fullmatch(message_id):
            return Refused(HTTPStatus.BAD_REQUEST, "DELIVERY_ID_MISSING", "messageId is missing or odd.")
        return Genuine(message_id, read_key(google_payload.pushed(body), message_id), {})

    async def find(self, content: Content, lookups: Lookups) -> list[Found] | Ignored:
        """No event of its own: it has the comment's file read."""
        return await read_instead(google_payload.pushed(content.body), content, lookups)


def bearer(headers: Mapping[str, str]) -> str:
    """The token shown. Empty: none, or one too long to be Google's."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and len(token) <= TOKEN_CHARS_MAX else ""


def key_id(token: str) -> str:
    """The key a token says it was signed with. Empty: it says none."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except jwt.InvalidTokenError:
        return ""


def could_be_genuine(token: str, audience: str) -> bool:
    """Whether a token says what a genuine one does. It proves nothing: it spares us to ask for the key."""
    try:
        jwt.decode(
            token,
            audience=audience,
            issuer=ISSUERS,
            options={"verify_signature": False, "verify_aud": True, "verify_iss": True},
        )
        return _KEY_ID.fullmatch(key_id(token)) is not None
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return False


def is_genuine(token: str, public_key_pem: str, audience: str, service_account: str) -> bool:
    """Whether Google says that this service account asks us, and no other audience. No key proves nothing."""
    if not (public_key_pem and audience and service_account):
        return False
    try:
        claims = jwt.decode(
            token,
            public_key_pem,
            algorithms=["RS256"],
            audience=audience,
            issuer=ISSUERS,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iat", "aud", "iss"]},
        )
    except (jwt.InvalidTokenError, ValueError):
        return False
    return claims.get("email_verified") is True and str(claims.get("email", "")).lower() == service_account


def _message_id(payload: google_payload.Payload) -> str:
    message = payload.get("message")
    return str(message.get("messageId") or "") if isinstance(message, dict) else ""  # pyright: ignore[reportUnknownMemberType]
