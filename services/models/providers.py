"""The parts that speak to the providers this installation has.

Each vendor's SDK takes half a second to two seconds to load, so only those that are on are loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from services.models import scripted
from services.models.catalogue import resolved
from services.models.catalogue_file import ServerTable
from services.models.domain import Dialect
from services.models.installation import Servers, off_reasons
from services.models.provider import Provider
from services.models.rehearsal import Rehearsal
from services.models.settings import ModelsSettings

if TYPE_CHECKING:
    from services.models.openai_sender import OpenAISender


@asynccontextmanager
async def opened(settings: ModelsSettings, servers: Servers) -> AsyncGenerator[dict[str, Provider], None]:
    """The providers that are on, by name, until the block is left."""
    off = off_reasons(settings, servers)
    async with AsyncExitStack() as stack:
        providers: dict[str, Provider] = {"rehearsal": Rehearsal()}
        if settings.script:
            script = scripted.read_script(settings.script)
            providers["scripted"] = scripted.Scripted(script, settings.script_log)
        if not off["anthropic"]:
            from services.models.anthropic_sender import AnthropicSender  # noqa: PLC0415

            key = settings.anthropic_api_key.get_secret_value()
            providers["anthropic"] = anthropic = AnthropicSender(key, settings.anthropic_base_url)
            stack.push_async_callback(anthropic.aclose)
        if not off["bedrock"]:
            from services.models.bedrock_sender import BedrockSender, bedrock_client  # noqa: PLC0415

            client = await asyncio.to_thread(bedrock_client, settings)
            providers["bedrock"] = bedrock = BedrockSender(client)
            stack.push_async_callback(bedrock.aclose)
        for name, server in servers.items():
            if not off[name]:
                providers[name] = sender = _sender(server, settings.variables)
                stack.push_async_callback(sender.aclose)
        yield providers


def _sender(server: ServerTable, variables: Mapping[str, str]) -> OpenAISender:
    from services.models.openai_sender import OpenAISender  # noqa: PLC0415

    dialect = Dialect(server.output_limit_field, server.usage_in_stream, server.reasoning_sent_back)
    base_url, key = (resolved(each, variables, "server") for each in (server.base_url, server.api_key))
    return OpenAISender(base_url, key, dialect)
