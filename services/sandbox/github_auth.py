"""Who may call: the App proves itself with a JWT, everything else with an installation token it minted.

Tokens are as long as GitHub's newer ones (`ghs_<app id>_<JWT>`, far over 40 characters), so that a caller
which assumes the old length fails here first.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import jwt

from services.sandbox.settings import GithubSettings

JWT_SECONDS_MAX = 600
"""GitHub's limit on how far ahead a JWT may expire."""
CLOCK_SKEW_SECONDS = 60
TOKENS_MAX = 1_000
TOKEN_RANDOM_BYTES = 240
_LEVELS = ("", "read", "write")


class BadCredentialsError(Exception):
    """Answered with 401; the text is GitHub's message."""


class UngrantedError(ValueError):
    """A token was asked to have more than the installation granted."""


@dataclass(frozen=True, slots=True)
class Grant:
    """`repository_ids` None: every repository of the installation."""

    token: str = field(repr=False)
    expires_at: datetime
    permissions: Mapping[str, str]
    repository_ids: frozenset[int] | None

    def reaches(self, repository_id: int) -> bool:
        """Whether the token may see this repository."""
        return self.repository_ids is None or repository_id in self.repository_ids

    def allows(self, level: str, *any_of: str) -> bool:
        """Whether one of the named permissions is held at `level` ("read" or "write") or above."""
        need = _LEVELS.index(level)
        return any(_LEVELS.index(self.permissions.get(name, "")) >= need for name in any_of)


class GithubAuth:
    """Checks JWTs, mints tokens and knows them again."""

    def __init__(self, settings: GithubSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    def check_jwt(self, authorization: str) -> None:
        """Only `Bearer` will do for a JWT; its signature is checked when the App's public key is known."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise BadCredentialsError("A JSON web token could not be decoded")
        key = self._settings.app_public_key
        # Times are compared below, by this sandbox's own clock.
        options = {
            "verify_signature": bool(key),
            "verify_exp": False,
            "verify_iat": False,
            "verify_iss": False,
        }
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            claims = jwt.decode(token, key, algorithms=["RS256"], options=options)  # pyright: ignore[reportArgumentType]
        except jwt.InvalidTokenError:
            raise BadCredentialsError("A JSON web token could not be decoded") from None
        if algorithm != "RS256":
            raise BadCredentialsError("A JSON web token could not be decoded")
        self._check_claims(claims)

    def _check_claims(self, claims: Mapping[str, object]) -> None:
        now = self._clock().timestamp()
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or issued > now + CLOCK_SKEW_SECONDS:
            raise BadCredentialsError(
                "'Issued at' claim ('iat') must be an Integer representing the time issued"
            )
        if not isinstance(expires, int | float) or expires <= now:
            raise BadCredentialsError("'Expiration time' claim ('exp') must be in the future")
        if expires > now + JWT_SECONDS_MAX + CLOCK_SKEW_SECONDS:
            raise BadCredentialsError("'Expiration time' claim ('exp') is too far in the future")
        if str(claims.get("iss")) not in (str(self._settings.app_id), self._settings.client_id):
            raise BadCredentialsError("'Issuer' claim ('iss') must be the App's client id or id")

    def mint(self, permissions: Mapping[str, str], repository_ids: frozenset[int] | None) -> Grant:
        """Empty permissions: all the installation has. Raises `UngrantedError` for more than it has."""
        granted = self._settings.granted
        for name, level in permissions.items():
            if level not in _LEVELS or _LEVELS.index(level) > _LEVELS.index(granted.get(name, "")):
                raise UngrantedError("The permissions requested are not granted to this installation.")
        if len(self._grants) >= TOKENS_MAX:
            self._grants.pop(next(iter(self._grants)))
        token = f"ghs_{self._settings.app_id}_{secrets.token_urlsafe(TOKEN_RANDOM_BYTES)}"
        expires_at = self._clock() + timedelta(seconds=self._settings.token_lifetime_seconds)
        held = {**permissions, "metadata": "read"} if permissions else granted
        return self._grants.setdefault(token, Grant(token, expires_at, held, repository_ids))

    def check_token(self, authorization: str) -> Grant:
        """`Bearer` and `token` both do."""
        scheme, _, token = authorization.partition(" ")
        grant = self._grants.get(token) if scheme.lower() in ("bearer", "token") else None
        if grant is None or grant.expires_at <= self._clock():
            raise BadCredentialsError("Bad credentials")
        return grant

    def revoke_all(self) -> None:
        """As if every token had expired at once."""
        self._grants.clear()
