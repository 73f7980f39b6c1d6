"""What a GitHub App asks with its JWT: who it is, where it is installed, how its webhook fares."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from services.sandbox.github_auth import UngrantedError
from services.sandbox.github_domain import Account, AccountType, NoSuchThingError, Repository
from services.sandbox.github_hooks import delivery_detail, delivery_item
from services.sandbox.github_http import GithubError, json_object, number, page_size, paged
from services.sandbox.github_world import GithubWorld
from services.sandbox.webhooks import Delivery

TOKEN_REPOSITORIES_MAX = 500
"""GitHub's limit on how many repositories a token can name."""


class TokenRequest(BaseModel):
    """Repositories by name, without owner, or by id."""

    repositories: list[str] | None = Field(default=None, max_length=TOKEN_REPOSITORIES_MAX)
    repository_ids: list[int] | None = Field(default=None, max_length=TOKEN_REPOSITORIES_MAX)
    permissions: dict[str, str] | None = Field(default=None, max_length=100)


class GithubAppRoutes:
    """One handler an endpoint of GitHub's documentation."""

    def __init__(self, world: GithubWorld) -> None:
        self._world = world
        self._settings = world.settings

    def table(self) -> list[web.RouteDef]:
        """Paths that take the App's JWT."""
        deliveries = "/app/hook/deliveries"
        return [
            web.get("/app", self.get_app),
            web.get("/app/installations", self.list_installations),
            web.post("/app/installations/{installation}/access_tokens", self.create_token),
            web.get("/repos/{owner}/{repo}/installation", self.get_repository_installation),
            web.get("/app/hook/config", self.get_hook_config),
            web.get(deliveries, self.list_deliveries),
            web.get(deliveries + "/{delivery}", self.get_delivery),
            web.post(deliveries + "/{delivery}/attempts", self.redeliver),
        ]

    async def get_app(self, request: web.Request) -> web.Response:
        """Get the authenticated app."""
        return web.json_response(self._world.wire(request).app())

    async def list_installations(self, request: web.Request) -> web.Response:
        """List installations for the authenticated app: the one there is, or none."""
        # An installation belongs to one account; this one sees every repository and names the first's owner.
        everybody = Account("astra-sandbox", AccountType.ORGANIZATION)
        owners = [*(each.owner for each in self._world.state.repositories()), everybody]
        owners = owners[:1] if self._settings.installed else []
        return paged(request, owners, self._world.wire(request).full_installation)

    async def get_repository_installation(self, request: web.Request) -> web.Response:
        """Get a repository installation for the authenticated app."""
        path = request.match_info
        repository = self._world.state.repository(f"{path['owner']}/{path['repo']}")
        if not self._settings.installed:
            raise NoSuchThingError("installation")
        return web.json_response(self._world.wire(request).full_installation(repository.owner))

    async def create_token(self, request: web.Request) -> web.Response:
        """Create an installation access token for an app."""
        if not self._settings.installed or number(request, "installation") != self._settings.installation_id:
            raise NoSuchThingError("installation")
        if self._settings.suspended:
            raise GithubError(403, "This installation has been suspended")
        try:
            asked = TokenRequest.model_validate(await json_object(request))
            repositories = self._named_repositories(asked)
            ids = None if repositories is None else frozenset(each.id for each in repositories)
            grant = self._world.auth.mint(asked.permissions or {}, ids)
        except (ValidationError, UngrantedError) as error:
            raise GithubError(422, str(error)) from None
        return web.json_response(self._world.wire(request).grant(grant, repositories or []), status=201)

    def _named_repositories(self, asked: TokenRequest) -> list[Repository] | None:
        """The repositories a token is asked for; None: all."""
        if asked.repositories is None and asked.repository_ids is None:
            return None
        wanted: set[str | int] = {*(asked.repositories or ()), *(asked.repository_ids or ())}
        found = [each for each in self._world.state.repositories() if wanted & {each.name, each.id}]
        if wanted - {value for each in found for value in (each.name, each.id)}:
            raise GithubError(
                422, "There is at least one repository that does not exist or is not accessible."
            )
        return found

    async def get_hook_config(self, request: web.Request) -> web.Response:
        """Get a webhook configuration for an app."""
        del request
        return web.json_response(self._world.hooks.config())

    async def list_deliveries(self, request: web.Request) -> web.Response:
        """Newest first; `cursor` is the id of the last delivery of the page before."""
        log, cursor, size = self._world.courier.log(), request.query.get("cursor", ""), page_size(request)
        mine = [each for each in log if not cursor.isdecimal() or each.id < int(cursor)]
        headers: dict[str, str] = {}
        if len(mine) > size:
            following = request.url.update_query(cursor=mine[size - 1].id)
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response([delivery_item(each) for each in mine[:size]], headers=headers)

    async def get_delivery(self, request: web.Request) -> web.Response:
        """Get a delivery for an app webhook."""
        return web.json_response(delivery_detail(self._delivery(request)))

    async def redeliver(self, request: web.Request) -> web.Response:
        """Redeliver a delivery for an app webhook: accepted now, sent right after."""
        self._world.send_later(self._world.hooks.again(self._delivery(request)))
        return web.json_response({}, status=202)

    def _delivery(self, request: web.Request) -> Delivery:
        delivery = self._world.courier.find(number(request, "delivery"))
        if delivery is None:
            raise NoSuchThingError("delivery")
        return delivery
