"""Who gets into the console, and as whom."""

from __future__ import annotations

import asyncio
import uuid
from http.cookies import SimpleCookie

import aiohttp
import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

import gateway.console.sessions
import gateway.console.signing_in
import gateway.main
import services.common.identity
from gateway.console.parts import SIGN_INS_MAX
from gateway.settings import GatewaySettings
from services.common.identity import token_digest
from tests.service.astra_kit import Astra, astra_service  # noqa: F401
from tests.service.console_kit import COOKIE, KEY, Browser, console, elements, field, stream

API = "api-token"


@pytest.fixture
async def browser(astra):
    async with console(astra) as browser:
        yield browser


@pytest.fixture
def quick(monkeypatch):
    """A wrong key is answered at once."""
    monkeypatch.setattr(gateway.console.signing_in, "REFUSAL_SECONDS", 0.0)


def place(response: aiohttp.ClientResponse) -> tuple[int, str]:
    return response.status, response.headers.get("Location", "")


async def test_whoever_is_not_signed_in_signs_in_and_comes_back(browser: Browser, astra: Astra) -> None:
    run = await astra.create()
    asked = await browser.get(f"/runs/{run.task_run_id}?x=1")
    assert 303 == asked.status
    assert asked.headers["Location"].startswith("/sign-in?next=")
    answer = await browser.sign_in(API, asked.headers["Location"])

    assert (303, f"/runs/{run.task_run_id}?x=1") == place(answer)
    assert run.task_run_id in await browser.page(answer.headers["Location"])


async def test_a_wrong_key_is_refused_clearly(browser: Browser, quick: None) -> None:
    for key in ("nobody-token", "", "two\nlines", "clé", "x" * 600):
        answer = await browser.sign_in(key)
        assert 401 == answer.status, key
        assert "Nobody has this key." in await answer.text()
        assert 303 == (await browser.get("/")).status


async def test_a_key_that_may_not_read_runs_is_told_so(browser: Browser, quick: None) -> None:
    answer = await browser.sign_in("models-token")
    assert 403 == answer.status
    assert "SCOPE_RUNS_READ" in await answer.text()


async def test_wrong_keys_wait_and_only_so_many_at_once(astra: Astra, monkeypatch) -> None:
    monkeypatch.setattr(gateway.console.signing_in, "REFUSAL_SECONDS", 3600.0)
    monkeypatch.setattr(gateway.main, "DRAIN_SECONDS", 0.1)
    async with console(astra) as browser:
        csrf = field(await browser.page("/sign-in"), "csrf")

        async def attempt() -> int:
            return (await browser.post("/sign-in", csrf=csrf, key="wrong")).status

        waiting = {asyncio.create_task(attempt()) for _ in range(SIGN_INS_MAX + 3)}
        refused = []
        while len(waiting) > SIGN_INS_MAX:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            refused += [each.result() for each in done]
        assert [429] * 3 == refused
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_form_of_another_origin_changes_nothing(browser: Browser) -> None:
    assert 403 == (await browser.post("/sign-in", key=API)).status
    await browser.page("/sign-in")
    assert 403 == (await browser.post("/sign-in", key=API, csrf="guessed")).status
    assert (303, "/") == place(await browser.sign_in(API))
    assert 403 == (await browser.post("/sign-out", csrf="guessed")).status
    assert 200 == (await browser.get("/")).status


async def test_sign_out_takes_the_session_away(browser: Browser) -> None:
    await browser.sign_in(API)
    csrf = field(await browser.page("/"), "csrf")
    assert (303, "/sign-in") == place(await browser.post("/sign-out", csrf=csrf))
    assert "" == browser.cookie()
    assert 303 == (await browser.get("/")).status


async def test_sign_in_leads_nowhere_but_into_the_console(browser: Browser) -> None:
    elsewhere = ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
    for goal in (*elsewhere, "/metrics", "/runs/\n", "///runs/x", "///?a", "//["):
        csrf = field(await browser.page("/sign-in"), "csrf")
        assert (303, "/") == place(await browser.post("/sign-in", csrf=csrf, key=API, next=goal)), goal
        csrf = field(await browser.page("/"), "csrf")
        await browser.post("/sign-out", csrf=csrf)


async def test_the_cookie_is_for_this_origin_and_no_script(browser: Browser) -> None:
    def flags(response: aiohttp.ClientResponse) -> dict[str, tuple[object, ...]]:
        cookies = SimpleCookie("\n".join(response.headers.getall("Set-Cookie")))
        names = ("httponly", "samesite", "secure", "path")
        return {name: tuple(each[flag] for flag in names) for name, each in cookies.items()}

    here = await browser.get("/sign-in")
    assert {COOKIE: (True, "Strict", "", "/")} == flags(here)
    elsewhere = await browser.get("/sign-in", Host="astra.example")
    assert {f"__Host-{COOKIE}": (True, "Strict", True, "/")} == flags(elsewhere)


