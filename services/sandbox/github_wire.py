"""Accounts, repositories and the App as GitHub's JSON, with the addresses GitHub gives them.

Field by field GitHub's OpenAPI description; what this stand-in has no notion of (stars, forks, licences)
is there and empty, because typed clients reject an object that lacks it.
"""

from __future__ import annotations

import base64
from datetime import datetime

from services.sandbox.github_auth import Grant
from services.sandbox.github_domain import Account, AccountType, Repository
from services.sandbox.settings import GithubSettings

JsonObject = dict[str, object]

API_PREFIX = "/github"
"""GITHUB_API_URL is the sandbox's address with this behind it."""
WEB_PREFIX = "/web/github"
"""Where the sandbox shows what github.com would: `html_url`s lead there."""

_ACCOUNT_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
_REPOSITORY_COUNTS = (
    "forks",
    "forks_count",
    "network_count",
    "open_issues",
    "open_issues_count",
    "size",
    "stargazers_count",
    "subscribers_count",
    "watchers",
    "watchers_count",
)


def moment(when: datetime) -> str:
    """GitHub's times: UTC, to the second."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(kind: str, number: int) -> str:
    """Opaque to callers, as GitHub's are: a kind and the number in base64."""
    return f"{kind}_{base64.urlsafe_b64encode(number.to_bytes(8, 'big')).decode().rstrip('=')}"


class GithubWire:
    """`origin` is scheme, host and port under which the caller reached the sandbox."""

    def __init__(self, origin: str, settings: GithubSettings) -> None:
        self.api = origin + API_PREFIX
        self.web = origin + WEB_PREFIX
        self.settings = settings

    def account(self, account: Account) -> JsonObject:
        """A `simple-user`."""
        url = f"{self.api}/users/{account.login}"
        kind = {AccountType.USER: "U", AccountType.BOT: "BOT", AccountType.ORGANIZATION: "O"}[account.type]
        return {
            "login": account.login,
            "id": account.id,
            "node_id": node_id(kind, account.id),
            "avatar_url": f"{self.web}/avatars/{account.id}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web}/{account.login}",
            **{name: url + path for name, path in _ACCOUNT_URLS.items()},
            "type": account.type.value,
            "user_view_type": "public",
            "site_admin": False,
        }

    def repository(self, repository: Repository) -> JsonObject:
        """A `full-repository`."""
        url = f"{self.api}/repos/{repository.full_name}"
        html_url = f"{self.web}/{repository.full_name}"
        created = moment(repository.created_at)
        return {
            "id": repository.id,
            "node_id": node_id("R", repository.id),
            "name": repository.name,
            "full_name": repository.full_name,
            "private": repository.private,
            "owner": self.account(repository.owner),
            "html_url": html_url,
            "description": repository.description or None,
            "fork": False,
            "url": url,
            **{name: url + path for name, path in _REPOSITORY_URLS.items()},
            "git_url": f"git://github.invalid/{repository.full_name}.git",
            "ssh_url": f"git@github.invalid:{repository.full_name}.git",
            "clone_url": repository.clone_url or f"https://github.invalid/{repository.full_name}.git",
            "svn_url": html_url,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            **dict.fromkeys(_REPOSITORY_COUNTS, 0),
            "topics": [],
            "visibility": "private" if repository.private else "public",
            "default_branch": repository.default_branch,
            "has_issues": True,
            "has_projects": False,
            "has_wiki": False,
            "has_pages": False,
            "has_downloads": False,
            "has_discussions": False,
            "is_template": False,
            "allow_forking": True,
            "web_commit_signoff_required": False,
            "archived": False,
            "disabled": False,
            "pushed_at": created,
            "created_at": created,
            "updated_at": created,
        }

    def app(self) -> JsonObject:
        """The App as REST shows it and as `performed_via_github_app` names it."""
        slug = self.settings.app_slug
        return {
            "id": self.settings.app_id,
            "client_id": self.settings.client_id,
            "slug": slug,
            "node_id": node_id("A", self.settings.app_id),
            "owner": self.account(Account("astra-sandbox", AccountType.ORGANIZATION)),
            "name": slug,
            "description": None,
            "external_url": f"{self.web}/apps/{slug}",
            "html_url": f"{self.web}/apps/{slug}",
            "created_at": "2024-01-01T00:00:00Z",
            "updated_at": "2024-01-01T00:00:00Z",
            "permissions": dict(self.settings.permissions),
            "events": list(self.settings.events),
        }

    def installation(self) -> JsonObject:
        """As webhook payloads name it."""
        number = self.settings.installation_id
        return {"id": number, "node_id": node_id("MDIz", number)}

    def full_installation(self, owner: Account) -> JsonObject:
        """As REST shows it: on whose repositories, with which permissions."""
        settings, number, made = self.settings, self.settings.installation_id, "2024-01-01T00:00:00Z"
        return {
            "id": number,
            "account": self.account(owner),
            "repository_selection": "all",
            "access_tokens_url": f"{self.api}/app/installations/{number}/access_tokens",
            "repositories_url": f"{self.api}/installation/repositories",
            "html_url": f"{self.web}/settings/installations/{number}",
            "app_id": settings.app_id,
            "client_id": settings.client_id,
            "app_slug": settings.app_slug,
            "target_id": owner.id,
            "target_type": owner.type.value,
            "permissions": dict(settings.granted),
            "events": list(settings.events),
            "created_at": made,
            "updated_at": made,
            "single_file_name": None,
            "has_multiple_single_files": False,
            "single_file_paths": [],
            "suspended_by": self.account(owner) if settings.suspended else None,
            "suspended_at": made if settings.suspended else None,
        }

    def grant(self, grant: Grant, repositories: list[Repository]) -> JsonObject:
        """An installation token; `repositories` are listed only if the token is limited to some."""
        limited = grant.repository_ids is not None
        answer: JsonObject = {
            "token": grant.token,
            "expires_at": moment(grant.expires_at),
            "permissions": dict(grant.permissions),
            "repository_selection": "selected" if limited else "all",
        }
        return {**answer, "repositories": [self.repository(r) for r in repositories]} if limited else answer
