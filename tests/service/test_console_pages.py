"""What the console shows of runs, and that what others wrote stays text."""

from __future__ import annotations

import pytest

from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_FAILURE, TaskRun
from aucert.common.v1.thread_pb2 import SOURCE_GITHUB, GitHubThread, ThreadAddress
from aucert.models.v1.message_pb2 import Part, ToolCall
from gateway.console.contents import TEXT_CHARS_MAX
from tests.service.astra_kit import Astra, astra_service, new_id, result  # noqa: F401
from tests.service.console_kit import Browser, console, elements

GITHUB = {
    "source": SOURCE_GITHUB,
    "address": ThreadAddress(github=GitHubThread(repository="acme/shop", repository_id=42, number=7)),
}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture
async def browser(astra):
    async with console(astra) as browser:
        await browser.sign_in("api-token")
        yield browser


async def finished(astra: Astra, answer: str = "[R0] See cart.py.", tool_result: str = "cart.py") -> TaskRun:
    """A run of two turns, the first with a call."""
    run = await astra.create(requester="maria", **GITHUB)
    run_id, fence = run.task_run_id, (await astra.begin(run.task_run_id)).fence
    reservation = await astra.reserve(run_id, fence)
    arguments = ToolCall(call_id="t1_0", tool_name="repo_read_file", arguments_json='{"path":"cart.py"}')
    await astra.commit_turn(run_id, fence, reservation, Part(text="Let me look."), Part(tool_call=arguments))
    committed = await astra.commit_results(run_id, fence, result("t1_0", tool_result))
    await astra.commit_turn(run_id, fence, committed.reservation.spend_reservation_id, Part(text=answer))
    await astra.complete(run_id, fence, output_text=answer, reply_url="https://github.example/acme/shop/7#1")
    return await astra.get(run_id)


def links(html: str) -> list[str]:
    return [attributes.get("href") or "" for _, attributes in elements(html, "a")]


def listed(html: str) -> list[str]:
    """Ids of the runs on a page of the list."""
    return [each.removeprefix("/runs/") for each in links(html) if each.startswith("/runs/")]


async def test_the_list_shows_the_runs_newest_first_with_what_they_took(
    browser: Browser, astra: Astra
) -> None:
    done, queued = await finished(astra), await astra.create()
    html = await browser.page("/")
    assert [queued.task_run_id, done.task_run_id] == listed(html)
    used = "20 in + 10 cached (20% from the cache), 10 out"
    for told in ("success", "queued", "maria", "acme/shop#7", "[R0]", used, "$0.0002"):
        assert told in html


async def test_filters_are_in_the_address_and_kept_by_the_form(browser: Browser, astra: Astra) -> None:
    done = await finished(astra)
    failed = await astra.create(model_alias="kimi")
    fence = (await astra.begin(failed.task_run_id)).fence
    await astra.complete(failed.task_run_id, fence, TASK_RUN_OUTCOME_FAILURE, outcome_reason="WORKER_FAILED")
    queued = await astra.create()
    ids = {"done": done.task_run_id, "failed": failed.task_run_id, "queued": queued.task_run_id}
    for query, wanted in {
        "status=completed": ["failed", "done"],
        "status=queued": ["queued"],
        "outcome=failure": ["failed"],
        "outcome=success&source=github": ["done"],
        "source=manual": ["queued", "failed"],
        "model=kimi": ["failed"],
        f"thread={queued.thread_id}": ["queued"],
        "outcome=cancelled": [],
    }.items():
        assert [ids[name] for name in wanted] == listed(await browser.page(f"/?{query}")), query
    html = await browser.page("/?status=completed&model=kimi")
    assert "kimi" in [attributes.get("value") for _, attributes in elements(html, "input")]
    assert ["completed"] == [
        attributes["value"] for _, attributes in elements(html, "option") if "selected" in attributes
    ]
    wrong = await browser.get("/?status=asleep")
    assert 400 == wrong.status
    assert "choose one of queued, in_progress" in await wrong.text()


async def test_pages_follow_each_other_under_the_same_filters(
    browser: Browser, astra: Astra, monkeypatch
) -> None:
    monkeypatch.setattr("gateway.console.filters.RUNS_A_PAGE", 2)
    made = [(await astra.create(model_alias="kimi")).task_run_id for _ in range(3)]
    await astra.create()
    first = await browser.page("/?model=kimi")
    assert made[:0:-1] == listed(first)
    [older] = [each for each in links(first) if "page=" in each]
    second = await browser.page(older)
    assert made[:1] == listed(second)
    assert "/?model=kimi" in links(second)


