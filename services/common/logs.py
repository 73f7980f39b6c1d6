"""Log lines: JSON to stdout in a service, pretty on stderr for the command line. Events are constants,
values are fields; prompts, payloads and tokens are never logged."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def configure_logs(*, level: str = "INFO", stream: TextIO = sys.stdout, pretty: bool | None = None) -> None:
    """Set up structlog for the process. `pretty` None: only on a terminal. Level: a logging level name."""
    shown = stream.isatty() if pretty is None else pretty
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if shown
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if shown else [_TRACEBACKS]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


# Local variables can hold secrets, so tracebacks are written without them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
