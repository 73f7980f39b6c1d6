"""Open a pull request, once: one commit on a new branch, recognised by the effect's id in its message.

Commit and tree are made before the branch points at them, so nobody sees a half of it, and one that no branch
points at is nothing. Only a branch that carries our mark is gone on with; one that was there before is never
touched. Author and signature of the commit are GitHub's to fill in: the App's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aucert.astra.v1.effect_pb2 import Effect
from aucert.tools.v1 import github_service_pb2 as pb
from services.tools.effects import Change, EffectUnclear
from services.tools.errors import ArgumentsRefused, FieldInvalid, ItemNotFound, PathOutsideRepository
from services.tools.github_access import GitHubRepository
from services.tools.github_items import pull_request_of
from services.tools.github_text import effect_marker, harmless, with_marker
from services.tools.vendor_errors import VendorRateLimited

TRAILER = "Astra-Effect"
"""Line of the commit's message that names the effect."""
WORKFLOWS = ".github/workflows"
PLAIN_FILE = "100644"
Json = dict[str, Any]


def pull_request_opening(
    repository: GitHubRepository, request: pb.OpenPullRequestRequest
) -> Change[pb.OpenPullRequestResponse]:
    """A new pull request. Raises FieldInvalid and PathOutsideRepository for what GitHub must not be asked."""
    _check(request)
    opening = _Opening(repository, request)

    async def send(effect: Effect) -> pb.OpenPullRequestResponse:
        base = request.base or (await repository.get("", "metadata"))["default_branch"]
        if await opening.branch_commit(effect) is None:
            await opening.make_branch(effect, base)
        try:
            return opening.told(await opening.open(effect, base))
        except VendorRateLimited as limited:
            raise EffectUnclear(limited) from None  # the branch is there: this same call must go on with it

    async def find(effect: Effect) -> pb.OpenPullRequestResponse | None:
        found = await opening.find(effect)
        return opening.told(found) if found else None

    return Change(send, find, pb.OpenPullRequestResponse, lambda done: done.pull_request.url)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The steps."""

    repository: GitHubRepository
    request: pb.OpenPullRequestRequest

    async def branch_commit(self, effect: Effect) -> str | None:
        """The commit of our branch; None: no branch has the name. Raises ArgumentsRefused: it is not ours."""
        try:
            ref = await self.repository.get(f"/git/ref/heads/{quote(self.request.branch)}", "contents")
        except ItemNotFound:
            return None
        sha = str(ref["object"]["sha"])
        commit: Json = await self.repository.get(f"/git/commits/{sha}", "contents")
        if _trailer(effect) not in commit["message"]:
            raise ArgumentsRefused(
                f"{self.repository.name} has a branch {self.request.branch} already. Choose another name."
            )
        return sha

    async def make_branch(self, effect: Effect, base: str) -> None:
        """Commit on top of the base, then let the new branch point there."""
        parent = (await self.repository.get(f"/git/ref/heads/{quote(base)}", "contents"))["object"]["sha"]
        parent_commit: Json = await self.repository.get(f"/git/commits/{parent}", "contents")
        tree: Json = await self._write(
            "/git/trees", {"base_tree": parent_commit["tree"]["sha"], "tree": self._entries()}
        )
        commit: Json = await self._write(
            "/git/commits",
            {
                "message": f"{self._said(self.request.title)}\n\n{_trailer(effect)}",
                "tree": tree["sha"],
                "parents": [parent],
            },
        )
        await self._write("/git/refs", {"ref": f"refs/heads/{self.request.branch}", "sha": commit["sha"]})

    async def open(self, effect: Effect, base: str) -> Json:
        """Ask for the pull request of our branch."""
        body = with_marker(self._said(self.request.body), effect.effect_id)
        wanted = {
            "title": self._said(self.request.title),
            "body": body,
            "head": self.request.branch,
            "base": base,
        }
        return await self.repository.write("POST", "/pulls", wanted, "pull_requests")

    async def find(self, effect: Effect) -> Json | None:
        """The pull request of our branch, whatever became of it."""
        head = f"{self.repository.name.partition('/')[0]}:{self.request.branch}"
        found: list[Json] = await self.repository.get("/pulls", "pull_requests", head=head, state="all")
        marker = effect_marker(effect.effect_id)
        return next((each for each in found if marker in (each.get("body") or "")), None)

    def told(self, found: Json) -> pb.OpenPullRequestResponse:
        """What the model reads."""
        shown = pull_request_of(found)
        return pb.OpenPullRequestResponse(
            text=f"Opened {self.repository.name}#{shown.number} from {shown.head_ref} into {shown.base_ref}: "
            f"{shown.url}",
            pull_request=shown,
        )

    def _entries(self) -> list[dict[str, object]]:
        plain = {"mode": PLAIN_FILE, "type": "blob"}
        return [
            {"path": each.path, **plain, **({"sha": None} if each.remove else {"content": each.content})}
            for each in self.request.files
        ]

    async def _write(self, path: str, json: dict[str, object]) -> Json:
        return await self.repository.write("POST", path, json, "contents")

    def _said(self, text: str) -> str:
        return harmless(text, may_mention=self.repository.requester)


def _trailer(effect: Effect) -> str:
    return f"{TRAILER}: {effect.effect_id}"


def _check(request: pb.OpenPullRequestRequest) -> None:
    branch = request.branch
    odd = ".." in branch or "//" in branch or "/." in branch or branch.endswith(("/", "."))
    if odd or any(part.endswith(".lock") for part in branch.split("/")):
        raise FieldInvalid("Git takes no such name for a branch. Use words and dashes, as in fix-totals.")
    paths = [each.path for each in request.files]
    if len(set(paths)) < len(paths):
        raise FieldInvalid("Name each file once.")
    for path in paths:
        _check_path(path)


def _check_path(path: str) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or parts[0].lower() == ".git" or "\0" in path:
        raise PathOutsideRepository(
            f"{path!r} is no path of a file. Name it from the root of the repository, as in src/app.py."
        )
    if path.lower().startswith(f"{WORKFLOWS}/"):
        raise FieldInvalid(f"Files of {WORKFLOWS} cannot be changed. Say in your answer what to change.")
