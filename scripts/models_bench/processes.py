"""The processes of the bench: each ends with the block that began it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scripts.models_bench.endpoint import BURST
from scripts.models_bench.service import PACED

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
LITELLM_ENVIRONMENT = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""It logs no calls, and fetches no price list."""
READY_SECONDS_MAX = 120.0
END_SECONDS_MAX = 15.0


@asynccontextmanager
async def telling(module: str, *arguments: str) -> AsyncIterator[str]:
    """A module of ours that tells where it serves by its first line, and ends when its stdin closes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_SECONDS_MAX):
            line = await process.stdout.readline()
        if not line:
            sys.exit(f"bench models: {module} ended; what it said is above")
        yield line.decode().strip()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await _ended(process)


@asynccontextmanager
async def litellm_proxy(base_url: str, folder: Path, key: str) -> AsyncIterator[str]:
    """The LiteLLM proxy in front of the endpoint, which asks for `key`; without a database or telemetry."""
    models = [
        {
            "model_name": alias,
            "litellm_params": {"model": f"openai/{alias}", "api_base": base_url, "api_key": "none"},
        }
        for alias in (PACED, BURST)
    ]
    config = folder / "litellm.json"  # JSON is YAML
    config.write_text(json.dumps({"model_list": models, "litellm_settings": {"telemetry": False}}))
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *(str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
        cwd=folder,
        env={**os.environ, **LITELLM_ENVIRONMENT, "LITELLM_MASTER_KEY": key},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(READY_SECONDS_MAX):
            while not await asyncio.to_thread(_lives, f"{url}/health/liveliness"):
                if process.returncode is not None:
                    sys.exit("bench models: the LiteLLM proxy did not start")
                await asyncio.sleep(0.2)
        yield f"{url}/v1"
    finally:
        if process.returncode is None:
            process.terminate()
        await _ended(process)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _lives(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own child
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
