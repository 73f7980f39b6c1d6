"""What GitHub's answers about an App mean for us, one finding a question. Functions of values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.cli.doctor import Finding
from services.dispatcher.sources.github_payload import EVENTS
from services.tools.github_app import PERMISSIONS, AppRefused

WEBHOOK_PATH = "/webhooks/github"
CLOCK_SECONDS_MAX = 30.0
_LEVELS = ("", "read", "write", "admin")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class App:
    """The App as GitHub knows it, and the pages on which its owner changes it."""

    slug: str
    permissions: Mapping[str, str]
    events: frozenset[str]
    settings_page: str
    install_page: str

    @classmethod
    def of(cls, app: Json) -> App:
        """Read the answer of `GET /app`."""
        slug, owner, page = str(app["slug"]), app["owner"], str(app["html_url"])
        site = page.rpartition("/apps/")[0]
        by = f"/organizations/{owner['login']}" if owner.get("type") == "Organization" else ""
        return cls(
            slug=slug,
            permissions=app["permissions"],
            events=frozenset(app["events"]),
            settings_page=f"{site}{by}/settings/apps/{slug}",
            install_page=f"{page}/installations/new",
        )


def refused_app(refused: AppRefused, app_id: str) -> Finding:
    """GitHub does not take the App's JWT."""
    ahead = refused.clock_ahead_seconds
    if refused.status == 401 and abs(ahead) > CLOCK_SECONDS_MAX:
        way = "ahead of" if ahead > 0 else "behind"
        return Finding(
            "wrong", "app", f"{refused}; this clock is {abs(ahead):.0f} s {way} GitHub's", "Set the clock"
        )
    if refused.status in (401, 404):
        return Finding(
            "wrong",
            "app",
            f"{refused}: GITHUB_APP_PRIVATE_KEY is no key of the App {app_id}",
            "Compare the App ID on its settings page; if it is right, generate a new private key there",
        )
    return Finding("wrong", "app", str(refused), "Try again; look at GITHUB_API_URL if it stays")


def judge_app(app: App, slug: str) -> Finding:
    """Whether we know under which name the App writes."""
    if slug == app.slug:
        return Finding("ok", "app", f"{app.slug}, which writes as {app.slug}[bot]")
    said = f"GITHUB_APP_SLUG is {slug}" if slug else "GITHUB_APP_SLUG is not set"
    return Finding(
        "wrong",
        "app",
        f"its key is accepted; {said}, the App is {app.slug}",
        f"Set GITHUB_APP_SLUG={app.slug}",
    )


def judge_permissions(app: App) -> Finding:
    """Whether the App asks for what the calls need."""
    if lacking := _lacking(app.permissions):
        return Finding(
            "wrong",
            "permissions",
            f"lacking {lacking}",
            f"Add them at {app.settings_page}/permissions, then accept them where the App is installed",
        )
    more = [f"{name}: {level}" for name, level in sorted(app.permissions.items()) if _exceeds(name, level)]
    held = ", ".join(f"{name}: {level}" for name, level in PERMISSIONS.items())
    return Finding("ok", "permissions", "; not needed: ".join(filter(None, (held, ", ".join(more)))))


def judge_events(app: App) -> Finding:
    """Whether the App subscribes to what is read."""
    if lacking := sorted(EVENTS - app.events):
        return Finding(
            "wrong",
            "events",
            f"not subscribed to {', '.join(lacking)}",
            f"Tick them at {app.settings_page}/permissions",
        )
    return Finding("ok", "events", ", ".join(sorted(EVENTS)))


