"""Sends Converse calls to Bedrock by boto3, in bounded threads.

What is sent and read is `bedrock_adapter`'s, what ends a call that is waited for `bedrock_calls`'.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import boto3
import urllib3.exceptions
from botocore.config import Config
from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    EventStreamError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.session import Session
from botocore.tokens import FrozenAuthToken

from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.billing import UNBILLED
from services.common.errors import ServiceError
from services.models.bedrock_adapter import EventFold, to_count_request, to_request
from services.models.bedrock_calls import BedrockCall, use_telling_connections
from services.models.counting import COUNT_SECONDS_MAX
from services.models.dialogue import Json
from services.models.domain import ModelEntry, Named
from services.models.errors import ModelRateLimited, ModelRefused
from services.models.patience import Patience
from services.models.provider import Piece
from services.models.refusals import RATE_LIMIT_DEFAULT, broken_off, refusal
from services.models.settings import ModelsSettings

CALLS_MAX = 64
"""Calls under way at once, each of which holds a thread while it waits."""
SLOT_SECONDS_MAX = 5.0
"""How long a call waits for one of them to end before the caller is asked to come back."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 3_600.0
"""Generous, since `Patience` cuts silence and the caller bounds the whole call."""
STATUS_BY_CODE = {
    "throttlingexception": 429,
    "toomanyrequestsexception": 429,
    "modelnotreadyexception": 429,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
    "validationexception": 400,
}
"""An error within a stream has a code and no status: its answer was 200."""
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_NEVER_REACHED = (EndpointConnectionError, ConnectTimeoutError)
FAILURES = (ClientError, BotoCoreError, urllib3.exceptions.HTTPError, ParserError, OSError)
"""What a call can end in; `to_error` reads each."""
ResultT = TypeVar("ResultT")


class BedrockSender:
    """The provider behind one Bedrock runtime endpoint. Repeats nothing; closing a generator hangs up."""

    def __init__(self, client: Any, *, calls_max: int = CALLS_MAX) -> None:
        use_telling_connections(client)
        self._client = client
        self._threads = ThreadPoolExecutor(calls_max, thread_name_prefix="bedrock")
        self._slots = asyncio.Semaphore(calls_max)

    async def generate(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        """Run one call. Raises the errors of `errors.py`."""
        body, fold, patience = to_request(request, entry), EventFold(request, entry), Patience(entry)
        try:
            async with self._slot(entry), aclosing(patience.with_events(self._events(body))) as events:
                async for event in events:
                    for piece in fold.add(event):
                        yield piece
        except FAILURES as error:
            raise to_error(error, entry) from None
        yield fold.finish(waited_seconds=patience.waited_seconds)

    @asynccontextmanager
    async def _slot(self, entry: ModelEntry) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(SLOT_SECONDS_MAX):
                await self._slots.acquire()
        except TimeoutError:
            raise ModelRateLimited(
                f"Too many calls of {entry.alias} are under way here.",
                metadata=UNBILLED,
                retry_after=RATE_LIMIT_DEFAULT,
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    async def count_tokens(self, request: GenerateRequest, entry: ModelEntry) -> object:
        """Have Bedrock count what a call would read. Raises the errors of `errors.py`."""
        body = to_count_request(request, entry)
        try:
            async with self._slot(entry), asyncio.timeout(COUNT_SECONDS_MAX):
                answer = await self._in_thread(lambda: self._client.count_tokens(**body))
        except TimeoutError:
            raise broken_off(entry.alias, reached=True) from None
        except FAILURES as error:
            raise to_error(error, entry) from None
        return answer.get("inputTokens")

    async def _events(self, body: Json) -> AsyncGenerator[Json, None]:
        call = BedrockCall(self._client)
        try:
            await self._in_thread(lambda: call.open(body))
            while (event := await self._in_thread(call.next_event)) is not None:
                yield event
        finally:
            call.hang_up()
            self._threads.submit(call.close)

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def aclose(self) -> None:
        """Close the connections; calls under way were hung up with their generators."""
        await asyncio.to_thread(self._threads.shutdown)
        self._client.close()


def to_error(error: Exception, entry: Named) -> ServiceError:
    """Say in our words what went wrong."""
    if isinstance(error, ClientError):
        answer = error.response
        told = answer.get("Error", {})
        code, text = str(told.get("Code", "")), str(told.get("Message", ""))
        metadata = answer.get("ResponseMetadata", {})
        status = STATUS_BY_CODE.get(code.lower()) or int(metadata.get("HTTPStatusCode", 500))
        headers: dict[str, str] = metadata.get("HTTPHeaders", {})
        at_once = not isinstance(error, EventStreamError)
        return refusal(entry.alias, status, code=code, text=text, headers=headers, at_once=at_once)
    if isinstance(error, _NO_CREDENTIALS):
        message = f"Bedrock cannot be called for {entry.alias}: AWS credentials are missing."
        return ModelRefused(message, metadata=UNBILLED)
    if isinstance(error, ParamValidationError):
        return ModelRefused(f"The request for {entry.alias} is not one Bedrock takes.", metadata=UNBILLED)
    return broken_off(entry.alias, reached=not isinstance(error, _NEVER_REACHED))


def bedrock_client(settings: ModelsSettings, *, read_seconds: float = READ_SECONDS) -> Any:
    """A client as the settings say. Takes a moment: it reads Bedrock's service model."""
    session = Session()
    bearer = settings.aws_bearer_token_bedrock.get_secret_value()
    if bearer:
        session.register_component("token_provider", _OneToken(bearer))
    return boto3.Session(
        aws_access_key_id=settings.aws_access_key_id or None,
        aws_secret_access_key=settings.aws_secret_access_key.get_secret_value() or None,
        aws_session_token=settings.aws_session_token.get_secret_value() or None,
        profile_name=settings.aws_profile or None,
        region_name=settings.bedrock_region,
        botocore_session=session,
    ).client(
        "bedrock-runtime",
        endpoint_url=settings.aws_endpoint_url_bedrock_runtime or None,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"total_max_attempts": 1, "mode": "standard"},  # repeating is the caller's
            tcp_keepalive=True,
            max_pool_connections=CALLS_MAX,
            **({"signature_version": "bearer"} if bearer else {}),
        ),
    )


class _OneToken:
    """Bedrock's API key, from settings instead of botocore's own look into the environment."""

    def __init__(self, token: str) -> None:
        self._token = FrozenAuthToken(token)

    def load_token(self, **_kwargs: object) -> _OneToken:
        return self

    def get_frozen_token(self) -> FrozenAuthToken:
        return self._token
