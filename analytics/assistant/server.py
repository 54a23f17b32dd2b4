"""The Model Context Protocol over standard input and output: the only module that knows its SDK."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolResult, ListToolsResult, TextContent, ToolAnnotations
from mcp_types import Tool as Listed

from analytics.assistant.tools import INSTRUCTIONS, TOOLS
from collector.cli.text import printable
from collector.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from analytics.assistant.tools import Tool
    from collector.cli.source import Source

_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_log = logging.getLogger(__name__)


def serve(opened: Callable[[], AbstractContextManager[Source]]) -> None:
    """Answer an assistant on standard input and output until it closes them; each call opens its source anew."""
    anyio.run(_serve, opened)


async def _serve(opened: Callable[[], AbstractContextManager[Source]]) -> None:
    server = make_server(opened)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def make_server(opened: Callable[[], AbstractContextManager[Source]]) -> Server[Any]:
    """Return a server of all tools, for any transport."""
    tools = {tool.name: tool for tool in TOOLS}

    async def list_tools(_context: Any, _page: Any) -> ListToolsResult:
        return ListToolsResult(tools=list(map(_listed, TOOLS)))

    async def call_tool(_context: Any, call: Any) -> CallToolResult:
        tool = tools.get(call.name)
        if tool is None:
            return _said(f"There is no tool {call.name}: there are {', '.join(tools)}.", is_error=True)
        return await anyio.to_thread.run_sync(_answer, opened, tool, call.arguments or {}, abandon_on_cancel=True)

    return Server(
        "lithoscope",
        version=version("lithoscope"),
        title="Lithoscope",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed(tool: Tool) -> Listed:
    return Listed(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema(),
        annotations=_READS,
    )


def _answer(opened: Callable[[], AbstractContextManager[Source]], tool: Tool, given: dict[str, Any]) -> CallToolResult:
    """What a tool says; an error is one sentence with the remedy, and one of ours is told without its inside."""
    try:
        arguments = tool.check(given)  # before anything is opened
        with opened() as source:
            return _said(tool.answer(source, arguments))
    except LithoscopeError as error:
        said = " ".join(filter(None, (str(error), getattr(error, "hint", ""))))
        return _said(tool.in_its_words(said), is_error=True)
    except Exception as error:  # noqa: BLE001  (an assistant is told of every failure, and may go on)
        _log.exception("The tool %s failed", tool.name)
        remedy = "the log of `lithoscope mcp`, on standard error, has the traceback"
        return _said(f"{tool.name} failed ({type(error).__name__}): {remedy}.", is_error=True)


def _said(text: str, *, is_error: bool = False) -> CallToolResult:
    lines = map(printable, text.split("\n"))
    return CallToolResult(
        content=[TextContent(text=" ".join(lines) if is_error else "\n".join(lines))], is_error=is_error
    )
