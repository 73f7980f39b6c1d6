"""Read a repository on GitHub: what it is, its files at any commit, what GitHub's search finds in it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from aucert.tools.v1 import github_service_pb2 as pb
from services.tools.errors import FieldInvalid, PathOutsideRepository
from services.tools.github_access import GitHubRepository
from services.tools.github_items import issue_line, issue_of
from services.tools.quoting import one_line, quoted
from services.tools.repo_pages import Place, clip
from services.tools.vendor_pages import PAGE_SIZE, Entry, Part, Shown, show

SEARCH_RESULTS_MAX = 1_000
"""GitHub shows no more of one search."""
FRAGMENTS_MAX = 3
"""Places shown of a file that matches."""
SCOPES = re.compile(r"(?i)(?<![\w])(repo|org|user|enterprise|in_organization):")
Json = dict[str, Any]


async def get_repository(repository: GitHubRepository) -> pb.GetRepositoryResponse:
    """What a repository is."""
    found = await repository.get("", "metadata")
    facts = {
        "default branch": found["default_branch"],
        "visibility": found.get("visibility") or ("private" if found["private"] else "public"),
        "language": found.get("language"),
        "topics": ", ".join(found.get("topics") or ()),
        "open issues and pull requests": str(found["open_issues_count"]),
        "last push": found.get("pushed_at"),
        "archived": "yes, it takes no changes" if found.get("archived") else "",
    }
    lines = [f"{found['full_name']}  {found['html_url']}", *quoted(found.get("description"))]
    lines += [f"{name}: {one_line(value)}" for name, value in facts.items() if value]
    return pb.GetRepositoryResponse(
        text="\n".join(lines),
        repository=found["full_name"],
        default_branch=found["default_branch"],
        url=found["html_url"],
    )


async def get_file(
    repository: GitHubRepository, path: str, ref: str, continuation: str
) -> pb.GetFileResponse:
    """A file's lines or a folder's entries. Raises PathOutsideRepository, ContinuationInvalid."""
    params = {"ref": ref} if ref else {}
    found = await repository.get(f"/contents/{_url_path(path)}", "contents", **params)
    at = f"{path or '/'} of {repository.name}{f' at {ref}' if ref else ''}"
    if isinstance(found, list):
        return await _folder(repository, path, at, found, continuation)
    if found.get("type") != "file" or found.get("encoding") != "base64":
        size = f"{found.get('size', 0):,} bytes"
        return pb.GetFileResponse(
            text=f"{at} is a {found.get('type')} of {size}: not shown.", path=found["path"]
        )
    text = _text(found["content"])
    if text is None:
        return pb.GetFileResponse(
            text=f"{at} is binary, {found['size']:,} bytes: not shown.",
            path=found["path"],
            blob_sha=found["sha"],
        )
    lines = [f"{number:>6}  {clip(line)}" for number, line in enumerate(text.splitlines(), 1)]
    place = Place(found["sha"], "github_get_file", (repository.container, path, ref))
    shown = await show(place, continuation, _all_of([Entry(None, lines)]))
    return pb.GetFileResponse(
        text=shown.text(f"{at}, {len(lines)} lines", empty="(empty)"),
        path=found["path"],
        blob_sha=found["sha"],
        continuation=shown.continuation,
    )


async def search_code(repository: GitHubRepository, query: str, continuation: str) -> pb.SearchCodeResponse:
    """Files that match, as GitHub's index has them. Raises FieldInvalid, ContinuationInvalid."""
    _refuse_scopes(query)

    async def fetch(page: int) -> Part[str]:
        found = await repository.search("code", query, "contents", per_page=PAGE_SIZE, page=page)
        mine = [each for each in found["items"] if _is_in(repository, each["repository"]["full_name"])]
        return Part([Entry(each["path"], _hit_lines(each)) for each in mine], _is_last(found, page))

    place = Place("", "github_search_code", (repository.container, query))
    shown = await show(place, continuation, fetch)
    head = f"Code on the default branch of {repository.name} that matches {query!r}:"
    return pb.SearchCodeResponse(
        text=shown.text(head, empty="(nothing; the index may lag, and knows no other branch)"),
        paths=shown.items,
        continuation=shown.continuation,
    )


async def search_issues(
    repository: GitHubRepository, query: str, kind: pb.GitHubItemFilter.ValueType, continuation: str
) -> pb.SearchIssuesResponse:
    """Issues or pull requests that match. Raises FieldInvalid, ContinuationInvalid."""
    _refuse_scopes(query)
    pulls = kind == pb.GIT_HUB_ITEM_FILTER_PULL_REQUESTS
    words = f"{query} {'is:pull-request' if pulls else 'is:issue'}"

    async def fetch(page: int) -> Part[pb.GitHubIssue]:
        found = await repository.search(
            "issues", words, "pull_requests" if pulls else "issues", per_page=PAGE_SIZE, page=page
        )
        mine = [each for each in found["items"] if _is_in(repository, _name_in(each["repository_url"]))]
        return Part([Entry(issue_of(each), [issue_line(each)]) for each in mine], _is_last(found, page))

    place = Place("", "github_search_issues", (repository.container, query, kind))
    shown = await show(place, continuation, fetch)
    head = f"{'Pull requests' if pulls else 'Issues'} of {repository.name} that match {query!r}:"
    return pb.SearchIssuesResponse(
        text=shown.text(head, empty="(none)"), issues=shown.items, continuation=shown.continuation
    )


async def _folder(
    repository: GitHubRepository, path: str, at: str, found: Sequence[Json], continuation: str
) -> pb.GetFileResponse:
    lines = [
        f"{each['path']}/" if each["type"] == "dir" else f"{each['path']}  {each['type']} {each['size']:,}"
        for each in found
    ]
    place = Place("", "github_get_file", (repository.container, path, *sorted(lines)))
    shown: Shown[None] = await show(place, continuation, _all_of([Entry(None, lines)]))
    return pb.GetFileResponse(
        text=shown.text(f"Folder {at}:", empty="(empty)"), path=path, continuation=shown.continuation
    )


def _all_of(entries: Sequence[Entry[None]]) -> Callable[[int], Any]:
    """A list that is at hand whole."""

    async def fetch(page: int) -> Part[None]:
        return Part(entries if page == 1 else (), last=True)

    return fetch


def _url_path(path: str) -> str:
    parts = path.rstrip("/").split("/")
    if path and (any(part in ("", ".", "..") for part in parts) or "\0" in path):
        raise PathOutsideRepository(
            'Name the path from the root of the repository, as in "src/app.py", without "." and "..".'
        )
    return quote("/".join(parts))


def _text(content: str) -> str | None:
    """A file's text; None: it is none."""
    try:
        data = base64.b64decode(content)
        return None if b"\0" in data else data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _refuse_scopes(query: str) -> None:
    if found := SCOPES.search(query):
        raise FieldInvalid(
            f"Leave {found[0]} out of the query: name the repository in the argument repository."
        )


def _is_in(repository: GitHubRepository, full_name: str) -> bool:
    return full_name.lower() == repository.name.lower()


def _name_in(url: str) -> str:
    return "/".join(url.rsplit("/", 2)[-2:])


def _is_last(found: Json, page: int) -> bool:
    return page * PAGE_SIZE >= min(found["total_count"], SEARCH_RESULTS_MAX)


def _hit_lines(hit: Json) -> list[str]:
    fragments = [each["fragment"] for each in hit.get("text_matches") or ()]
    return [hit["path"], *(line for each in fragments[:FRAGMENTS_MAX] for line in quoted(each))]