async def test_the_cookie_shows_nothing_and_holds_only_as_it_was_sealed(
    browser: Browser, astra: Astra
) -> None:
    await browser.sign_in(API)
    sealed = browser.cookie()
    assert API not in sealed

    async def signed_in(cookie: str, key: str = KEY) -> bool:
        async with console(astra, key) as other:
            other.session.cookie_jar.update_cookies({COOKIE: cookie}, response_url=other.session._base_url)
            return 200 == (await other.get("/")).status

    middle = len(sealed) // 2
    changed = "A" if sealed[middle] != "A" else "B"
    assert not await signed_in(f"{sealed[:middle]}{changed}{sealed[middle + 1 :]}")
    assert await signed_in(sealed), "another gateway with the same key opens it"
    new = Fernet.generate_key().decode()
    assert not await signed_in(sealed, new)
    assert await signed_in(sealed, f"{new},{KEY}"), "a key that is being replaced still opens it"


async def test_a_session_ends(browser: Browser, monkeypatch) -> None:
    await browser.sign_in(API)
    monkeypatch.setattr(gateway.console.sessions, "SESSION_SECONDS_MAX", -1)
    assert 303 == (await browser.get("/")).status


async def add_principal(astra: Astra, tenant_id: str, token: str) -> None:
    await astra.sql(
        "INSERT INTO principals VALUES (%s, %s, 'person', '{runs_read}', %s)",
        str(uuid.uuid4()),
        tenant_id,
        token_digest(token),
    )


async def test_a_person_reads_with_their_own_token_and_so_sees_their_own_tenant(
    browser: Browser, astra: Astra
) -> None:
    run = await astra.create()
    await add_principal(astra, await astra.add_tenant(), "their-token")
    await browser.sign_in("their-token")
    assert run.task_run_id not in await browser.page("/")
    assert 404 == (await browser.get(f"/runs/{run.task_run_id}")).status


async def test_a_token_taken_away_ends_pages_and_streams(browser: Browser, astra: Astra, monkeypatch) -> None:
    monkeypatch.setattr(services.common.identity, "REMEMBERED_SECONDS", 0.0)
    [tenant] = await astra.sql("SELECT id FROM tenants")
    await add_principal(astra, str(tenant["id"]), "their-token")
    await browser.sign_in("their-token")
    assert 200 == (await browser.get("/")).status
    await astra.sql("DELETE FROM principals WHERE name = 'person'")

    async with stream(browser, "/live") as told:
        assert "You are no longer signed in" in (await told.frame())["data"]
        assert "end" == (await told.frame())["event"]
    assert 303 == (await browser.get("/")).status


async def test_a_stream_without_a_session_is_told_to_sign_in_and_ends(browser: Browser) -> None:
    async with stream(browser, "/live") as told:
        assert "You are no longer signed in" in (await told.frame())["data"]
        assert "end" == (await told.frame())["event"]


async def test_a_link_from_elsewhere_is_followed_once_more_from_here(browser: Browser) -> None:
    """The first request comes without the strict cookie."""
    hop = await browser.get("/", **{"Sec-Fetch-Site": "cross-site"})
    assert 200 == hop.status
    assert ("meta", {"http-equiv": "refresh", "content": "0"}) in elements(await hop.text())


async def test_without_a_key_the_console_is_off_and_says_so(astra: Astra) -> None:
    async with console(astra, key="") as browser:
        for path in ("/", "/live", "/sign-in", f"/runs/{uuid.uuid4()}"):
            answer = await browser.get(path)
            assert 404 == answer.status
            assert "CONSOLE_SESSION_KEY" in await answer.text()
        ready = await (await browser.get("/readyz")).json()
    assert {"on": False, "off_reason": "not set: CONSOLE_SESSION_KEY"} == ready["console"]


def test_an_odd_key_stops_the_start_and_is_not_shown() -> None:
    with pytest.raises(ValidationError) as wrong:
        GatewaySettings.model_validate({"ASTRA_TOKEN": "t", "CONSOLE_SESSION_KEY": f"{KEY},odd"})
    [error] = wrong.value.errors(include_input=False)
    assert ("CONSOLE_SESSION_KEY",) == error["loc"]
    assert "odd" not in error["msg"]
