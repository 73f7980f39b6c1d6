"""The integrations whose methods are tools: each typed service, what does its work, and what turns it off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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
) -> Mapping[str, Integration]:
    """Every integration by the full name of its service. `record` knows runs and what is allowed."""
    task_runs, repositories = record
    containers = ContainerAccess(task_runs, repositories)
    google = GoogleAccess(vendors.google, files, containers)
    google_off = settings.google_account.off_reason
    known = {
        "Repo": Integration(RepoServicer(runs), runs.prepare),
        "Knowledge": Integration(knowledge),
        "GitHub": Integration(
            GitHubServicer(GitHubAccess(vendors.github, task_runs, repositories), effects),
            off_reason=settings.github_app.off_reason,
            opened_by=INTEGRATION_GITHUB,
        ),
        "Plane": Integration(
            PlaneServicer(PlaneAccess(vendors.plane, containers), effects),
            off_reason=settings.plane.off_reason,
            opened_by=INTEGRATION_PLANE,
        ),
        "Slack": Integration(
            SlackServicer(SlackAccess(vendors.slack, containers), effects),
            off_reason=settings.slack_app.off_reason,
            opened_by=INTEGRATION_SLACK,
        ),
        "Docs": Integration(
            DocsServicer(google, effects), off_reason=google_off, opened_by=INTEGRATION_GOOGLE
        ),
        "Drive": Integration(
            DriveServicer(google, effects), off_reason=google_off, opened_by=INTEGRATION_GOOGLE
        ),
        "Web": Integration(
            WebServicer(vendors.brave), off_reason=settings.brave.off_reason, opened_by=INTEGRATION_BRAVE
        ),
    }
    return {service_name(name): each for name, each in known.items()}


def registrations(known: Mapping[str, Integration]) -> list[Registration]:
    """The typed services of the integrations, as a server takes them."""
    return [Registration(name, _ADDED_BY[name], each.servicer) for name, each in known.items()]


def service_name(name: str) -> str:
    """The full name of a service of this package."""
    return f"aucert.tools.v1.{name}Service"


_ADDED_BY = {
    service_name(name): add
    for name, add in {
        "Docs": add_DocsServiceServicer_to_server,
        "Drive": add_DriveServiceServicer_to_server,
        "GitHub": add_GitHubServiceServicer_to_server,
        "Knowledge": add_KnowledgeServiceServicer_to_server,
        "Plane": add_PlaneServiceServicer_to_server,
        "Repo": add_RepoServiceServicer_to_server,
        "Slack": add_SlackServiceServicer_to_server,
        "Web": add_WebServiceServicer_to_server,
    }.items()
}
