"""Which credential a call shows its vendor: by tenant, run and use, and for how long it is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.token_vault_pb2 import (
    INTEGRATION_SLACK,
    TOKEN_USE_READ,
    TOKEN_USE_WRITE,
    Credential,
    SlackCredential,
    VaultToken,
)
from aucert.astra.v1.token_vault_service_pb2 import (
    ListTokensRequest,
    ListTokensResponse,
    OpenTokenRequest,
    OpenTokenResponse,
)
from services.common.caller import Caller, Principal, ToolCallOrigin, calling, current_caller
from services.tools import clients_at_hand, credentials
from services.tools.clients_at_hand import Clients, GitHubAtHand
from services.tools.credentials import READ, WRITE, Accounts, Vault, use_of, working_for
from services.tools.github_client import GitHubApp
from services.tools.pace import Pace
from services.tools.redactor import Redactor
from services.tools.slack_client import SlackApp
from services.tools.vendor_errors import SourceOff
from services.tools.vendors import github_accounts, slack_accounts

OWN = SlackApp("https://slack.invalid/api/", SecretStr("xoxb-of-the-environment"))
RUN = "8a3c7c44-6c6f-4f8e-9a4e-5b7f0c7b7b11"


@dataclass
class Record:
    """The vault as Astra serves it: tokens by tenant."""

    tokens: dict[str, str] = field(default_factory=dict[str, str])
    opened: list[tuple[str, OpenTokenRequest]] = field(default_factory=list[tuple[str, OpenTokenRequest]])
    listed: int = 0

    async def OpenToken(self, request: OpenTokenRequest) -> OpenTokenResponse:
        caller = current_caller()
        assert caller.origin is None, "only the worker may act inside a run"
        self.opened.append((caller.tenant_id, request))
        found = OpenTokenResponse(tenant_slug=caller.tenant_id)
        if token := self.tokens.get(caller.tenant_id):
            found.credential.CopyFrom(Credential(slack=SlackCredential(bot_token=token)))
        return found

    async def ListTokens(self, request: ListTokensRequest) -> ListTokensResponse:
        self.listed += 1
        token = VaultToken(integration=INTEGRATION_SLACK)
        return ListTokensResponse(vault_tokens=[token] if current_caller().tenant_id in self.tokens else [])


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    time = [1000.0]
    monkeypatch.setattr(credentials.time, "monotonic", lambda: time[0])

    def later(seconds: float) -> None:
        time[0] += seconds

    return later


def opened_by(record: Any, *shared_with: str, redactor: Redactor | None = None) -> Vault:
    return Vault(record, redactor or Redactor(), frozenset(shared_with or ["default"]))


def caller(tenant: str = "default", run: str = "") -> Caller:
    operator = Principal("operator", tenant, frozenset())
    origin = ToolCallOrigin(run, "t1_0", 1) if run else None
    return Caller("request", tenant, operator, origin=origin)


async def token_of(accounts: Accounts[SlackApp], use: Any = READ) -> str:
    return (await accounts.at_hand(use)).bot_token.get_secret_value()


async def test_the_vaults_token_goes_before_the_environments() -> None:
    record = Record({"default": "xoxb-of-the-vault"})
    redactor = Redactor()
    accounts = slack_accounts(opened_by(record, redactor=redactor), OWN)
    with calling(caller(run=RUN)):
        assert "xoxb-of-the-vault" == await token_of(accounts)
    ((tenant, request),) = record.opened
    assert ("default", RUN, "", TOKEN_USE_READ) == (
        tenant,
        request.task_run_id,
        request.principal,
        request.use,
    )
    with calling(caller()):
        assert "[redacted]" == redactor.text("xoxb-of-the-vault")
    assert "xoxb" not in repr(accounts.__dict__)


async def test_without_one_the_environments_are_for_the_tenants_they_are_shared_with() -> None:
    accounts = slack_accounts(opened_by(Record()), OWN)
    with calling(caller("default")):
        assert "xoxb-of-the-environment" == await token_of(accounts)
    with calling(caller("other")), pytest.raises(SourceOff, match="astra vault put slack"):
        await token_of(accounts)
    with calling(caller("other")):
        assert "xoxb-of-the-environment" == await token_of(slack_accounts(opened_by(Record(), "*"), OWN))


async def test_a_token_is_remembered_shortly_and_asked_for_anew_for_each_run_and_use(
    now: Callable[[float], None],
) -> None:
    record = Record({"default": "xoxb-1"})
    accounts = slack_accounts(opened_by(record), OWN)
    for run in (RUN, RUN, "another"):
        with calling(caller(run=run)):
            await token_of(accounts)
    with calling(caller(run=RUN)):
        await token_of(accounts, WRITE)
        assert 3 == len(record.opened)
        record.tokens["default"] = "xoxb-2"
        assert "xoxb-1" == await token_of(accounts)
        now(60)
        assert "xoxb-2" == await token_of(accounts)


async def test_a_request_that_names_its_run_is_work_for_it() -> None:
    record = Record({"default": "xoxb-1"})
    accounts = slack_accounts(opened_by(record), OWN)
    with calling(caller()):
        await token_of(accounts)
        with working_for(RUN):
            await token_of(accounts)
    assert [("", "operator"), (RUN, "")] == [
        (request.task_run_id, request.principal) for _, request in record.opened
    ]


async def test_what_a_tenant_has_tokens_for_is_asked_once_in_a_while(now: Callable[[float], None]) -> None:
    record = Record({"other": "xoxb-1"})
    vault = opened_by(record)
    for tenant, found in (
        ("other", {INTEGRATION_SLACK}),
        ("default", set[int]()),
        ("other", {INTEGRATION_SLACK}),
    ):
        with calling(caller(tenant)):
            assert found == await vault.integrations()
    assert 2 == record.listed
    now(60)
    with calling(caller("other")):
        await vault.integrations()
    assert 3 == record.listed


async def test_each_credential_has_a_client_and_the_one_unused_for_longest_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients_at_hand, "CLIENTS_MAX", 2)
    closed: list[str] = []

    async def close(client: list[SlackApp]) -> None:
        closed.append(client[0].bot_token.get_secret_value())

    record = Record({name: f"xoxb-{name}" for name in ("a", "b", "c")} | {"a2": "xoxb-a"})
    clients = Clients(slack_accounts(opened_by(record), OWN), lambda app: [app], close)
    seen: list[list[SlackApp]] = []
    for tenant in ("a", "b", "a2", "c"):
        with calling(caller(tenant)):
            seen.append(await clients.at_hand(READ))
    assert seen[0] is seen[2]
    assert ["xoxb-b"] == closed
    await clients.aclose()
    assert {"xoxb-a", "xoxb-b", "xoxb-c"} == set(closed)


@pytest.mark.parametrize("clone_url", ["https://github.com/acme/shop.git", "https://git.example/shop"])
async def test_a_tenant_without_an_app_on_github_clones_what_is_public(clone_url: str) -> None:
    own = GitHubApp("https://api.github.com", "1", SecretStr("a key"))
    github = GitHubAtHand(github_accounts(opened_by(Record()), own), Pace())
    with calling(caller("other")):
        assert 0 == await github.installation_of("acme/shop")
        assert None is await github.clone_credential(TaskRun(), Repository(clone_url=clone_url))


@pytest.mark.parametrize(
    ("method", "use"), [("GET", TOKEN_USE_READ), ("head", TOKEN_USE_READ), ("POST", TOKEN_USE_WRITE)]
)
def test_what_changes_nothing_reads(method: str, use: int) -> None:
    assert use == use_of(method)
