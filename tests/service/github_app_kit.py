"""A GitHub App on the stand-in, set up as its manifest says, for the tests of what an App needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.cli import sandbox
from services.sandbox.server import SandboxServer
from services.sandbox.settings import GithubSettings, SandboxSettings
from services.tools.github_app import PERMISSIONS

SECRET = "it is a secret to everybody"
APP_ID, INSTALLATION_ID = "4711", 815


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def app_of(key: rsa.RSAPrivateKey) -> GithubSettings:
    """An App with what it needs and nothing more."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return GithubSettings(
        webhook_secret=SECRET,
        app_id=int(APP_ID),
        installation_id=INSTALLATION_ID,
        app_public_key=key.public_key().public_bytes(serialization.Encoding.PEM, form).decode(),
        permissions=PERMISSIONS,
    )


@asynccontextmanager
async def github(settings: GithubSettings) -> AsyncIterator[str]:
    """The stand-in with repository acme/shop and its issue 1; yields its URL."""
    server = SandboxServer(SandboxSettings(github=settings))
    url = await server.start()
    await sandbox.call(url, "POST", "/_sandbox/github/repositories", {"repository": "acme/shop"})
    await sandbox.call(url, "POST", "/_sandbox/github/issues", {"repository": "acme/shop", "title": "Why?"})
    yield url
    await server.stop()
