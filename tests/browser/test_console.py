"""The default smoke, seen in a real browser: a run appears, fills and finishes without a reload."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Route, expect

from aucert.dispatcher.v1.dispatcher_service_pb2 import CreateTaskRequest
from services.cli.smoke import run_smoke
from services.cli.smoke_source import Job
from tests.browser.conftest import PATIENCE_MS, PHONE, OpenPage, Stage
from tests.browser.teller import FIRST, SECOND, Teller

expect.set_options(timeout=PATIENCE_MS)

RUN_SECONDS_MAX = 50
LATE_SECONDS = 0.5
LEAVE_A_MARK = "() => { window.sameDocument = true }"
SAME_DOCUMENT = "() => window.sameDocument === true"
# Notes each state the page goes through, as a person would see it.
NOTE_STATES = """() => {
  const seen = window.seen = [];
  const note = () => {
    const state = document.querySelector('#run .badge').textContent;
    const now = [state, document.querySelectorAll('#steps > li[id]').length];
    if (JSON.stringify(now) !== JSON.stringify(seen.at(-1))) seen.push(now);
  };
  note();
  new MutationObserver(note).observe(document.querySelector('#run'),
    { subtree: true, childList: true, characterData: true, attributes: true });
}"""


@pytest.fixture(scope="session")
async def finished_run(stage: Stage) -> str:
    """The id of a run that is over."""
    async with stage.worker():
        return (await run_smoke(stage.stack, stage.clients, Job()))["task_run_id"]


@pytest.mark.timeout(RUN_SECONDS_MAX * 2)
async def test_a_run_appears_fills_and_finishes_without_a_reload(stage: Stage, open_page: OpenPage) -> None:
    async with open_page() as page:
        await page.evaluate(LEAVE_A_MARK)
        rows = page.locator("#list .run")
        before = await rows.count()
        smoke = asyncio.create_task(run_smoke(stage.stack, stage.clients, Job()))
        await expect(rows).to_have_count(before + 1)
        row = rows.first
        await expect(row.locator(".badge")).to_have_text("queued")
        assert await page.evaluate(SAME_DOCUMENT)

        await row.get_by_role("link").click()
        await expect(page.locator("#run .badge")).to_have_text("queued")
        await page.evaluate(LEAVE_A_MARK)
        await page.evaluate(NOTE_STATES)
        async with asyncio.timeout(RUN_SECONDS_MAX), stage.worker():
            first_turn = page.locator("#steps > .turn").first
            await first_turn.locator("> details > summary").click()
            await expect(page.locator("#run .badge")).to_have_text("success")
            result = await smoke
        await expect(page.locator("#steps")).to_contain_text("Ended: success")

        seen = await page.evaluate("() => window.seen")
        assert await page.evaluate(SAME_DOCUMENT)
        assert ["queued", 0] == seen[0]
        assert "success" == seen[-1][0]
        assert [state for state, steps in seen if state == "in progress" and steps], (
            "it filled while it worked"
        )
        counts = [steps for _, steps in seen]
        assert sorted(counts) == counts
        assert 3 == await page.locator("#steps > .turn").count()
        assert result["tools_called"] == await page.locator(".call summary .what").all_inner_texts()

        await expect(first_turn.locator("> details")).to_have_attribute("open", "")
        await expect(first_turn.locator("> details")).to_contain_text("The request, by maria")
        await expect(page.locator(".answer")).to_have_text(result["reply"])
        assert result["reply_url"] == await page.get_by_text("where it was posted").get_attribute("href")


@pytest.mark.timeout(RUN_SECONDS_MAX * 2)
async def test_an_answer_is_read_while_it_is_written(
    stage: Stage, open_page: OpenPage, teller: Teller
) -> None:
    task = CreateTaskRequest(message="Where is the cart kept?", model="local")
    run_id = (await stage.clients.dispatcher.CreateTask(task)).task_run_id
    async with open_page() as page:
        await page.goto(f"/runs/{run_id}")
        await page.evaluate(LEAVE_A_MARK)
        writing = page.locator("#writing")
        async with asyncio.timeout(RUN_SECONDS_MAX), stage.worker():
            await expect(writing).to_contain_text(FIRST.strip())
            await expect(page.locator("#run .badge")).to_have_text("in progress")
            await expect(writing).not_to_contain_text(SECOND)
            teller.go_on.set()
            await expect(page.locator("#run .badge")).to_have_text("success")
        await expect(writing).not_to_contain_text(FIRST.strip())
        await expect(page.locator(".answer")).to_contain_text(FIRST + SECOND)
        assert await page.evaluate(SAME_DOCUMENT)


async def test_a_page_is_live_however_late_its_scripts_come(open_page: OpenPage) -> None:
    async def late(route: Route) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await route.continue_()

    async with open_page() as page:
        await page.route("**/*sse*.js", late)
        async with page.expect_request(re.compile("/live")):
            await page.reload()


@pytest.mark.parametrize("size", [None, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_accessible_and_fits(
    open_page: OpenPage,
    finished_run: str,
    scheme: str,
    size: dict[str, int] | None,
    pictures: Path | None,
) -> None:
    options = {"color_scheme": scheme, **({"viewport": size} if size else {})}
    async with open_page(**options) as page:
        run = f"/runs/{finished_run}"
        for path in ("/", "/?outcome=failure", run, f"{run}/turns/1"):
            await page.goto(path)
            name = {"/": "runs", run: "run"}.get(path)
            if pictures and name and (scheme == "dark") == (size == PHONE):
                await picture(page, pictures / f"console-{name}-{scheme}.png")
            await open_all_details(page)
            await check(page)
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in").wait_for()
        await check(page)


async def check(page: Page) -> None:
    found = await Axe().run(page)
    assert 0 == found.violations_count, f"{page.url}: {found.generate_report()}"
    widths = await page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], f"{page.url} is wider than the screen"


async def open_all_details(page: Page) -> None:
    await page.evaluate("() => document.querySelectorAll('details').forEach(each => { each.open = true })")


async def picture(page: Page, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=path, full_page=True)


async def test_everything_can_be_read_without_javascript(open_page: OpenPage, finished_run: str) -> None:
    async with open_page(java_script_enabled=False) as page:
        await page.get_by_label("Outcome").select_option("success")
        await page.get_by_role("button", name="Filter").click()
        assert page.url.endswith("/?status=&outcome=success&source=&model=")
        await page.locator(f"#run-{finished_run}").get_by_role("link").click()
        assert page.url.endswith(f"/runs/{finished_run}")
        call = page.locator(".call").first
        await call.locator("summary").click()
        await expect(call.get_by_role("heading", name="Result")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in").wait_for()
