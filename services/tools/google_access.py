"""Which files on Google Drive a tool call may touch: decided each time, by the record and where a file lies.

A file is open to agents when it, a folder above it or its shared drive is on the allow-list (`containers`). A
run whose requesters are not trusted has the file it was asked in and no other: being let in to one document
says nothing about the next.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.common.v1.thread_pb2 import GoogleDriveThread
from services.tools.containers import ContainerAccess, Containers
from services.tools.errors import ArgumentsRefused, FieldInvalid, ItemNotFound, OriginThread, ToolFailure
from services.tools.failures import told_as_errors
from services.tools.google_client import REASON_FIELD, GoogleClient, Json
from services.tools.google_files import DriveFile, DriveFiles
from services.tools.vendor_errors import VendorRefused

ALLOWED = "google-drive:"
"""How the names of files, folders and shared drives on the allow-list begin."""
ORIGIN_TEXT = (
    "This is the comment you were asked in. Your last message is posted there for you, so say it in that, "
    "and write here only below other comments."
)
_SWITCHED_OFF = frozenset({"SERVICE_DISABLED", "accessNotConfigured"})


@dataclass(frozen=True, slots=True)
class GoogleCall:
    """One tool call's way to Google.

    Calls raise ItemNotFound, ArgumentsRefused and the errors of `vendor_errors`.
    """

    containers: Containers
    client: GoogleClient
    files: DriveFiles

    @property
    def run(self) -> TaskRun | None:
        """The run of the call, None: it has none."""
        return self.containers.run

    @property
    def is_trusted(self) -> bool:
        """Whether it may use more than the file its run was asked in."""
        return self.containers.is_trusted

    @property
    def origin(self) -> GoogleDriveThread | None:
        """The comment its run was asked in, if that was on Drive."""
        here = self.run.address if self.run else None
        return here.google_drive if here and here.HasField("google_drive") else None

    def id_of(self, named: str) -> str:
        """The file a call names; empty: the one its run was asked in. Raises FieldInvalid without one."""
        own = self.origin.file_id if self.origin else ""
        if not (named or own):
            raise FieldInvalid("This call has no file of its own on Google Drive: name one by its id.")
        return named or own

    def refuse_origin(self, file_id: str, comment_id: str) -> None:
        """Raise OriginThread for the comment whose thread the run answers in."""
        here = self.origin
        if here is not None and (here.file_id, here.comment_id) == (file_id, comment_id):
            raise OriginThread(ORIGIN_TEXT)

    async def file(self, file_id: str) -> DriveFile:
        """A file this call may touch. Raises ContainerNotRegistered for one it may not."""
        is_own = self.origin is not None and self.origin.file_id == file_id
        if not (self.is_trusted or is_own):
            await self.containers.check(f"the file {file_id}", (), is_own=False)
        file = await self.known(file_id)
        with for_model():
            names = await self.files.names(file)
        await self.containers.check(f"the file {file_id}", names, is_own=is_own)
        return file

    async def known(self, file_id: str) -> DriveFile:
        """A file, whether this call may touch it or not: for its name and link."""
        with for_model():
            return await self.files.file(file_id)

    async def read(self, path: str, *, fields: str, **params: str | int) -> Json:
        """Read from one of Google's APIs."""
        with for_model():
            return await self.client.read(path, fields=fields, **params)

    async def write(self, path: str, body: Mapping[str, object], *, fields: str) -> Json:
        """Change something."""
        with for_model():
            return await self.client.write(path, body, fields=fields)

    async def upload(
        self, path: str, body: Mapping[str, object], content: str, content_type: str, *, fields: str
    ) -> Json:
        """Make a file together with its content."""
        with for_model():
            return await self.client.upload(path, body, content, content_type, fields=fields)


class GoogleAccess:
    """Opens calls."""

    def __init__(self, client: GoogleClient, files: DriveFiles, containers: ContainerAccess) -> None:
        self._client = client
        self._files = files
        self._containers = containers

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[GoogleCall, None]:
        """The current call; a tool's failures leave the block as errors of the door.

        Asks the record alone, so that a call which is repeated reaches its ledger whatever Google does.
        """
        with told_as_errors():
            yield GoogleCall(await self._containers.open(), self._client, self._files)


@contextmanager
def for_model() -> Generator[None]:
    """Tell a refusal that other arguments may avoid as a tool's failure, any other with what to do."""
    try:
        yield
    except VendorRefused as refused:
        raise _told(refused) from None


def _told(refused: VendorRefused) -> ToolFailure | VendorRefused:
    reason = refused.metadata.get(REASON_FIELD, "")
    if reason in _SWITCHED_OFF:
        message = (
            "The Google Cloud project of GOOGLE_CLIENT_ID has this API switched off: switch it on there."
        )
        return VendorRefused(message, metadata=refused.metadata)
    match refused.metadata.get("http_status"):
        case "404":
            return ItemNotFound("Google has nothing there, or does not show it to our account. Check the id.")
        case "403":
            message = (
                f"Our account on Google may not do that there ({reason}): the file must be shared with it."
            )
            return VendorRefused(message, metadata=refused.metadata)
        case "400":
            return ArgumentsRefused("Google does not take this as it is. Change the arguments.")
        case _:
            return refused
