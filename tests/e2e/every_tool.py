"""A world in which every tool has something to do, and what each is called with there."""

from __future__ import annotations

from aucert.tools.v1.ingestion_service_pb2 import IngestDocumentsRequest, IngestedDocument
from aucert.tools.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from services.cli import sandbox
from services.sandbox.settings import SlackSettings
from services.sandbox.slack_domain import stable_id
from tests.e2e.doors import SHOP, Doors
from tests.e2e.story import git

FILES = {"README.md": "# Shop\n", "src/cart.py": "def add(cart, item):\n    cart.append(item)\n"}
ARGUMENTS: dict[str, dict[str, object]] = {
    "docs_create_document": {"title": "Plan", "text": "# Plan\n\nSoon.", "folder_id": "<folder>"},
    "docs_get_document": {"document_id": "<document>"},
    "docs_insert_text": {"document_id": "<document>", "text": "Nobody."},
    "docs_replace_text": {"document_id": "<draft>", "find": "days", "replace": "days or so"},
    "drive_create_comment": {"file_id": "<document>", "content": "Says who?"},
    "drive_get_comment": {"file_id": "<document>", "comment_id": "<comment>"},
    "drive_list_comments": {"file_id": "<document>"},
    "drive_reply_to_comment": {"file_id": "<document>", "comment_id": "<comment>", "content": "We do."},
    "drive_resolve_comment": {"file_id": "<document>", "comment_id": "<comment>"},
    "drive_search_files": {"query": "Refunds"},
    "embed_text": {"texts": ["a cart", "a ship"]},
    "github_comment_on_issue": {"repository": SHOP, "number": 1, "body": "Seen."},
    "github_create_issue": {"repository": SHOP, "title": "Round once"},
    "github_get_file": {"repository": SHOP, "path": "src/cart.py"},
    "github_get_issue": {"repository": SHOP, "number": 1},
    "github_get_pull_request": {"repository": SHOP, "number": 2},
    "github_get_repository": {"repository": SHOP},
    "github_list_pull_request_files": {"repository": SHOP, "number": 2},
    "github_list_review_comments": {"repository": SHOP, "number": 2},
    "github_open_pull_request": {
        "repository": SHOP, "branch": "<new>", "title": "Fix", "files": [{"path": "a.py", "content": "1\n"}]
    },
    "github_reply_to_review_comment": {
        "repository": SHOP, "number": 2, "comment_id": "<review comment>", "body": "Done."
    },
    "github_search_code": {"repository": SHOP, "query": "cart"},
    "github_search_issues": {"repository": SHOP, "query": "Totals"},
    "github_update_issue": {"repository": SHOP, "number": 1, "title": "Totals are off"},
    "kb_search": {"query": "refunds"},
    "plane_add_comment": {"issue": "SHOP-1", "body": "Seen."},
    "plane_create_issue": {"project": "<project>", "title": "Round once"},
    "plane_get_issue": {"issue": "SHOP-1"},
    "plane_list_comments": {"issue": "SHOP-1"},
    "plane_list_projects": {},
    "plane_search_issues": {"project": "<project>", "query": "Totals"},
    "plane_update_issue": {"issue": "SHOP-1", "title": "Totals are off"},
    "repo_find_files": {"glob": "**/*.py"},
    "repo_git_log": {"limit": 2},
    "repo_git_show": {"commit": "<commit>"},
    "repo_list_adrs": {},
    "repo_list_files": {"recursive": True},
    "repo_list_specs": {},
    "repo_outline_file": {"path": "src/cart.py"},
    "repo_read_adr": {"name": "1"},
    "repo_read_file": {"path": "README.md"},
    "repo_read_spec": {"name": "checkout"},
    "repo_search_text": {"pattern": "cart"},
    "slack_add_reaction": {"channel": "<channel>", "message_ts": "<message>", "name": "eyes"},
    "slack_get_thread": {"channel": "<channel>", "thread_ts": "<message>"},
    "slack_get_user": {"user": "<user>"},
    "slack_list_channel_history": {"channel": "<channel>"},
    "slack_list_channels": {},
    "slack_post_message": {"channel": "<channel>", "text": "Out."},
    "slack_reply_in_thread": {"channel": "<channel>", "thread_ts": "<message>", "text": "Indeed."},
    "web_search": {"query": "keepalive"},
}  # fmt: skip
"""By tool. What stands in <> is found out when the world is furnished; `<new>` is another one each time."""


