"""Google's signing keys: how often they are asked for while they cannot be read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aucert.tools.v1.drive_changes_service_pb2 import ListSigningKeysResponse
from services.common.errors import Unavailable
from services.dispatcher import google_keys
from services.dispatcher.google_keys import GoogleKeys


class Google:
    """A tools service that is away while `fails`, and says nothing until `answers` is set."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, True
        self.answers = asyncio.Event()
        self.answers.set()

    async def ListSigningKeys(self, request: Any, **more: Any) -> ListSigningKeysResponse:
        self.asked += 1
        await self.answers.wait()
        if self.fails:
            raise Unavailable("Google is away.")
        response = ListSigningKeysResponse()
        response.keys.add(key_id="known", public_key_pem="PEM")
        response.expiration_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        return response


def remembering(google: Any) -> GoogleKeys:
    return GoogleKeys(google)


async def test_all_who_wait_while_the_keys_cannot_be_read_share_one_failure():
    google = Google()
    google.answers.clear()
    keys = remembering(google)
    waiting = [asyncio.create_task(keys.key(f"{number}")) for number in range(20)]
    await asyncio.sleep(0)
    google.answers.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)

    assert ({Unavailable}, 1) == (set(map(type, told)), google.asked)


async def test_after_a_failure_the_keys_are_asked_for_again_a_little_later(monkeypatch):
    google = Google()
    keys = remembering(google)
    for fails in (True, False):
        google.fails = fails
        with pytest.raises(Unavailable):
            await keys.key("known")
    monkeypatch.setattr(google_keys, "FAILED_SECONDS", 0.0)

    assert ("PEM", 2) == (await keys.key("known"), google.asked)


async def test_a_known_key_waits_for_no_unknown_one_and_a_failure_counts_as_asked(monkeypatch):
    google = Google()
    google.fails = False
    keys = remembering(google)
    await keys.key("known")
    google.fails = True
    google.answers.clear()
    monkeypatch.setattr(google_keys, "AGAIN_SECONDS", 0.0)
    stranger = asyncio.create_task(keys.key("strange"))
    await asyncio.sleep(0)
    assert "PEM" == await asyncio.wait_for(keys.key("known"), 1)
    google.answers.set()
    with pytest.raises(Unavailable):
        await stranger
    monkeypatch.setattr(google_keys, "AGAIN_SECONDS", 60.0)
    monkeypatch.setattr(google_keys, "FAILED_SECONDS", 0.0)

    assert ("", 2) == (await keys.key("strange"), google.asked)
