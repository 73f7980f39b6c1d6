"""What a stack on this machine keeps between starts, under one directory (`.astra/`).

`secrets.json` holds the credentials made at the first start, `stack.json` the addresses and credentials of
the stack that runs now; both are readable by their owner only. A lock file says whether one runs.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.astra.principals import PRINCIPALS
from services.common.told import ToldToPeople

DEFAULT_STATE_DIR = Path(".astra")
DATABASE_ROLES = ("service", "relay", "operator")


class StackRunning(ToldToPeople):
    """Another process runs a stack on this state."""

    def __init__(self, state_dir: Path, stack: RunningStack | None) -> None:
        where = f": gateway {stack.gateway_url}, process {stack.pid}" if stack else ""
        super().__init__(
            f"A stack already runs on {state_dir}{where}. Use it, or stop it first (Ctrl-C there)."
        )
        self.stack = stack


class NoStack(ToldToPeople):
    """No stack runs on this state."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Addresses and credentials of a stack, as the other commands need them."""

    pid: int
    gateway_url: str
    astra_address: str
    dispatcher_address: str
    models_address: str
    tools_address: str
    worker_address: str
    temporal_address: str
    temporal_ui_url: str
    sandbox_url: str
    operator_token: str
    api_key: str
    operator_database_url: str
    ready_seconds: float


@dataclass(frozen=True, slots=True)
class Secrets:
    """Credentials of a local stack: random, made once, never shown."""

    superuser_password: str
    role_passwords: dict[str, str]
    tokens: dict[str, str]
    webhook_secret: str
    app_private_key: str
    vault_key: str = ""
    """As VAULT_KEY. Empty in a state that was made before there was a vault."""

    @classmethod
    def fresh(cls) -> Secrets:
        """Make new ones."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(
            superuser_password=secrets.token_urlsafe(24),
            role_passwords={role: secrets.token_urlsafe(24) for role in DATABASE_ROLES},
            tokens={name: f"astra_{name}_{secrets.token_urlsafe(24)}" for name in PRINCIPALS},
            webhook_secret=secrets.token_urlsafe(24),
            app_private_key=pem.decode(),
            vault_key=fresh_vault_key(),
        )


class StateDirectory:
    """The directory and the files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.postgres = self.path / "postgres"
        self.temporal = self.path / "temporal"
        self.workspace = self.path / "workspace"
        self.logs = self.path / "logs"
        self._stack = self.path / "stack.json"
        self._secrets = self.path / "secrets.json"

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the state alone. Raises StackRunning while another process does."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackRunning(self.path, self._read_stack()) from None
            try:
                yield
            finally:
                self._stack.unlink(missing_ok=True)

    def secrets(self) -> Secrets:
        """The state's credentials, made when first asked for."""
        if not self._secrets.exists():
            self.keep(Secrets.fresh())
        known = Secrets(**json.loads(self._secrets.read_text()))
        if not known.vault_key:
            known = replace(known, vault_key=fresh_vault_key())
            self.keep(known)
        return known

    def keep(self, secrets: Secrets) -> None:
        """Give the state its credentials."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(self._secrets, asdict(secrets))

    def publish(self, stack: RunningStack) -> None:
        """Let the other commands find the running stack."""
        _write_private(self._stack, asdict(stack))

    def running_stack(self) -> RunningStack:
        """The stack that runs on this state. Raises NoStack when none does; changes nothing."""
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if stack := self._read_stack():
                return stack
        raise NoStack(f"No stack runs on {self.path}. Start one with `astra up`.")

    def _read_stack(self) -> RunningStack | None:
        try:
            read = json.loads(self._stack.read_text())
        except FileNotFoundError:
            return None  # it is still starting
        return RunningStack(**{field.name: read[field.name] for field in fields(RunningStack)})


def fresh_vault_key() -> str:
    """A key for VAULT_KEY."""
    return f"local:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _write_private(path: Path, content: Mapping[str, object]) -> None:
    """Write whole or not at all, for the owner's eyes only."""
    aside = path.with_suffix(".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
    aside.replace(path)
