"""The collector's own log: on standard error, for people or for machines."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Literal, TextIO, cast

import structlog


class _StandardError:
    """Standard error, whose writes do not fail: it may lead to the very disk whose fullness is to be told."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # a closed file is a ValueError
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_log(form: Literal["console", "json"] = "console", *, debug: bool = False) -> None:
    """Send log events to standard error from now on; standard output belongs to a command's answer."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_renderers(form),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,
    )


def _renderers(form: str) -> list[structlog.typing.Processor]:
    if form == "json":
        return [structlog.processors.ExceptionRenderer(), structlog.processors.JSONRenderer()]
    # Plain tracebacks: the default ones show local variables, which may be somebody's telemetry.
    return [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
