"""GitHub's payloads: what they mean, whom they speak to and which start nothing."""

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from githubkit.webhooks import parse
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher import convert
from services.dispatcher.addressing import addressed_agent, command, model_tags, own_words
from services.dispatcher.domain import (
    Command,
    EventKind,
    Found,
    Ignored,
    IgnoredReason,
    RegisteredRepository,
    Said,
    Talk,
)
from services.dispatcher.sources import github
from services.dispatcher.sources.github import GitHubApp, Surroundings
from services.dispatcher.sources.github_description import DESCRIPTION_BYTES_MAX, describe
from services.dispatcher.sources.github_payload import Act

SAMPLES = Path(__file__).parents[1] / "samples" / "github"
EVENTS = {
    "issues_opened": "issues",
    "pull_request_opened": "pull_request",
    "issue_comment_created": "issue_comment",
    "issue_comment_on_pull_request": "issue_comment",
    "issue_comment_by_our_app": "issue_comment",
    "issue_comment_by_a_bot": "issue_comment",
    "issue_comment_by_a_stranger": "issue_comment",
    "review_comment_created": "pull_request_review_comment",
    "review_comment_reply": "pull_request_review_comment",
    "review_thread_resolved": "pull_request_review_thread",
    "ping": "ping",
}
HANDLES = {"atlas": "atlas", "astra-atlas": "atlas", "scribe": "scribe"}
HERE = Surroundings(
    GitHubApp("770001", "astra-atlas"), HANDLES, RegisteredRepository("repository", open_to_all=False)
)


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


def headers(name, **more):
    return {"x-github-event": EVENTS[name], "x-github-delivery": "guid-1", **more}


def read(name, **changes):
    payload = sample(name)
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = payload
        for each in parents:
            target = target[each]
        target[last] = value
    return github.read(headers(name), json.dumps(payload).encode())


def act(name="issue_comment_created", **changes):
    found = read(name, **changes)
    assert isinstance(found, Act)
    return found


def found(name="issue_comment_created", around=HERE, **changes):
    verdict = github.classify(act(name, **changes), around)
    assert isinstance(verdict, Found), verdict
    return verdict


def reason(name="issue_comment_created", around=HERE, **changes):
    verdict = github.classify(act(name, **changes), around)
    assert isinstance(verdict, Ignored), verdict
    return verdict.reason


@pytest.mark.parametrize("name", EVENTS)
def test_each_sample_is_one_githubs_description_allows(name):
    parse(EVENTS[name], (SAMPLES / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "kind", "item", "thread"),
    [
        ("issues_opened", "issue", "issue", "{repository}/1"),
        ("pull_request_opened", "pull_request", "pull_request", "{repository}/2"),
        ("issue_comment_created", "issue_comment", "comment", "{repository}/1"),
        ("issue_comment_on_pull_request", "issue_comment", "comment", "{repository}/2"),
        ("review_comment_created", "review_comment", "comment", "{repository}/2/r{comment}"),
        ("review_comment_reply", "review_comment", "comment", "{repository}/2/r{top}"),
    ],
)
def test_the_event_is_keyed_by_the_act_and_belongs_to_its_conversation(name, kind, item, thread):
    payload = sample(name)
    expected = thread.format(
        repository=payload["repository"]["id"],
        comment=payload.get("comment", {}).get("id"),
        top=payload.get("comment", {}).get("in_reply_to_id"),
    )

    event = found(name).event

    assert f"github:{kind}/{payload[item]['id']}" == event.key
    assert (expected, f"github/{expected}") == (event.thread.key, event.thread.workflow_path)
    assert f"github/{expected}" == github.order_key(headers(name), json.dumps(payload).encode())


RESOLVED = "review_thread_resolved"
CALLED_THERE = replace(HERE, thread_agent="scribe")
AUTHOR = sample(RESOLVED)["pull_request"]["user"]


def test_resolving_a_review_thread_asks_who_was_called_there_to_close_it():
    payload = sample(RESOLVED)
    top = payload["thread"]["comments"][0]["id"]

    event = found(RESOLVED, CALLED_THERE).event

    assert ("scribe", "resolve_comment", EventKind.MESSAGE) == (event.agent_slug, event.operation, event.kind)
    assert f"github:review_thread/{top}/2026-11-23T08:30:00Z" == event.key
    assert f"{payload['repository']['id']}/2/r{top}" == event.thread.key
    assert f"github/{event.thread.key}" == github.order_key(headers(RESOLVED), json.dumps(payload).encode())
    assert "maria (MEMBER) resolved the thread of a review" in event.description
    another = found(RESOLVED, CALLED_THERE, sender__id=77, sender__login="ada").event
    assert "ada (COLLABORATOR) resolved the thread of a review" in another.description
    assert "This asks to resolve the thread." in event.description