async def furnish(doors: Doors) -> tuple[str, dict[str, str]]:
    """Make it, there and on the record; the repository's id, and what the words in <> stand for."""
    found = {
        **await _github(doors),
        **await _google(doors),
        **await _slack(doors),
        **await _plane(doors),
        "<commit>": git(doors.folder / "shop", "rev-parse", "HEAD").strip(),
    }
    places = [
        f"github:{SHOP}",
        f"google-drive:folder/{found['<folder>']}",
        f"slack:{SlackSettings().team_id}/{found['<channel>']}".lower(),
        f"plane:{found['<project>']}",
    ]
    text = IngestedDocument(uri="guide", text="Refunds are paid within 30 days.")
    knowledge = IngestionServiceStub(doors.to("tools", "operator"))
    await knowledge.IngestDocuments(IngestDocumentsRequest(documents=[text]), timeout=60)
    return await doors.repository(source_containers=places), found


async def _github(doors: Doors) -> dict[str, str]:
    await doors.sandbox("github/repositories", {"repository": SHOP})
    base = await doors.sandbox("github/files", {"repository": SHOP, "files": FILES})
    changed = FILES | {"src/cart.py": FILES["src/cart.py"].replace("append", "add")}
    branch = {"repository": SHOP, "branch": "use-sets", "files": changed}
    head = await doors.sandbox("github/files", branch)
    quiet = {"repository": SHOP, "deliver": False}
    await doors.sandbox("github/issues", {**quiet, "title": "Totals are wrong", "body": "By a cent."})
    pull = {
        "title": "Use sets", "head_ref": "use-sets", "head_sha": head["commit"], "base_sha": base["commit"]
    }  # fmt: skip
    await doors.sandbox("github/pulls", {**quiet, **pull})
    said = {
        "number": 2,
        "author": "maria",
        "body": "Why?",
        "kind": "review",
        "path": "src/cart.py",
        "line": 2,
    }
    return {"<review comment>": str((await doors.sandbox("github/comments", {**quiet, **said}))["id"])}


async def _google(doors: Doors) -> dict[str, str]:
    async def file(name: str, **more: str) -> str:
        return (await doors.sandbox("google-drive/files", {"name": name, **more}))["id"]

    folder = await file("Specs", mime_type="application/vnd.google-apps.folder")
    names = {"<document>": "Refunds", "<draft>": "Draft"}
    found = {word: await file(name, parent=folder) for word, name in names.items()}
    for each in found.values():
        text = {"file_id": each, "text": "# Refunds\nA buyer has 30 days.\nThe end.\n"}
        await sandbox.call(doors.stack.sandbox_url, "PUT", "/_sandbox/google-drive/documents", text)
    asked = {"file_id": found["<document>"], "content": "Why?", "quoted": "30 days", "deliver": False}
    comment = await doors.sandbox("google-drive/comments", asked)
    return {"<folder>": folder, "<comment>": comment["comment_id"], **found}


async def _slack(doors: Doors) -> dict[str, str]:
    said = {"channel": "shop", "text": "Totals are wrong.", "author": "maria", "deliver": False}
    message = await doors.sandbox("slack/messages", said)
    return {
        "<channel>": message["channel"],
        "<message>": message["ts"],
        "<user>": stable_id("U", "maria"),
    }


async def _plane(doors: Doors) -> dict[str, str]:
    filed = {"project": "shop", "name": "Totals are wrong", "text": "By a cent.", "deliver": False}
    item = await doors.sandbox("plane/work-items", filed)
    about = {"work_item": item["work_item"], "text": "Since when?", "deliver": False}
    await doors.sandbox("plane/comments", about)
    return {"<project>": item["project"]}
