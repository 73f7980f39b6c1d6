"""Every event, action and kind of words the vendors know, held against what the sources make of it."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import githubkit_schemas
import pytest

from services.dispatcher.addressing import addressed_agent, command
from services.dispatcher.domain import TEXT_CHARS_MAX, EventKind, Found, Ignored, IgnoredReason
from services.dispatcher.sources import github_payload, google_payload, plane_payload, slack_payload
from tests import documented_events as documented
from tests import google_payloads, plane_payloads, slack_payloads
from tests.whole_sources import EverythingIsThere, check, found_in

SAMPLES = Path(__file__).parents[1] / "samples" / "github"
GITHUB_SAMPLES = {
    "issues": "issues_opened",
    "issue_comment": "issue_comment_created",
    "pull_request": "pull_request_opened",
    "pull_request_review_comment": "review_comment_created",
    "pull_request_review_thread": "review_thread_resolved",
}
GITHUB_DESCRIPTION = max(Path(*githubkit_schemas.__path__).glob("v*/webhooks"))
"""githubkit's newest models of GitHub's webhooks, made from GitHub's own description: one file an event."""


def reason(found: object) -> IgnoredReason | None:
    """Why it starts nothing; None: it was read."""
    return found.reason if isinstance(found, Ignored) else None


def sample(event: str, **more: Any) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{GITHUB_SAMPLES[event]}.json").read_text()) | more


def github_describes(event: str) -> set[str]:
    """The actions of an event; read from the module's text, for importing its models takes seconds."""
    for each in ast.parse((GITHUB_DESCRIPTION / f"{event}.py").read_text()).body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.value, ast.Dict):
            return {ast.literal_eval(key) for key in each.value.keys if key}
    raise AssertionError(f"GitHub's description of {event} has no actions")


@pytest.mark.parametrize("event", documented.GITHUB)
def test_the_table_holds_every_action_github_describes(event):
    assert github_describes(event) == documented.GITHUB[event].keys()


@pytest.mark.parametrize(
    ("event", "action", "expected"),
    [(event, *row) for event, table in documented.GITHUB.items() for row in table.items()],
)
def test_each_action_of_github_is_read_or_has_its_reason(event, action, expected):
    body = json.dumps(sample(event, action=action)).encode()
    assert expected == reason(github_payload.read({"x-github-event": event}, body))


def test_every_other_event_of_github_is_left_alone():
    described = {each.stem for each in GITHUB_DESCRIPTION.glob("[a-z]*.py")}
    others = described - documented.GITHUB.keys()
    assert len(others) > 60
    for event in others:
        read = github_payload.read({"x-github-event": event}, json.dumps(sample("issues")).encode())
        assert IgnoredReason.EVENT_NOT_HANDLED == reason(read), event


@pytest.mark.parametrize(("subtype", "expected"), documented.SLACK_SUBTYPES.items())
@pytest.mark.parametrize("told", [slack_payloads.message, slack_payloads.mention])
def test_each_subtype_of_slacks_messages_is_read_or_has_its_reason(told, subtype, expected):
    body = slack_payloads.encoded(told(f"{slack_payloads.MENTION} why?", subtype=subtype))
    assert expected == reason(slack_payload.read(body))


@pytest.mark.parametrize(("kind", "expected"), documented.SLACK_EVENTS.items())
def test_each_event_of_slack_is_read_or_has_its_reason(kind, expected):
    told = slack_payloads.reaction("atlas") if kind == "reaction_added" else slack_payloads.message()
    told["event"]["type"] = kind
    assert expected == reason(slack_payload.read(slack_payloads.encoded(told)))


@pytest.mark.parametrize("channel_type", documented.SLACK_CHANNEL_TYPES)
def test_a_message_is_read_wherever_slack_shows_it(channel_type):
    act = slack_payload.read(slack_payloads.encoded(slack_payloads.message(channel_type=channel_type)))
    assert isinstance(act, slack_payload.Act)
    assert (channel_type == "im") == act.is_direct


@pytest.mark.parametrize(
    ("event", "action", "expected"),
    [(event, *row) for event, table in documented.PLANE_FIRST.items() for row in table.items()],
)
def test_each_event_of_planes_first_generation_is_read_or_has_its_reason(event, action, expected):
    data = (plane_payloads.comment if event == "issue_comment" else plane_payloads.issue)()["data"]
    told = plane_payloads.first(event, action, data)
    assert expected == reason(plane_payload.read(plane_payloads.encoded(told)))