@pytest.mark.parametrize(
    ("changes", "around", "expected"),
    [
        ({}, HERE, IgnoredReason.NOT_ADDRESSED),
        ({"sender__type": "Bot"}, CALLED_THERE, IgnoredReason.BOT_AUTHORED),
        ({"sender__login": "astra-atlas[bot]"}, CALLED_THERE, IgnoredReason.SELF_AUTHORED),
        (
            {"sender": AUTHOR, "pull_request__author_association": "NONE"},
            CALLED_THERE,
            IgnoredReason.AUTHOR_WITHOUT_STANDING,
        ),
        ({"thread__comments": []}, None, IgnoredReason.PAYLOAD_NOT_UNDERSTOOD),
    ],
)
def test_a_review_thread_nobody_was_called_to_or_that_we_resolved_starts_nothing(changes, around, expected):
    if around is None:
        assert Ignored(expected) == read(RESOLVED, **changes)
    else:
        assert expected == reason(RESOLVED, around, **changes)


def test_a_later_event_is_told_what_was_said_before_it():
    comment = sample("issue_comment_created")["comment"]
    said = (
        Said("1", "maria", ours=False, text="@atlas why?", url=""),
        Said("2", "astra-atlas[bot]", ours=True, text="[R0] Because.", url=""),
        Said(str(comment["id"]), "maria", ours=False, text=comment["body"], url=""),
    )
    talk = Talk(address={}, messages=said, left_out=3, people={})

    description = found(around=replace(HERE, talk=talk)).event.description

    assert "(3 messages are left out here.)\n\nastra-atlas[bot] (you): [R0] Because.\n```" in description
    assert 1 == description.count(comment["body"])


def test_the_address_holds_all_that_answering_needs():
    payload = sample("review_comment_reply")

    address = convert.address_to_proto(found("review_comment_reply").event.address).github

    assert ("acme/shop", payload["repository"]["id"], 2) == (
        address.repository,
        address.repository_id,
        address.number,
    )
    assert payload["comment"]["in_reply_to_id"] == address.review_comment_id
    assert (55001122, payload["comment"]["id"]) == (address.installation_id, address.item_id)


@pytest.mark.parametrize(
    ("body", "addressed"),
    [
        ("@atlas why?", "atlas"),
        ("Hi @ATLAS, why?", "atlas"),
        ("(@atlas)", "atlas"),
        ("ask @atlas.", "atlas"),
        ("@astra-atlas[bot] why?", "atlas"),
        ("@scribe and @atlas", "scribe"),
        ("/atlas explain this", "atlas"),
        ("\n/Atlas explain this", "atlas"),
        ("> @atlas why?\n\n@scribe you", "scribe"),
        ("", None),
        ("atlas why?", None),
        ("/atlas", None),
        ("see /atlas explain", None),
        ("@atlas-dev why?", None),
        ("@atlasy why?", None),
        ("@atlas/core why?", None),
        ("@atlas.io is a site", None),
        ("me@atlas why?", None),
        ("me@atlas.com", None),
        ("`@atlas` is the handle", None),
        ("`` a ` @atlas `` code", None),
        ("`a` @atlas `b`", "atlas"),
        ("``` @atlas ``", "atlas"),
        ("` `` @atlas ` ``", None),
        ("> @atlas why?", None),
        ("   > @atlas why?", None),
        ("```\n@atlas why?\n```", None),
        ("~~~sh\n@atlas why?\n```\n@atlas\n~~~", None),
        ("````\n```\n@atlas\n````", None),
        ("```\n@atlas never closed", None),
        ("<!-- @atlas -->", None),
        ("```inline``` @atlas", "atlas"),
        ("```\ncode\n```\n@atlas why?", "atlas"),
    ],
)
def test_only_the_authors_own_words_address_an_agent(body, addressed):
    assert addressed == addressed_agent(own_words(body), HANDLES)


@pytest.mark.parametrize(
    ("body", "stop"),
    [
        ("@atlas stop", True),
        ("/atlas stop", True),
        ("@Atlas, STOP!\n", True),
        ("@atlas stop\n\n> you wrote this", True),
        ("@atlas stop using globals", False),
        ("please @atlas stop", False),
        ("@nobody stop", False),
    ],
)
def test_stop_is_stop_only_when_it_stands_alone(body, stop):
    assert stop == (command(own_words(body), HANDLES) is Command.STOP)


def test_a_stop_is_found_as_such():
    assert EventKind.STOP is found(comment__body="@atlas stop").event.kind


def test_a_raise_is_found_as_such():
    event = found(comment__body="@atlas raise $2").event
    assert (EventKind.RAISE, 2_000_000) == (event.kind, event.raise_usd_micros)


