"""How a caller meets each reason of the catalogue: one short provocation a reason, in the catalogue's order.

Each brings about the real cause and makes the call that is answered with the reason; where something has to
be away, broken or full, it is a service or a database of the provocation's own.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import psycopg
from grpc import StatusCode
from psycopg.conninfo import conninfo_to_dict

import services.models.main
from aucert.astra.v1 import (
    effect_service_pb2,
    principal_service_pb2,
    repository_service_pb2,
    task_run_service_pb2,
    thread_post_service_pb2,
    token_vault_service_pb2,
    transcript_service_pb2,
)
from aucert.astra.v1.effect_service_pb2_grpc import EffectServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_OUTCOME_CANCELLED,
    TASK_RUN_OUTCOME_SUCCESS,
    TASK_RUN_STATUS_QUEUED,
)
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceStub
from aucert.astra.v1.token_vault_pb2 import (
    INTEGRATION_BRAVE,
    INTEGRATION_GOOGLE,
    TOKEN_USE_READ,
    TOKEN_USE_WRITE,
    BraveCredential,
    Credential,
    TokenUse,
)
from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceStub
from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceStub
from aucert.common.v1.thread_pb2 import ThreadAddress
from aucert.dispatcher.v1 import dispatcher_service_pb2, drive_watch_service_pb2
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceStub
from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import DriveWatchServiceStub
from aucert.dispatcher.v1.kept_delivery_pb2 import DELIVERY_STATUS_DONE
from aucert.models.v1 import model_service_pb2
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part, ToolCall
from aucert.models.v1.model_service_pb2_grpc import (
    ModelServiceServicer,
    ModelServiceStub,
    add_ModelServiceServicer_to_server,
)
from aucert.tools.v1 import (
    github_service_pb2,
    plane_service_pb2,
    repo_service_pb2,
    thread_service_pb2,
    tool_service_pb2,
)
from aucert.tools.v1.github_service_pb2_grpc import GitHubServiceStub
from aucert.tools.v1.plane_service_pb2_grpc import PlaneServiceStub
from aucert.tools.v1.repo_service_pb2_grpc import RepoServiceStub
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from aucert.tools.v1.tool_pb2 import TOOL_APPROVAL_REQUIRED, ToolOptions
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from services.common import metadata as keys
from services.common.identity import RemoteAuthenticator
from services.common.server import Registration, serve
from services.models.settings import ModelsSettings
from services.tools.catalogue import read_catalogue, shipped_image
from services.tools.tool_servicer import Integration, ToolServicer
from tests.e2e.doors import (
    NOBODY,
    SHOP,
    Doors,
    Metadata,
    astra_of_its_own,
    astra_without_a_vault,
    connected,
    thread,
    tools_of_its_own,
)
from tests.e2e.story import PATIENCE_SECONDS, git

Act = Callable[[Doors], Awaitable[Any]]
MCP_SERVER = Path(__file__).parents[1] / "service" / "mcp_server.py"
SILENT_SERVER = """
[servers.tracker]
command = ["{python}", "{program}", "silent"]
agents = ["atlas"]
tenants = ["*"]
timeout_seconds = 0.2
"""


@dataclass(frozen=True, slots=True)
class Provocation:
    """`act` ends in the error with this code; None: it returns the answer of a tool call that failed."""

    code: StatusCode | None
    act: Act


PROVOCATIONS: dict[str, Provocation] = {}


def provokes(reason: str, code: StatusCode | None) -> Callable[[Act], Act]:
    """Note a function as the provocation of a reason."""

    def note(act: Act) -> Act:
        assert reason not in PROVOCATIONS
        PROVOCATIONS[reason] = Provocation(code, act)
        return act

    return note


# The door every service has.


@provokes("FIELD_INVALID", StatusCode.INVALID_ARGUMENT)
async def id_that_is_none(doors: Doors) -> None:
    await runs(doors).GetTaskRun(task_run_service_pb2.GetTaskRunRequest(task_run_id="the last one"))


@provokes("TOKEN_MISSING", StatusCode.UNAUTHENTICATED)
async def call_without_a_token(doors: Doors) -> None:
    async with grpc.aio.insecure_channel(doors.stack.astra_address) as channel:
        await TaskRunServiceStub(channel).ListTaskRuns(task_run_service_pb2.ListTaskRunsRequest())


@provokes("TOKEN_INVALID", StatusCode.UNAUTHENTICATED)
async def token_of_nobody(doors: Doors) -> None:
    async with connected(doors.stack.dispatcher_address, "an old key") as channel:
        await DispatcherServiceStub(channel).CreateTask(task("Hello?"))


@provokes("SCOPE_MISSING", StatusCode.PERMISSION_DENIED)
async def api_key_that_commits_a_turn(doors: Doors) -> None:
    stub = TranscriptServiceStub(doors.to("astra", "api"))
    await stub.CommitTurn(transcript_service_pb2.CommitTurnRequest())


@provokes("TENANT_NOT_FOUND", StatusCode.NOT_FOUND)
async def slug_of_no_tenant(doors: Doors) -> None:
    stub = PrincipalServiceStub(doors.to("astra", "gateway"))
    await stub.ResolveTenant(principal_service_pb2.ResolveTenantRequest(slug="nobody"))


@provokes("OVERLOADED", StatusCode.RESOURCE_EXHAUSTED)
async def one_call_more_than_there_is_room_for(doors: Doors) -> None:
    service = "aucert.models.v1.ModelService"
    serving = serve(
        name="models",
        host="127.0.0.1",
        port=0,
        registrations=[Registration(service, add_ModelServiceServicer_to_server, Endless())],
        authenticator=RemoteAuthenticator(PrincipalServiceStub(doors.to("astra", "models"))),
        calls_max=1,
        drain_seconds=0,
    )
    async with serving as server, connected(server.address, doors.tokens["worker"]) as channel:
        stub = ModelServiceStub(channel)
        await stub.Generate(saying("Hello?")).read()
        await stub.ListModels(model_service_pb2.ListModelsRequest())


class Endless(ModelServiceServicer):
    """Begins to answer and never ends."""

    async def Generate(self, request: object, context: object) -> AsyncIterator[object]:
        yield model_service_pb2.GenerateResponse(text_delta="Well, ")
        await asyncio.Event().wait()


@provokes("DATABASE_UNAVAILABLE", StatusCode.UNAVAILABLE)
async def database_that_went_away(doors: Doors) -> None:
    async with astra_of_its_own(doors) as (stub, database):
        await doors.postgres.drop(database)
        await stub.ListTaskRuns(task_run_service_pb2.ListTaskRunsRequest())


@provokes("PAGE_TOKEN_INVALID", StatusCode.INVALID_ARGUMENT)
async def page_token_cut_short(doors: Doors) -> None:
    await doors.run()
    await doors.run()
    page = await runs(doors).ListTaskRuns(task_run_service_pb2.ListTaskRunsRequest(page_size=1))
    cut = task_run_service_pb2.ListTaskRunsRequest(page_token=page.next_page_token[:-5])
    await runs(doors).ListTaskRuns(cut)


@provokes("INTERNAL", StatusCode.INTERNAL)
async def table_that_is_gone(doors: Doors) -> None:
    async with astra_of_its_own(doors) as (stub, database):
        async with await psycopg.AsyncConnection.connect(database.owner) as connection:
            await connection.execute("ALTER TABLE task_runs RENAME TO lost")
        await stub.ListTaskRuns(task_run_service_pb2.ListTaskRunsRequest())


@provokes("SERVICE_UNAVAILABLE", StatusCode.UNAVAILABLE)
async def service_whose_astra_is_away(doors: Doors) -> None:
    settings = ModelsSettings(ASTRA_ADDRESS=NOBODY, ASTRA_TOKEN="any", MODELS_PORT=0, _env_file=None)
    serving = services.models.main.running(settings)
    async with serving as server, connected(server.address, doors.tokens["worker"]) as channel:
        await ModelServiceStub(channel).ListModels(model_service_pb2.ListModelsRequest())


# The record.


@provokes("TASK_RUN_NOT_FOUND", StatusCode.NOT_FOUND)
async def run_of_another_tenant(doors: Doors) -> None:
    request = task_run_service_pb2.GetTaskRunRequest(task_run_id=await doors.run())
    await runs(doors).GetTaskRun(request, metadata=[(keys.TENANT, str(uuid.uuid4()))])


@provokes("TASK_RUN_COMPLETED", StatusCode.FAILED_PRECONDITION)
async def success_of_a_cancelled_run(doors: Doors) -> None:
    attempt = await doors.attempt()
    for outcome in (TASK_RUN_OUTCOME_CANCELLED, TASK_RUN_OUTCOME_SUCCESS):
        request = task_run_service_pb2.CompleteTaskRunRequest(
            task_run_id=attempt.task_run_id, fence=attempt.fence, outcome=outcome
        )
        await runs(doors).CompleteTaskRun(request)


@provokes("TRANSITION_IMPOSSIBLE", StatusCode.FAILED_PRECONDITION)
async def run_at_work_put_back_into_the_queue(doors: Doors) -> None:
    attempt = await doors.attempt()
    request = task_run_service_pb2.UpdateTaskStatusRequest(
        task_run_id=attempt.task_run_id, fence=attempt.fence, status=TASK_RUN_STATUS_QUEUED
    )
    await runs(doors).UpdateTaskStatus(request)


@provokes("FENCE_STALE", StatusCode.FAILED_PRECONDITION)
async def attempt_that_woke_too_late(doors: Doors) -> None:
    attempt = await doors.attempt()
    await doors.attempt(attempt.task_run_id)
    await doors.reserve(attempt)


@provokes("RESERVATION_NOT_OPEN", StatusCode.FAILED_PRECONDITION)
async def turn_for_an_abandoned_call(doors: Doors) -> None:
    attempt = await doors.attempt()
    reservation = await doors.reserve(attempt)
    await doors.commit_turn(await doors.attempt(attempt.task_run_id), reservation)


@provokes("RESULTS_MISMATCH", StatusCode.FAILED_PRECONDITION)
async def results_that_lack_one(doors: Doors) -> None:
    attempt = await doors.attempt()
    call = ToolCall(call_id="t1_0", tool_name="repo_list_files")
    await doors.commit_turn(attempt, await doors.reserve(attempt), Part(tool_call=call))
    request = transcript_service_pb2.CommitToolResultsRequest(
        task_run_id=attempt.task_run_id, fence=attempt.fence, next_model_alias="scripted"
    )
    await TranscriptServiceStub(doors.to("astra", "worker")).CommitToolResults(request)


@provokes("AGENT_NOT_FOUND", StatusCode.NOT_FOUND)
async def task_for_an_agent_nobody_has(doors: Doors) -> None:
    await create_task(doors, task("Hello?", agent="altas"))


@provokes("REPOSITORY_NOT_FOUND", StatusCode.NOT_FOUND)
async def task_about_a_repository_nobody_registered(doors: Doors) -> None:
    await create_task(doors, task("Hello?", repository="acme/unheard-of"))


@provokes("SOURCE_CONTAINER_TAKEN", StatusCode.ALREADY_EXISTS)
async def container_registered_twice(doors: Doors) -> None:
    stub = RepositoryServiceStub(doors.to("astra", "operator"))
    for slug in ("acme/first", "acme/second"):
        request = repository_service_pb2.RegisterRepositoryRequest(
            slug=slug, clone_url=doors.clone_url, source_containers=["github:acme/wanted"]
        )
        await stub.RegisterRepository(request)


@provokes("THREAD_POST_NOT_FOUND", StatusCode.NOT_FOUND)
async def post_nobody_wrote_down(doors: Doors) -> None:
    request = thread_post_service_pb2.FinishThreadPostRequest(
        thread_post_id=str(uuid.uuid4()), external_id="1"
    )
    await ThreadPostServiceStub(doors.to("astra", "tools")).FinishThreadPost(request)


@provokes("BUDGET_EXHAUSTED", StatusCode.FAILED_PRECONDITION)
async def call_dearer_than_its_run_may_be(doors: Doors) -> None:
    await doors.reserve(await doors.capped_attempt(usd_micros=10), 11)


@provokes("BUDGET_HELD", StatusCode.RESOURCE_EXHAUSTED)
async def call_beside_one_that_holds_the_rest(doors: Doors) -> None:
    attempt = await doors.capped_attempt(usd_micros=10)
    await doors.reserve(attempt, 6)
    await doors.reserve(attempt, 6)


@provokes("TOOL_CALL_NOT_OPEN", StatusCode.FAILED_PRECONDITION)
async def change_no_model_asked_for(doors: Doors) -> None:
    attempt = await doors.attempt()
    request = effect_service_pb2.BeginEffectRequest(
        task_run_id=attempt.task_run_id,
        fence=attempt.fence,
        call_id="t9_9",
        tool_name="github_create_issue",
        request_sha256="0" * 64,
    )
    await EffectServiceStub(doors.to("astra", "tools")).BeginEffect(request)


@provokes("EFFECT_NOT_FOUND", StatusCode.NOT_FOUND)
async def effect_nobody_wrote_down(doors: Doors) -> None:
    request = effect_service_pb2.FinishEffectRequest(effect_id=str(uuid.uuid4()), response_json="{}")
    await EffectServiceStub(doors.to("astra", "tools")).FinishEffect(request)


# The vault.


@provokes("VAULT_OFF", StatusCode.FAILED_PRECONDITION)
async def token_for_a_vault_without_a_key(doors: Doors) -> None:
    async with astra_without_a_vault(doors, "operator") as (channel, _):
        await put_token(TokenVaultServiceStub(channel))


@provokes("VAULT_TOKEN_NOT_FOUND", StatusCode.NOT_FOUND)
async def token_removed_before_it_was_put(doors: Doors) -> None:
    request = token_vault_service_pb2.DeleteTokenRequest(integration=INTEGRATION_GOOGLE)
    await TokenVaultServiceStub(doors.to("astra", "operator")).DeleteToken(request)


@provokes("VAULT_TOKEN_UNREADABLE", StatusCode.FAILED_PRECONDITION)
async def token_sealed_with_a_key_that_is_gone(doors: Doors) -> None:
    await put_token(TokenVaultServiceStub(doors.to("astra", "operator")))
    name = str(conninfo_to_dict(doors.stack.operator_database_url)["dbname"])
    async with await psycopg.AsyncConnection.connect(doors.postgres.urls(name).owner) as connection:
        await connection.execute("UPDATE agent_tokens SET key_id = 'gone'")
    await open_token(doors, TOKEN_USE_READ)


@provokes("VAULT_TOKEN_USE_MISSING", StatusCode.FAILED_PRECONDITION)
async def change_with_a_token_that_reads(doors: Doors) -> None:
    await put_token(TokenVaultServiceStub(doors.to("astra", "operator")), TOKEN_USE_READ)
    await open_token(doors, TOKEN_USE_WRITE)


# The way in.


@provokes("THREAD_NOT_FOUND", StatusCode.NOT_FOUND)
async def claim_in_no_thread(doors: Doors) -> None:
    request = dispatcher_service_pb2.ClaimNextEventRequest(thread_id=str(uuid.uuid4()))
    await DispatcherServiceStub(doors.to("dispatcher", "worker")).ClaimNextEvent(request)


@provokes("DRIVE_WATCH_NOT_FOUND", StatusCode.NOT_FOUND)
async def watch_nobody_opened(doors: Doors) -> None:
    request = drive_watch_service_pb2.StopDriveWatchRequest(channel_id=str(uuid.uuid4()))
    await DriveWatchServiceStub(doors.to("dispatcher", "operator")).StopDriveWatch(request)


@provokes("DELIVERY_NOT_FOUND", StatusCode.NOT_FOUND)
async def delivery_nobody_knows(doors: Doors) -> None:
    stub = DispatcherServiceStub(doors.to("dispatcher", "operator"))
    nobodys = dispatcher_service_pb2.GetDeliveryRequest(delivery_id=str(uuid.uuid4()))
    await stub.GetDelivery(nobodys)


@provokes("DELIVERY_DONE", StatusCode.FAILED_PRECONDITION)
async def task_that_is_handled_again(doors: Doors) -> None:
    stub = DispatcherServiceStub(doors.to("dispatcher", "operator"))
    await stub.CreateTask(task("Hello?"))
    done = dispatcher_service_pb2.ListDeliveriesRequest(status=DELIVERY_STATUS_DONE, page_size=1)
    async with asyncio.timeout(30):
        while not (listed := await stub.ListDeliveries(done)).deliveries:
            await asyncio.sleep(0.05)
    (delivery,) = listed.deliveries
    request = dispatcher_service_pb2.RedeliverWebhookRequest(delivery_id=delivery.delivery_id)
    await stub.RedeliverWebhook(request)


@provokes("PUBLIC_ADDRESS_MISSING", StatusCode.FAILED_PRECONDITION)
async def watch_without_an_address(doors: Doors) -> None:
    request = drive_watch_service_pb2.RegisterDriveWatchRequest(file_id="1SpecId")
    await DriveWatchServiceStub(doors.to("dispatcher", "operator")).RegisterDriveWatch(request)


@provokes("REQUEST_ID_REUSED", StatusCode.ALREADY_EXISTS)
async def same_request_id_with_other_words(doors: Doors) -> None:
    await create_task(doors, task("Hello?", request_id="once"))
    await create_task(doors, task("Good-bye?", request_id="once"))


# Models.


@provokes("MODEL_NOT_FOUND", StatusCode.NOT_FOUND)
async def model_of_the_future(doors: Doors) -> None:
    await generate(doors, "Hello?", model_alias="gpt-9")


@provokes("MODEL_OFF", StatusCode.FAILED_PRECONDITION)
async def model_whose_provider_is_not_configured(doors: Doors) -> None:
    await generate(doors, "Hello?", model_alias="local")


@provokes("MODEL_UNAVAILABLE", StatusCode.UNAVAILABLE)
async def provider_out_of_order(doors: Doors) -> None:
    await generate(doors, "Are you out of order?")


@provokes("MODEL_RATE_LIMITED", StatusCode.RESOURCE_EXHAUSTED)
async def provider_asked_too_often(doors: Doors) -> None:
    await generate(doors, "Am I too fast?")


@provokes("MODEL_REFUSED", StatusCode.FAILED_PRECONDITION)
async def provider_that_refuses(doors: Doors) -> None:
    await generate(doors, "Why not like this?")


@provokes("MODEL_CONTEXT_EXCEEDED", StatusCode.FAILED_PRECONDITION)
async def conversation_too_long(doors: Doors) -> None:
    await generate(doors, "Is it too much?")


@provokes("MODEL_FILTERED", StatusCode.FAILED_PRECONDITION)
async def conversation_a_filter_refuses(doors: Doors) -> None:
    await generate(doors, "May I say that?")


# Tools.


@provokes("TOOL_NOT_FOUND", None)
async def tool_misspelt(doors: Doors) -> tool_service_pb2.CallToolResponse:
    return await call_tool(doors, "repo_reed_file", '{"path": "README.md"}')


@provokes("TOOL_ARGUMENTS_INVALID", None)
async def argument_the_tool_does_not_have(doors: Doors) -> tool_service_pb2.CallToolResponse:
    return await call_tool(doors, "repo_read_file", '{"file": 1}')


@provokes("RUN_REQUIRED", StatusCode.FAILED_PRECONDITION)
async def tool_outside_any_run_with_several_repositories(doors: Doors) -> None:
    for slug in ("acme/one", "acme/two"):
        await doors.repository(slug)
    stub = RepoServiceStub(doors.to("tools", "worker"))
    await stub.ListFiles(repo_service_pb2.ListFilesRequest())


@provokes("RUN_HAS_NO_REPOSITORY", StatusCode.FAILED_PRECONDITION)
async def tool_in_a_run_without_a_repository(doors: Doors) -> None:
    stub = RepoServiceStub(doors.to("tools", "worker"))
    await stub.ListFiles(repo_service_pb2.ListFilesRequest(), metadata=await doors.in_run())


@provokes("PATH_OUTSIDE_REPOSITORY", StatusCode.INVALID_ARGUMENT)
async def path_upwards(doors: Doors) -> None:
    await read_file(doors, "../secrets")


@provokes("PATH_IS_SYMLINK", StatusCode.INVALID_ARGUMENT)
async def symlink(doors: Doors) -> None:
    await read_file(doors, "link")


@provokes("PATH_NOT_FOUND", StatusCode.NOT_FOUND)
async def file_that_is_not_there(doors: Doors) -> None:
    await read_file(doors, "src/moved.py")


@provokes("PATH_KIND_MISMATCH", StatusCode.INVALID_ARGUMENT)
async def folder_read_as_a_file(doors: Doors) -> None:
    await read_file(doors, "src")


@provokes("PATTERN_INVALID", StatusCode.INVALID_ARGUMENT)
async def pattern_left_open(doors: Doors) -> None:
    stub, inside = await shop(doors)
    await stub.SearchText(repo_service_pb2.SearchTextRequest(pattern="("), metadata=inside)


@provokes("CONTINUATION_INVALID", StatusCode.INVALID_ARGUMENT)
async def continuation_of_other_arguments(doors: Doors) -> None:
    stub, inside = await shop(doors)
    page = await stub.GitLog(repo_service_pb2.GitLogRequest(limit=1), metadata=inside)
    other = repo_service_pb2.GitLogRequest(limit=2, continuation=page.continuation)
    await stub.GitLog(other, metadata=inside)


@provokes("DOCUMENT_NOT_FOUND", StatusCode.NOT_FOUND)
async def record_nobody_wrote(doors: Doors) -> None:
    stub, inside = await shop(doors)
    await stub.ReadAdr(repo_service_pb2.ReadAdrRequest(name="99"), metadata=inside)


@provokes("COMMIT_NOT_FOUND", StatusCode.NOT_FOUND)
async def commit_of_another_branch(doors: Doors) -> None:
    stub, inside = await shop(doors)
    commit = git(doors.clone_url, "rev-parse", "aside").strip()
    await stub.GitShow(repo_service_pb2.GitShowRequest(commit=commit), metadata=inside)


@provokes("REPOSITORY_UNREACHABLE", StatusCode.UNAVAILABLE)
async def repository_on_a_host_that_is_down(doors: Doors) -> None:
    inside = await doors.in_run(await doors.repository("acme/down", f"http://{NOBODY}/down.git"))
    stub = RepoServiceStub(doors.to("tools", "worker"))
    await stub.ListFiles(repo_service_pb2.ListFilesRequest(), metadata=inside)


@provokes("REPOSITORY_TOO_LARGE", StatusCode.FAILED_PRECONDITION)
async def repository_larger_than_is_kept(doors: Doors) -> None:
    inside = await doors.in_run(await doors.repository())
    async with tools_of_its_own(doors, REPOSITORY_BYTES_MAX=1) as channel:
        await RepoServiceStub(channel).ListFiles(repo_service_pb2.ListFilesRequest(), metadata=inside)


@provokes("TRUST_REQUIRED", StatusCode.FAILED_PRECONDITION)
async def issue_a_stranger_asks_for(doors: Doors) -> None:
    stub, inside, _ = await on_github(doors)
    await stub.CreateIssue(github_service_pb2.CreateIssueRequest(title="Mine"), metadata=inside)


@provokes("APPROVAL_REQUIRED", None)
async def tool_that_approval_is_set_for(doors: Doors) -> tool_service_pb2.CallToolResponse:
    del doors
    entry = read_catalogue(shipped_image())["repo_read_file"]
    careful = replace(entry, options=ToolOptions(approval=TOOL_APPROVAL_REQUIRED))
    servicer = ToolServicer({entry.name: careful}, {entry.service: Integration(object())})
    nobody: Any = None
    return await servicer.CallTool(tool_service_pb2.CallToolRequest(tool_name=entry.name), nobody)


@provokes("OUTCOME_UNKNOWN", None)
async def external_server_that_never_answers(doors: Doors) -> tool_service_pb2.CallToolResponse:
    attempt = await doors.attempt(await doors.run(trusted=True))
    call = ToolCall(call_id="t1_0", tool_name="tracker_file_ticket")
    await doors.commit_turn(attempt, await doors.reserve(attempt), Part(tool_call=call))
    inside = [
        (keys.TASK_RUN, attempt.task_run_id),
        (keys.CALL_ID, call.call_id),
        (keys.FENCE, str(attempt.fence)),
    ]
    file = doors.folder / "servers.toml"
    file.write_text(SILENT_SERVER.format(python=sys.executable, program=MCP_SERVER))
    request = tool_service_pb2.CallToolRequest(tool_name=call.tool_name, arguments_json='{"title": "Cart"}')
    async with tools_of_its_own(doors, MCP_SERVERS=file) as channel:
        tools: Any = ToolServiceStub(channel)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while call.tool_name not in {
                each.name for each in (await tools.ListTools(tool_service_pb2.ListToolsRequest())).tools
            }:
                await asyncio.sleep(0.05)
        return await tools.CallTool(request, metadata=inside)


@provokes("ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM", StatusCode.FAILED_PRECONDITION)
async def comment_where_the_answer_goes(doors: Doors) -> None:
    stub, inside, number = await on_github(doors)
    request = github_service_pb2.CommentOnIssueRequest(number=number, body="Done.")
    await stub.CommentOnIssue(request, metadata=inside)


# Vendors.


@provokes("VENDOR_UNAVAILABLE", StatusCode.UNAVAILABLE)
async def github_out_of_order(doors: Doors) -> None:
    address = await doors.issue()
    await fault(doors, address, "status:502", times=2)
    await post_answer(doors, doors.to("tools", "worker"), address)


@provokes("VENDOR_RATE_LIMITED", StatusCode.RESOURCE_EXHAUSTED)
async def github_asked_too_often(doors: Doors) -> None:
    address = await doors.issue()
    await fault(doors, address, "rate_limit:1")  # short: until it is over all calls wait
    await post_answer(doors, doors.to("tools", "worker"), address)


@provokes("VENDOR_REFUSED", StatusCode.FAILED_PRECONDITION)
async def issue_that_is_not_there(doors: Doors) -> None:
    await doors.issue()
    await post_answer(doors, doors.to("tools", "worker"), thread(number=99_999))


@provokes("SOURCE_OFF", StatusCode.FAILED_PRECONDITION)
async def github_without_credentials(doors: Doors) -> None:
    async with tools_of_its_own(doors, GITHUB_APP_ID="") as channel:
        await post_answer(doors, channel, thread(number=1))


@provokes("ITEM_NOT_FOUND", StatusCode.NOT_FOUND)
async def issue_of_the_future(doors: Doors) -> None:
    stub, inside, _ = await on_github(doors)
    await stub.GetIssue(github_service_pb2.GetIssueRequest(number=99_999), metadata=inside)


@provokes("CONTAINER_NOT_REGISTERED", StatusCode.NOT_FOUND)
async def project_that_belongs_to_no_repository(doors: Doors) -> None:
    request = plane_service_pb2.SearchWorkItemsRequest(project=str(uuid.uuid4()))
    await PlaneServiceStub(doors.to("tools", "worker")).SearchWorkItems(request)


# What the provocations are made of.


async def put_token(stub: Any, *uses: TokenUse.ValueType) -> None:
    """Put a token in that nobody else here asks for."""
    credential = Credential(brave=BraveCredential(api_key="BSA-1"))
    await stub.PutToken(token_vault_service_pb2.PutTokenRequest(credential=credential, uses=uses))


async def open_token(doors: Doors, use: TokenUse.ValueType) -> None:
    """Open it as the tools service does."""
    request = token_vault_service_pb2.OpenTokenRequest(integration=INTEGRATION_BRAVE, use=use)
    await TokenVaultServiceStub(doors.to("astra", "tools")).OpenToken(request)


def runs(doors: Doors) -> Any:
    return TaskRunServiceStub(doors.to("astra", "worker"))


def task(message: str, **more: str) -> dispatcher_service_pb2.CreateTaskRequest:
    return dispatcher_service_pb2.CreateTaskRequest(message=message, **more)


async def create_task(doors: Doors, request: dispatcher_service_pb2.CreateTaskRequest) -> None:
    await DispatcherServiceStub(doors.to("dispatcher", "api")).CreateTask(request)


def saying(text: str, model_alias: str = "scripted") -> model_service_pb2.GenerateRequest:
    said = Message(role=ROLE_USER, parts=[Part(text=text)])
    return model_service_pb2.GenerateRequest(model_alias=model_alias, messages=[said])


async def generate(doors: Doors, text: str, model_alias: str = "scripted") -> None:
    async for _ in ModelServiceStub(doors.to("models", "worker")).Generate(saying(text, model_alias)):
        pass


async def call_tool(doors: Doors, name: str, arguments: str) -> tool_service_pb2.CallToolResponse:
    request = tool_service_pb2.CallToolRequest(tool_name=name, arguments_json=arguments)
    stub = ToolServiceStub(doors.to("tools", "worker"))
    return await stub.CallTool(request, metadata=await doors.in_run(await doors.repository()))


async def shop(doors: Doors) -> tuple[Any, Metadata]:
    """The tools that read, and the metadata of a run that may read the shop."""
    return RepoServiceStub(doors.to("tools", "worker")), await doors.in_run(await doors.repository())


async def read_file(doors: Doors, path: str) -> None:
    stub, inside = await shop(doors)
    await stub.ReadFile(repo_service_pb2.ReadFileRequest(path=path), metadata=inside)


async def on_github(doors: Doors) -> tuple[Any, Metadata, int]:
    """GitHub's tools, the metadata of a run that a stranger asked for on an issue, and the issue's number."""
    repository_id = await doors.repository(source_containers=[f"github:{SHOP}"])
    address = await doors.issue()
    run_id = await doors.run(repository_id=repository_id, address=address)
    inside = [(keys.TASK_RUN, run_id), (keys.CALL_ID, "t1_0"), (keys.FENCE, "1")]
    return GitHubServiceStub(doors.to("tools", "worker")), inside, address.github.number


async def fault(doors: Doors, address: ThreadAddress, action: str, *, times: int = 1) -> None:
    """Let the next posts into a thread fail."""
    path = f"*/issues/{address.github.number}/comments"
    await doors.sandbox("faults", {"method": "POST", "path_pattern": path, "times": times, "action": action})


async def post_answer(doors: Doors, tools: grpc.aio.Channel, address: ThreadAddress) -> None:
    attempt = await doors.attempt(address=address)
    request = thread_service_pb2.PostAnswerRequest(
        task_run_id=attempt.task_run_id, fence=attempt.fence, address=address, text="[T0] Done."
    )
    await ThreadServiceStub(tools).PostAnswer(request)
