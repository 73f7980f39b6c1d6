"""What a call takes from the limits its vendor documents, and under which keys all processes count it.

The figures are those of the vendors' clouds. A server of one's own (GitHub Enterprise, another Plane) has its
own, which nobody told us: of it only what it answers is obeyed, by keys without a limit. The key of the first
use is the one to leave alone when the vendor asks for patience.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from services.common.quotas.limits import Limit

GITHUB_POINTS_A_MINUTE, GITHUB_POINTS_OF_A_WRITE = 900, 5
GITHUB_CONTENT_A_MINUTE, GITHUB_CONTENT_AN_HOUR = 80, 500
SLACK_TIER_3, SLACK_TIER_4 = 50, 100
SLACK_CALLS_A_MINUTE = {
    "conversations.history": SLACK_TIER_3,
    "conversations.replies": SLACK_TIER_3,
    "reactions.add": SLACK_TIER_3,
    "users.conversations": SLACK_TIER_3,
    "users.info": SLACK_TIER_4,
}
"""By method. Slack gives no figure for what is missing here; `chat.postMessage` may come in short bursts."""
PLANE_CALLS_A_MINUTE = 60
DOCS_READS_A_MINUTE, DOCS_WRITES_A_MINUTE = 300, 60
HOUR = timedelta(hours=1)
CLOUDS = frozenset({"api.github.com", "slack.com", "api.plane.so", "docs.googleapis.com"})
_READS = ("GET", "HEAD")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9._-]")
NAME_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Use:
    """So many units of a limit."""

    limit: Limit
    units: int = 1


def github_uses(api_url: str, app_id: str, installation_id: int, method: str, path: str) -> Sequence[Use]:
    """What a call of an installation takes; 0: one of the App itself."""
    key = f"github:{_name(app_id)}:{installation_id or 'app'}"
    if path.startswith("/search/"):  # has a limit apart, which is told by its refusals
        return [Use(Limit(f"{key}:search"))]
    points = _of_cloud(api_url, GITHUB_POINTS_A_MINUTE)
    if method.upper() in _READS or path.endswith("/access_tokens"):
        return [Use(Limit(key, points))]
    uses = [Use(Limit(key, points), GITHUB_POINTS_OF_A_WRITE)]
    if points and not path.endswith("/graphql"):
        uses.append(Use(Limit(f"{key}:content-minute", GITHUB_CONTENT_A_MINUTE)))
        uses.append(Use(Limit(f"{key}:content-hour", GITHUB_CONTENT_AN_HOUR, HOUR)))
    return uses


def slack_uses(api_url: str, bot_token: str, method: str) -> Sequence[Use]:
    """What a call of a method takes."""
    key = f"slack:{_fingerprint(api_url, bot_token)}:{_name(method)}"
    return [Use(Limit(key, _of_cloud(api_url, SLACK_CALLS_A_MINUTE.get(method, 0))))]


def plane_uses(api_url: str, api_key: str, workspace: str, calls_a_minute: int) -> Sequence[Use]:
    """What any call takes. `calls_a_minute` 0: as its cloud allows."""
    key = f"plane:{_name(workspace)}:{_fingerprint(api_url, api_key)}"
    return [Use(Limit(key, calls_a_minute or _of_cloud(api_url, PLANE_CALLS_A_MINUTE)))]


def docs_uses(docs_url: str, refresh_token: str, method: str) -> Sequence[Use]:
    """What a call of the Docs API takes of the account's part."""
    is_read = method.upper() in _READS
    kind, calls = ("reads", DOCS_READS_A_MINUTE) if is_read else ("writes", DOCS_WRITES_A_MINUTE)
    return [Use(Limit(f"google:{_fingerprint(refresh_token)}:docs-{kind}", _of_cloud(docs_url, calls)))]


def drive_uses(refresh_token: str) -> Sequence[Use]:
    """What a call of the Drive API takes: Google counts in units of its own, and says when none are left."""
    return [Use(Limit(f"google:{_fingerprint(refresh_token)}:drive"))]


def brave_uses(api_key: str) -> Sequence[Use]:
    """What a search takes: it depends on the plan, and Brave says when it is used up."""
    return [Use(Limit(f"brave:{_fingerprint(api_key)}"))]


def _of_cloud(url: str, units: int) -> int:
    return units if urlsplit(url).hostname in CLOUDS else 0


def _name(told: str) -> str:
    return _NOT_IN_KEYS.sub("_", told)[:NAME_CHARS_MAX]


def _fingerprint(*parts: str) -> str:
    """Tells accounts apart where their names are secrets."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
