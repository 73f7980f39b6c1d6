"""`astra doctor`: what runs, what is configured and what is missing, one finding a line."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.cli.configuration import VENDORS
from services.cli.embedded import EmbeddedError, postgres_binary, temporal_binary
from services.cli.state import NoStack, StateDirectory
from services.models.catalogue_file import CatalogueError
from services.models.errors import ModelNotFound, ModelOff
from services.models.installation import build_catalogue, off_reasons, read_catalogue_file
from services.models.settings import ModelsSettings

READY_SECONDS = 5
FAILING = frozenset({"missing", "wrong"})


@dataclass(frozen=True, slots=True)
class Finding:
    """`verdict` is ok, off (not configured, nothing breaks), missing (something needed is away) or wrong.

    `remedy` says what to do about it, where `detail` does not already.
    """

    verdict: str
    subject: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        told = f"{self.detail}. {self.remedy}." if self.remedy else self.detail
        return f"{self.verdict:<8} {self.subject:<13} {told}"


async def examine(state: StateDirectory, environment: Mapping[str, str]) -> list[Finding]:
    """Everything worth knowing before asking why it does not work."""
    return [
        Finding("ok", "python", f"{platform.python_version()} on {sys.platform} {platform.machine()}"),
        _program("git", shutil.which("git")),
        *_stores(environment),
        github_configured(environment),
        *(vendor_configured(each, environment) for each in VENDORS if each != "github"),
        *_models(environment),
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


def github_configured(environment: Mapping[str, str]) -> Finding:
    """Whether the variables are there; what they are worth, `doctor_github` asks GitHub."""
    found = vendor_configured("github", environment)
    asks = "`astra doctor --source github` asks GitHub whether rightly"
    return Finding("ok", "github", f"configured; {asks}") if found.verdict == "ok" else found


def vendor_configured(vendor: str, environment: Mapping[str, str]) -> Finding:
    """Whether a vendor's variables are there: all of them, none or some."""
    needed = VENDORS[vendor]
    missing = [name for name in needed if not environment.get(name)]
    if not missing:
        return Finding("ok", vendor, "configured")
    if len(missing) == len(needed):
        return Finding("off", vendor, f"set {', '.join(needed)}; `astra up` plays it until then")
    return Finding("missing", vendor, f"half configured, so off: set {', '.join(missing)} too")


def _models(environment: Mapping[str, str]) -> list[Finding]:
    """Which providers of models are on, and who answers when a comment names no model."""
    names = {str(each.alias) for each in ModelsSettings.model_fields.values()}
    given: dict[str, Any] = {name: value for name, value in environment.items() if name in names}
    settings = ModelsSettings(**{"ASTRA_TOKEN": "unused", **given}, _env_file=None)  # pyright: ignore[reportCallIssue]
    try:
        file = read_catalogue_file(settings)
        default_alias = build_catalogue(settings, file).default_alias(settings.default_model)
    except (CatalogueError, ModelNotFound, ModelOff) as error:
        return [Finding("wrong", "models", str(error))]
    providers = off_reasons(settings, file.servers)
    return [
        *(
            Finding("off" if why else "ok", f"model {name}", why or "configured")
            for name, why in providers.items()
        ),
        Finding("ok", "default model", default_alias),
    ]


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
