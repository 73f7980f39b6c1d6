"""GitHub's endpoints for files, commits and branches."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from services.sandbox.github_domain import NoSuchThingError, RefusedError, Repository, sha
from services.sandbox.github_git import Commit, Tree, blob_sha
from services.sandbox.github_http import GithubError, json_object
from services.sandbox.github_paths import GithubPaths, need
from services.sandbox.github_wire import GithubWire, JsonObject, moment, node_id

BRANCHES = "refs/heads/"


class GithubGitRoutes(GithubPaths):
    """One handler an endpoint of GitHub's documentation."""

    def table(self) -> list[web.RouteDef]:
        """Paths below a repository's."""
        repo = "/repos/{owner}/{repo}"
        return [
            web.get(repo + "/contents/{path:.*}", self.get_content),
            web.get(repo + "/git/ref/heads/{branch:.+}", self.get_ref),
            web.get(repo + "/git/commits/{sha}", self.get_commit),
            web.post(repo + "/git/trees", self.create_tree),
            web.post(repo + "/git/commits", self.create_commit),
            web.post(repo + "/git/refs", self.create_ref),
        ]

    async def get_content(self, request: web.Request) -> web.Response:
        """Get repository content: a file, or a folder as an array."""
        repository = self._repository(request)
        need(request, "read", "contents")
        files = self._world.git.files(repository, request.query.get("ref") or repository.default_branch)
        path, wire = request.match_info["path"].rstrip("/"), self._world.wire(request)
        if path in files:
            return web.json_response(_file(wire, repository, path, files[path], whole=True))
        entries = _folder(wire, repository, path, files)
        if not entries:
            raise NoSuchThingError(path)
        return web.json_response(entries)

    async def get_ref(self, request: web.Request) -> web.Response:
        """Get a reference: a branch."""
        repository = self._repository(request)
        need(request, "read", "contents")
        branch = request.match_info["branch"]
        commit_sha = self._world.git.branch(repository, branch)
        return web.json_response(_ref(self._world.wire(request), repository, branch, commit_sha))

    async def get_commit(self, request: web.Request) -> web.Response:
        """Get a commit object."""
        repository = self._repository(request)
        need(request, "read", "contents")
        commit = self._world.git.commit(repository, request.match_info["sha"])
        return web.json_response(_commit(self._world.wire(request), repository, commit))

    async def create_tree(self, request: web.Request) -> web.Response:
        """Create a tree on top of another, by texts."""
        repository = self._repository(request)
        need(request, "write", "contents")
        body = await json_object(request)
        files = dict(self._world.git.tree(repository, str(body.get("base_tree", ""))))
        for entry in cast("Sequence[JsonObject]", body.get("tree") or ()):
            path = str(entry["path"])
            if "content" in entry:
                files[path] = str(entry["content"])
            elif entry.get("sha", "") is None and path in files:
                del files[path]
            else:
                raise GithubError(422, "GitRPC::BadObjectState")
        wire = self._world.wire(request)
        tree_sha = self._world.git.add_tree(repository, files)
        url = f"{_git(wire, repository)}/trees/{tree_sha}"
        entries = [
            {
                "path": path,
                "mode": "100644",
                "type": "blob",
                "size": len(text.encode()),
                "sha": blob_sha(text),
                "url": f"{_git(wire, repository)}/blobs/{blob_sha(text)}",
            }
            for path, text in sorted(files.items())
        ]
        answer = {"sha": tree_sha, "url": url, "truncated": False, "tree": entries}
        return web.json_response(answer, status=201)

    async def create_commit(self, request: web.Request) -> web.Response:
        """Create a commit, as the App."""
        repository = self._repository(request)
        need(request, "write", "contents")
        body = await json_object(request)
        parents = cast("Sequence[str]", body.get("parents") or ())
        commit = self._world.git.add_commit(
            repository, str(body["message"]), str(body["tree"]), parents[0] if parents else ""
        )
        return web.json_response(_commit(self._world.wire(request), repository, commit), status=201)

    async def create_ref(self, request: web.Request) -> web.Response:
        """Create a reference: a branch."""
        repository = self._repository(request)
        need(request, "write", "contents")
        body = await json_object(request)
        ref, commit_sha = str(body.get("ref")), str(body.get("sha"))
        if not ref.startswith(BRANCHES):
            raise GithubError(422, "Reference name is not valid")
        try:
            self._world.git.add_branch(repository, ref.removeprefix(BRANCHES), commit_sha)
        except RefusedError as error:
            raise GithubError(422, str(error)) from None
        except NoSuchThingError:
            raise GithubError(422, "Object does not exist") from None
        wire = self._world.wire(request)
        return web.json_response(_ref(wire, repository, ref.removeprefix(BRANCHES), commit_sha), status=201)


