"""The Google stand-in, driven as Google's own description of Drive says."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from scripts import google_discovery
from services.sandbox.google import DriveMethods
from services.sandbox.google_discovery import description
from services.sandbox.google_docs import DocsMethods
from services.sandbox.google_world import GoogleWorld
from services.sandbox.settings import GoogleSettings
from tests.service.google_stage import ACCOUNT, CHANNEL_TOKEN, GoogleStage, google_stage

COMMENTS = (
    "nextPageToken,comments(id,content,author(displayName,me),modifiedTime,resolved,replies(id,action))"
)


@pytest.fixture
async def stage() -> AsyncIterator[GoogleStage]:
    async with google_stage() as stage:
        yield stage


def channel(stage: GoogleStage, **more: str) -> dict[str, str]:
    address = f"{stage.receiver.url}/drive"
    return {"id": str(uuid.uuid4()), "type": "web_hook", "address": address, "token": CHANNEL_TOKEN, **more}


@pytest.mark.parametrize(("name", "excerpt"), google_discovery.EXCERPTS.items())
def test_an_excerpt_is_what_googles_document_makes(name, excerpt):
    folder = google_discovery.documents()
    assert folder is not None
    assert excerpt.read_text() == google_discovery.made_from(folder, name)


async def test_a_comment_is_listed_with_what_was_asked_for_and_nothing_else(stage):
    file_id = await stage.file()
    comment = await stage.comment(file_id, f"+{ACCOUNT} why?", quoted="the cart")
    _, told = await stage.api("GET", f"files/{file_id}/comments", fields=COMMENTS)
    _, whole = await stage.api("GET", f"files/{file_id}/comments/{comment['comment_id']}", fields="*")

    (listed,) = told["comments"]
    assert {"id", "content", "author", "modifiedTime", "resolved", "replies"} == listed.keys()
    assert {"displayName": "maria", "me": False} == listed["author"]
    assert [ACCOUNT] == whole["mentionedEmailAddresses"]
    assert "the cart" == whole["quotedFileContent"]["value"]
    assert "emailAddress" not in whole["author"]


@pytest.mark.parametrize(
    ("path", "parameters", "reason"),
    [
        ("files/{file}/comments", {}, "required"),
        ("files/{file}/comments", {"fields": "comments(id,colour)"}, "invalidParameter"),
        ("files/{file}/comments", {"fields": "comments(id"}, "invalidParameter"),
        ("files/{file}/comments", {"fields": "*", "pageSize": "101"}, "invalidParameter"),
        ("files/{file}/comments", {"fields": "*", "sortBy": "time"}, "badRequest"),
        ("files/{file}/comments", {"fields": "*", "startModifiedTime": "soon"}, "invalid"),
        ("files/nowhere/comments", {"fields": "*"}, "notFound"),
        ("files/{file}/comments/nowhere", {"fields": "*"}, "notFound"),
        ("changes", {}, "required"),
        ("about", {}, "required"),
    ],
)
async def test_a_question_google_would_refuse_is_refused(stage, path, parameters, reason):
    file_id = await stage.file()
    _, told = await stage.api("GET", path.format(file=file_id), **parameters)

    assert reason == told


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"text": "x"}, "badRequest"),
        ({"content": 5}, "badRequest"),
        ({"content": "x", "deleted": False}, "fieldNotWritable"),
        ({"action": "close"}, "invalid"),
        ({}, "required"),
    ],
)
async def test_a_reply_google_would_refuse_is_refused(stage, body, reason):
    comment = await stage.comment(await stage.file())
    path = f"files/{comment['file_id']}/comments/{comment['comment_id']}/replies"
    _, told = await stage.api("POST", path, body, fields="id")

    assert (reason, 1) == (told, len(await stage.thread(comment)))


async def test_a_reply_moves_its_comment_and_the_filter_counts_the_time_itself(stage):
    file_id = await stage.file()
    old, new = await stage.comment(file_id, "old"), await stage.comment(file_id, "new")
    path = f"files/{file_id}/comments/{old['comment_id']}/replies"
    _, reply = await stage.api("POST", path, {"content": "Because."}, fields="id,author,createdTime")
    _, told = await stage.api(
        "GET", f"files/{file_id}/comments", fields=COMMENTS, startModifiedTime=reply["createdTime"]
    )

    assert reply["author"]["me"]
    assert [old["comment_id"]] == [each["id"] for each in told["comments"]]
    assert new["comment_id"] not in str(told)


async def test_a_reply_with_an_action_resolves_and_reopens(stage):
    comment = await stage.comment(await stage.file())
    path = f"files/{comment['file_id']}/comments/{comment['comment_id']}/replies"
    seen = []
    for action in ("resolve", "reopen"):
        await stage.api("POST", path, {"action": action}, fields="id")
        seen.append(await stage.resolved(comment))

    assert [True, False] == seen


async def test_comments_come_in_pages(stage):
    file_id = await stage.file()
    for number in range(5):
        await stage.comment(file_id, f"{number}")
    _, first = await stage.api("GET", f"files/{file_id}/comments", fields=COMMENTS, pageSize="3")
    _, second = await stage.api(
        "GET",
        f"files/{file_id}/comments",
        fields=COMMENTS,
        pageSize="3",
        pageToken=first["nextPageToken"],
    )

    listed = [each["content"] for each in (*first["comments"], *second["comments"])]
    assert ["4", "3", "2", "1", "0"] == listed
    assert "nextPageToken" not in second


async def test_the_log_of_changes_names_files_from_a_token_on(stage):
    spec, _ = await stage.file("Spec"), await stage.file("Plan")
    _, start = await stage.api("GET", "changes/startPageToken")
    await stage.comment(spec)
    _, told = await stage.api("GET", "changes", pageToken=start["startPageToken"])
    _, after = await stage.api("GET", "changes", pageToken=told["newStartPageToken"])

    assert [spec] == [each["fileId"] for each in told["changes"]]
    assert [] == after["changes"]


async def test_files_are_found_by_their_folder(stage):
    folder = await stage.file("Folder", mime_type="application/vnd.google-apps.folder")
    inside = await stage.file("Inside", parent=folder)
    await stage.file("Outside")
    query = f"('{folder}' in parents or 'nowhere' in parents) and trashed=false"
    _, told = await stage.api("GET", "files", q=query)
    _, wrong = await stage.api("GET", "files", q="colour = 'red'")

    assert [inside] == [each["id"] for each in told["files"]]
    assert "invalid" == wrong


async def test_a_file_of_a_shared_drive_is_there_for_those_who_know_such_drives(stage):
    file_id = await stage.file("Shared", drive_id="0AShared")
    unknowing, _ = await stage.api("GET", f"files/{file_id}")
    _, known = await stage.api("GET", f"files/{file_id}", supportsAllDrives="true", fields="driveId")

    assert (404, "0AShared") == (unknowing, known["driveId"])


@pytest.mark.parametrize(
    ("path", "state", "days"), [("files/{file}/watch", "update", 1), ("changes/watch", "change", 7)]
)
async def test_a_channel_is_told_of_comments_without_a_word_of_them(stage, path, state, days):
    file_id = await stage.file()
    parameters = {"pageToken": "1"} if state == "change" else {}
    asked = channel(stage, expiration=str(int((datetime.now(UTC) + timedelta(days=30)).timestamp() * 1000)))
    status, opened = await stage.api("POST", path.format(file=file_id), asked, **parameters)
    sync = await stage.receiver.next()
    await stage.admin("PUT", "/google-drive/webhook", url="")
    await stage.comment(file_id)
    told = await stage.receiver.next()

    lives = datetime.fromtimestamp(int(opened["expiration"]) / 1000, UTC) - datetime.now(UTC)
    assert (200, asked["id"]) == (status, opened["id"])
    assert timedelta(days=days) - timedelta(minutes=1) < lives <= timedelta(days=days)
    assert ["sync", state] == [each.headers["X-Goog-Resource-State"] for each in (sync, told)]
    assert ["1", "2"] == [each.headers["X-Goog-Message-Number"] for each in (sync, told)]
    assert (CHANNEL_TOKEN, b"") == (told.headers["X-Goog-Channel-Token"], told.body)


async def test_a_channel_id_is_good_once_and_a_stopped_channel_is_silent(stage):
    file_id, asked = await stage.file(), channel(stage)
    _, opened = await stage.api("POST", f"files/{file_id}/watch", asked)
    _, again = await stage.api("POST", f"files/{file_id}/watch", asked)
    await stage.receiver.next()
    stopped, _ = await stage.api(
        "POST", "channels/stop", {"id": asked["id"], "resourceId": opened["resourceId"]}
    )
    gone, _ = await stage.api(
        "POST", "channels/stop", {"id": asked["id"], "resourceId": opened["resourceId"]}
    )
    said = await stage.comment(file_id)

    assert ("channelIdNotUnique", 204, 404) == (again, stopped, gone)
    assert ["google.workspace.drive.comment.v3.created"] == [each["event"] for each in said["deliveries"]]


@pytest.mark.parametrize(("statuses", "tries"), [([503, 500, 504], 4), ([404], 1), ([204], 1)])
async def test_a_notification_is_tried_again_after_a_servers_trouble_only(stage, statuses, tries):
    file_id = await stage.file()
    await stage.api("POST", f"files/{file_id}/watch", channel(stage))
    await stage.receiver.next()
    await stage.admin("PUT", "/google-drive/webhook", url="")
    stage.receiver.statuses = list(statuses)
    await stage.comment(file_id)
    came = [await stage.receiver.next() for _ in range(tries)]
    await stage.comment(file_id)
    after = await stage.receiver.next()

    assert ["2"] * tries == [each.headers["X-Goog-Message-Number"] for each in came]
    assert "3" == after.headers["X-Goog-Message-Number"]


async def test_an_event_names_the_comment_and_shows_a_token_that_googles_keys_prove(stage):
    comment = await stage.comment(await stage.file())
    pushed = await stage.receiver.next()
    async with stage.http.get(stage.environment["GOOGLE_CERTS_URL"]) as answer:
        keys = jwt.PyJWKSet.from_dict(await answer.json())
    token = pushed.headers["Authorization"].removeprefix("Bearer ")
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=stage.settings.audience)
    message = json.loads(pushed.body)["message"]

    assert (stage.settings.pusher_email, True) == (claims["email"], claims["email_verified"])
    assert "google.workspace.drive.comment.v3.created" == message["attributes"]["ce-type"]
    named = {"comment": {"id": comment["comment_id"], "file_id": comment["file_id"]}}
    assert named == json.loads(base64.b64decode(message["data"]))


async def test_each_act_has_its_own_event(stage):
    comment = await stage.comment(await stage.file())
    await stage.reply(comment, "and?")
    await stage.reply(comment, action="resolve")
    await stage.reply(comment, action="reopen")
    place = {"file_id": comment["file_id"], "comment_id": comment["comment_id"]}
    await stage.admin("PUT", "/google-drive/comments", **place, content="changed")
    await stage.admin("PUT", "/google-drive/comments", **place, content="")
    kinds = [
        json.loads((await stage.receiver.next()).body)["message"]["attributes"]["ce-type"] for _ in range(6)
    ]

    short = [each.removeprefix("google.workspace.drive.") for each in kinds]
    assert [
        "comment.v3.created",
        "reply.v3.created",
        "comment.v3.resolved",
        "comment.v3.reopened",
        "comment.v3.edited",
        "comment.v3.deleted",
    ] == short


async def test_a_push_is_repeated_until_it_is_taken_with_the_same_message_id(stage):
    stage.receiver.statuses = [404, 401]
    await stage.comment(await stage.file())
    came = [await stage.receiver.next() for _ in range(3)]

    assert 1 == len({json.loads(each.body)["message"]["messageId"] for each in came})


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"refresh_token": "another"}, 400, "invalid_grant"),
        ({"client_secret": "another"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_only_the_accounts_own_sign_in_is_taken(stage, form, status, error):
    refused, told = await stage.sign_in(**form)

    assert (status, error) == (refused, told["error"])


async def test_a_token_that_expired_is_refused(stage):
    await stage.file()
    assert (200, {"user": {"emailAddress": ACCOUNT}}) == await stage.api(
        "GET", "about", fields="user(emailAddress)"
    )
    await stage.admin("DELETE", "/google-drive/tokens")
    assert (401, "authError") == await stage.api("GET", "about", fields="user")


@pytest.mark.parametrize(
    ("action", "status", "reason", "posts"),
    [
        ("rate_limit:7:403", 403, "userRateLimitExceeded", 0),
        ("status:500", 500, "internalError", 0),
        ("status_after:500", 500, "internalError", 1),
    ],
)
async def test_a_fault_fails_in_googles_words_before_or_after_the_work(stage, action, status, reason, posts):
    comment = await stage.comment(await stage.file())
    await stage.fault("replies", action)
    path = f"files/{comment['file_id']}/comments/{comment['comment_id']}/replies"

    assert (status, reason) == await stage.api("POST", path, {"content": "x"}, fields="id")
    assert posts == len(await stage.thread(comment)) - 1


def test_the_stand_in_answers_the_methods_of_the_excerpt_and_no_others():
    world = GoogleWorld(GoogleSettings())
    answered = DriveMethods(world).table() | DocsMethods(world).table()
    assert set(answered) == {name for api in ("docs", "drive") for name in description(api)["methods"]}


async def test_the_page_shows_a_document_and_takes_a_comment_and_a_reply_that_resolves(stage):
    file_id = await stage.file()
    page = f"{stage.url}/web/google-drive/document/d/{file_id}/edit"
    form = {"place": "new", "author": "ada", "standing": "commenter", "body": "@atlas why <b>?"}
    async with stage.http.post(page, data=form, allow_redirects=False) as answer:
        assert 303 == answer.status
    told = json.loads(base64.b64decode(json.loads((await stage.receiver.next()).body)["message"]["data"]))
    comment = {"file_id": file_id, "comment_id": told["comment"]["id"]}
    form |= {"place": f"resolve:{comment['comment_id']}", "body": "done"}
    async with stage.http.post(page, data=form) as answer:
        text = await answer.text()

    assert "@atlas why &lt;b&gt;?" in text
    assert ["@atlas why <b>?", "done"] == [each["content"] for each in await stage.thread(comment)]
    assert await stage.resolved(comment)
