"""Who somebody on Slack is: their name, and what they are to our workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aucert.common.v1.thread_pb2 import STANDING_EXTERNAL, STANDING_GUEST, STANDING_MEMBER, Standing
from aucert.tools.v1.thread_service_pb2 import Person
from services.tools.slack_client import Json, Me, SlackClient, is_refusal
from services.tools.vendor_errors import VendorRefused

NAME_CHARS_MAX = 200
PEOPLE_MAX = 20
"""People looked up for one call; others stay ids."""


class SlackPeople:
    """Raises the errors of `vendor_errors`."""

    def __init__(self, slack: SlackClient) -> None:
        self._slack = slack

    async def find(self, ids: Sequence[str], me: Me) -> list[Person]:
        """Those of the first PEOPLE_MAX of whom Slack tells us."""
        found = await asyncio.gather(*(self._person(each, me) for each in ids[:PEOPLE_MAX]))
        return [each for each in found if each is not None]

    async def _person(self, user_id: str, me: Me) -> Person | None:
        """None for somebody Slack does not tell us of: a bot without a user, or one who is gone."""
        try:
            user = await self._slack.person(user_id)
        except VendorRefused as refused:
            if is_refusal(refused, "user_not_found") or is_refusal(refused, "user_not_visible"):
                return None
            raise
        return Person(
            person_id=user_id,
            display_name=name_of(user) or user_id,
            standing=standing_of(user, me),
            is_bot=bool(user.get("is_bot")),
        )


def name_of(user: Json) -> str:
    """What people call them. Empty: Slack does not say."""
    profile = user.get("profile") or {}
    name = profile.get("display_name") or profile.get("real_name") or user.get("name") or ""
    return storable(str(name))[:NAME_CHARS_MAX]


def standing_of(user: Json, me: Me) -> Standing.ValueType:
    """What somebody is to our workspace, or to the organisation it belongs to."""
    enterprise = (user.get("enterprise_user") or {}).get("enterprise_id") or ""
    at_home = user.get("team_id") == me.team_id or (bool(enterprise) and enterprise == me.enterprise_id)
    if not at_home or user.get("is_stranger"):
        return STANDING_EXTERNAL
    restricted = user.get("is_restricted") or user.get("is_ultra_restricted")
    return STANDING_GUEST if restricted else STANDING_MEMBER


def storable(value: str) -> str:
    """Text that protobuf and PostgreSQL take."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
