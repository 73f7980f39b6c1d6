"""Who is signed in: a principal's token, sealed into a cookie, so that any gateway can open it.

The seal (Fernet: AES-128-CBC and HMAC-SHA256) keeps the token unreadable and unchangeable on its way through
the browser. It carries its own time: a session ends SESSION_SECONDS_MAX after sign-in, whatever the browser
does.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aiohttp import web
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SESSION_SECONDS_MAX = 12 * 60 * 60
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Session:
    """`token` is empty before sign-in. `csrf` goes into every form and must come back with it."""

    token: str
    csrf: str

    @classmethod
    def of(cls, token: str) -> Session:
        """A new session; an empty token makes one that may only sign in."""
        return cls(token, secrets.token_urlsafe(24))

    def wrote(self, csrf: str) -> bool:
        """Say whether a form that came back is one of this session's."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode())


class Sessions:
    """Seals and opens sessions. The first key seals, all open: a key is replaced by putting one before it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def read(self, request: web.Request) -> Session | None:
        """The session a request brings; None if it brings none, or one too old or not of our making."""
        sealed = request.cookies.get(_cookie(request), "")
        try:
            opened = self._fernet.decrypt(sealed.encode(), ttl=SESSION_SECONDS_MAX)
        except InvalidToken:
            return None
        return Session(**json.loads(opened))

    def start(self, request: web.Request, response: web.Response, session: Session) -> None:
        """Give the browser a session in place of the one it has."""
        sealed = self._fernet.encrypt(json.dumps(asdict(session)).encode()).decode()
        response.set_cookie(
            _cookie(request),
            sealed,
            max_age=SESSION_SECONDS_MAX,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=not _is_local(request),
        )


def end_session(request: web.Request, response: web.Response) -> None:
    """Take the session from the browser."""
    response.del_cookie(
        _cookie(request), path="/", httponly=True, samesite="Strict", secure=not _is_local(request)
    )


def _cookie(request: web.Request) -> str:
    """With the prefix a browser takes the cookie only over HTTPS, from this very host."""
    return "astra_session" if _is_local(request) else "__Host-astra_session"


def _is_local(request: web.Request) -> bool:
    """Plain HTTP never leaves the machine under these names, so the cookie may go without Secure there.

    The name is what the person typed: a page elsewhere cannot make the browser send another one.
    """
    return request.url.host in _LOOPBACK