def judge_hook(app: App, config: Json, public_url: str) -> Finding:
    """Whether the webhook comes to us, signed, as JSON."""
    url = str(config.get("url") or "")
    wrong: list[str] = []
    if not url:
        wrong.append("it has no URL")
    elif public_url and url.rstrip("/") != public_url + WEBHOOK_PATH:
        wrong.append(f"it points to {url}, not to {public_url}{WEBHOOK_PATH}")
    elif not public_url and WEBHOOK_PATH not in url:
        wrong.append(f"it points to {url}, whose path is not {WEBHOOK_PATH}")
    if not config.get("secret"):
        wrong.append("it has no secret, so nothing it sends is accepted")
    if config.get("content_type") != "json":
        wrong.append(f"its content type is {config.get('content_type')}, not json")
    if str(config.get("insecure_ssl", "0")) != "0":
        wrong.append("GitHub does not check the certificate")
    if wrong:
        return Finding("wrong", "webhook", "; ".join(wrong), f"Mend it at {app.settings_page}")
    return Finding("ok", "webhook", f"{url}, with a secret, as json")


def judge_deliveries(app: App, deliveries: Sequence[Json]) -> Finding:
    """How the newest webhooks fared; the last one counts."""
    if not deliveries:
        return Finding("off", "deliveries", "GitHub has sent nothing in the last days", "Comment somewhere")
    taken = sum(200 <= each["status_code"] < 300 for each in deliveries)
    newest = deliveries[0]
    code, told = int(newest["status_code"]), f"{taken} of the last {len(deliveries)} were taken"
    if 200 <= code < 300:
        return Finding("ok", "deliveries", f"{told}, {newest['event']} the newest")
    return Finding(
        "wrong",
        "deliveries",
        f"{told}; the newest, {newest['event']}, got {code or newest['status']}",
        f"{_delivery_remedy(code)}, then redeliver at {app.settings_page}/advanced: GitHub repeats nothing",
    )


def _delivery_remedy(code: int) -> str:
    if code == 401:
        return "Set the same webhook secret at GitHub and in GITHUB_WEBHOOK_SECRET, restart"
    if code == 404:
        return f"Let the URL end with {WEBHOOK_PATH} and look at `sources` in /readyz"
    if 300 <= code < 400:
        return "Give GitHub the URL it is redirected to"
    return "Start `astra up` and the tunnel"


def judge_installation(app: App, installation: Json) -> Finding:
    """Whether an installation is at work with the permissions the App asks for."""
    owner, page = (installation.get("account") or {}).get("login", "?"), installation["html_url"]
    told = f"{installation['id']} on {owner}, {installation['repository_selection']} repositories"
    if installation.get("suspended_at"):
        return Finding("wrong", "installation", f"{told}: suspended", f"Unsuspend it at {page}")
    if lacking := _lacking(installation["permissions"]):
        return Finding(
            "wrong", "installation", f"{told}: lacking {lacking}", f"Accept the App's permissions at {page}"
        )
    if missing := sorted(EVENTS & app.events - set(installation["events"])):
        return Finding(
            "wrong",
            "installation",
            f"{told}: without {', '.join(missing)}",
            f"Accept the App's changes at {page}",
        )
    return Finding("ok", "installation", told)


def judge_ping(url: str, status: int, body: bytes) -> Finding:
    """What answered the signed ping at the public URL."""
    try:
        answer = json.loads(body)
        reason, detail = answer.get("reason", ""), answer.get("detail", "")
    except (ValueError, AttributeError):
        answer, reason, detail = None, "", ""
    if status == 200 and answer == {"pong": True}:
        return Finding("ok", "public url", f"{url} takes what is signed with GITHUB_WEBHOOK_SECRET")
    if reason == "SIGNATURE_INVALID":
        return Finding(
            "wrong",
            "public url",
            f"{url} runs with another GITHUB_WEBHOOK_SECRET",
            "Restart it with this one",
        )
    if reason:
        return Finding(
            "wrong", "public url", f"{url} answered {status}: {detail.removesuffix('.')}", "Mend that there"
        )
    return Finding(
        "wrong",
        "public url",
        f"{url} answered {status}, and not as Astra does",
        "Point the tunnel at the gateway's port",
    )


def _lacking(held: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name}: {level}" for name, level in PERMISSIONS.items() if _rank(held.get(name, "")) < _rank(level)
    )


def _exceeds(name: str, level: str) -> bool:
    return _rank(level) > _rank(PERMISSIONS.get(name, ""))


def _rank(level: str) -> int:
    return _LEVELS.index(level) if level in _LEVELS else 0
