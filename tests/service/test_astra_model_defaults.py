"""Which models answer for a tenant and its agents, through the real service."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from aucert.astra.v1 import model_default_service_pb2 as pb
from services.common.caller import acting_for
from tests.service.astra_kit import Astra, astra_service, refused  # noqa: F401


async def set_model(astra: Astra, alias: str, *, agent: str = "", operation: str = "") -> Any:
    request = pb.SetModelDefaultRequest(agent_slug=agent, operation=operation, model_alias=alias)
    return await astra.model_defaults.SetModelDefault(request)


async def listed(astra: Astra) -> list[tuple[str, str, str, str]]:
    found = (await astra.model_defaults.ListModelDefaults(pb.ListModelDefaultsRequest())).model_defaults
    return [(each.agent_slug, each.operation, each.model_alias, each.set_by) for each in found]


async def test_models_are_set_changed_listed_and_taken_back(astra: Astra) -> None:
    await set_model(astra, "opus", agent="atlas", operation="spec_generate")
    await set_model(astra, "kimi", agent="atlas")
    await set_model(astra, "glm")
    changed = await set_model(astra, "sonnet")
    assert (changed.model_default.model_alias, changed.model_default.set_by) == ("sonnet", "operator")
    assert await listed(astra) == [
        ("", "", "sonnet", "operator"),
        ("atlas", "", "kimi", "operator"),
        ("atlas", "spec_generate", "opus", "operator"),
    ]
    assert not (await set_model(astra, "", agent="atlas")).HasField("model_default")
    assert [each[:2] for each in await listed(astra)] == [("", ""), ("atlas", "spec_generate")]


async def test_another_tenants_models_are_not_seen_and_its_agents_not_set(astra: Astra) -> None:
    await set_model(astra, "opus", agent="atlas")
    other = await astra.add_tenant()
    with acting_for(other):
        seen = await astra.models_defaults.ListModelDefaults(pb.ListModelDefaultsRequest())
    assert list(seen.model_defaults) == []
    with refused("AGENT_NOT_FOUND"):
        await set_model(astra, "opus", agent="apollo")


@pytest.mark.parametrize("alias", ["GPT 4", "-x", "a" * 65])
async def test_what_is_no_alias_is_refused(astra: Astra, alias: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as wrong:
        await set_model(astra, alias)
    assert wrong.value.code() is grpc.StatusCode.INVALID_ARGUMENT
