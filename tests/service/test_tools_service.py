"""ToolService and RepoService over real gRPC and real git, with Astra in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_COMPLETED
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.models.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message, Part, ToolResult
from aucert.models.v1.model_service_pb2 import GenerateRequest, ToolDefinition
from aucert.tools.v1 import repo_service_pb2 as repo
from aucert.tools.v1 import tool_pb2
from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.repo_service_pb2_grpc import RepoServiceStub
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from aucert.tools.v1.workspace_service_pb2 import PrepareWorkspaceRequest
from aucert.tools.v1.workspace_service_pb2_grpc import WorkspaceServiceStub
from services.common import metadata as keys
from services.common.channels import connect
from services.models.rehearsal import next_message
from services.tools.catalogue import read_catalogue, shipped_image
from services.tools.collecting import collect_once
from services.tools.effects import EffectUnclear
from services.tools.main import running
from services.tools.run_context import run_of_workspace, workspace_run_id
from services.tools.settings import ToolsSettings
from services.tools.tool_servicer import Integration, ToolServicer
from services.tools.workspace import Workspaces
from tests.service.tools_stage import (
    OUTSIDER,
    TENANT,
    WORKER,
    Astra,
    git,
    in_run,
    make_repository,
    reason_of,
    serving_astra,
)

if TYPE_CHECKING:
    from aucert.tools.v1.repo_service_pb2_grpc import RepoServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub
    from aucert.tools.v1.workspace_service_pb2_grpc import WorkspaceServiceAsyncStub

TOOLS = [
    "repo_find_files",
    "repo_git_log",
    "repo_git_show",
    "repo_list_adrs",
    "repo_list_files",
    "repo_list_specs",
    "repo_outline_file",
    "repo_read_adr",
    "repo_read_file",
    "repo_read_spec",
    "repo_search_text",
]


@dataclass
class Stage:
    astra: Astra
    astra_address: str
    address: str
    tools: ToolServiceAsyncStub
    repo: RepoServiceAsyncStub
    workspaces: WorkspaceServiceAsyncStub
    repository: Path
    workspace: Path

    async def call(self, tool: str, arguments: object, run: str) -> pb.CallToolResponse:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        request = pb.CallToolRequest(tool_name=tool, arguments_json=text)
        return await self.tools.CallTool(request, metadata=in_run(run) if run else [])


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    repository = make_repository(tmp_path / "shop")
    async with serving_astra() as (astra, astra_address):
        settings = ToolsSettings(
            _env_file=None,
            ASTRA_TOKEN="tools-token",
            ASTRA_ADDRESS=astra_address,
            TOOLS_PORT=0,
            WORKSPACE_DIR=tmp_path / "workspace",
        )
        async with running(settings) as server:
            channel = connect(server.address, WORKER)
            yield Stage(
                astra,
                astra_address,
                server.address,
                ToolServiceStub(channel),
                RepoServiceStub(channel),
                WorkspaceServiceStub(channel),
                repository,
                tmp_path / "workspace",
            )
            await channel.close()


async def test_the_catalogue_is_listed_with_the_same_bytes_each_time(stage: Stage):
    first = await stage.tools.ListTools(pb.ListToolsRequest())
    second = await stage.tools.ListTools(pb.ListToolsRequest())
    assert [tool.name for tool in first.tools] == ["embed_text", "kb_search", *TOOLS]
    assert first.SerializeToString() == second.SerializeToString()


async def test_both_doors_give_the_same_answer(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    by_name = await stage.call("repo_read_file", {"path": "README.md"}, run)
    typed = await stage.repo.ReadFile(repo.ReadFileRequest(path="README.md"), metadata=in_run(run))
    assert not by_name.failed
    assert by_name.text == typed.text
    assert json_format.Parse(by_name.response_json, repo.ReadFileResponse()) == typed
    assert typed.line_count == 3


async def test_every_tool_answers_in_words(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    commit = git(stage.repository, "rev-parse", "HEAD")
    arguments = {
        "repo_find_files": {"glob": "**/*.py"},
        "repo_git_show": {"commit": commit[:10]},
        "repo_outline_file": {"path": "src/orders.py"},
        "repo_read_adr": {"name": "7"},
        "repo_read_file": {"path": "README.md"},
        "repo_search_text": {"pattern": "handle_order"},
    }
    answers = {
        name: await stage.call(name, arguments.get(name, {}), run)
        for name in TOOLS
        if name != "repo_read_spec"
    }
    assert {name: answer.reason for name, answer in answers.items() if answer.failed} == {}
    assert "src/orders.py" in answers["repo_search_text"].text
    assert "handle_order" in answers["repo_outline_file"].text
    assert "Use gRPC" in answers["repo_list_adrs"].text
    assert commit[:7] in answers["repo_git_log"].text
    missing = await stage.call("repo_read_spec", {"name": "checkout"}, run)
    assert (missing.reason, missing.fixable) == ("DOCUMENT_NOT_FOUND", True)


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("repo_reed_file", {}, "TOOL_NOT_FOUND"),
        ("repo_read_file", '{"path": ', "TOOL_ARGUMENTS_INVALID"),
        ("repo_read_file", {"file": "README.md"}, "TOOL_ARGUMENTS_INVALID"),
        ("repo_read_file", {"path": 1}, "TOOL_ARGUMENTS_INVALID"),
        ("repo_read_file", {"path": ""}, "FIELD_INVALID"),
        ("repo_read_file", {"path": "../secrets"}, "PATH_OUTSIDE_REPOSITORY"),
        ("repo_read_file", {"path": "nothing.md"}, "PATH_NOT_FOUND"),
        ("repo_read_file", {"path": "src"}, "PATH_KIND_MISMATCH"),
        ("repo_search_text", {"pattern": "("}, "PATTERN_INVALID"),
        ("repo_list_files", {"continuation": "none"}, "CONTINUATION_INVALID"),
        ("repo_git_show", {"commit": "0" * 40}, "COMMIT_NOT_FOUND"),
    ],
)
async def test_a_mistake_of_the_model_is_an_answer_it_can_learn_from(
    stage: Stage, tool: str, arguments: object, reason: str
):
    answer = await stage.call(tool, arguments, stage.astra.add_run(stage.repository))
    assert (answer.failed, answer.reason, answer.fixable) == (True, reason, True)
    assert answer.text
    assert answer.response_json == ""


async def test_the_typed_door_answers_a_mistake_with_a_status(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.repo.ReadFile(repo.ReadFileRequest(path="nothing.md"), metadata=in_run(run))
    assert reason_of(caught.value)[:2] == (grpc.StatusCode.NOT_FOUND, "PATH_NOT_FOUND")


async def test_outside_of_runs_the_named_repository_is_read_as_it_stands_and_the_commit_is_let_go_of(
    stage: Stage,
):
    async def read(slug: str = "") -> pb.CallToolResponse:
        request = pb.CallToolRequest(tool_name="repo_read_file", arguments_json='{"path": "README.md"}')
        named = [(keys.REPOSITORY, slug)] if slug else []
        return await stage.tools.CallTool(request, timeout=30, metadata=named)

    stage.astra.add_repository("acme/shop", stage.repository)
    alone, named = await read(), await read("acme/shop")
    assert "Sells things." in alone.text
    assert alone == named
    stage.astra.add_repository("acme/web", stage.repository)
    assert ("RUN_REQUIRED", "") == ((await read()).reason, (await read("acme/web")).reason)
    assert "REPOSITORY_NOT_FOUND" == (await read("acme/other")).reason
    workspaces = Workspaces(stage.workspace, bytes_max=1 << 30, repository_bytes_max=1 << 30)
    assert await workspaces.pinned_runs()
    channel = connect(stage.astra_address, "tools-token")
    await collect_once(workspaces, TaskRunServiceStub(channel))
    await channel.close()
    assert set() == await workspaces.pinned_runs()


async def test_a_call_without_a_run_or_a_repository_is_told_so_and_cannot_be_fixed(stage: Stage):
    outside = await stage.call("repo_list_files", {}, "")
    assert (outside.reason, outside.fixable) == ("RUN_REQUIRED", False)
    bare = await stage.call("repo_list_files", {}, stage.astra.add_run(None))
    assert (bare.reason, bare.fixable) == ("RUN_HAS_NO_REPOSITORY", False)


async def test_a_run_nobody_knows_is_a_failure_the_model_cannot_fix(stage: Stage):
    answer = await stage.call("repo_list_files", {}, "1d1a1b1c-0000-4000-8000-000000000000")
    assert (answer.reason, answer.fixable) == ("TASK_RUN_NOT_FOUND", False)


async def test_a_repository_that_cannot_be_reached_is_told_and_tried_again_later(
    stage: Stage, tmp_path: Path
):
    late = tmp_path / "late"
    late.mkdir()
    run = stage.astra.add_run(late)
    answer = await stage.call("repo_list_files", {}, run)
    assert (answer.failed, answer.reason, answer.fixable) == (True, "REPOSITORY_UNREACHABLE", False)
    late.rmdir()
    make_repository(late)
    assert not (await stage.call("repo_list_files", {}, run)).failed


async def test_a_run_may_be_named_only_by_those_who_work_on_runs(stage: Stage):
    channel = connect(stage.address, OUTSIDER)
    run = stage.astra.add_run(stage.repository)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ToolServiceStub(channel).CallTool(
            pb.CallToolRequest(tool_name="repo_list_files"), metadata=in_run(run)
        )
    await channel.close()
    assert reason_of(caught.value)[:2] == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


async def test_parallel_calls_of_a_run_share_one_preparation_and_one_pin(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    answers = await asyncio.gather(*(stage.call("repo_list_files", {}, run) for _ in range(8)))
    assert len({answer.text for answer in answers}) == 1
    assert stage.astra.asked == ["GetTaskRun", "PinCommit"]
    assert stage.astra.runs[run].commit == git(stage.repository, "rev-parse", "HEAD")


async def test_a_run_keeps_its_commit_when_the_branch_moves(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    before = await stage.call("repo_list_files", {}, run)
    (stage.repository / "new.md").write_text("new\n")
    git(stage.repository, "add", ".")
    git(stage.repository, "commit", "-q", "-m", "Add")
    assert (await stage.call("repo_list_files", {}, run)).text == before.text


async def test_the_commit_another_process_pinned_first_is_the_one_that_is_read(stage: Stage):
    first = git(stage.repository, "rev-parse", "HEAD")
    (stage.repository / "new.md").write_text("new\n")
    git(stage.repository, "add", ".")
    git(stage.repository, "commit", "-q", "-m", "Add")
    stage.astra.rival_commit = first
    answer = await stage.call("repo_list_files", {}, stage.astra.add_run(stage.repository))
    assert not answer.failed
    assert "new.md" not in answer.text


async def test_a_prepared_run_is_pinned_before_any_tool_is_called(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    request = PrepareWorkspaceRequest(task_run_id=run)
    prepared = [await stage.workspaces.PrepareWorkspace(request) for _ in range(2)]
    assert [git(stage.repository, "rev-parse", "HEAD")] * 2 == [each.commit for each in prepared]
    assert stage.astra.runs[run].commit == prepared[0].commit
    assert not (await stage.call("repo_list_files", {}, run)).failed
    assert stage.astra.asked == ["GetTaskRun", "PinCommit"]


@pytest.mark.parametrize(
    ("clone_url", "code", "reason"),
    [
        ("file:///nowhere", grpc.StatusCode.UNAVAILABLE, "REPOSITORY_UNREACHABLE"),
        (None, grpc.StatusCode.FAILED_PRECONDITION, "RUN_HAS_NO_REPOSITORY"),
    ],
)
async def test_a_run_that_cannot_be_prepared_is_told_why(
    stage: Stage, clone_url: str | None, code: grpc.StatusCode, reason: str
):
    request = PrepareWorkspaceRequest(task_run_id=stage.astra.add_run(clone_url))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.workspaces.PrepareWorkspace(request)
    assert reason_of(caught.value)[:2] == (code, reason)


async def test_collection_lets_go_of_ended_runs_only(stage: Stage):
    ended, open_run = (stage.astra.add_run(stage.repository) for _ in range(2))
    for run in (ended, open_run):
        await stage.call("repo_list_files", {}, run)
    stage.astra.runs[ended].status = TASK_RUN_STATUS_COMPLETED
    workspaces = Workspaces(stage.workspace, bytes_max=1 << 30, repository_bytes_max=1 << 30)
    channel = connect(stage.astra_address, "tools-token")
    await collect_once(workspaces, TaskRunServiceStub(channel))
    await channel.close()
    assert await workspaces.pinned_runs() == {workspace_run_id(TENANT, open_run)}
    assert run_of_workspace(workspace_run_id(TENANT, open_run)) == (TENANT, open_run)


async def test_the_rehearsal_model_reads_what_the_tools_really_return(stage: Stage):
    run = stage.astra.add_run(stage.repository)
    listed = (await stage.tools.ListTools(pb.ListToolsRequest())).tools
    tools = [ToolDefinition(name=tool.name) for tool in listed]
    messages = [Message(role=ROLE_USER, parts=[Part(text="How does handle_order work?")])]
    for _ in range(2):
        turn = next_message(GenerateRequest(messages=messages, tools=tools))
        results: list[ToolResult] = []
        for part in turn.parts:
            call = part.tool_call
            answer = await stage.call(call.tool_name, call.arguments_json, run)
            assert not answer.failed, answer.text
            results.append(ToolResult(call_id=call.call_id, text=answer.text))
        messages += [turn, Message(role=ROLE_TOOL, parts=[Part(tool_result=each) for each in results])]
    answered = next_message(GenerateRequest(messages=messages, tools=tools)).parts[0].text
    assert "- `src/orders.py:1`: `def handle_order(order):`" in answered
    assert "- `docs/adr/0007-use-grpc.md:1`: `# 7. Use gRPC`" in answered


class Clumsy:
    """An integration that fails in ways no tool should."""

    async def ListFiles(self, request: Any, context: Any) -> Any:
        raise RuntimeError("secret detail")

    async def FindFiles(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    SearchText = FindFiles


def clumsy() -> ToolServicer:
    catalogue = read_catalogue(shipped_image())
    for name, more in {
        "repo_find_files": {"effect": tool_pb2.TOOL_EFFECT_READ, "approval": tool_pb2.TOOL_APPROVAL_NONE},
        "repo_search_text": {"effect": tool_pb2.TOOL_EFFECT_WRITE, "approval": tool_pb2.TOOL_APPROVAL_NONE},
        "repo_read_file": {"effect": tool_pb2.TOOL_EFFECT_READ, "approval": tool_pb2.TOOL_APPROVAL_REQUIRED},
    }.items():
        hurried = tool_pb2.ToolOptions(timeout=Duration(nanos=20_000_000), **more)
        catalogue[name] = replace(catalogue[name], options=hurried)
    return ToolServicer(catalogue, {"aucert.tools.v1.RepoService": Integration(Clumsy())})


async def test_a_tool_that_a_person_must_approve_is_refused():
    request = pb.CallToolRequest(tool_name="repo_read_file")
    answer = await clumsy().CallTool(request, None)  # pyright: ignore
    assert (answer.failed, answer.reason, answer.fixable) == (True, "APPROVAL_REQUIRED", False)
    assert "approved" in answer.text


async def test_a_change_that_takes_too_long_is_no_answer_but_to_be_repeated():
    request = pb.CallToolRequest(tool_name="repo_search_text", arguments_json='{"pattern": "x"}')
    with pytest.raises(EffectUnclear):
        await clumsy().CallTool(request, None)  # pyright: ignore


async def test_an_unforeseen_failure_is_told_without_its_text():
    answer = await clumsy().CallTool(pb.CallToolRequest(tool_name="repo_list_files"), None)  # pyright: ignore
    assert (answer.failed, answer.reason, answer.fixable) == (True, "INTERNAL", False)
    assert "secret" not in answer.text


async def test_a_tool_that_takes_too_long_is_ended_and_told():
    call = pb.CallToolRequest(tool_name="repo_find_files", arguments_json='{"glob": "*"}')
    answer = await clumsy().CallTool(call, None)  # pyright: ignore
    assert (answer.failed, answer.reason, answer.fixable) == (True, "SERVICE_UNAVAILABLE", False)
