"""``lithoscope mcp`` as an assistant meets it: the SDK's own client speaks with the real command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from analytics.assistant.command import source_opener
from analytics.assistant.server import make_server
from analytics.assistant.tools import INSTRUCTIONS, TOOLS
from collector.cli.importing import run_import
from collector.store import open_store

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mcp_types import CallToolResult, ListToolsResult

    from collector.cli.source import Source
    from collector.client import Client as Collector

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
Call = tuple[str, dict[str, Any]]


def _started(*options: object) -> Any:
    """The real command, in a process of its own."""
    arguments = [str(ROOT / "lithoscope.py"), "mcp", *map(str, options)]
    return stdio_client(StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ)))


def _asked(*calls: Call, server: Any, mode: str = "auto") -> list[CallToolResult]:
    """The answers of one server to several calls, one after the other."""

    async def ask() -> list[CallToolResult]:
        async with Client(server, mode=mode) as client:
            assert client.instructions == INSTRUCTIONS
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(ask)


def _text(result: CallToolResult) -> str:
    """The one text of an answer."""
    (content,) = result.content
    assert content.type == "text"
    return content.text


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the sample shop before and in its incident."""
    path = tmp_path_factory.mktemp("shops") / "shops.duckdb"
    files = [ROOT / "sample_traces" / f"shop-{state}.otlp.zst" for state in ("decoupled", "incident")]
    run_import(files, url=None, db=path, to_now=False)
    return path


INCIDENT = {"env": "shop-incident"}
ASKED: dict[str, tuple[Call, tuple[str, ...]]] = {
    "a report says what stands out": (
        ("report", INCIDENT),
        (
            r"\Agateway POST /orders: 95 % of the time is payment; its db_pool was full\.",
            r"\nshop-incident  2,088 traces .*; other environments \(env\): shop-decoupled\n",
            r"\nCoupling index 72\.9 of 100, monolith:\n- sync-ratio 20\.0: ",
            r"\n- critical missing-circuit-breaker: checkout goes on calling payment .* \(trace [0-9a-f]{12}\)\n",
            r'\n\(\d+ more: part="findings"\)\n',
            r"\n- gateway POST /orders 285 traces .*: payment 3,904 ms \(95 %, in the tail \+26,560 ms\), .* 15 more\n",
            r"\n- payment: 772 calls, 13 % errors, p99 9,729 ms, 88 % of the latency, .* db_pool 100 % full\n",
            r'\n\(2 more: part="services"\)\Z',
        ),
    ),
    "a part of it has as many rows as were asked for, with all that is known of them": (
        ("report", {**INCIDENT, "part": "findings", "limit": 1}),
        (
            r"\nFindings:\n- critical missing-circuit-breaker: .*, and let checkout answer without payment while it is",
            r" \(trace [0-9a-f]{12}\)\n\(\d+ more: a higher limit, 200 at most\)\Z",
        ),
    ),
    "a trace is a tree with the critical path": (
        ("trace", {"trace_id": "35c7f4019f57", "limit": 5}),
        (
            r"\Atrace 35c7f4019f57c956763eae98caabfba3: 29\.26 s, 41 spans, 6 services, 9 failed, complete\n",
            r"\nCritical path by service: payment 99\.8 % \(29\.2 s\), ",
            r"\ngateway POST /orders \[error 502\]  29\.26 s, on path 1\.7 ms\n  gateway POST \[error 502\]  29\.26 s",
            r"\n\(36 more, shorter spans: a higher limit, 200 at most\)\Z",
        ),
    ),
    "a comparison says who is to blame": (
        ("diff", {"before": "env:shop-decoupled", "after": "env:shop-incident", "limit": 2}),
        (
            r"\Abefore: shop-decoupled, 2,606 traces, .*\nafter: shop-incident, 2,088 traces, ",
            r"\nTo blame, worst first \(more time a request\):\n- \+609 ms payment itself: ",
            r"\nCoupling: index 21\.9 -> 72\.9 \(\+51\.0\)\nNew cycles:\n- cart, catalog, ",
            r"\nNew edges:\n(- .*\n){2}\(\d+ more: a higher limit, 200 at most\)\n",
        ),
    ),
    "a simulation takes one text for a list of one": (
        ("simulate", {**INCIDENT, "slow": "payment=+200ms"}),
        (
            r"\nWhat if each request to payment took 200 ms more\?\nBlast radius: 23 % of all requests\.",
            r"\n- gateway POST /orders: 100 % of 285 requests affected, p50 244 -> 643 ms, ",
            r"\n4 endpoints would not notice\.\nWhat this rests on:\n- No queueing feedback",
        ),
    ),
    "rows are counted and cut": (
        ("sql", {"query": "SELECT i, repeat('x', 2000) AS long FROM range(100) AS t(i)", "limit": 2}),
        (r"\Ai \| long\n0 \| x{299}…\n1 \| x{299}…\n\(98 more rows of 100: a higher limit, 200 at most, or agg.*\)\Z",),
    ),
    "a small answer is told whole": (
        ("sql", {"query": "SELECT NULL AS nothing, true AS yes, ['a', 'b'] AS list, 'two\nlines' AS text"}),
        (r'\Anothing \| yes \| list \| text\nNULL \| true \| \["a","b"\] \| two lines\n\(1 row\)\Z',),
    ),
}


