"""GitHub's GraphQL API, for what its REST API has no call for.

It answers a failure with 200 too: what its `errors` say becomes one of `vendor_errors` here, without GitHub's
text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from services.tools.github_client import GitHubClient, Reach
from services.tools.vendor_errors import VendorRateLimited, VendorRefused, VendorUnavailable

RETRY_AFTER = timedelta(seconds=60)
"""GitHub's advice where an answer names no time."""
_SLOW_DOWN = frozenset({"RATE_LIMIT", "RATE_LIMITED"})
_FOR_GOOD = frozenset({"FORBIDDEN", "INSUFFICIENT_SCOPES", "NOT_FOUND", "UNPROCESSABLE"})
Json = dict[str, Any]


async def ask(
    github: GitHubClient, installation_id: int, document: str, variables: Mapping[str, object], reach: Reach
) -> Json:
    """The `data` of one operation. Raises as `GitHubClient.request` does."""
    body = {"query": document, "variables": dict(variables)}
    answer = await github.request(installation_id, "POST", github.graphql_path, json=body, reach=reach)
    if errors := answer.get("errors"):
        raise _failure({str(each.get("type", "")) for each in errors})
    return answer["data"]


def _failure(types: set[str]) -> VendorRateLimited | VendorRefused | VendorUnavailable:
    if types & _SLOW_DOWN:
        return VendorRateLimited("GitHub asks to slow down.", retry_after=RETRY_AFTER)
    if known := sorted(types & _FOR_GOOD):
        return VendorRefused(f"GitHub refused with {known[0]}.", metadata={"graphql_error": known[0]})
    return VendorUnavailable("GitHub could not answer a GraphQL request. Try again.")
