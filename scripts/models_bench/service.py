"""The models service in a process of its own, in front of the endpoint named as its argument.

It is the real server with the real door. Only whose token it is, is known here instead of asked of Astra, as
a service remembers it between two looks. Prints its address as the first line of stdout.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import uvloop

from aucert.common.v1.scope_pb2 import SCOPE_MODELS_GENERATE
from aucert.models.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from scripts.models_bench.endpoint import BURST
from services.common.caller import Principal
from services.common.logs import configure_logs
from services.common.server import Registration, serve
from services.models.installation import build_catalogue, read_catalogue_file
from services.models.providers import opened
from services.models.servicer import ModelServicer
from services.models.settings import ModelsSettings

TOKEN = "bench"  # noqa: S105 - of this bench alone
PACED = "paced"
_MODEL = """
[[models]]
alias = "{alias}"
label = "L0"
provider = "openai"
provider_model_id = "{alias}"
context_tokens_max = 32_768
output_tokens_max = 4_096
capabilities = ["tools"]
price_usd_micros = {{ input = 0, output = 0, cache_read = 0, cache_write = 0 }}
"""


class OneToken:
    """Knows the bench's token."""

    async def principal(self, token: str) -> Principal:
        """Whose it is."""
        return Principal(token, "bench", frozenset({SCOPE_MODELS_GENERATE}))


async def run(base_url: str) -> None:
    """Serve on a free port until stdin closes."""
    with tempfile.TemporaryDirectory(prefix="astra-bench-") as folder:
        own = Path(folder) / "catalogue.toml"
        own.write_text("".join(_MODEL.format(alias=alias) for alias in (PACED, BURST)))
        settings = ModelsSettings.model_validate(
            {"ASTRA_TOKEN": TOKEN, "OPENAI_BASE_URL": base_url, "MODELS_CATALOGUE": own}
        )
        file = read_catalogue_file(settings)
        nobody = cast("Any", None)  # neither defaults nor embeddings are asked for here
        async with opened(settings, file.servers) as providers:
            servicer = ModelServicer(
                build_catalogue(settings, file),
                providers,
                default_alias=PACED,
                defaults=nobody,
                embeddings=nobody,
            )
            known = Registration(
                "aucert.models.v1.ModelService", add_ModelServiceServicer_to_server, servicer
            )
            authenticator = cast("Any", OneToken())
            async with serve(
                name="models", host="127.0.0.1", port=0, registrations=[known], authenticator=authenticator
            ) as server:
                print(server.address, flush=True)
                await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    configure_logs(level="WARNING", stream=sys.stderr)
    uvloop.run(run(sys.argv[1]))