@pytest.fixture(scope="module")
def answers(shops: Path) -> dict[str, str]:
    """What one server says to all of them."""
    results = _asked(*(call for call, _ in ASKED.values()), server=_started("--db", shops))
    assert [result.is_error for result in results] == [False] * len(ASKED)
    return dict(zip(ASKED, map(_text, results), strict=True))


@pytest.mark.parametrize("name", ASKED)
def test_what_an_assistant_is_told(answers: dict[str, str], name: str) -> None:
    """Each answer begins with what matters, and is short."""
    assert [pattern for pattern in ASKED[name][1] if not re.search(pattern, answers[name])] == []
    assert len(answers[name]) < 6000


def test_changes_combine(shop_file: Path) -> None:
    """A list may come as its JSON, and null is what was not given."""
    changes = {"fail": '["cart=0.5"]', "async": ["web->cart"], "since": None}
    (result,) = _asked(("simulate", changes), server=make_server(source_opener(None, shop_file)))
    said = "\nWhat if 50 % of the requests to cart failed?\nWhat if web no longer waited for cart?\n"
    assert said in _text(result)


@pytest.mark.parametrize("part", ["summary", "findings", "endpoints", "services", "edges"])
def test_a_small_system_is_told_too(shop_file: Path, part: str) -> None:
    """With no figure that is none, and in each part what it has."""
    (result,) = _asked(("report", {"part": part}), server=make_server(source_opener(None, shop_file)))
    assert not re.search(r"\b(None|nan|inf)\b", _text(result))
    assert not result.is_error
    assert "environment without a name  2 traces  4 spans" in _text(result)


GONE = "A trace appears a moment after it was received; retention may have deleted it."
CHANGES = 'slow ["SERVICE=+200ms"], fail ["SERVICE=0.5"], async ["CALLER->CALLEE"] or breaker ["CALLER->CALLEE"]'
MISTAKES: dict[str, tuple[Call, str]] = {
    "no such tool": (("reprot", {}), "There is no tool reprot: there are report, trace, diff, simulate, sql."),
    "no such argument": (
        ("sql", {"query": "SELECT 1", "rows": 5}),
        "sql: rows: there is none of that name: it takes query, limit.",
    ),
    "an argument is missing": (("trace", {}), "trace: trace_id: field required: it takes trace_id, limit."),
    "too many rows": (
        ("trace", {"trace_id": "0101", "limit": 201}),
        "trace: limit: input should be less than or equal to 200: it takes trace_id, limit.",
    ),
    "no such environment": (
        ("report", {"env": "prod"}),
        "No trace has the environment 'prod': give one of shop-decoupled, shop-incident with env.",
    ),
    "no duration": (("report", {"since": "soon"}), "since: 'soon' is not a duration, for example 200ms, 5s, 1h or 7d."),
    "no such trace": (
        ("trace", {"trace_id": "f" * 31}),
        f"No trace id begins with {'f' * 31}. {GONE}",
    ),
    "files": (
        ("diff", {"before": "a.duckdb", "after": "b.duckdb"}),
        "A side is a window FROM..TO, SERVICE@VERSION or env:NAME: `lithoscope diff` compares files.",
    ),
    "no change": (
        ("simulate", {}),
        f"There is nothing to simulate: give {CHANGES}.",
    ),
    "no such service": (
        ("simulate", {"slow": ["paymnt=+1s"], **INCIDENT}),
        "There is no service 'paymnt': did you mean payment?",
    ),
    "no read": (
        ("sql", {"query": "DROP VIEW spans"}),
        "A query may only read, and this is DROP. Send one SELECT, EXPLAIN, DESCRIBE, SHOW or SUMMARIZE of the views.",
    ),
    "a window without traces is no mistake": (
        ("report", {"to": "2020-01-01"}),
        "There are no traces in this window: widen it with since, from or to, or send some.",
    ),
}


