"""What the commands are told by the environment and `.env`, and how they say what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from dotenv import dotenv_values

from services.astra.principals import PRINCIPALS

GITHUB = ("GITHUB_WEBHOOK_SECRET", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY")
"""What GitHub needs, all of it; with none of it set, the stand-in plays it."""


class ConfigurationMissing(Exception):
    """Variables that are needed are not set."""

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


def token_variable(principal: str) -> str:
    """The variable that holds a principal's token."""
    return "API_KEY" if principal == "api" else f"{principal.upper()}_TOKEN"


def tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """The tokens of all principals. Raises ConfigurationMissing."""
    values = wanted(
        environment, map(token_variable, PRINCIPALS), "with DATABASE_URL set, principals are not made up"
    )
    return dict(zip(PRINCIPALS, values, strict=True))
