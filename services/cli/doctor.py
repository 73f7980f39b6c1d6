"""`astra doctor`: what runs, what is configured and what is missing, one finding a line."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from services.cli.configuration import GITHUB
from services.cli.embedded import EmbeddedError, postgres_binary, temporal_binary
from services.cli.state import NoStack, StateDirectory

READY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """`verdict` is ok, off (not configured, nothing breaks) or missing (something needed is away)."""

    verdict: str
    subject: str
    detail: str


async def examine(state: StateDirectory, environment: Mapping[str, str]) -> list[Finding]:
    """Everything worth knowing before asking why it does not work."""
    return [
        Finding("ok", "python", f"{platform.python_version()} on {sys.platform} {platform.machine()}"),
        _program("git", shutil.which("git")),
        *_stores(environment),
        _github(environment),
        _local_model(environment),
        *await _stack(state),
    ]


def _program(name: str, path: str | None) -> Finding:
    return Finding("ok", name, path) if path else Finding("missing", name, f"install {name}")


def _stores(environment: Mapping[str, str]) -> list[Finding]:
    findings: list[Finding] = []
    for subject, variable, find in (
        ("postgresql", "DATABASE_URL", lambda: postgres_binary("postgres")),
        ("temporal", "TEMPORAL_ADDRESS", temporal_binary),
    ):
        if environment.get(variable):
            findings.append(Finding("ok", subject, f"{variable} names one"))
            continue
        try:
            find()
            findings.append(Finding("ok", subject, f"embedded, since {variable} is not set"))
        except EmbeddedError as error:
            findings.append(Finding("missing", subject, str(error)))
    return findings


def _github(environment: Mapping[str, str]) -> Finding:
    missing = [name for name in GITHUB if not environment.get(name)]
    if not missing:
        return Finding("ok", "github", "configured")
    if len(missing) == len(GITHUB):
        return Finding("off", "github", f"set {', '.join(GITHUB)}; `astra up` plays it until then")
    return Finding("missing", "github", f"half configured, so off: set {', '.join(missing)} too")


def _local_model(environment: Mapping[str, str]) -> Finding:
    if environment.get("OPENAI_BASE_URL"):
        return Finding("ok", "model local", "OPENAI_BASE_URL names its server")
    return Finding("off", "model local", "set OPENAI_BASE_URL to an OpenAI-compatible server")


async def _stack(state: StateDirectory) -> list[Finding]:
    try:
        stack = state.running_stack()
    except NoStack as none:
        return [Finding("off", "stack", str(none))]
    try:
        timeout = aiohttp.ClientTimeout(total=READY_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{stack.gateway_url}/readyz") as response,
        ):
            told = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        return [Finding("missing", "stack", f"{stack.gateway_url} does not answer: {type(error).__name__}")]
    missing: list[str] = told["missing"]
    if missing:
        return [Finding("missing", "stack", f"{stack.gateway_url}, without {', '.join(missing)}")]
    return [Finding("ok", "stack", stack.gateway_url)]
