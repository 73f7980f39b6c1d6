"""Pages that are open: what happens appears in them, in order, and nothing is missed."""

from __future__ import annotations

import asyncio
import contextlib
import re

import aiohttp
import pytest

from aucert.astra.v1 import task_run_service_pb2 as run_pb
from aucert.astra.v1.task_event_pb2 import Notice
from aucert.models.v1.message_pb2 import Part
from tests.service.astra_kit import Astra, astra_service, call, result  # noqa: F401
from tests.service.console_kit import Browser, Stream, console, elements, stream


@pytest.fixture
async def browser(astra):
    async with console(astra) as browser:
        await browser.sign_in("api-token")
        yield browser


async def until(told: Stream, text: str) -> str:
    """The first frame that says this."""
    while text not in (data := (await told.frame()).get("data", "")):
        pass
    return data


def notices(html: str) -> list[str]:
    return re.findall(r"Notice posted: (\S+?)<", html)


async def test_new_and_changed_runs_come_to_an_open_list(browser: Browser, astra: Astra) -> None:
    async with stream(browser, "/live?model=kimi") as told:
        assert "No run is like this." in (await told.frame())["data"]
        await astra.create(model_alias="opus")
        run = await astra.create(model_alias="kimi")
        html = await until(told, run.task_run_id)
        assert "opus" not in html
        fence = (await astra.begin(run.task_run_id)).fence
        await until(told, "in progress</strong>")
        await astra.complete(run.task_run_id, fence)
        await until(told, "success</strong>")


async def test_an_open_run_fills_and_its_stream_ends_with_it(browser: Browser, astra: Astra) -> None:
    run = await astra.create()
    run_id = run.task_run_id
    async with stream(browser, f"/runs/{run_id}/live?after=0") as told:
        fence = (await astra.begin(run_id)).fence
        await until(told, "in progress</strong>")
        reservation = await astra.reserve(run_id, fence)
        await astra.commit_turn(run_id, fence, reservation, Part(text="Let me look."), call("t1_0"))
        html = await until(told, "called 1 tool")
        assert "Let me look." in html
        assert "at work" in html
        committed = await astra.commit_results(run_id, fence, result("t1_0", "what it found"))
        assert "at work" not in await until(told, "what it found")
        await astra.commit_turn(run_id, fence, committed.reservation.spend_reservation_id, Part(text="Done."))
        html = await until(told, "Done.")
        assert "Let me look." not in html, "the page has it: it is not sent again"
        kept = [
            attributes["id"] for _, attributes in elements(html) if "hx-morph-skip-children" in attributes
        ]
        assert ["content-1", "call-content-1-0"] == kept
        await astra.complete(run_id, fence, output_text="[R0] Done.")
        await until(told, "[R0] Done.")
        assert {"event": "end", "data": ""} == await told.frame()
        with pytest.raises(EOFError):
            await told.frame()


async def test_text_grows_in_an_open_page_until_its_turn_is_recorded(browser: Browser, astra: Astra) -> None:
    run = await astra.create()
    run_id, fence = run.task_run_id, (await astra.begin(run.task_run_id)).fence
    heard = astra.runs.WatchStopRequests(run_pb.WatchStopRequestsRequest())
    async with stream(browser, f"/runs/{run_id}/live?after=0") as told:
        async for each in heard:
            if each.read_along_task_run_id == run_id:
                break

        async def write(offset: int, text: str) -> None:
            piece = run_pb.StreamedText(fence=fence, position=1, offset=offset, text=text)
            await astra.runs.PublishText(run_pb.PublishTextRequest(task_run_id=run_id, text=piece))

        await write(0, "<b>Once")
        await until(told, "&lt;b&gt;Once")
        await write(7, " upon a time")
        frame = await until(told, "Once upon a time")
        assert 'hx-target="#writing"' in frame
        assert "What happened" not in frame, "the rest of the page is not sent again"
        reservation = await astra.reserve(run_id, fence)
        await astra.commit_turn(run_id, fence, reservation, Part(text="Once upon a time."))
        html = await until(told, "answered")
        assert "Being written" not in html
    heard.cancel()


async def test_a_page_that_was_cut_off_goes_on_after_the_last_event_it_has(
    browser: Browser, astra: Astra
) -> None:
    run = await astra.create()
    run_id, fence = run.task_run_id, (await astra.begin(run.task_run_id)).fence

    async def write(number: int) -> None:
        request = run_pb.LogTaskEventRequest(
            task_run_id=run_id, fence=fence, notice=Notice(kind=f"n{number}")
        )
        await astra.runs.LogTaskEvent(request)

    wanted = [f"n{number}" for number in range(30)]
    writing = asyncio.create_task(_each(write, 30))
    seen, last = "", "0"
    while notices(seen) != wanted:
        resuming = {"Last-Event-ID": last} if last != "0" else {}
        async with stream(browser, f"/runs/{run_id}/live?after=0", **resuming) as told:
            frame = await told.frame()
            assert int(frame["id"]) > int(last)
            seen, last = frame["data"], frame["id"]
    await writing
    assert "31" == last


async def _each(write, count: int) -> None:
    for number in range(count):
        await write(number)


async def test_a_stream_ends_cleanly_when_the_gateway_leaves(astra: Astra) -> None:
    """So that a page asks another gateway, and nobody waits for people to close their pages."""
    async with contextlib.AsyncExitStack() as gateway:
        browser = await gateway.enter_async_context(console(astra))
        await browser.sign_in("api-token")
        jar = aiohttp.CookieJar(unsafe=True)
        jar.update_cookies({"astra_session": browser.cookie()}, response_url=browser.session._base_url)
        async with (
            aiohttp.ClientSession(browser.url, cookie_jar=jar) as session,
            session.get("/live") as open_page,
        ):
            told = Stream(open_page)
            await told.frame()
            leaving = asyncio.create_task(gateway.aclose())
            with pytest.raises(EOFError):
                await told.frame()
            await leaving


async def test_past_the_most_open_pages_a_page_is_read_as_it_is(browser: Browser, monkeypatch) -> None:
    monkeypatch.setattr("gateway.console.live.STREAMS_MAX", 1)
    async with stream(browser, "/live") as told:
        await told.frame()
        answer = await browser.get("/live")
        assert (503, "5") == (answer.status, answer.headers["Retry-After"])
        assert 200 == (await browser.get("/")).status