@pytest.mark.parametrize(("event", "expected"), documented.PLANE_SECOND.items())
@pytest.mark.parametrize("enumerated", [False, True], ids=["by name", "as its samples show it"])
def test_each_event_of_planes_second_generation_is_read_or_has_its_reason(event, expected, enumerated):
    told = plane_payloads.comment_v2() if ".comment." in event else plane_payloads.issue_v2()
    as_enumerated = event.upper().replace("WORKITEM", "WORK_ITEM").replace(".", "_")
    told["event"] = f"WebhookScope.ScopeChoices.{as_enumerated}" if enumerated else event
    assert expected == reason(plane_payload.read(plane_payloads.encoded(told)))


@pytest.mark.parametrize(("state", "expected"), documented.GOOGLE_STATES.items())
def test_each_state_of_a_drive_notification_is_read_or_has_its_reason(state, expected):
    assert expected == reason(google_payload.notified(google_payloads.notification(state)))


@pytest.mark.parametrize(("kind", "expected"), documented.GOOGLE_EVENTS.items())
def test_each_workspace_event_is_read_or_has_its_reason(kind, expected):
    assert expected == reason(google_payload.pushed(google_payloads.push(kind)))


def by_github(event: str) -> Callable[[str], tuple[str, dict[str, str], bytes]]:
    def told(text: str) -> tuple[str, dict[str, str], bytes]:
        payload = sample(event)
        (payload.get("comment") or payload.get("issue") or payload["pull_request"])["body"] = text
        return "github", {"x-github-event": event}, json.dumps(payload).encode()

    return told


WAYS: dict[str, Callable[[str], tuple[str, dict[str, str], bytes]]] = {
    **{event: by_github(event) for event in GITHUB_SAMPLES if event != "pull_request_review_thread"},
    "slack message": lambda text: ("slack", {}, slack_payloads.encoded(slack_payloads.message(text))),
    "slack mention": lambda text: ("slack", {}, slack_payloads.encoded(slack_payloads.mention(text))),
    "plane comment": lambda _: ("plane", {}, plane_payloads.encoded(plane_payloads.comment_v2())),
    "plane work item": lambda _: ("plane", {}, plane_payloads.encoded(plane_payloads.issue_v2())),
    "drive comment": lambda text: (
        "google-drive",
        {},
        google_payloads.encoded(google_payloads.read(google_payloads.said(text))),
    ),
    "drive reply": lambda text: (
        "google-drive",
        {},
        google_payloads.encoded(
            google_payloads.read(
                google_payloads.said("hello"), google_payloads.said(text, item_id=google_payloads.REPLY)
            )
        ),
    ),
}
"""How words reach us; Plane's second generation leaves them out, they are fetched."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", documented.WORDS)
def test_any_words_speak_to_the_agent_or_to_nobody_wherever_they_are_written(way, case):
    text, addressed = documented.WORDS[case]
    fetched = (
        text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
    around = EverythingIsThere(text=fetched, thread_agent=None)

    found = asyncio.run(found_in(*WAYS[way](text), around))

    check(found)
    assert (None if addressed else IgnoredReason.NOT_ADDRESSED) == reason(found)
    if isinstance(found, list):
        (only,) = found
        assert isinstance(only, Found)
        assert "atlas" == only.event.agent_slug


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("@atla\N{LATIN SMALL LETTER LONG S} why?", "atlas"),
        ("@\N{KELVIN SIGN}arl why?", "karl"),
        ("@µ why?", "μ"),
    ],
)
def test_a_name_in_letters_that_are_others_without_case_is_that_name(words, name):
    assert "found" == addressed_agent(words, {name: "found"})


@pytest.mark.parametrize(
    "words", ["/atlas re\N{LATIN SMALL LETTER LONG S}olve it", "@atlas \N{LATIN SMALL LETTER LONG S}top"]
)
def test_a_command_is_written_in_plain_letters(words):
    assert command(words, {"atlas": "atlas"}) is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("said", "kind", "operation"),
    [
        ("/atlas resolve", EventKind.MESSAGE, "resolve_comment"),
        ("/atlas finalize this, please", EventKind.MESSAGE, "spec_finalize"),
        ("/atlas Generate a spec", EventKind.MESSAGE, "spec_generate"),
        ("@atlas synthesize", EventKind.MESSAGE, "spec_synthesize"),
        ("/atlas status", EventKind.MESSAGE, "status"),
        ("/atlas stop", EventKind.STOP, "stop"),
        ("@atlas finalize the cart first", EventKind.MESSAGE, "answer"),
    ],
)
async def test_a_command_means_the_same_wherever_it_is_written(way, said, kind, operation):
    found = await found_in(*WAYS[way](said), EverythingIsThere(text=said))
    assert isinstance(found, list), found
    assert [(kind, operation)] == [(each.event.kind, each.event.operation) for each in found]
