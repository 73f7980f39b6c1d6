"""Serve a model file by llama.cpp's own server: `python local_model_server.py MODEL.gguf PORT NAME`.

A program of its own, started by `local_model.py`, so that nothing of ours loads llama.cpp.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp  # pyright: ignore[reportMissingImports] - installed for MODEL=local only

CONTEXT_TOKENS = 8_192


def main(model: str, port: int, name: str) -> None:
    """Serve until the process is ended."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.use_jinja = True
    parameters.ui = False
    parameters.sampling.temp = 0.0  # the same question gets the same answer
    server = xllamacpp.Server(parameters)
    print(f"serving {name} on {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
