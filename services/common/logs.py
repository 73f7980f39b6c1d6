"""Log lines: JSON to stdout in a service, pretty on stderr for the command line. Events are constants,
values are fields; prompts, payloads and tokens are never logged."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor


def configure_logs(*, level: str = "INFO", stream: TextIO = sys.stdout, pretty: bool | None = None) -> None:
    """Set up structlog for the process. `pretty` None: only on a terminal. Level: a logging level name."""
    shown = stream.isatty() if pretty is None else pretty
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if shown
        else structlog.processors.JSONRenderer()
    )
    said: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if shown else [_TRACEBACKS]),
    ]
    structlog.configure(
        processors=[*said, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    # What libraries log, Temporal's worker above all, in the same form.
    libraries = logging.StreamHandler(stream)
    finish = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    libraries.setFormatter(structlog.stdlib.ProcessorFormatter(processors=finish, foreign_pre_chain=said))
    logging.basicConfig(handlers=[libraries], level=max(logging.WARNING, _number(level)), force=True)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


# Local variables can hold secrets, so tracebacks are written without them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