def _folder(wire: GithubWire, repository: Repository, path: str, files: Tree) -> list[JsonObject]:
    prefix = f"{path}/" if path else ""
    names = {name.removeprefix(prefix).partition("/")[::2] for name in files if name.startswith(prefix)}
    folders = sorted({name for name, below in names if below})
    return [
        *(_entry(wire, repository, f"{prefix}{name}", "dir", sha("tree", prefix, name)) for name in folders),
        *(
            _file(wire, repository, f"{prefix}{name}", files[f"{prefix}{name}"])
            for name in sorted(name for name, below in names if not below)
        ),
    ]


def _file(
    wire: GithubWire, repository: Repository, path: str, text: str, *, whole: bool = False
) -> JsonObject:
    entry = _entry(wire, repository, path, "file", blob_sha(text), size=len(text.encode()))
    content = {"encoding": "base64", "content": base64.encodebytes(text.encode()).decode()}
    return {**entry, **content} if whole else entry


def _entry(
    wire: GithubWire, repository: Repository, path: str, kind: str, entry_sha: str, *, size: int = 0
) -> JsonObject:
    url = f"{wire.api}/repos/{repository.full_name}/contents/{path}"
    git_url = f"{_git(wire, repository)}/blobs/{entry_sha}"
    html_url = f"{wire.web}/{repository.full_name}/blob/{repository.default_branch}/{path}"
    return {
        "type": kind,
        "size": size,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry_sha,
        "url": url,
        "git_url": git_url,
        "html_url": html_url,
        "download_url": None,
        "_links": {"self": url, "git": git_url, "html": html_url},
    }


def _ref(wire: GithubWire, repository: Repository, branch: str, commit_sha: str) -> JsonObject:
    git = _git(wire, repository)
    return {
        "ref": f"{BRANCHES}{branch}",
        "node_id": node_id("REF", repository.id),
        "url": f"{git}/{BRANCHES}{branch}",
        "object": {"sha": commit_sha, "type": "commit", "url": f"{git}/commits/{commit_sha}"},
    }


def _commit(wire: GithubWire, repository: Repository, commit: Commit) -> JsonObject:
    git = _git(wire, repository)
    who = {"name": "sandbox", "email": "sandbox@github.invalid", "date": moment(commit.created_at)}
    parent = {
        "sha": commit.parent,
        "url": f"{git}/commits/{commit.parent}",
        "html_url": f"{wire.web}/{repository.full_name}/commit/{commit.parent}",
    }
    return {
        "sha": commit.sha,
        "node_id": node_id("C", repository.id),
        "url": f"{git}/commits/{commit.sha}",
        "html_url": f"{wire.web}/{repository.full_name}/commit/{commit.sha}",
        "author": who,
        "committer": who,
        "message": commit.message,
        "tree": {"sha": commit.tree_sha, "url": f"{git}/trees/{commit.tree_sha}"},
        "parents": [parent] if commit.parent else [],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


def _git(wire: GithubWire, repository: Repository) -> str:
    return f"{wire.api}/repos/{repository.full_name}/git"
