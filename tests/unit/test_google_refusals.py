"""Why Google refuses: what is about one file, and what is about us and passes."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from aucert.tools.v1.catch_up_service_pb2 import ScanContainerRequest
from services.tools.google_catch_up import Cursor, GoogleDriveCatcher
from services.tools.google_client import GoogleAccount, GoogleClient
from services.tools.google_files import DriveFiles
from services.tools.vendor_errors import VendorRateLimited, VendorUnavailable

BEGUN = Cursor("2026-11-23T08:00:00+00:00", log="7").written()


async def scanned(reason: str) -> Any:
    """A scan of a log with one file in it, about which Google answers 403 with this reason."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "token", "expires_in": 3_600})
        if request.path == "/drive/v3/changes":
            return web.json_response({"newStartPageToken": "8", "changes": [{"fileId": "1SpecId"}]})
        return web.json_response({"error": {"errors": [{"reason": reason}]}}, status=403)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    secret = SecretStr("secret")
    google = GoogleClient(GoogleAccount(url, f"{url}/token", f"{url}/certs", "client", secret, secret))
    try:
        request = ScanContainerRequest(container="google-drive:changes", cursor=BEGUN)
        return await GoogleDriveCatcher(google, DriveFiles(google)).scan(request)
    finally:
        await google.aclose()
        await runner.cleanup()


@pytest.mark.parametrize("reason", ["insufficientFilePermissions", "forbidden", "notFound"])
async def test_a_file_we_may_not_read_is_left_out_and_the_cursor_moves_on(reason):
    assert "8" == Cursor.read((await scanned(reason)).next_cursor).log


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("dailyLimitExceeded", VendorRateLimited),
        ("quotaExceeded", VendorRateLimited),
        ("accessNotConfigured", VendorUnavailable),
        ("somethingNew", VendorUnavailable),
        ("", VendorUnavailable),
    ],
)
async def test_a_refusal_that_is_about_us_or_unknown_keeps_the_cursor_where_it_is(reason, error):
    with pytest.raises(error):
        await scanned(reason)
