"""What the Plane tools send, and what the stand-in answers, is what Plane's own SDK sends and reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plane.models.projects import PaginatedProjectResponse
from plane.models.query_params import PaginatedQueryParams, RetrieveQueryParams, WorkItemQueryParams
from plane.models.states import PaginatedStateResponse
from plane.models.users import UserLite
from plane.models.work_items import (
    CreateWorkItem,
    CreateWorkItemComment,
    PaginatedWorkItemCommentResponse,
    PaginatedWorkItemResponse,
    UpdateWorkItem,
    WorkItem,
    WorkItemComment,
    WorkItemDetail,
    WorkItemSearch,
)
from pydantic import BaseModel, TypeAdapter

from services.tools.plane_client import PlaneClient
from tests.service.plane_tools_stage import plane_tools_stage

SEARCHED = frozenset({"search", "limit", "workspace_search", "project_id"})
"""Plane's documentation of its search knows these; the SDK hands on the first."""


@dataclass(frozen=True)
class Endpoint:
    """The SDK's models of what an endpoint answers, of its body, and the parameters it takes."""

    answer: Any
    body: type[BaseModel] | None = None
    params: frozenset[str] = frozenset()


def params(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(model.model_fields)


ENDPOINTS: Mapping[str, Endpoint] = {
    r"GET users/me/": Endpoint(UserLite),
    r"GET members/": Endpoint(list[UserLite]),
    r"GET projects/": Endpoint(PaginatedProjectResponse, None, params(PaginatedQueryParams)),
    r"GET projects/[\w-]+/states/": Endpoint(PaginatedStateResponse, None, params(PaginatedQueryParams)),
    r"GET projects/[\w-]+/work-items/": Endpoint(
        PaginatedWorkItemResponse | WorkItem, None, params(WorkItemQueryParams)
    ),
    r"POST projects/[\w-]+/work-items/": Endpoint(WorkItem, CreateWorkItem),
    r"GET projects/[\w-]+/work-items/[\w-]+/": Endpoint(WorkItemDetail, None, params(RetrieveQueryParams)),
    r"PATCH projects/[\w-]+/work-items/[\w-]+/": Endpoint(WorkItem, UpdateWorkItem),
    r"GET projects/[\w-]+/work-items/[\w-]+/comments/": Endpoint(
        PaginatedWorkItemCommentResponse, None, params(PaginatedQueryParams)
    ),
    r"POST projects/[\w-]+/work-items/[\w-]+/comments/": Endpoint(WorkItemComment, CreateWorkItemComment),
    r"GET work-items/search/": Endpoint(WorkItemSearch, None, SEARCHED),
    r"GET work-items/\w+-\d+/": Endpoint(WorkItemDetail, None, params(RetrieveQueryParams)),
}
CALLS: list[tuple[str, dict[str, object]]] = [
    ("plane_list_projects", {}),
    ("plane_search_issues", {"query": "why"}),
    ("plane_search_issues", {}),
    ("plane_get_issue", {}),
    ("plane_create_issue", {"title": "T", "body": "B", "priority": "low", "state": "Todo"}),
    ("plane_update_issue", {"issue": "WEB-1", "title": "T", "body": "B", "state": "Done"}),
    ("plane_list_comments", {"issue": "WEB-1"}),
    ("plane_add_comment", {"issue": "WEB-1", "body": "B"}),
]
ASKED_AGAIN = (("POST", "/work-items/"), ("PATCH", "/work-items/*/"), ("POST", "/comments/"))
"""Writes that Plane fails to confirm, so that the requests which look for them are made too."""


@dataclass(frozen=True)
class Made:
    """A request and its answer."""

    call: str
    json: Mapping[str, object] | None
    params: Mapping[str, object]
    answer: object


async def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    """Every request of a call of each tool that Plane answers with success."""
    requests: list[Made] = []
    request = PlaneClient._call

    async def noted(self: PlaneClient, method: str, path: str, **more: Any) -> Any:
        answer = await request(self, method, path, **more)
        requests.append(Made(f"{method} {path}", more.get("json"), more.get("params") or {}, answer))
        return answer

    monkeypatch.setattr(PlaneClient, "_call", noted)
    async with plane_tools_stage(folder) as stage:
        await stage.plane.say(stage.asked)
        run = stage.add_run()
        for method, path in ASKED_AGAIN:
            await stage.plane.fault(method, path, "status_after:500")
        for turn in range(2):  # a refusal is not looked at, an answer is
            for number, (tool, arguments) in enumerate(CALLS):
                await stage.text(tool, run=run, call_id=f"t{turn}_{number}", **arguments)
    return requests


async def test_every_request_and_every_answer_is_one_of_planes_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    met: set[str] = set()
    for each in await made(tmp_path, monkeypatch):
        (pattern,) = [known for known in ENDPOINTS if re.fullmatch(known, each.call)]
        endpoint = ENDPOINTS[pattern]
        met.add(pattern)
        assert set(each.params) <= endpoint.params, each.call
        assert (each.json is None) == (endpoint.body is None), each.call
        if endpoint.body is not None:
            assert set(each.json or {}) <= set(endpoint.body.model_fields)
            endpoint.body.model_validate(each.json)
        TypeAdapter(endpoint.answer).validate_python(each.answer)
    assert set(ENDPOINTS) == met
