"""Every way a webhook comes in: payloads as its vendor sends them, headers that make any body genuine."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests import google_payloads, plane_payloads, slack_payloads
from tests.mutations import mutated

SAMPLES = Path(__file__).parent / "samples" / "github"
SECRET = "webhook-secret"
FORM = "application/x-www-form-urlencoded"
GITHUB_EVENTS = {
    "issues": "issues_*",
    "issue_comment": "issue_comment_*",
    "pull_request": "pull_request_*",
    "pull_request_review_comment": "review_comment_*",
    "pull_request_review_thread": "review_thread_*",
    "ping": "ping",
}
"""The events with the names of their samples."""
GOOGLE_STATES = (
    "sync",
    "add",
    "remove",
    "update",
    "trash",
    "untrash",
    "change",
    "changed",
    "exists",
    "",
    "?",
)
GOOGLE_URIS = (
    "https://www.googleapis.com/drive/v3/files/1SpecId?alt=json",
    "https://www.googleapis.com/drive/v3/changes?alt=json&driveId=0AShared",
    "https://www.googleapis.com/drive/v3/files/../x",
    *("", "files/é", "%00", "/drive/v3/files/" + "x" * 4_000),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A webhook: the path's last part, its headers, its bytes."""

    source: str
    headers: Mapping[str, str]
    body: bytes


@st.composite
def github(draw: DrawFn) -> Sent:
    event = draw(st.sampled_from(list(GITHUB_EVENTS)))
    body = draw(mutated(_GITHUB[event]))
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "X-GitHub-Event": draw(st.just(event) | st.sampled_from([*GITHUB_EVENTS, "push", "?"])),
        "X-GitHub-Delivery": draw(st.just(_name(body)) | st.sampled_from(["", "é", "g" * 300])),
        "X-Hub-Signature-256": signature,
        "Content-Type": draw(st.just("application/json") | st.sampled_from([FORM, "?"])),
    }
    return Sent("github", headers, body)


@st.composite
def slack(draw: DrawFn) -> Sent:
    body = draw(mutated(_SLACK))
    return Sent("slack", slack_payloads.signed(body, SECRET), body)


@st.composite
def plane(draw: DrawFn) -> Sent:
    body = draw(mutated(_PLANE))
    return Sent("plane", plane_payloads.signed(body, SECRET), body)


@st.composite
def google_drive(draw: DrawFn) -> Sent:
    """Its body is empty and not looked at, so its headers are what is odd; also under its other name."""
    headers = google_payloads.notification(
        draw(st.sampled_from(GOOGLE_STATES)),
        number=draw(st.integers(-1, 10**20)),
        **{"x-goog-resource-uri": draw(st.sampled_from(GOOGLE_URIS)), "x-goog-channel-token": SECRET},
    )
    odd = draw(st.sampled_from(["", "x-goog-channel-id", "x-goog-resource-id", "x-goog-resource-state"]))
    changed = {odd: draw(st.sampled_from(["", "é", "x" * 4_000, "../x"]))} if odd else {}
    body = draw(st.sampled_from([b"", b"{}", b"\xff\0"]))
    kept = {name: value for name, value in headers.items() if name != "content-length"}
    return Sent(draw(st.sampled_from(["google-drive", "drive"])), {**kept, **changed}, body)


@st.composite
def google_events(draw: DrawFn) -> Sent:
    body = draw(mutated(_GOOGLE_EVENTS))
    return Sent("google-events", {"Authorization": f"Bearer {_identity_token()}"}, body)


@cache
def _identity_token() -> str:
    """Signed once: it holds for an hour."""
    return google_payloads.identity_token()


def _name(body: bytes) -> str:
    """As a vendor names a delivery: another one for other bytes."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(body).hexdigest()))


_GITHUB: Mapping[str, Sequence[Any]] = {
    event: [json.loads(path.read_text()) for path in sorted(SAMPLES.glob(f"{names}.json"))]
    for event, names in GITHUB_EVENTS.items()
}
_SLACK: Sequence[Any] = [
    slack_payloads.message("<@U0ATLAS> why?"),
    slack_payloads.mention(),
    slack_payloads.direct(),
    slack_payloads.reaction("atlas"),
    slack_payloads.reaction("octagonal_sign"),
    {"type": "url_verification", "token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595"},
    {"type": "app_rate_limited", "team_id": "T0ACME", "minute_rate_limited": 1518467820},
]
_PLANE: Sequence[Any] = [
    plane_payloads.comment(),
    plane_payloads.comment_v2(),
    plane_payloads.issue(),
    plane_payloads.issue_v2(),
    plane_payloads.second("workitem.deleted", {}),
]
_GOOGLE_EVENTS: Sequence[Any] = [
    json.loads(google_payloads.push(f"google.workspace.drive.{kind}"))
    for kind in ("comment.v3.created", "reply.v3.created", "comment.v3.resolved", "file.v3.moved")
]
ROUTES: Mapping[str, SearchStrategy[Sent]] = {
    "github": github(),
    "slack": slack(),
    "plane": plane(),
    "google-drive": google_drive(),
    "google-events": google_events(),
}
