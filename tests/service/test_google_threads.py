"""ThreadService, catch-up and channels against the Google stand-in, with the ledger of an in-memory Astra."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_NOTICE_FAILED
from aucert.common.v1.thread_pb2 import GoogleDriveThread, ThreadAddress
from aucert.tools.v1 import catch_up_service_pb2, drive_changes_service_pb2
from aucert.tools.v1 import thread_service_pb2 as pb
from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceStub
from aucert.tools.v1.drive_changes_service_pb2_grpc import DriveChangesServiceStub
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from services.common.channels import connect
from services.sandbox.google_domain import FOLDER
from services.tools import google_catch_up, google_comments
from services.tools.main import running
from services.tools.settings import ToolsSettings
from tests.service.google_stage import ACCOUNT, CHANNEL_TOKEN, GoogleStage, google_stage
from tests.service.tools_stage import WORKER, Astra, reason_of, serving_astra

RUN = "6a51c7c5-6a8d-4d58-a1c4-5f9a3c1f8a01"
LONG = "\n\n".join(["word " * 300] * 4)


@dataclass
class Stage:
    """A tools service before a document on which somebody has asked something."""

    google: GoogleStage
    astra: Astra
    threads: Any
    catch_up: Any
    drive: Any
    asked: dict[str, Any]

    def address(self, comment: dict[str, Any] | None = None) -> ThreadAddress:
        told = comment or self.asked
        url = told["link"].partition("?")[0]
        return ThreadAddress(
            google_drive=GoogleDriveThread(
                file_id=told["file_id"], comment_id=told["comment_id"], file_url=url
            )
        )

    async def answer(self, text: str = "[R0] Because **so**.") -> pb.PostAnswerResponse:
        request = pb.PostAnswerRequest(task_run_id=RUN, fence=1, address=self.address(), text=text)
        return await self.threads.PostAnswer(request, timeout=30)

    async def posts(self) -> list[dict[str, Any]]:
        return [each for each in await self.google.thread(self.asked) if each["by_account"]]

    async def scan(
        self, container: str = "", cursor: str = "", threads: tuple[ThreadAddress, ...] = ()
    ) -> Any:
        where = f"google-drive:{container or 'file/' + self.asked['file_id']}"
        return await self.catch_up.ScanContainer(
            catch_up_service_pb2.ScanContainerRequest(container=where, cursor=cursor, threads=threads)
        )

    async def told(self, *where: Any, **more: Any) -> list[str]:
        """The words of the acts a scan tells."""
        return [words(each) for each in (await self.scan(*where, **more)).deliveries]


def words(delivery: Any) -> str:
    told = json.loads(delivery.body)
    comment = told["comment"]
    item = comment["replies"][-1] if told["reply_id"] else comment
    return item["content"] or item["action"]


@asynccontextmanager
async def staged(tmp_path, **more: Any) -> AsyncIterator[Stage]:
    async with serving_astra() as (astra, astra_address), google_stage(wired=False) as google:
        known = ToolsSettings(
            _env_file=None,
            ASTRA_TOKEN="tools-token",
            ASTRA_ADDRESS=astra_address,
            TOOLS_PORT=0,
            WORKSPACE_DIR=tmp_path / "workspace",
            GOOGLE_SETTLE_SECONDS=0.05,
            **{**google.environment, **more},
        )
        async with running(known) as server:
            channel = connect(server.address, WORKER)
            stubs = (
                ThreadServiceStub(channel),
                CatchUpServiceStub(channel),
                DriveChangesServiceStub(channel),
            )
            asked = await google.comment(await google.file(), "@atlas why?", quoted="the cart")
            yield Stage(google, astra, *stubs, asked)
            await channel.close()


@pytest.fixture
async def stage(tmp_path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as stage:
        yield stage


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def test_an_answer_is_posted_once_below_the_comment_however_often_it_is_asked_for(stage):
    first, second = await stage.answer(), await stage.answer()
    (post,) = await stage.posts()

    assert "[R0] Because so." == post["content"]
    assert post["link"] == first.url == second.url
    assert post["id"] == first.posts[0].external_id


async def test_a_long_answer_is_posted_in_numbered_parts_in_order(stage):
    posted = await stage.answer(LONG)
    texts = [each["content"] for each in await stage.posts()]

    assert len(texts) == len(posted.posts) > 1
    assert max(len(each.encode()) for each in texts) <= 2_048
    assert [f"({place}/{len(texts)})" for place in range(2, len(texts) + 1)] == [
        each.split()[0] for each in texts[1:]
    ]


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:500"])
async def test_after_an_unclear_failure_the_thread_is_searched_before_anything_is_sent_again(stage, fault):
    await stage.google.fault("replies", fault, method="POST")
    posted = await stage.answer()
    (post,) = await stage.posts()

    assert post["id"] == posted.posts[0].external_id


async def test_an_answer_that_was_posted_but_not_recorded_is_found_and_recorded(stage):
    stage.astra.finish_fails = 1
    assert grpc.StatusCode.INTERNAL == (await refusal(stage.answer()))[0]
    posted = await stage.answer()
    (post,) = await stage.posts()

    assert (post["id"], post["link"]) == (posted.posts[0].external_id, posted.url)


async def test_the_same_words_by_somebody_else_are_not_taken_for_ours(stage):
    await stage.google.reply(stage.asked, "[R0] Because so.")
    await stage.google.fault("replies", "status:500", method="POST")
    await stage.answer()

    assert 1 == len(await stage.posts())


async def test_a_rate_limit_says_how_long_and_nothing_was_posted(stage, no_blocks):
    await stage.google.fault("replies", "rate_limit:7:403")
    refused = await refusal(stage.answer())

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED", 7.0) == refused
    assert [] == await stage.posts()
    await stage.answer()
    assert 1 == len(await stage.posts())


async def test_a_vendor_that_stays_away_is_told_and_a_later_call_posts(stage):
    await stage.google.fault("replies", "status:503", times=2, method="POST")
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (await refusal(stage.answer()))[:2]
    await stage.answer()
    assert 1 == len(await stage.posts())


async def test_an_access_token_that_was_revoked_is_replaced(stage):
    await stage.answer()
    await stage.google.admin("DELETE", "/google-drive/tokens")
    notice = pb.PostNoticeRequest(
        task_run_id=RUN,
        fence=1,
        address=stage.address(),
        kind=THREAD_POST_KIND_NOTICE_FAILED,
        text="I gave up.",
    )
    first, second = await stage.threads.PostNotice(notice), await stage.threads.PostNotice(notice)

    assert first.url == second.url
    assert ["[R0] Because so.", "I gave up."] == [each["content"] for each in await stage.posts()]


async def test_one_sign_in_serves_many_calls(stage):
    await stage.answer(LONG)
    assert 1 == await stage.google.calls("/token")


async def test_a_comment_that_is_gone_is_refused_for_good(stage):
    place = {"file_id": stage.asked["file_id"], "comment_id": stage.asked["comment_id"]}
    await stage.google.admin("PUT", "/google-drive/comments", **place)

    assert (grpc.StatusCode.FAILED_PRECONDITION, "VENDOR_REFUSED") == (await refusal(stage.answer()))[:2]


async def test_a_consent_that_was_taken_back_is_no_outage(tmp_path):
    async with staged(tmp_path, GOOGLE_REFRESH_TOKEN="revoked") as stage:
        refused = await refusal(stage.answer())

    assert (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_OFF") == refused[:2]


async def test_without_credentials_the_source_is_off(tmp_path):
    async with staged(tmp_path, GOOGLE_CLIENT_ID="") as stage:
        refused = await refusal(stage.scan())

    assert (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_OFF") == refused[:2]


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500"])
async def test_a_notice_google_posted_and_denied_is_there_once(stage, fault):
    await stage.google.fault("replies", fault, method="POST")
    notice = pb.PostNoticeRequest(
        task_run_id=RUN,
        fence=1,
        address=stage.address(),
        kind=THREAD_POST_KIND_NOTICE_FAILED,
        text="I gave up.",
    )
    posted = await stage.threads.PostNotice(notice, timeout=30)
    (post,) = await stage.posts()

    assert post["link"] == posted.url


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500"])
async def test_a_comment_google_resolved_and_denied_is_resolved_once(stage, fault):
    request = pb.ResolveThreadRequest(address=stage.address())
    await stage.google.fault("replies", fault, method="POST")
    assert "VENDOR_UNAVAILABLE" == (await refusal(stage.threads.ResolveThread(request)))[1]
    assert (await stage.threads.ResolveThread(request)).resolved

    assert ["resolve"] == [each["action"] for each in await stage.posts()]


async def test_a_comment_is_resolved_once(stage):
    request = pb.ResolveThreadRequest(address=stage.address())
    for _ in range(2):
        assert (await stage.threads.ResolveThread(request)).resolved

    assert ["resolve"] == [each["action"] for each in await stage.posts()]
    assert await stage.google.resolved(stage.asked)


async def test_nothing_shows_that_a_comment_was_seen(stage):
    await stage.threads.Acknowledge(pb.AcknowledgeRequest(address=stage.address()))
    assert [] == await stage.posts()


async def test_a_scan_tells_a_comment_with_all_it_takes_to_judge_it(stage):
    (delivery,) = (await stage.scan()).deliveries
    told = json.loads(delivery.body)

    assert f"{stage.asked['file_id']}/{stage.asked['comment_id']}" == delivery.external_id
    assert ("@atlas why?", "the cart") == (
        told["comment"]["content"],
        told["comment"]["quotedFileContent"]["value"],
    )
    assert (ACCOUNT, stage.asked["link"]) == (told["account"], told["link"])
    assert [f"google-drive:file/{stage.asked['file_id']}"] == told["file"]["containers"]


async def test_what_was_told_comes_again_only_within_the_overlap(stage, monkeypatch):
    cursor = (await stage.scan()).next_cursor
    again = await stage.told(cursor=cursor)
    monkeypatch.setattr(google_catch_up, "OVERLAP", timedelta(0))
    at_the_time_itself = await stage.told(cursor=cursor)
    await stage.google.reply(stage.asked, "@atlas and?")
    later = await stage.told(cursor=cursor)

    assert ["@atlas why?"] == again == at_the_time_itself
    assert ["@atlas why?", "@atlas and?"] == later


async def test_a_reply_is_told_with_what_was_said_before_it(stage):
    await stage.google.reply(stage.asked, "it is about carts", author="ada")
    await stage.google.reply(stage.asked, "@atlas so?")
    await stage.google.reply(stage.asked, "@atlas later")
    told = [json.loads(each.body) for each in (await stage.scan()).deliveries]

    assert [0, 2, 3] == [len(each["comment"]["replies"]) for each in told]
    assert ["ada", "maria"] == [each["author"]["displayName"] for each in told[1]["comment"]["replies"]]


async def test_talk_among_people_and_our_own_words_are_not_told(stage):
    await stage.google.comment(stage.asked["file_id"], "nice")
    other = await stage.google.comment(stage.asked["file_id"], "nice too")
    await stage.google.reply(other, action="resolve")
    await stage.answer("I am @atlas.")
    await stage.google.reply(stage.asked, "thanks")

    assert ["@atlas why?", "thanks"] == await stage.told()
    known = await stage.told(threads=(stage.address(other),))
    assert ["@atlas why?", "nice too", "resolve", "thanks"] == known


async def test_a_folder_is_read_with_the_folders_below_it(stage):
    folder = await stage.google.file("Specs", mime_type=FOLDER)
    below = await stage.google.file("Old", mime_type=FOLDER, parent=folder)
    for name, parent in (("A", folder), ("B", below), ("C", "")):
        await stage.google.comment(await stage.google.file(name, parent=parent), f"@atlas {name}")
    scanned = await stage.scan(f"folder/{folder}")
    containers = [json.loads(each.body)["file"]["containers"] for each in scanned.deliveries]

    assert ["@atlas A", "@atlas B"] == [words(each) for each in scanned.deliveries]
    assert [f"google-drive:folder/{below}", f"google-drive:folder/{folder}"] == containers[1][1:]
    assert ["@atlas A", "@atlas B"] == await stage.told(f"file/{folder}")


async def test_a_shared_drive_is_read_file_by_file(stage):
    shared = await stage.google.file("Shared", drive_id="0AShared")
    await stage.google.comment(shared, "@atlas shared?")
    (delivery,) = (await stage.scan("drive/0AShared")).deliveries

    assert "google-drive:drive/0AShared" in json.loads(delivery.body)["file"]["containers"]


async def test_the_log_of_changes_leads_to_comments_made_since_its_cursor(stage):
    begun = await stage.scan("changes")
    await stage.google.comment(await stage.google.file("Plan"), "@atlas and this?")
    scanned = await stage.scan("changes", begun.next_cursor)
    after = await stage.scan("changes", scanned.next_cursor)

    assert [] == list(begun.deliveries)
    assert ["@atlas and this?"] == [words(each) for each in scanned.deliveries]
    assert [] == list(after.deliveries)


async def test_a_folder_of_many_files_is_read_in_rounds(stage, monkeypatch):
    monkeypatch.setattr("services.tools.google_files.PAGE_SIZE", 2)
    folder = await stage.google.file("Many", mime_type=FOLDER)
    for number in range(5):
        await stage.google.comment(await stage.google.file(f"D{number}", parent=folder), f"@atlas {number}")
    told, cursor, rounds, more = [], "", 0, True
    while more:
        scanned = await stage.scan(f"folder/{folder}", cursor)
        told += map(words, scanned.deliveries)
        cursor, more, rounds = scanned.next_cursor, scanned.more, rounds + 1

    assert (3, sorted(f"@atlas {number}" for number in range(5))) == (rounds, sorted(told))
    assert {"since"} == json.loads(cursor).keys()


async def test_more_acts_than_one_answer_holds_are_told_in_several(stage, monkeypatch):
    monkeypatch.setattr(google_catch_up, "DELIVERIES_MAX", 2)
    for number in range(4):
        await stage.google.reply(stage.asked, f"@atlas {number}")
    told, cursor, more = [], "", True
    while more:
        scanned = await stage.scan(cursor=cursor)
        assert len(scanned.deliveries) <= 2
        told += map(words, scanned.deliveries)
        cursor, more = scanned.next_cursor, scanned.more

    assert ["@atlas why?", *(f"@atlas {number}" for number in range(4))] == told


async def test_a_page_token_that_grew_too_old_begins_the_pass_anew(stage):
    stale = json.dumps({"since": datetime.now(UTC).isoformat(), "page": "stale"})
    folder = await stage.google.file("Specs", mime_type=FOLDER)
    await stage.google.comment(await stage.google.file("A", parent=folder), "@atlas A")

    assert ["@atlas A"] == await stage.told(f"folder/{folder}", stale)


async def test_a_file_that_is_gone_keeps_no_other_from_being_read(stage):
    folder = await stage.google.file("Specs", mime_type=FOLDER)
    for name in ("A", "B"):
        await stage.google.comment(await stage.google.file(name, parent=folder), f"@atlas {name}")
    await stage.google.fault("comments", "status:404")

    assert 1 == len(await stage.told(f"folder/{folder}"))


async def test_a_file_of_too_many_comments_keeps_no_other_from_being_read(stage, monkeypatch):
    monkeypatch.setattr(google_comments, "PAGE_SIZE", 1)
    monkeypatch.setattr(google_comments, "PAGES_MAX", 2)
    folder = await stage.google.file("Specs", mime_type=FOLDER)
    busy = await stage.google.file("A", parent=folder)
    for number in range(3):
        await stage.google.comment(busy, f"@atlas {number}")
    await stage.google.comment(await stage.google.file("B", parent=folder), "@atlas B")

    assert ["@atlas B"] == await stage.told(f"folder/{folder}")


async def test_a_comment_on_a_page_that_was_read_already_is_told_by_the_next_pass(stage, monkeypatch):
    monkeypatch.setattr("services.tools.google_files.PAGE_SIZE", 1)
    monkeypatch.setattr(google_catch_up, "OVERLAP", timedelta(0))
    folder = await stage.google.file("Specs", mime_type=FOLDER)
    files = [await stage.google.file(name, parent=folder) for name in ("A", "B")]
    cursor, told, more = (await stage.scan(f"folder/{folder}")).next_cursor, set[str](), True
    for number, file_id in enumerate((*files, *reversed(files))):  # whichever of them was read already
        await stage.google.comment(file_id, f"@atlas {number}")
    for _ in range(2):
        while more:
            scanned = await stage.scan(f"folder/{folder}", cursor)
            told |= set(map(words, scanned.deliveries))
            cursor, more = scanned.next_cursor, scanned.more
        more = True

    assert {f"@atlas {number}" for number in range(4)} == told


async def test_a_cursor_within_a_pass_that_does_not_say_when_it_began_ends_where_it_started(stage):
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    old = json.dumps({"since": since, "newest": datetime.now(UTC).isoformat()})

    assert {"since": since} == json.loads((await stage.scan(cursor=old)).next_cursor)


async def test_in_a_file_that_is_gone_there_is_nothing(stage):
    scanned = await stage.scan("file/gone")
    assert ([], False) == (list(scanned.deliveries), scanned.more)


async def test_while_google_is_away_a_scan_fails(stage):
    await stage.google.fault("comments", "status:503")
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (await refusal(stage.scan()))[:2]


@pytest.mark.parametrize(("what", "log", "days"), [("file", False, 1), ("folder", True, 7), ("", True, 7)])
async def test_a_channel_is_opened_for_a_file_or_for_the_log_of_changes(stage, what, log, days):
    folder = await stage.google.file("Specs", mime_type=FOLDER)
    request = drive_changes_service_pb2.RegisterChannelRequest(
        channel_id=str(uuid.uuid4()),
        file_id={"file": stage.asked["file_id"], "folder": folder}.get(what, ""),
        address=f"{stage.google.receiver.url}/drive",
        token=CHANNEL_TOKEN,
    )
    opened = await stage.drive.RegisterChannel(request)
    sync = await stage.google.receiver.next()
    stop = drive_changes_service_pb2.StopChannelRequest(
        channel_id=request.channel_id, resource_id=opened.resource_id
    )
    for _ in range(2):
        await stage.drive.StopChannel(stop)

    assert (log, "sync") == (opened.watches_log, sync.headers["X-Goog-Resource-State"])
    lives = opened.expiration_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(days=days) - timedelta(minutes=1) < lives <= timedelta(days=days)
    assert [] == (await stage.google.admin("GET", "/google-drive/channels"))["channels"]


async def test_googles_keys_come_with_the_time_they_hold(stage):
    told = await stage.drive.ListSigningKeys(drive_changes_service_pb2.ListSigningKeysRequest())

    assert [True] == [each.public_key_pem.startswith("-----BEGIN PUBLIC KEY") for each in told.keys]
    assert told.expiration_time.ToDatetime(UTC) > datetime.now(UTC) + timedelta(hours=1)
