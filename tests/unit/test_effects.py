"""What the ledger's answers mean for a change under way; the tools' own tests hold it against vendors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from aucert.astra.v1.effect_pb2 import Effect
from aucert.astra.v1.effect_service_pb2 import BeginEffectResponse, FinishEffectResponse
from aucert.common.v1.scope_pb2 import SCOPE_TOOLS_WRITE
from aucert.tools.v1.slack_service_pb2 import AddReactionRequest, AddReactionResponse
from services.common.caller import Caller, Principal, calling
from services.tools.catalogue import read_catalogue, shipped_image
from services.tools.effects import Change, Effects

TOOL = "slack_add_reaction"
OPERATOR = Caller("again", "tenant", Principal("operator", "tenant", frozenset({SCOPE_TOOLS_WRITE})))


class Ledger:
    """Answers each begin with the next of the given."""

    def __init__(self, begun: Sequence[BeginEffectResponse]) -> None:
        self.begun = iter(begun)

    async def BeginEffect(self, _request: Any) -> BeginEffectResponse:
        return next(self.begun)

    async def FinishEffect(self, _request: Any) -> FinishEffectResponse:
        return FinishEffectResponse()


async def test_a_change_an_earlier_try_has_recorded_meanwhile_is_not_asked_for_again() -> None:
    done = AddReactionResponse(text="Reacted.", url="https://slack.example/1")
    ledger = Ledger(
        [
            BeginEffectResponse(effect=Effect(effect_id="1")),
            BeginEffectResponse(
                effect=Effect(effect_id="1", done=True, response_json='{"text": "Reacted."}')
            ),
        ]
    )
    sent: list[str] = []

    async def send(effect: Effect) -> AddReactionResponse:
        sent.append(effect.effect_id)
        return done

    async def find(_effect: Effect) -> AddReactionResponse | None:
        return None

    effects = Effects(
        cast("Any", ledger), read_catalogue(shipped_image()), settle_seconds={"slack": 0.0}, redact=None
    )
    change = Change(send, find, AddReactionResponse, lambda told: told.url)
    with calling(OPERATOR):
        told = await effects.once(TOOL, AddReactionRequest(), None, change)
    assert ("Reacted.", []) == (told.text, sent)
