"""GitHub's App webhooks: which event tells what, how it is signed, and that it is sent exactly once.

GitHub never repeats a delivery by itself. Someone has to ask for a redelivery, which then carries the same
`X-GitHub-Delivery` and the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace

from services.sandbox.github_domain import Account, AccountType, Comment, Repository, Thread
from services.sandbox.github_state import GithubState
from services.sandbox.github_wire import GithubWire, JsonObject, moment, node_id
from services.sandbox.github_wire_threads import GithubThreadWire
from services.sandbox.settings import GithubSettings
from services.sandbox.webhooks import Delivery, Letter

VENDOR = "github"
RECEIVER_SECONDS_MAX = 10.0
"""How long github.com waits for the receiver's answer."""


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`, over the raw bytes sent."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class GithubHooks:
    """Writes the letters; `url` may be changed while running, as an App's hook configuration may."""

    def __init__(self, settings: GithubSettings, state: GithubState) -> None:
        self.url = settings.webhook_url
        self._settings = settings
        self._state = state

    def thread_opened(self, thread: Thread, wire: GithubWire) -> Letter:
        """`issues` or `pull_request`, opened."""
        threads = GithubThreadWire(wire, self._state)
        if thread.commits is None:
            event, subject = "issues", {"issue": threads.issue(thread)}
        else:
            pull_request = threads.pull_request(thread, thread.commits)
            event, subject = "pull_request", {"number": thread.number, "pull_request": pull_request}
        return self._letter(
            event,
            "opened",
            subject=subject,
            repository=thread.repository,
            sender=thread.by.account,
            wire=wire,
        )

    def comment_created(self, comment: Comment, wire: GithubWire) -> Letter:
        """A conversation comment on a pull request is an `issue_comment` too."""
        threads, thread = GithubThreadWire(wire, self._state), comment.thread
        if comment.place is None or thread.commits is None:
            event, subject = "issue_comment", {"issue": threads.issue(thread)}
        else:
            event = "pull_request_review_comment"
            subject = {"pull_request": threads.pull_request(thread, thread.commits)}
        payload = {**subject, "comment": threads.comment(comment)}
        return self._letter(
            event,
            "created",
            subject=payload,
            repository=thread.repository,
            sender=comment.by.account,
            wire=wire,
        )

    def review_resolved(self, top: Comment, by: Account, wire: GithubWire) -> Letter:
        """`pull_request_review_thread`, resolved: it brings the comments of the thread."""
        threads, thread = GithubThreadWire(wire, self._state), top.thread
        comments = self._state.review_comments(top)
        payload: JsonObject = {
            "pull_request": threads.simple_pull_request(thread),
            "thread": {"node_id": node_id("PRRT", top.id), "comments": [*map(threads.comment, comments)]},
            "updated_at": moment(self._state.resolved_at(top)),
        }
        return self._letter(
            "pull_request_review_thread",
            "resolved",
            subject=payload,
            repository=thread.repository,
            sender=by,
            wire=wire,
        )

    def ping(self) -> Letter:
        """What GitHub sends when a hook is made; it has no action."""
        settings, made = self._settings, "2024-01-01T00:00:00Z"
        hook: JsonObject = {
            "type": "App",
            "id": settings.hook_id,
            "name": "web",
            "active": True,
            "events": list(settings.events),
            "config": {"content_type": "json", "url": self.url, "insecure_ssl": "0"},
            "app_id": settings.app_id,
            "created_at": made,
            "updated_at": made,
        }
        body: JsonObject = {"zen": "Practicality beats purity.", "hook_id": settings.hook_id, "hook": hook}
        return self._sealed("ping", None, body)

    def config(self) -> JsonObject:
        """Where the App's webhook points and how. A secret is shown as stars; none leaves its key out."""
        shown: JsonObject = {"secret": "********"} if self._settings.webhook_secret else {}
        return {"content_type": "json", "url": self.url, "insecure_ssl": "0", **shown}

    def again(self, delivery: Delivery) -> Letter:
        """A redelivery: to where the hook now points, otherwise what was sent before."""
        return replace(delivery.letter, url=self.url, redelivery=True)

    def _letter(
        self,
        event: str,
        action: str,
        *,
        subject: Mapping[str, object],
        repository: Repository,
        sender: Account,
        wire: GithubWire,
    ) -> Letter:
        body: JsonObject = {"action": action, **subject, "repository": wire.repository(repository)}
        if repository.owner.type is AccountType.ORGANIZATION:
            body["organization"] = _organization(repository.owner, wire)
        body |= {"sender": wire.account(sender), "installation": wire.installation()}
        return self._sealed(event, action, body)

    def _sealed(self, event: str, action: str | None, payload: JsonObject) -> Letter:
        body, guid = json.dumps(payload, separators=(",", ":")).encode(), str(uuid.uuid4())
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/sandbox",
            "X-GitHub-Delivery": guid,
            "X-GitHub-Event": event,
            "X-GitHub-Hook-ID": str(self._settings.hook_id),
            "X-GitHub-Hook-Installation-Target-ID": str(self._settings.app_id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
        if self._settings.webhook_secret:
            headers["X-Hub-Signature-256"] = signature(self._settings.webhook_secret, body)
        return Letter(VENDOR, guid, event, action, self.url, headers, body)


def delivery_item(delivery: Delivery) -> JsonObject:
    """One line of `GET /app/hook/deliveries`."""
    payload, letter = json.loads(delivery.letter.body), delivery.letter
    failed = delivery.problem or f"Invalid HTTP Response: {delivery.status_code}"
    return {
        "id": delivery.id,
        "guid": letter.guid,
        "delivered_at": moment(delivery.delivered_at),
        "redelivery": letter.redelivery,
        "duration": delivery.duration_seconds,
        "status": "OK" if delivery.ok else failed,
        "status_code": delivery.status_code,
        "event": letter.event,
        "action": letter.action,
        "installation_id": payload.get("installation", {}).get("id"),
        "repository_id": payload.get("repository", {}).get("id"),
        "throttled_at": None,
    }


def delivery_detail(delivery: Delivery) -> JsonObject:
    """`GET /app/hook/deliveries/{id}`: the line, and what went over the wire."""
    letter = delivery.letter
    return {
        **delivery_item(delivery),
        "url": letter.url,
        "request": {"headers": dict(letter.headers), "payload": json.loads(letter.body)},
        "response": {"headers": {}, "payload": delivery.response_body},
    }


def _organization(owner: Account, wire: GithubWire) -> JsonObject:
    account, url = wire.account(owner), f"{wire.api}/orgs/{owner.login}"
    return {
        **{name: account[name] for name in ("login", "id", "node_id", "avatar_url")},
        "url": url,
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events",
        "hooks_url": f"{url}/hooks",
        "issues_url": f"{url}/issues",
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "description": None,
    }