def test_tags_are_the_bracketed_words_outside_code_and_links():
    body = "@atlas [Kimi] [opus-4.7] `[code]` [a link](https://a.example) [ref][one] [x] [kimi]"

    assert ("kimi", "opus-4.7", "x") == model_tags(own_words(body))


def test_without_agents_nobody_is_addressed():
    assert addressed_agent("@atlas", {}) is None
    assert command("@atlas stop", {}) is None


@given(st.text(alphabet="`~@atlas/ \n>[]x<!-", max_size=400))
def test_any_markdown_is_read_without_failing(body):
    words = own_words(body)

    addressed_agent(words, HANDLES)
    assert len(words) <= len(body)


# The longest text that is read, made to send a careless pattern back over it again and again.
HOSTILE = {
    "space after stop": "@atlas stop" + " " * 65_000 + "x",
    "space before a command": " " * 65_000 + "/atlas",
    "space after a command": "/atlas" + " " * 65_000,
    "runs of every length": " ".join("`" * length for length in range(1, 360)),
    "one run": "`" * 65_000,
    "pairs of backticks": "`` ` " * 13_000,
    "comments never closed": "<!-- " * 13_000,
    "brackets": "[" * 65_000,
    "tags": "[a" * 32_000,
    "long tag": "[" + "a" * 65_000 + "]",
    "mentions": "@atlas-" * 9_000,
    "fences": "```\n~~~\n" * 8_000,
    "lines": "\n" * 65_000,
}
TIMES = 20


@pytest.mark.timeout(5)  # a safety limit: all of them take a tenth of it
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_longest_text_is_read_at_once_whatever_it_is(text):
    for _ in range(TIMES):
        for words in (text, own_words(text)):
            addressed_agent(words, HANDLES)
            command(words, HANDLES)
            model_tags(words)
    told = act("review_comment_created", comment__body=text, comment__diff_hunk=text)
    for _ in range(TIMES):
        describe(told)


def test_a_stop_with_much_around_it_is_none():
    assert command("@atlas " + " " * 200 + "stop", HANDLES) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"comment__body": "nothing for anybody"}, IgnoredReason.NOT_ADDRESSED),
        ({"comment__body": None}, IgnoredReason.NOT_ADDRESSED),
        ({"comment__user__type": "Bot"}, IgnoredReason.BOT_AUTHORED),
        ({"sender__type": "Bot"}, IgnoredReason.BOT_AUTHORED),
        ({"comment__user__login": "Astra-Atlas[bot]"}, IgnoredReason.SELF_AUTHORED),
        ({"comment__performed_via_github_app": {"id": 770001}}, IgnoredReason.SELF_AUTHORED),
        ({"comment__author_association": "NONE"}, IgnoredReason.AUTHOR_WITHOUT_STANDING),
        ({"comment__author_association": "FIRST_TIMER"}, IgnoredReason.AUTHOR_WITHOUT_STANDING),
        ({"comment__author_association": "FIRST_TIME_CONTRIBUTOR"}, IgnoredReason.AUTHOR_WITHOUT_STANDING),
        ({"comment__author_association": "MANNEQUIN"}, IgnoredReason.AUTHOR_WITHOUT_STANDING),
        ({"comment__author_association": "SOMETHING_NEW"}, IgnoredReason.AUTHOR_WITHOUT_STANDING),
    ],
)
def test_what_starts_nothing_says_why(changes, expected):
    assert expected == reason(**changes)


@pytest.mark.parametrize(
    ("association", "trusted"),
    [("OWNER", True), ("MEMBER", True), ("COLLABORATOR", True), ("CONTRIBUTOR", False), ("NONE", False)],
)
def test_only_who_was_let_in_is_trusted(association, trusted):
    around = Surroundings(HERE.app, HANDLES, RegisteredRepository("repository", open_to_all=True))
    event = found(around=around, comment__author_association=association).event
    assert trusted is event.author.trusted


def test_samples_of_others_start_nothing():
    assert IgnoredReason.SELF_AUTHORED == reason("issue_comment_by_our_app")
    assert IgnoredReason.BOT_AUTHORED == reason("issue_comment_by_a_bot")
    assert IgnoredReason.AUTHOR_WITHOUT_STANDING == reason("issue_comment_by_a_stranger")


def test_a_repository_nobody_registered_starts_nothing():
    around = Surroundings(HERE.app, HANDLES, None)

    assert IgnoredReason.REPOSITORY_NOT_REGISTERED == reason(around=around)
    assert "github:acme/shop" == github.container(act(repository__full_name="Acme/Shop"))


def test_an_open_repository_lets_strangers_start_one_model():
    around = Surroundings(HERE.app, HANDLES, RegisteredRepository("repository", open_to_all=True))

    assert 1 == found("issue_comment_by_a_stranger", around).models_max
    assert github.MODELS_MAX == found("issue_comment_created", around).models_max


