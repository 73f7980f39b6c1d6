"""Why Google refuses: what is about one file, and what is about us and passes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from pydantic import SecretStr

from aucert.tools.v1.catch_up_service_pb2 import ScanContainerRequest
from services.tools.errors import ArgumentsRefused, ItemNotFound
from services.tools.google_access import for_model
from services.tools.google_catch_up import Cursor, GoogleDriveCatcher
from services.tools.google_client import REASON_FIELD, GoogleAccount, GoogleClient
from services.tools.google_files import DriveFiles
from services.tools.vendor_errors import VendorRateLimited, VendorRefused, VendorUnavailable

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
BEGUN = Cursor("2026-11-23T08:00:00+00:00", log="7").written()


@asynccontextmanager
async def google_of(
    answer: Callable[[web.Request], Awaitable[web.Response]],
) -> AsyncGenerator[GoogleClient, None]:
    """A client of a Google that gives this answer to everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    secret = SecretStr("secret")
    google = GoogleClient(GoogleAccount(url, url, f"{url}/token", f"{url}/certs", "client", secret, secret))
    try:
        yield google
    finally:
        await google.aclose()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "reason", "told", "words"),
    [
        ("404", "notFound", ItemNotFound, "nothing there"),
        ("400", "INVALID_ARGUMENT", ArgumentsRefused, "Change the arguments"),
        ("403", "insufficientFilePermissions", VendorRefused, "must be shared with it"),
        ("403", "SERVICE_DISABLED", VendorRefused, "switched off"),
        ("409", "conflict", VendorRefused, "as it came"),
    ],
)
def test_a_tool_tells_what_would_help(status: str, reason: str, told: type[Exception], words: str):
    refused = VendorRefused("as it came", metadata={"http_status": status, REASON_FIELD: reason})
    with pytest.raises(told, match=words), for_model():
        raise refused


async def refused_by_docs(**error: object) -> VendorRefused:
    """What a call of the Docs API is refused with when Google answers 403 and this."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "token", "expires_in": 3_600})
        return web.json_response({"error": error}, status=403)

    async with google_of(answer) as google:
        with pytest.raises(VendorRefused) as caught:
            await google.read("v1/documents/1", fields="title")
    return caught.value


async def test_docs_words_its_reasons_in_another_place_than_drive():
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
    told = await refused_by_docs(status="PERMISSION_DENIED", details=details)
    assert "SERVICE_DISABLED" == told.metadata[REASON_FIELD]
    told = await refused_by_docs(status="PERMISSION_DENIED", errors=7)
    assert "PERMISSION_DENIED" == told.metadata[REASON_FIELD]


async def scanned(reason: str) -> Any:
    """A scan of a log with one file in it, about which Google answers 403 with this reason."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "token", "expires_in": 3_600})
        if request.path == "/drive/v3/changes":
            return web.json_response({"newStartPageToken": "8", "changes": [{"fileId": "1SpecId"}]})
        return web.json_response({"error": {"errors": [{"reason": reason}]}}, status=403)

    async with google_of(answer) as google:
        request = ScanContainerRequest(container="google-drive:changes", cursor=BEGUN)
        return await GoogleDriveCatcher(google, DriveFiles(google)).scan(request)


@pytest.mark.parametrize(
    "reason",
    ["insufficientFilePermissions", "forbidden", "notFound", "appNotAuthorizedToFile", "somethingNew"],
)
async def test_a_file_we_may_not_read_is_left_out_and_the_cursor_moves_on(reason):
    assert "8" == Cursor.read((await scanned(reason)).next_cursor).log


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("dailyLimitExceeded", VendorRateLimited),
        ("quotaExceeded", VendorRateLimited),
        ("accessNotConfigured", VendorUnavailable),
        ("insufficientPermissions", VendorUnavailable),
        ("domainPolicy", VendorUnavailable),
        ("", VendorUnavailable),
    ],
)
async def test_a_refusal_that_is_about_us_or_says_nothing_keeps_the_cursor_where_it_is(reason, error):
    with pytest.raises(error):
        await scanned(reason)
