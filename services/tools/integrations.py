"""The integrations whose methods are tools: each typed service, what does its work, and what turns it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from aucert.astra.v1.token_vault_pb2 import (
    INTEGRATION_BRAVE,
    INTEGRATION_GITHUB,
    INTEGRATION_GOOGLE,
    INTEGRATION_PLANE,
    INTEGRATION_SLACK,
)
from aucert.tools.v1.docs_service_pb2_grpc import add_DocsServiceServicer_to_server
from aucert.tools.v1.drive_service_pb2_grpc import add_DriveServiceServicer_to_server
from aucert.tools.v1.github_service_pb2_grpc import add_GitHubServiceServicer_to_server
from aucert.tools.v1.knowledge_service_pb2_grpc import add_KnowledgeServiceServicer_to_server
from aucert.tools.v1.plane_service_pb2_grpc import add_PlaneServiceServicer_to_server
from aucert.tools.v1.repo_service_pb2_grpc import add_RepoServiceServicer_to_server
from aucert.tools.v1.slack_service_pb2_grpc import add_SlackServiceServicer_to_server
from aucert.tools.v1.web_service_pb2_grpc import add_WebServiceServicer_to_server
from services.common.server import Registration
from services.tools.containers import ContainerAccess
from services.tools.docs_servicer import DocsServicer
from services.tools.drive_servicer import DriveServicer
from services.tools.effects import Effects
from services.tools.github_access import GitHubAccess
from services.tools.github_servicer import GitHubServicer
from services.tools.google_access import GoogleAccess
from services.tools.google_files import DriveFiles
from services.tools.knowledge_servicer import KnowledgeServicer
from services.tools.plane_access import PlaneAccess
from services.tools.plane_servicer import PlaneServicer
from services.tools.repo_servicer import RepoServicer
from services.tools.run_context import RunContexts
from services.tools.settings import ToolsSettings
from services.tools.slack_access import SlackAccess
from services.tools.slack_servicer import SlackServicer
from services.tools.tool_servicer import Integration
from services.tools.vendors import Vendors
from services.tools.web_servicer import WebServicer

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub


def integrations(
    settings: ToolsSettings,
    vendors: Vendors,
    files: DriveFiles,
    runs: RunContexts,
    effects: Effects,
    knowledge: KnowledgeServicer,
    record: tuple[TaskRunServiceAsyncStub, RepositoryServiceAsyncStub],
) -> Sequence[tuple[Registration, Integration]]:
    """Each as a server takes it and as it is called. `record` knows runs and what is allowed."""
    task_runs, repositories = record
    containers = ContainerAccess(task_runs, repositories)
    google = GoogleAccess(vendors.google, files, containers)
    google_off = settings.google_account.off_reason
    repo = RepoServicer(runs)
    github = GitHubServicer(GitHubAccess(vendors.github, task_runs, repositories), effects)
    plane = PlaneServicer(PlaneAccess(vendors.plane, containers), effects)
    slack = SlackServicer(SlackAccess(vendors.slack, containers), effects)
    docs, drive = DocsServicer(google, effects), DriveServicer(google, effects)
    web = WebServicer(vendors.brave)
    return [
        (
            registration("Repo", add_RepoServiceServicer_to_server, repo),
            Integration(repo, runs.prepare),
        ),
        (
            registration("Knowledge", add_KnowledgeServiceServicer_to_server, knowledge),
            Integration(knowledge),
        ),
        (
            registration("GitHub", add_GitHubServiceServicer_to_server, github),
            Integration(github, off_reason=settings.github_app.off_reason, opened_by=INTEGRATION_GITHUB),
        ),
        (
            registration("Plane", add_PlaneServiceServicer_to_server, plane),
            Integration(plane, off_reason=settings.plane.off_reason, opened_by=INTEGRATION_PLANE),
        ),
        (
            registration("Slack", add_SlackServiceServicer_to_server, slack),
            Integration(slack, off_reason=settings.slack_app.off_reason, opened_by=INTEGRATION_SLACK),
        ),
        (
            registration("Docs", add_DocsServiceServicer_to_server, docs),
            Integration(docs, off_reason=google_off, opened_by=INTEGRATION_GOOGLE),
        ),
        (
            registration("Drive", add_DriveServiceServicer_to_server, drive),
            Integration(drive, off_reason=google_off, opened_by=INTEGRATION_GOOGLE),
        ),
        (
            registration("Web", add_WebServiceServicer_to_server, web),
            Integration(web, off_reason=settings.brave.off_reason, opened_by=INTEGRATION_BRAVE),
        ),
    ]


def registration(name: str, add: Callable[[Any, grpc.aio.Server], None], servicer: object) -> Registration:
    """A service of this package, by the part of its name before "Service"."""
    return Registration(f"aucert.tools.v1.{name}Service", add, servicer)
