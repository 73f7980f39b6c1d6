"""What tests of the models service share: the service over gRPC, and the providers' stand-ins behind it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aucert.astra.v1.model_default_service_pb2 import ListModelDefaultsResponse
from aucert.common.v1.scope_pb2 import SCOPE_MODELS_EMBED, SCOPE_MODELS_GENERATE, SCOPE_MODELS_READ
from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message, Part, ToolResult
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub, add_ModelServiceServicer_to_server
from services.common.caller import Principal
from services.common.channels import connect
from services.common.errors import Unauthenticated
from services.common.server import Registration, serve
from services.models.embedding.calls import EmbeddingCalls
from services.models.embedding.providers import opened_embedders
from services.models.installation import (
    build_catalogue,
    build_embedding_catalogue,
    read_catalogue_file,
)
from services.models.provider import Provider
from services.models.providers import opened
from services.models.servicer import ModelServicer
from services.models.settings import ModelsSettings
from services.models.tenant_defaults import TenantDefaults
from services.sandbox.anthropic import build_anthropic_app
from services.sandbox.bedrock import build_bedrock_app
from services.sandbox.model_world import ModelWorld
from tests.service.tools_stage import reason_of

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

TOKEN = "worker-token"
USER = Message(role=ROLE_USER, parts=[Part(text="How does ordering work?")])
READ = pb.ToolDefinition(
    name="repo_read_file",
    description="Read a file.",
    parameters_json='{"type":"object","properties":{"path":{"type":"string"}},"additionalProperties":false}',
)


class KnownTokens:
    async def principal(self, token: str) -> Principal:
        if token not in (TOKEN, "gateway-token"):
            raise Unauthenticated("No such token.")
        return Principal(
            "worker", "t-1", frozenset({SCOPE_MODELS_EMBED, SCOPE_MODELS_GENERATE, SCOPE_MODELS_READ})
        )


class NothingSet:
    """Stands for Astra: nobody set a model for a tenant or an agent."""

    async def ListModelDefaults(self, _request: object) -> ListModelDefaultsResponse:
        return ListModelDefaultsResponse()


@asynccontextmanager
async def models(
    providers: Mapping[str, Provider] | None = None, *, astra: Any = None, **settings: Any
) -> AsyncIterator[ModelServiceAsyncStub]:
    """The service over gRPC, with the providers these settings configure, or those given."""
    async with serving_models(providers, astra=astra, **settings) as address:
        channel = connect(address, TOKEN)
        yield ModelServiceStub(channel)
        await channel.close()


@asynccontextmanager
async def serving_models(
    providers: Mapping[str, Provider] | None = None, *, astra: Any = None, **settings: Any
) -> AsyncIterator[str]:
    """The same; yields its address."""
    found = ModelsSettings(_env_file=None, ASTRA_TOKEN="x", **settings)
    file = read_catalogue_file(found)
    catalogue = build_catalogue(found, file)
    async with AsyncExitStack() as stack:
        known = providers or await stack.enter_async_context(opened(found, file.servers))
        embedding_models = build_embedding_catalogue(found, file)
        embedders = await stack.enter_async_context(opened_embedders(embedding_models, found, file.servers))
        servicer = ModelServicer(
            catalogue,
            known,
            default_alias=catalogue.default_alias(found.default_model),
            defaults=TenantDefaults(astra or NothingSet()),
            embeddings=EmbeddingCalls(embedding_models, embedders),
        )
        registration = Registration(
            "aucert.models.v1.ModelService", add_ModelServiceServicer_to_server, servicer
        )
        server = await stack.enter_async_context(
            serve(
                name="models",
                host="127.0.0.1",
                port=0,
                registrations=[registration],
                authenticator=KnownTokens(),
                drain_seconds=0,
            )
        )
        yield server.address


@asynccontextmanager
async def listening(app: web.Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve an application on a free port; yields its base URL."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def models_over_bedrock(
    world: ModelWorld, *, tls: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[ModelServiceAsyncStub]:
    """The service with Bedrock's stand-in behind it."""
    async with listening(build_bedrock_app(world), tls) as url:
        settings = {
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
        }
        async with models(**{**settings, **more}) as stub:
            yield stub


@asynccontextmanager
async def models_over_anthropic(world: ModelWorld, **more: Any) -> AsyncIterator[ModelServiceAsyncStub]:
    """The service with Anthropic's stand-in behind it."""
    async with listening(build_anthropic_app(world)) as url:
        settings = {"ANTHROPIC_API_KEY": "key", "ANTHROPIC_BASE_URL": url}
        async with models(**{**settings, **more}) as stub:
            yield stub


async def ended_early(world: ModelWorld, calls: int) -> None:
    """Wait until a stand-in noticed that this many callers hung up."""
    async with asyncio.timeout(5):
        while world.calls_ended_early < calls:
            await asyncio.sleep(0.01)


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server on 127.0.0.1 needs for TLS, and the file a client should trust."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file


def ask(alias: str = "rehearsal", *messages: Message, **more: Any) -> pb.GenerateRequest:
    return pb.GenerateRequest(model_alias=alias, messages=messages or [USER], **more)


def results(*texts: str, turn: int = 1, failed: bool = False) -> Message:
    """The results of a turn's calls."""
    parts = [
        Part(tool_result=ToolResult(call_id=f"t{turn}_{index}", text=text, failed=failed))
        for index, text in enumerate(texts)
    ]
    return Message(role=ROLE_TOOL, parts=parts)


async def generate(stub: ModelServiceAsyncStub, request: pb.GenerateRequest) -> list[pb.GenerateResponse]:
    return [response async for response in stub.Generate(request, timeout=20)]


async def finished(stub: ModelServiceAsyncStub, request: pb.GenerateRequest) -> pb.GenerationFinished:
    return (await generate(stub, request))[-1].finished


async def refusal(
    stub: ModelServiceAsyncStub, request: pb.GenerateRequest
) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await generate(stub, request)
    return reason_of(caught.value)


def text_of(responses: Sequence[pb.GenerateResponse]) -> str:
    """The text streamed."""
    return "".join(each.text_delta for each in responses)
