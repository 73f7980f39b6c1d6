"""The vault: what is sealed, who may open it, what is written down, and how its keys are changed."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from aucert.astra.v1 import token_vault_pb2 as vault
from aucert.astra.v1 import token_vault_service_pb2 as pb
from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceStub
from services.astra.main import running
from services.astra.seed import DEFAULT_TENANT_ID
from services.common.caller import acting_for
from services.common.channels import connect
from services.common.errors import from_rpc
from tests.conftest import DatabaseUrls
from tests.service.astra_kit import Astra, new_id, refused, settings_for

SLACK, GITHUB, PLANE = vault.INTEGRATION_SLACK, vault.INTEGRATION_GITHUB, vault.INTEGRATION_PLANE
READ, WRITE = vault.TOKEN_USE_READ, vault.TOKEN_USE_WRITE


def key(letter: str) -> str:
    return f"{letter}:{base64.b64encode(letter.encode() * 32).decode()}"


def slack(token: str) -> vault.Credential:
    return vault.Credential(slack=vault.SlackCredential(bot_token=token))


class Vault:
    """The vault of a running Astra, as an operator and as the tools service."""

    def __init__(self, astra: Astra, operator: Any, tools: Any) -> None:
        self.astra = astra
        self.operator: Any = operator
        self.tools: Any = tools

    async def put(self, token: str, agent: str = "", *uses: Any) -> vault.VaultToken:
        request = pb.PutTokenRequest(credential=slack(token), agent_slug=agent, uses=uses)
        return (await self.operator.PutToken(request)).vault_token

    async def open(self, *, run: str = "", use: Any = READ, integration: Any = SLACK) -> Any:
        return await self.tools.OpenToken(
            pb.OpenTokenRequest(integration=integration, use=use, task_run_id=run, principal="operator")
        )

    async def opened(self, **wanted: Any) -> str:
        return (await self.open(**wanted)).credential.slack.bot_token

    async def events(self, **fields: Any) -> list[vault.AuditEvent]:
        request = pb.ListAuditEventsRequest(**fields)
        return list((await self.operator.ListAuditEvents(request)).audit_events)

    async def rotate(self, **fields: Any) -> pb.RotateKeysResponse:
        return await self.operator.RotateKeys(pb.RotateKeysRequest(**fields))


@asynccontextmanager
async def vault_with(urls: DatabaseUrls, tokens: Mapping[str, str], vault_key: str) -> AsyncIterator[Vault]:
    async with running(settings_for(urls, VAULT_KEY=vault_key)) as server:
        channels = {name: connect(server.address, token) for name, token in tokens.items()}
        yield Vault(
            Astra(server.address, urls, channels),
            TokenVaultServiceStub(channels["operator"]),
            TokenVaultServiceStub(channels["tools"]),
        )
        for channel in channels.values():
            await channel.close()


@pytest.fixture(name="the_vault")
async def a_vault(database_urls: DatabaseUrls, tokens: Mapping[str, str]) -> AsyncIterator[Vault]:
    async with vault_with(database_urls, tokens, key("a")) as running_vault:
        yield running_vault


async def test_a_token_is_listed_and_stored_without_its_value(the_vault: Vault) -> None:
    put = await the_vault.put("xoxb-recognisable")
    (listed,) = (await the_vault.operator.ListTokens(pb.ListTokensRequest())).vault_tokens
    assert put == listed
    assert (SLACK, "", [READ, WRITE], "a", "operator") == (
        put.integration,
        put.agent_slug,
        list(put.uses),
        put.key_id,
        put.put_by,
    )
    (row,) = await the_vault.astra.sql("SELECT * FROM agent_tokens", role="operator")
    assert b"recognisable" not in bytes(row["ciphertext"]) + bytes(row["wrapped_key"])


async def test_an_agents_own_token_goes_before_the_one_for_all(the_vault: Vault) -> None:
    run = (await the_vault.astra.create()).task_run_id
    await the_vault.put("xoxb-for-all")
    assert "xoxb-for-all" == await the_vault.opened(run=run)
    await the_vault.put("xoxb-of-atlas", "atlas")
    assert ["xoxb-of-atlas", "xoxb-for-all"] == [
        await the_vault.opened(run=run),
        await the_vault.opened(),
    ]


async def test_every_opening_names_the_agent_the_run_and_the_token(the_vault: Vault) -> None:
    run = (await the_vault.astra.create()).task_run_id
    put = await the_vault.put("xoxb-1")
    await the_vault.open(run=run, use=WRITE)
    await the_vault.open()
    without, within, first = await the_vault.events()
    assert (vault.VAULT_ACTION_OPENED, "agent:atlas", "tools", run, SLACK, put.vault_token_id, WRITE) == (
        within.action,
        within.principal,
        within.called_by,
        within.task_run_id,
        within.integration,
        within.vault_token_id,
        within.use,
    )
    assert ("operator", "tools", "", READ) == (
        without.principal,
        without.called_by,
        without.task_run_id,
        without.use,
    )
    assert (vault.VAULT_ACTION_PUT, "operator", "operator") == (
        first.action,
        first.principal,
        first.called_by,
    )
    agents = await the_vault.astra.sql("SELECT name FROM principals WHERE token_sha256 IS NULL")
    assert [{"name": "agent:atlas"}] == agents


async def test_a_token_is_not_passed_over_for_a_use_it_does_not_have(the_vault: Vault) -> None:
    run = (await the_vault.astra.create()).task_run_id
    await the_vault.put("xoxb-for-all")
    await the_vault.put("xoxb-reads", "atlas", READ)
    assert "xoxb-reads" == await the_vault.opened(run=run)
    with refused("VAULT_TOKEN_USE_MISSING"):
        await the_vault.open(run=run, use=WRITE)
    assert 3 == len(await the_vault.events())


async def test_only_the_tools_service_opens_and_only_operators_put(the_vault: Vault) -> None:
    opening = pb.OpenTokenRequest(integration=SLACK, use=READ)
    with refused("SCOPE_MISSING"):
        await the_vault.operator.OpenToken(opening)
    with refused("SCOPE_MISSING"):
        await the_vault.tools.PutToken(pb.PutTokenRequest(credential=slack("xoxb-1")))


async def test_tokens_and_their_record_stay_in_their_tenant(the_vault: Vault) -> None:
    await the_vault.put("xoxb-1")
    with acting_for(await the_vault.astra.add_tenant()) as other:
        opened = await the_vault.open()
        assert (False, other.tenant_id) == (opened.HasField("credential"), opened.tenant_slug)
        listed = await the_vault.tools.ListTokens(pb.ListTokensRequest())
        assert not listed.vault_tokens
        with refused("TASK_RUN_NOT_FOUND"):
            await the_vault.open(run=new_id())


async def test_none_is_an_answer_and_a_removed_one_is_none(the_vault: Vault) -> None:
    await the_vault.put("xoxb-1")
    removal = pb.DeleteTokenRequest(integration=SLACK)
    await the_vault.operator.DeleteToken(removal)
    opened = await the_vault.open()
    assert (False, "", "default") == (
        opened.HasField("credential"),
        opened.vault_token_id,
        opened.tenant_slug,
    )
    with refused("VAULT_TOKEN_NOT_FOUND"):
        await the_vault.operator.DeleteToken(removal)
    assert [vault.VAULT_ACTION_DELETED, vault.VAULT_ACTION_PUT] == [
        each.action for each in await the_vault.events()
    ]


async def test_one_agents_own_account_on_google_may_read_and_not_write(the_vault: Vault) -> None:
    google = vault.GoogleCredential(client_id="id", client_secret="secret", refresh_token="1//refresh")
    credential = vault.Credential(google=google)
    for uses in ([], [WRITE]):
        with refused("FIELD_INVALID"):
            await the_vault.operator.PutToken(
                pb.PutTokenRequest(credential=credential, agent_slug="atlas", uses=uses)
            )
    for agent, uses in (("atlas", [READ]), ("", [READ, WRITE])):
        request = pb.PutTokenRequest(credential=credential, agent_slug=agent, uses=uses)
        assert uses == (await the_vault.operator.PutToken(request)).vault_token.uses


async def test_a_token_for_an_agent_nobody_has_is_refused(the_vault: Vault) -> None:
    with refused("AGENT_NOT_FOUND"):
        await the_vault.put("xoxb-1", "altas")


@pytest.mark.parametrize(
    "change",
    [
        "uses = '{read,write}'",
        "agent_slug = ''",
        "integration = 'plane'",
        "id = gen_random_uuid()",
        "ciphertext = set_byte(ciphertext, 20, get_byte(ciphertext, 20) # 1)",
    ],
)
async def test_a_row_that_was_touched_does_not_open(the_vault: Vault, change: str) -> None:
    run = (await the_vault.astra.create()).task_run_id
    await the_vault.put("xoxb-1", "atlas", READ)
    await the_vault.astra.sql(f"UPDATE agent_tokens SET {change}")
    with refused("VAULT_TOKEN_UNREADABLE"):
        await the_vault.open(run=run, integration=PLANE if "plane" in change else SLACK)


async def test_lists_go_on_page_by_page(the_vault: Vault) -> None:
    await the_vault.put("xoxb-1")
    await the_vault.put("xoxb-2", "atlas")
    request = pb.PutTokenRequest(
        credential=vault.Credential(github=vault.GitHubCredential(app_id="1", private_key="pem"))
    )
    await the_vault.operator.PutToken(request)
    seen, token = [], ""
    for _ in range(3):
        page = await the_vault.operator.ListTokens(pb.ListTokensRequest(page_size=1, page_token=token))
        seen += [(each.integration, each.agent_slug) for each in page.vault_tokens]
        token = page.next_page_token
    assert ([(GITHUB, ""), (SLACK, ""), (SLACK, "atlas")], "") == (seen, token)
    ids, token = [], ""
    for _ in range(3):
        events = await the_vault.operator.ListAuditEvents(
            pb.ListAuditEventsRequest(page_size=1, page_token=token)
        )
        ids += [each.audit_event_id for each in events.audit_events]
        token = events.next_page_token
    assert ([each.audit_event_id for each in await the_vault.events()], "") == (ids, token)
    assert [GITHUB] == [each.integration for each in await the_vault.events(integration=GITHUB)]


async def test_without_a_key_the_vault_is_off_and_says_so(
    database_urls: DatabaseUrls, tokens: Mapping[str, str]
) -> None:
    async with vault_with(database_urls, tokens, key("a")) as before:
        await before.put("xoxb-1")
    async with vault_with(database_urls, tokens, "") as off:
        told = await off.operator.GetVault(pb.GetVaultRequest())
        assert (False, "not set: VAULT_KEY", "") == (told.on, told.off_reason, told.key_id)
        for refusing in (off.put("xoxb-2"), off.rotate(), off.open()):
            with refused("VAULT_OFF"):
                await refusing
        assert not (await off.open(integration=GITHUB)).HasField("credential")


async def test_rotation_seals_every_tenants_tokens_anew_and_the_old_key_may_go(
    database_urls: DatabaseUrls, tokens: Mapping[str, str]
) -> None:
    async with vault_with(database_urls, tokens, key("a")) as before:
        await before.put("xoxb-default")
        tenant_id = await before.astra.add_tenant()
        await before.astra.sql("UPDATE principals SET tenant_id = %s WHERE name = 'operator'", tenant_id)
    async with vault_with(database_urls, tokens, key("a")) as other:
        await other.put("xoxb-other")
        await other.put("xoxb-of-atlas", "atlas")
    async with vault_with(database_urls, tokens, f"{key('b')},{key('a')}") as both:
        sealed = await both.astra.sql("SELECT ciphertext FROM agent_tokens")
        steps = [await both.rotate(batch_size=2), await both.rotate(batch_size=2), await both.rotate()]
        assert [("b", 2, 1), ("b", 1, 0), ("b", 0, 0)] == [
            (each.key_id, each.resealed_count, each.remaining_count) for each in steps
        ]
        anew = await both.astra.sql("SELECT ciphertext FROM agent_tokens")
        assert not {bytes(each["ciphertext"]) for each in sealed} & {
            bytes(each["ciphertext"]) for each in anew
        }
    async with vault_with(database_urls, tokens, key("b")) as after:
        with acting_for(DEFAULT_TENANT_ID):
            assert "xoxb-default" == await after.opened()
        with acting_for(tenant_id):
            assert "xoxb-other" == await after.opened()


async def test_tokens_that_cannot_be_opened_do_not_keep_the_others_from_being_sealed_anew(
    database_urls: DatabaseUrls, tokens: Mapping[str, str]
) -> None:
    async with vault_with(database_urls, tokens, key("a")) as before:
        await before.put("xoxb-1")
        await before.put("xoxb-2", "atlas")
        first = "(SELECT id FROM agent_tokens ORDER BY id LIMIT 1)"
        await before.astra.sql(f"UPDATE agent_tokens SET ciphertext = '' WHERE id = {first}")
    async with vault_with(database_urls, tokens, f"{key('b')},{key('a')}") as both:
        steps = [await both.rotate(batch_size=1) for _ in range(2)]
        assert [(1, 0, 1), (0, 0, 1)] == [
            (each.resealed_count, each.remaining_count, each.unreadable_count) for each in steps
        ]


async def test_a_key_that_was_dropped_too_early_is_named(
    database_urls: DatabaseUrls, tokens: Mapping[str, str]
) -> None:
    async with vault_with(database_urls, tokens, key("a")) as before:
        await before.put("xoxb-1")
    async with vault_with(database_urls, tokens, key("b")) as after:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await after.open()
        told = from_rpc(caught.value)
        assert ("VAULT_TOKEN_UNREADABLE", {"key_id": "a"}) == (told.reason, told.metadata)
        assert "'a', which is not in VAULT_KEY" in told.message
        rotated = await after.rotate()
        assert (0, 0, 1, ["a"]) == (
            rotated.resealed_count,
            rotated.remaining_count,
            rotated.unreadable_count,
            list(rotated.unreadable_key_ids),
        )
    async with vault_with(database_urls, tokens, f"b:{key('c')[2:]},{key('a')}") as back:
        assert 1 == (await back.rotate()).resealed_count