def test_without_an_app_of_our_own_nobody_is_taken_for_us():
    around = Surroundings(GitHubApp(), HANDLES, HERE.repository)

    assert IgnoredReason.BOT_AUTHORED == reason("issue_comment_by_our_app", around)


@pytest.mark.parametrize("action", ["edited", "deleted", "", None])
def test_other_actions_start_nothing(action):
    assert Ignored(IgnoredReason.ACTION_NOT_HANDLED) == read("issue_comment_created", action=action)


@pytest.mark.parametrize("event", ["push", "pull_request_review", "", "ping"])
def test_other_events_start_nothing(event):
    assert Ignored(IgnoredReason.EVENT_NOT_HANDLED) == github.read({"x-github-event": event}, b"{}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"action":"created"}',
        b'{"action":"created","comment":7}',
        b"[" * 99_999,
    ],
)
def test_a_payload_that_is_not_understood_starts_nothing_and_waits_for_nobody(body):
    sent = headers("issue_comment_created")

    assert Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD) == github.read(sent, body)
    assert "delivery/guid-1" == github.order_key(sent, body)


@pytest.mark.parametrize("odd", ["1e999", "-1e999", "NaN", "7.5", "true", '"7"', "-1", "9" * 40, "{}"])
def test_a_number_that_is_none_counts_as_absent(odd):
    payload = sample("review_comment_created")
    payload["comment"] |= {"line": "ODD", "original_line": "ODD", "in_reply_to_id": "ODD"}
    payload["installation"] = {"id": "ODD"}
    payload["comment"]["performed_via_github_app"] = {"id": "ODD"}
    body = json.dumps(payload).replace('"ODD"', odd).encode()

    told = github.read(headers("review_comment_created"), body)

    assert isinstance(told, Act)
    assert (0, 0, "") == (told.place.line, told.installation_id, told.app_id)
    assert payload["comment"]["id"] == told.review_comment_id


@pytest.mark.parametrize("odd", ["1e999", "true", str(2**31), "0", "null"])
def test_an_act_without_a_number_of_its_thread_is_not_understood(odd):
    payload = sample("issue_comment_created")
    payload["issue"]["number"] = "ODD"
    body = json.dumps(payload).replace('"ODD"', odd).encode()

    assert Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD) == github.read(
        headers("issue_comment_created"), body
    )


def test_a_form_encoded_payload_is_read_too():
    body = urlencode({"payload": json.dumps(sample("issue_comment_created"))}).encode()
    sent = headers("issue_comment_created") | {"content-type": "application/x-www-form-urlencoded"}

    assert act() == github.read(sent, body)


def test_odd_characters_become_storable():
    assert "@atlas a\N{REPLACEMENT CHARACTER}b?" == act(comment__body="@atlas a\0b\ud800").text


def signed(secret, body):
    return {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def test_only_the_secrets_signature_over_these_bytes_is_genuine():
    body = b'{"a":1}'

    assert github.is_genuine("secret", signed("secret", body), body)
    assert not github.is_genuine("secret", signed("secret", body), b'{"a": 1}')
    assert not github.is_genuine("secret", signed("other", body), body)
    assert not github.is_genuine("secret", {"x-hub-signature-256": "sha256=é"}, body)
    assert not github.is_genuine("secret", {}, body)


def test_an_empty_secret_proves_nothing():
    assert not github.is_genuine("", signed("", b"x"), b"x")


def test_the_description_says_who_asks_what_where():
    told = describe(act("review_comment_reply"))

    for part in (
        "maria (MEMBER) wrote a review comment",
        "Repository: acme/shop",
        'Pull request: #2 "Guard empty carts"',
        "shop/checkout.py, line 42",
        "@@ -42,1 +42,1 @@",
        "Adds a guard.",
        "@atlas and for guests?",
    ):
        assert part in told


def test_an_opened_issue_is_told_once():
    assert 1 == describe(act("issues_opened")).count("where is this handled?")


def test_no_text_steps_out_of_its_fence():
    told = describe(act(comment__body="@atlas\n```\nstill data\n`````\n"))

    assert "\n``````\n@atlas\n```\nstill data\n`````\n\n``````" in told


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600", "`", "\n"])
def test_the_description_is_bounded_and_says_what_was_cut(letter, earlier):
    said = tuple(Said(str(each), "ada", ours=False, text=letter * 65_000, url="") for each in range(30))
    told = describe(
        act(
            "review_comment_created",
            comment__body="@atlas " + letter * 65_000,
            comment__diff_hunk=letter * 65_000,
            comment__path=letter * 9_000,
            pull_request__body=letter * 65_000,
            pull_request__title=letter * 9_000,
        ),
        Talk(address={}, messages=said, left_out=0, people={}) if earlier else None,
    )

    assert len(told.encode()) <= DESCRIPTION_BYTES_MAX
    assert "(Cut: " in told