async def test_a_run_shows_what_each_turn_was_sent_and_what_came_back(browser: Browser, astra: Astra) -> None:
    run = await finished(astra)
    html = await browser.page(f"/runs/{run.task_run_id}")
    for told in (
        "Message 1",
        "Let me look.",
        "repo_read_file",
        "&#34;path&#34;: &#34;cart.py&#34;",
        "See cart.py.",
        "with what the 1 call above returned",
    ):
        assert told in html
    assert "https://github.example/acme/shop/7#1" in links(html)
    assert f"/?thread={run.thread_id}" in links(html)
    assert not [name for _, attributes in elements(html) for name in attributes if name == "hx-sse:connect"]


async def test_a_long_text_is_cut_on_the_runs_page_and_whole_on_the_turns(
    browser: Browser, astra: Astra
) -> None:
    end = "the very end"
    run = await finished(astra, tool_result="x" * TEXT_CHARS_MAX + end)
    html = await browser.page(f"/runs/{run.task_run_id}")
    assert end not in html
    assert f"{len(end)} more characters are left out" in html
    [whole] = [each for each in links(html) if "/turns/" in each]
    assert end in await browser.page(whole)
    assert 404 == (await browser.get(f"/runs/{run.task_run_id}/turns/2")).status


async def test_what_others_wrote_stays_text(browser: Browser, astra: Astra) -> None:
    fields = {
        "requester": HOSTILE + "\u202e",
        "message": HOSTILE,
        "source_url": "javascript:alert(3)",
        "model_alias": "<b>alias</b>",
    }
    run = await astra.create(**fields)
    run_id, fence = run.task_run_id, (await astra.begin(run.task_run_id)).fence
    call = ToolCall(call_id="t1_0", tool_name=HOSTILE, arguments_json="[" * 5_000 + HOSTILE)
    await astra.commit_turn(
        run_id, fence, await astra.reserve(run_id, fence), Part(text=HOSTILE), Part(tool_call=call)
    )
    await astra.commit_results(run_id, fence, result("t1_0", HOSTILE))
    await astra.complete(run_id, fence, output_text=HOSTILE, reply_url="data:text/html,x", outcome_reason="")
    for path in (f"/runs/{run_id}", f"/runs/{run_id}/turns/1", "/"):
        html = await browser.page(path)
        assert "&lt;script&gt;" in html
        assert {"script": 2, "img": 0, "b": 0} == {
            tag: len(elements(html, tag)) for tag in ("script", "img", "b")
        }
        assert not [each for each in links(html) if each.startswith(("javascript:", "data:"))]
        assert "\u202e" not in html
    assert "U+202E" in await browser.page("/")


async def test_pages_run_nothing_inline_and_are_shown_in_no_frame(browser: Browser, astra: Astra) -> None:
    run = await finished(astra)
    for path in ("/", f"/runs/{run.task_run_id}", f"/runs/{run.task_run_id}/turns/1", f"/runs/{new_id()}"):
        answer = await browser.get(path)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
        } <= set(policy)
        assert not [each for each in policy if "unsafe" in each]
        for name, value in {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            assert value == answer.headers[name]
        html = await answer.text()
        assert not elements(html, "style")
        assert all("src" in attributes for _, attributes in elements(html, "script"))
        assert not [
            name
            for _, attributes in elements(html)
            for name in attributes
            if name == "style" or name.startswith("on")
        ]
    static = await browser.get("/static/console.css")
    assert (200, "no-cache", "nosniff") == (
        static.status,
        static.headers["Cache-Control"],
        static.headers["X-Content-Type-Options"],
    )
    assert 404 == (await browser.get("/static/../pages.py")).status


async def test_a_run_that_is_not_there_is_told_as_a_page(browser: Browser) -> None:
    answer = await browser.get(f"/runs/{new_id()}")
    assert (404, "text/html") == (answer.status, answer.content_type)


async def test_while_astra_is_away_the_page_says_so(astra: Astra) -> None:
    async with console(astra) as browser:
        await browser.sign_in("api-token")
        sealed = browser.cookie()
    async with console(astra, ASTRA_ADDRESS="127.0.0.1:1") as cut_off:
        cut_off.session.cookie_jar.update_cookies(
            {"astra_session": sealed}, response_url=cut_off.session._base_url
        )
        answer = await cut_off.get("/")
    assert (503, "text/html") == (answer.status, answer.content_type)
    assert "Try again shortly" in await answer.text()
