"""What the commands are told by the environment and `.env`, and how they say what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from dotenv import dotenv_values

from services.astra.principals import PRINCIPALS
from services.common.told import ToldToPeople

GITHUB = ("GITHUB_WEBHOOK_SECRET", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY")
SLACK = ("SLACK_SIGNING_SECRET", "SLACK_BOT_TOKEN")
PLANE = ("PLANE_WEBHOOK_SECRET", "PLANE_API_KEY", "PLANE_WORKSPACE")
GOOGLE = ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_REFRESH_TOKEN", "DRIVE_CHANNEL_TOKEN")
VENDORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"github": GITHUB, "slack": SLACK, "plane": PLANE, "google-drive": GOOGLE}
)
"""What each vendor needs, all of it; with none of it set, the stand-in plays it."""

_IDENTITY = re.compile(r"github:[0-9]{1,20}|slack:[A-Z0-9]{1,32}/[A-Z0-9]{1,32}")


class ConfigurationMissing(ToldToPeople):
    """Variables that are needed are not set, or not to anything that can be meant."""

    def __init__(self, names: Iterable[str], why: str) -> None:
        super().__init__(f"Set {', '.join(names)}: {why}.")


def environment() -> dict[str, str]:
    """The process's environment over `.env`; empty values count as unset."""
    read = {**dotenv_values(".env"), **os.environ}
    return {name: value for name, value in read.items() if value}


def wanted(environment: Mapping[str, str], names: Iterable[str], why: str) -> list[str]:
    """The values of these variables, in order. Raises ConfigurationMissing naming those that are not set."""
    asked = list(names)
    if missing := [name for name in asked if not environment.get(name)]:
        raise ConfigurationMissing(missing, why)
    return [environment[name] for name in asked]


def unconfigured(environment: Mapping[str, str]) -> list[str]:
    """The vendors of which nothing is configured; one that is by half is off, and not played."""
    return [name for name, needed in VENDORS.items() if not any(environment.get(each) for each in needed)]


def token_variable(principal: str) -> str:
    """The variable that holds a principal's token."""
    return "API_KEY" if principal == "api" else f"{principal.upper()}_TOKEN"


def tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """The tokens of all principals. Raises ConfigurationMissing."""
    values = wanted(
        environment, map(token_variable, PRINCIPALS), "with DATABASE_URL set, principals are not made up"
    )
    return dict(zip(PRINCIPALS, values, strict=True))


def operators(environment: Mapping[str, str]) -> list[str]:
    """Who may act as operator in a comment, from OPERATOR_IDENTITIES. Raises ConfigurationMissing."""
    named = [each.strip() for each in environment.get("OPERATOR_IDENTITIES", "").split(",") if each.strip()]
    if odd := [each for each in named if not _IDENTITY.fullmatch(each)]:
        why = f"{odd[0]} is not of the form github:<user id> or slack:<team>/<user>"
        raise ConfigurationMissing(["OPERATOR_IDENTITIES"], why)
    return named