def test_a_mistake_is_one_sentence_with_the_remedy(shops: Path) -> None:
    """In the words of the tool, and the server goes on."""
    results = _asked(*(call for call, _ in MISTAKES.values()), server=make_server(source_opener(None, shops)))
    assert dict(zip(MISTAKES, map(_text, results), strict=True)) == {name: said for name, (_, said) in MISTAKES.items()}
    assert [result.is_error for result in results] == [True] * (len(MISTAKES) - 1) + [False]


def test_a_collector_is_asked(client: Collector) -> None:
    """By ``--url``; here by the handshake of older assistants."""
    calls = (("sql", {"query": "SELECT count(*) AS n FROM spans"}), ("trace", {"trace_id": "0101"}))
    rows, trace = map(_text, _asked(*calls, server=_started("--url", client.url), mode="legacy"))
    assert rows == "n\n4\n(1 row)"
    assert trace.startswith(f"trace {'01' * 16}: 99 ms, 3 spans, 2 services, 1 failed, complete\n")
    assert "\n    cart op 3 (1 event) [error]  27 ms" in trace


def test_a_collector_that_is_not_there_is_told_at_the_question() -> None:
    """It may start later than the assistant."""
    (result,) = _asked(("report", {}), server=make_server(source_opener("http://127.0.0.1:9", None)))
    assert result.is_error
    assert re.match(
        r"Nothing answers at http://127\.0\.0\.1:9 \(.*\): start a collector with `lithoscope serve`", _text(result)
    )


def test_a_file_is_held_no_longer_than_a_question(shops: Path) -> None:
    """Between two of them a collector may open it."""

    async def ask() -> list[str]:
        async with Client(make_server(source_opener(None, shops))) as client:
            said = []
            for _ in range(2):
                said.append(_text(await client.call_tool("sql", {"query": "SELECT 1 AS one"})))
                open_store(shops).close()
            return said

    assert anyio.run(ask) == ["one\n1\n(1 row)"] * 2


def _listed() -> ListToolsResult:
    async def ask() -> ListToolsResult:
        async with Client(make_server(_broken)) as client:
            return await client.list_tools()

    return anyio.run(ask)


def _broken() -> AbstractContextManager[Source]:
    raise RuntimeError("the inside")


def test_every_tool_reads_and_says_what_it_is_for() -> None:
    """Its name, what it is good for, and each of its arguments; none is said to change anything."""
    tools = _listed().tools
    assert [tool.name for tool in tools] == ["report", "trace", "diff", "simulate", "sql"]
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert len(tool.description or "") > 150
        assert [name for name, part in tool.input_schema["properties"].items() if not part.get("description")] == []
    assert sum(len(tool.model_dump_json(exclude_none=True)) for tool in tools) < 7000


def test_what_went_wrong_inside_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    """The assistant hears that it did, the log has the rest."""

    async def ask() -> CallToolResult:
        async with Client(make_server(_broken)) as client:
            return await client.call_tool("report", {})

    result = anyio.run(ask)
    assert (result.is_error, _text(result)) == (
        True,
        "report failed (RuntimeError): the log of `lithoscope mcp`, on standard error, has the traceback.",
    )
    assert "the inside" in caplog.text


def _run(*arguments: object, code: str = "") -> subprocess.CompletedProcess[str]:
    program = [str(ROOT / "lithoscope.py")] if not code else ["-c", code]
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_the_extra_it_says_what_to_install() -> None:
    """One sentence and exit status 2."""
    code = "import sys; sys.modules['mcp'] = None; sys.argv[0] = 'lithoscope'; import lithoscope; lithoscope.main()"
    done = _run("mcp", code=code)
    message = "lithoscope: lithoscope mcp needs what `pip install lithoscope[mcp]` brings.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--db", "nowhere.duckdb"), "There is no file nowhere.duckdb: give an existing database with --db."),
        (("--db", "x", "--url", "http://x"), "Give either --url or --db, not both."),
    ],
)
def test_wrong_use_is_told_at_the_start(options: tuple[str, ...], message: str) -> None:
    """Before any assistant has waited for it."""
    done = _run("mcp", *options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"lithoscope: {message}\n")


def test_it_ends_with_its_input() -> None:
    """Which is how an assistant ends it."""
    done = _run("mcp")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_has_every_tool_with_its_arguments() -> None:
    """In their order, and no others; its configuration is JSON that starts the command."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`", takes) for name, takes in rows}
    assert told == {tool.name: list(tool.schema()["properties"]) for tool in TOOLS}
    (snippet,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(snippet)["mcpServers"]["lithoscope"]["args"][0] == "mcp"
