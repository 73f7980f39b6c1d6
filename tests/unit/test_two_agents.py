"""Two agents of a tenant: each is called by its own handles, and neither by what the other says."""

import json
from pathlib import Path

import pytest

from services.dispatcher.domain import Ignored, IgnoredReason
from tests import google_payloads, plane_payloads, slack_payloads
from tests.whole_sources import EverythingIsThere, found_in

SCRIBE_ON_SLACK, SCRIBE_ON_PLANE = "U02SCRIBE", "0b0d3f0a-5f2e-4f55-9a53-0d5a9a0f7a11"
SCRIBE_AT_GOOGLE = "scribe@acme.example"
HANDLES = {
    "atlas": "atlas",
    "scribe": "scribe",
    SCRIBE_ON_SLACK.lower(): "scribe",
    SCRIBE_ON_PLANE: "scribe",
    SCRIBE_AT_GOOGLE: "scribe",
}
SAMPLES = Path(__file__).parents[1] / "samples" / "github"


def on_github(text, sample="issue_comment_created", event="issue_comment", **of_comment):
    payload = json.loads((SAMPLES / f"{sample}.json").read_text())
    payload["comment"] |= {"body": text, **of_comment}
    return "github", {"x-github-event": event}, json.dumps(payload).encode()


def on_slack(text, **more):
    return "slack", {}, slack_payloads.encoded(slack_payloads.message(text, **more))


def on_plane(text, **more):
    return "plane", {}, plane_payloads.encoded(plane_payloads.comment(f"<p>{text}</p>", **more))


def on_drive(text, **more):
    return (
        "google-drive",
        {},
        google_payloads.encoded(google_payloads.read(google_payloads.said(text, **more))),
    )


def reply_on_drive(text, **more):
    reply = google_payloads.said(text, item_id=google_payloads.REPLY, **more)
    return (
        "google-drive",
        {},
        google_payloads.encoded(google_payloads.read(google_payloads.said("why?"), reply)),
    )


async def agents(told, text, thread_agent=None):
    """Whom a text is for; the reason where it is for nobody."""
    around = EverythingIsThere(text=text, thread_agent=thread_agent, known_handles=HANDLES)
    found = await found_in(*told, around)
    return found.reason if isinstance(found, Ignored) else [each.event.agent_slug for each in found]


@pytest.mark.parametrize("tell", [on_github, on_slack, on_plane, on_drive])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@scribe why?", ["scribe"]),
        ("/scribe resolve", ["scribe"]),
        ("@atlas why?", ["atlas"]),
        ("@scribe, do you agree with @atlas?", ["scribe"]),
        ("@scribes why?", IgnoredReason.NOT_ADDRESSED),
    ],
)
async def test_the_plain_handle_calls_its_agent_on_every_source(tell, text, expected):
    assert expected == await agents(tell(text), text)


@pytest.mark.parametrize(
    "told",
    [
        on_slack(f"<@{SCRIBE_ON_SLACK}> why?"),
        on_drive(f"+{SCRIBE_AT_GOOGLE} why?"),
        on_drive("why?", mentionedEmailAddresses=[SCRIBE_AT_GOOGLE.title()]),
        on_drive("why?", assigneeEmailAddress=SCRIBE_AT_GOOGLE),
    ],
    ids=["a Slack user", "a Google address", "a Google mention", "a Google assignment"],
)
async def test_an_account_of_its_own_calls_it_too(told):
    assert ["scribe"] == await agents(told, "why?")


@pytest.mark.parametrize("tell", [on_slack, reply_on_drive])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("and now?", ["scribe"]),
        ("@atlas and you?", ["atlas"]),
        ("@maria and you?", IgnoredReason.NOT_ADDRESSED),
    ],
)
async def test_in_a_thread_what_names_nobody_is_for_who_was_called_there_first(tell, text, expected):
    told = tell(text, thread_ts="1763850000.000100") if tell is on_slack else tell(text)
    assert expected == await agents(told, text, thread_agent="scribe")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (on_github("@atlas?", "issue_comment_by_our_app"), IgnoredReason.SELF_AUTHORED),
        (on_github("@atlas?", "issue_comment_by_a_bot"), IgnoredReason.BOT_AUTHORED),
        (on_slack("@atlas?", bot_id="B02SCRIBE", app_id="A02"), IgnoredReason.BOT_AUTHORED),
        (on_plane("@atlas?", actor=SCRIBE_ON_PLANE), IgnoredReason.SELF_AUTHORED),
        (
            reply_on_drive("@atlas?", author={"displayName": "Scribe", "me": True}),
            IgnoredReason.SELF_AUTHORED,
        ),
    ],
    ids=["our App", "another App", "another Slack app", "another Plane account", "our Google account"],
)
async def test_what_an_agent_says_calls_nobody(told, expected):
    assert expected == await agents(told, "@atlas?", thread_agent="atlas")
