"""DriveChangesService: channels by which Google tells of changes, and the keys it signs with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWKSet
from jwt.exceptions import PyJWKError, PyJWKSetError

from aucert.tools.v1 import drive_changes_service_pb2 as pb
from aucert.tools.v1.drive_changes_service_pb2_grpc import DriveChangesServiceServicer
from services.tools.google_client import GoogleClient, Json, is_refusal
from services.tools.google_files import DriveFiles
from services.tools.vendor_errors import VendorRefused, VendorUnavailable

if TYPE_CHECKING:
    from services.common.door import Context

LOG_LIFETIME = timedelta(days=7)
FILE_LIFETIME = timedelta(days=1)
"""As long as Google lets a channel live."""
KEYS_MAX = 32


class DriveChangesServicer(DriveChangesServiceServicer):
    """Asks Google directly; who may is the door's to say."""

    def __init__(self, google: GoogleClient, files: DriveFiles) -> None:
        self._google = google
        self._files = files

    async def RegisterChannel(
        self, request: pb.RegisterChannelRequest, context: Context
    ) -> pb.RegisterChannelResponse:
        """Open a channel."""
        del context
        file = await self._files.file(request.file_id) if request.file_id else None
        if file is not None and not file.is_folder:
            return _opened(
                await self._watch(request, f"files/{file.id}/watch", FILE_LIFETIME, {}), watches_log=False
            )
        drive_id = request.drive_id or (file.drive_id if file else "")
        in_drive = {"driveId": drive_id} if drive_id else {}
        start = await self._google.read(
            "drive/v3/changes/startPageToken", fields="startPageToken", supportsAllDrives="true", **in_drive
        )
        parameters = {
            "pageToken": str(start["startPageToken"]),
            "includeItemsFromAllDrives": "true",
            **in_drive,
        }
        told = await self._watch(request, "changes/watch", LOG_LIFETIME, parameters)
        return _opened(told, watches_log=True, drive_id=drive_id)

    async def StopChannel(self, request: pb.StopChannelRequest, context: Context) -> pb.StopChannelResponse:
        """Close a channel."""
        del context
        try:
            await self._google.write(
                "drive/v3/channels/stop", {"id": request.channel_id, "resourceId": request.resource_id}
            )
        except VendorRefused as refused:
            if not is_refusal(refused, 404):
                raise
        return pb.StopChannelResponse()

    async def ListSigningKeys(
        self, request: pb.ListSigningKeysRequest, context: Context
    ) -> pb.ListSigningKeysResponse:
        """Read Google's keys."""
        del request, context
        told, seconds = await self._google.signing_keys()
        response = pb.ListSigningKeysResponse(keys=_keys(told)[:KEYS_MAX])
        response.expiration_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
        return response

    async def _watch(
        self, request: pb.RegisterChannelRequest, path: str, longest: timedelta, parameters: dict[str, str]
    ) -> Json:
        lifetime = request.lifetime.ToTimedelta() if request.HasField("lifetime") else longest
        expires = datetime.now(UTC) + lifetime
        return await self._google.write(
            f"drive/v3/{path}",
            {
                "id": request.channel_id,
                "type": "web_hook",
                "address": request.address,
                "token": request.token,
                "expiration": str(int(expires.timestamp() * 1000)),
            },
            fields="resourceId,expiration",
            supportsAllDrives="true",
            **parameters,
        )


def _opened(told: Json, *, watches_log: bool, drive_id: str = "") -> pb.RegisterChannelResponse:
    response = pb.RegisterChannelResponse(
        resource_id=told["resourceId"], watches_log=watches_log, drive_id=drive_id
    )
    response.expiration_time.FromMilliseconds(int(told["expiration"]))
    return response


def _keys(told: Json) -> list[pb.SigningKey]:
    """RSA keys as PEM; a key of a kind we do not know signs nothing we take."""
    try:
        known = PyJWKSet.from_dict({"keys": told}).keys
    except (PyJWKSetError, PyJWKError):
        raise VendorUnavailable("Google's keys cannot be read. Try again.") from None
    return [
        pb.SigningKey(key_id=each.key_id or "", public_key_pem=_pem(each.key))
        for each in known
        if isinstance(each.key, RSAPublicKey)
    ]


def _pem(key: Any) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
