"""Which project on Plane a tool call may touch, and how what Plane refuses is told to a model.

A project is named `plane:<project id>` on the allow-list. A work item is named as people do, as in SHOP-12;
in which project that is, is known once it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.common.v1.thread_pb2 import PlaneThread
from services.tools.containers import ContainerAccess, Containers
from services.tools.errors import ArgumentsRefused, FieldInvalid, ItemNotFound, OriginThread
from services.tools.plane_client import PROJECTS_AGAIN_SECONDS, UUID, Json, PlaneClient
from services.tools.plane_marks import make_marked
from services.tools.plane_threads import work_item_path
from services.tools.vendor_errors import VendorRefused

CONTAINER = "plane:"
STATES_A_PAGE = 100
EXPANDED = "project,state"
ORIGIN_TEXT = (
    "This is the issue you were asked in. Your last message is posted there for you, so say it in that, and "
    "write here only on other issues."
)


@dataclass(frozen=True, slots=True)
class PlanePlace:
    """A project this call may touch."""

    project_id: str
    identifier: str

    @property
    def items(self) -> str:
        """Path of its work items below the workspace."""
        return f"projects/{self.project_id}/work-items/"


@dataclass(frozen=True, slots=True)
class PlaneItem:
    """A work item this call may touch, as Plane shows it with project and state written out."""

    place: PlanePlace
    found: Json

    @property
    def item_id(self) -> str:
        """Plane's id of it."""
        return str(self.found["id"])

    @property
    def path(self) -> str:
        """Its path below the workspace."""
        return work_item_path(self.place.project_id, self.item_id)


@dataclass(frozen=True, slots=True)
class PlaneCall:
    """One tool call's way to Plane.

    Calls raise ItemNotFound, ArgumentsRefused and the errors of `vendor_errors`. What is read for a model
    gives way to posts while few calls are left.
    """

    client: PlaneClient
    containers: Containers

    @property
    def run(self) -> TaskRun | None:
        """The run of the call. None: it has none."""
        return self.containers.run

    @property
    def origin(self) -> PlaneThread | None:
        """The work item its run was asked in, if that was on Plane."""
        run = self.run
        return run.address.plane if run is not None and run.address.HasField("plane") else None

    async def place(self, named: str) -> PlanePlace:
        """The project a call names, by id or identifier; empty: the one its run was asked in.

        Raises FieldInvalid where it was asked in none, ContainerNotRegistered for one it may not touch.
        """
        project_id = named.lower() or (self.origin.project_id if self.origin else "")
        if not project_id:
            raise FieldInvalid('This call has no project of its own: name one, as in "SHOP".')
        if not UUID.fullmatch(project_id):
            project_id = await self._project_id(named)
        await self._check(project_id, f"the project {named or project_id}")
        found = (await self._projects(project_id)).get(project_id)
        if found is None:
            raise ItemNotFound(f"Plane has no project {named or project_id}, or does not show it to us.")
        return PlanePlace(project_id, str(found["identifier"]))

    async def open_projects(self) -> list[Json]:
        """The projects this call may touch that Plane shows us."""
        open_ids = set(await self.containers.listed(CONTAINER))
        if not self.containers.is_trusted:
            open_ids &= {self.origin.project_id} if self.origin else set()
        with told():
            return [each for key, each in (await self.client.projects()).items() if key in open_ids]

    async def item(self, named: str, *, gives_way: bool = False) -> PlaneItem:
        """The work item a call names, as in SHOP-12; empty: the one its run was asked in.

        Raises FieldInvalid where it was asked in none, ItemNotFound, ContainerNotRegistered.
        """
        here = self.origin
        if named:
            path = f"work-items/{named.upper()}/"
        elif here is not None and here.project_id:
            path = work_item_path(here.project_id, here.work_item_id)
        else:
            raise FieldInvalid('This call has no issue of its own: name one, as in "SHOP-12".')
        with told():
            found = await self.client.read(path, gives_way=gives_way, expand=EXPANDED)
        project = found["project"]
        is_told = isinstance(project, dict)
        project_id = str(project["id"] if is_told else project)
        await self._check(project_id, f"the project of {named or 'this issue'}")
        identifier = str(project["identifier"]) if is_told else named.upper().rpartition("-")[0]
        return PlaneItem(PlanePlace(project_id, identifier), found)

    async def states(self, place: PlanePlace) -> Mapping[str, str]:
        """The ids of a project's states, by their names."""
        with told():
            page = await self.client.read(f"projects/{place.project_id}/states/", per_page=STATES_A_PAGE)
        return {str(each["name"]): str(each["id"]) for each in page["results"]}

    def refuse_origin(self, item: PlaneItem) -> None:
        """Raise OriginThread for the work item the run answers in."""
        if self.origin is not None and self.origin.work_item_id == item.item_id:
            raise OriginThread(ORIGIN_TEXT)

    async def read(self, path: str, **params: str | int) -> Json:
        """Read something for a model."""
        with told():
            return await self.client.read(path, gives_way=True, **params)

    async def make(self, path: str, body: Mapping[str, object], row_id: str) -> Json:
        """Make something that carries the id of the ledger's row, as `plane_marks.make_marked`."""
        with told():
            return await make_marked(self.client, path, body, row_id)

    async def change(self, path: str, body: Mapping[str, object]) -> Json:
        """Change fields of something."""
        with told():
            return await self.client.change(path, body)

    async def _check(self, project_id: str, place: str) -> None:
        is_own = self.origin is not None and self.origin.project_id == project_id
        await self.containers.check(place, [f"{CONTAINER}{project_id}"], is_own=is_own)

    async def _projects(self, wanted: str) -> Mapping[str, Json]:
        with told():
            known = await self.client.projects()
            return known if wanted in known else await self._newer_projects()

    async def _project_id(self, identifier: str) -> str:
        with told():
            for projects in (self.client.projects, self._newer_projects):
                for key, each in (await projects()).items():
                    if str(each["identifier"]).casefold() == identifier.casefold():
                        return key
        raise ItemNotFound(f"Plane has no project {identifier}, or does not show it to us.")

    async def _newer_projects(self) -> Mapping[str, Json]:
        return await self.client.projects(age_seconds_max=PROJECTS_AGAIN_SECONDS)


class PlaneAccess:
    """Opens Plane for calls."""

    def __init__(self, client: PlaneClient, containers: ContainerAccess) -> None:
        self._client = client
        self._containers = containers

    async def open(self) -> PlaneCall:
        """The current call's way to Plane; asks the record alone."""
        return PlaneCall(self._client, await self._containers.open())


@contextmanager
def told() -> Iterator[None]:
    """Let refusals that other arguments may avoid leave the block as failures for a model."""
    try:
        yield
    except VendorRefused as refused:
        match refused.metadata.get("http_status"):
            case "404":
                raise ItemNotFound(
                    "Plane has nothing there, or does not show it to us. Check the issue and the project."
                ) from None
            case "400" | "409":
                raise ArgumentsRefused("Plane does not take this as it is. Change the arguments.") from None
            case _:
                raise
