"""Google's sign-in: access tokens for a refresh token, identity tokens of Pub/Sub, the keys behind them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from services.sandbox.google_domain import RefusedError
from services.sandbox.settings import GoogleSettings

TOKENS_MAX = 1_000
KEY_BITS = 2_048
ISSUER = "https://accounts.google.com"
KEY_SECONDS = 20_000
"""How long Google lets its keys be remembered; about that."""


class GoogleAuth:
    """Mints tokens and knows them again."""

    def __init__(self, settings: GoogleSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._expires: dict[str, datetime] = {}
        self.revoked = False
        """The person behind the account took their consent back."""

    def routes(self) -> list[web.RouteDef]:
        """Paths below `/google-drive`."""
        return [web.post("/token", self.refresh), web.get("/oauth2/v3/certs", self.certs)]

    async def refresh(self, request: web.Request) -> web.Response:
        """An access token for the refresh token, as RFC 6749 and Google word it."""
        form = await request.post()
        settings = self._settings
        if form.get("grant_type") != "refresh_token":
            return _oauth_error("unsupported_grant_type", "Invalid grant_type")
        if (form.get("client_id"), form.get("client_secret")) != (
            settings.client_id,
            settings.client_secret,
        ):
            return _oauth_error("invalid_client", "Unauthorized", 401)
        if self.revoked or form.get("refresh_token") != settings.refresh_token:
            return _oauth_error("invalid_grant", "Token has been expired or revoked.")
        if len(self._expires) >= TOKENS_MAX:
            self._expires.pop(next(iter(self._expires)))
        token = f"ya29.{secrets.token_urlsafe(24)}"
        seconds = settings.token_lifetime_seconds
        self._expires[token] = self._clock() + timedelta(seconds=seconds)
        answer = {"access_token": token, "expires_in": seconds - 1, "token_type": "Bearer"}
        return web.json_response({**answer, "scope": "https://www.googleapis.com/auth/drive"})

    async def certs(self, request: web.Request) -> web.Response:
        """The public halves, as a set of JSON web keys."""
        del request
        public: dict[str, Any] = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        key = {**public, "kid": self._key_id, "alg": "RS256", "use": "sig"}
        headers = {"Cache-Control": f"public, max-age={KEY_SECONDS}, must-revalidate, no-transform"}
        return web.json_response({"keys": [key]}, headers=headers)

    def check(self, authorization: str) -> None:
        """Raise RefusedError unless this is a token of ours that lives."""
        scheme, _, token = authorization.partition(" ")
        expires = self._expires.get(token) if scheme.lower() == "bearer" else None
        if expires is None or expires <= self._clock():
            raise RefusedError(401, "authError", "Invalid Credentials")

    def forget_tokens(self) -> None:
        """As if every access token had expired at once."""
        self._expires.clear()

    def identity_token(self, **claims: object) -> str:
        """What Pub/Sub shows with a push; `claims` replace the true ones."""
        now = int(self._clock().timestamp())
        true: Mapping[str, object] = {
            "iss": ISSUER,
            "aud": self._settings.audience,
            "azp": "1",
            "sub": "1",
            "email": self._settings.pusher_email,
            "email_verified": True,
            "iat": now,
            "exp": now + 3_600,
        }
        return jwt.encode({**true, **claims}, self._key, algorithm="RS256", headers={"kid": self._key_id})

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        if not self._settings.signing_key:
            return rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
        key = serialization.load_pem_private_key(self._settings.signing_key.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    @cached_property
    def _key_id(self) -> str:
        return secrets.token_hex(20)


def _oauth_error(code: str, description: str, status: int = 400) -> web.Response:
    return web.json_response({"error": code, "error_description": description}, status=status)
