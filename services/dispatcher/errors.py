"""What the dispatcher refuses to do, in the words callers see."""

from __future__ import annotations

from services.common.errors import Exists, Invalid, NotFound, Refused


class ThreadNotFound(NotFound):
    """No such thread in the caller's tenant."""

    reason = "THREAD_NOT_FOUND"

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"No thread has the id {thread_id} in this tenant.", metadata={"thread_id": thread_id}
        )


class AgentNotFound(NotFound):
    """No agent of the tenant has this slug."""

    reason = "AGENT_NOT_FOUND"

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"No agent is called {slug!r}. Name one of the tenant's agents.", metadata={"agent": slug}
        )


class RequestIdReused(Exists):
    """The same key came with other content."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "This request_id was used with other content. Use a fresh one for a new request.",
            metadata={"request_id": request_id},
        )


class DeliveryNotFound(NotFound):
    """No such delivery in the caller's tenant."""

    reason = "DELIVERY_NOT_FOUND"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(
            f"No delivery has the id {delivery_id} in this tenant; old ones are forgotten.",
            metadata={"delivery_id": delivery_id},
        )


class DeliveryDone(Refused):
    """There is nothing left of it to do."""

    reason = "DELIVERY_DONE"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(
            "What this delivery told is on record with its runs. To ask again, say it again in the thread.",
            metadata={"delivery_id": delivery_id},
        )


class DriveWatchNotFound(NotFound):
    """No watch of the tenant has this channel."""

    reason = "DRIVE_WATCH_NOT_FOUND"

    def __init__(self, channel_id: str) -> None:
        super().__init__(
            f"No watch has the channel {channel_id} in this tenant.", metadata={"channel_id": channel_id}
        )


class PublicAddressMissing(Refused):
    """Nobody said where Google reaches the gateway."""

    reason = "PUBLIC_ADDRESS_MISSING"

    def __init__(self) -> None:
        super().__init__("Set PUBLIC_BASE_URL, or name where Google reaches the gateway.")


class PageTokenInvalid(Invalid):
    """The token is not one of ours."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("The page token is not one of this list. Begin at the first page.")
