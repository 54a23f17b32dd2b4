"""Running a command whose output may be read by another one that stops early."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def run_to_the_end(app: Callable[[], object]) -> None:
    """Run the command and write out all of its output; a reader that has seen enough, such as ``head``, is no failure.

    Click and Rich turn a ``BrokenPipeError`` into exit status 1 while they handle it: it is the context of the exit.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no box-drawing shows question marks instead
            stream.reconfigure(errors="replace")
    try:
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            end.code = 0
        _write_out()
        raise


def _write_out() -> None:
    """Flush; when Python ends, it would be with a message of its own."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
