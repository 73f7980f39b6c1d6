"""Times in the queries of GitHub's API."""

from __future__ import annotations

from datetime import datetime

from services.sandbox.github_http import GithubError


def instant(text: str) -> datetime:
    """A time with its zone; 422 for anything else."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise GithubError(422, "since: it is not an ISO 8601 time") from None
    if when.tzinfo is None:
        raise GithubError(422, "since: it has no time zone")
    return when
