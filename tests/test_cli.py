"""The command as a user meets it: output, exit status, and one sentence for an error."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from collector.cli.demo import QUERIES

if TYPE_CHECKING:
    from collector.client import Client

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "serve",
    "dashboard",
    "import",
    "sql",
    "trace",
    "report",
    "diff",
    "simulate",
    "check",
    "export",
    "analyze",
    "backup",
    "restore",
    "health",
    "mcp",
    "demo",
    "key",
    "quarantine",
)
_LITHOSCOPE = (sys.executable, str(ROOT / "lithoscope.py"))


def _run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_LITHOSCOPE, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_lists_the_commands() -> None:
    """All of them, in the order in which one meets them."""
    listed = _run("--help").stdout.partition("Commands:")[2]
    assert tuple(re.findall(r"^  (\w+) ", listed, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """The example starts as a user would type it."""
    done = _run(command, "--help")
    assert done.returncode == 0
    assert f"Example: lithoscope {command}" in done.stdout


def test_sql_from_a_file_in_every_form(shop_file: Path, tmp_path: Path) -> None:
    """A table for people, and the machine's forms to standard output or a file."""
    query = "SELECT service_name, count(*) AS spans FROM spans GROUP BY ALL ORDER BY ALL"
    assert _run("sql", query, "--db", shop_file).stdout.splitlines() == [
        "service_name │ spans",
        "─────────────┼──────",
        "cart         │     2",
        "web          │     2",
        "(2 rows)",
    ]
    assert _run("sql", "-", "--db", shop_file, "--format", "csv", stdin=query).stdout == (
        "service_name,spans\ncart,2\nweb,2\n"
    )
    assert json.loads(_run("sql", query, "--db", shop_file, "--format", "json").stdout)[1] == {
        "service_name": "web",
        "spans": 2,
    }
    output = tmp_path / "out.arrow"
    assert _run("sql", query, "--db", shop_file, "--format", "arrow", "-o", output).stdout == ""
    with pa.ipc.open_stream(output.read_bytes()) as reader:
        assert reader.read_all().num_rows == 2


def test_sql_and_trace_from_a_collector(client: Client) -> None:
    """--url asks a running one."""
    assert _run("sql", "SELECT 1 AS one", "--url", client.url, "--format", "csv").stdout == "one\n1\n"
    assert json.loads(_run("trace", "01" * 16, "--url", client.url, "--format", "json").stdout) == client.trace(
        "01" * 16
    )


def test_trace_is_a_waterfall(shop_file: Path) -> None:
    """Parents above children, errors named, and what each adds to the critical path."""
    lines = _run("trace", "01" * 16, "--db", shop_file).stdout.splitlines()
    assert lines[0] == f"trace {'01' * 16}  99 ms  3 spans  2 services  complete"
    assert [re.split("[━─]", line)[0].rstrip() for line in lines[1:]] == [
        "                                  duration    on path",
        "web op 1                             99 ms      21 ms",
        "  cart op 2                          78 ms      51 ms",
        "    cart op 3 (1 event) [error]      27 ms      27 ms",
    ]


def test_a_trace_is_found_by_the_first_digits_of_its_id(shop_file: Path) -> None:
    """In either case."""
    assert json.loads(_run("trace", "0101", "--db", shop_file, "--format", "json").stdout)["trace_id"] == "01" * 16


def test_simulate_a_file(shop_file: Path) -> None:
    """Options repeat and combine, as text and as JSON."""
    changes = ("--slow", "cart=+200ms", "--slow", "web=+1ms", "--fail", "cart=0.5", "--db", shop_file)
    answer = json.loads(_run("simulate", *changes, "--format", "json").stdout)
    assert [change["kind"] for change in answer["changes"]] == ["slow", "slow", "fail"]
    lines = _run("simulate", *changes).stdout.splitlines()
    assert lines[2:5] == [
        "What if each request to cart took 200 ms more?",
        "What if each request to web took 1 ms more?",
        "What if 50 % of the requests to cart failed?",
    ]


def test_an_import_that_leaves_something_out_fails(tmp_path: Path) -> None:
    """Status 1 and how many records it was; what was good is kept."""
    ids = [("ab" * 16, "01" * 8), ("ab", "01")]
    good, bad = (json.dumps({"traceId": trace, "spanId": span, "name": "a"}) for trace, span in ids)
    file = tmp_path / "traces.json"
    file.write_text(f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{good}, {bad}]}}]}}]}}')
    done = _run("import", file, "--db", tmp_path / "new.duckdb")
    assert (done.returncode, done.stdout) == (1, "read 2, stored 1, duplicates 0, rejected 1, bad records 0\n")
    assert done.stderr.splitlines()[-1] == "lithoscope: 1 record was refused and left out; the rest is kept."
    file.write_text(f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{good}]}}]}}]}}')
    assert _run("import", file, "--db", tmp_path / "new.duckdb").returncode == 0


def test_the_remedy_for_times_without_a_zone_works(shop_file: Path) -> None:
    """As the message about now() says."""
    done = _run("sql", "SELECT count(*) FROM spans WHERE start_time > now()", "--db", shop_file)
    assert "write now() AT TIME ZONE 'UTC' in its place." in done.stderr
    right = "SELECT count(*) AS n FROM spans WHERE start_time BETWEEN '2026-01-01' AND now() AT TIME ZONE 'UTC'"
    assert _run("sql", right, "--db", shop_file, "--format", "csv").returncode == 0


def test_the_queries_of_the_demo_run(shop_file: Path) -> None:
    """Each of them, as it is printed."""
    for query in QUERIES.values():
        assert _run("sql", query, "--db", shop_file).returncode == 0


def test_export_says_what_it_wrote(shop_file: Path, tmp_path: Path) -> None:
    """A line a file."""
    done = _run("export", "--to", tmp_path, "--db", shop_file, "--since", "2026-11-24")
    assert done.stdout == f"{tmp_path}/spans/day=2026-11-24/spans.parquet 1 rows\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("sql", "SELECT nope FROM spans", "--db", "{db}"), 2, r"Binder Error: .*nope.* Did you mean "),
        (("sql", "DROP VIEW spans", "--db", "{db}"), 2, r"A query may only read, and this is DROP\."),
        (("sql", "SELECT 1", "--db", "nowhere.duckdb"), 2, r"There is no file nowhere\.duckdb: give an existing"),
        (("sql", "SELECT 1", "--db", "{db}", "--url", "http://x"), 2, r"Give either --url or --db, not both\."),
        (("sql", "SELECT 1", "--url", "here"), 2, r"'here' is not the address of a query API"),
        (("trace", "f" * 32, "--db", "{db}"), 1, r"There is no trace f{32}\."),
        (("trace", "f" * 31, "--db", "{db}"), 1, r"No trace id begins with f{31}\. A trace appears"),
        (("trace", "010", "--db", "{db}"), 2, r"010 is too short for a trace id\. Give at least 4 of its 32 hex"),
        (("trace", "zz", "--db", "{db}"), 2, r"'zz' is not a trace id\. A trace id is 32 hexadecimal digits\."),
        (("diff", "env:x", "env:y", "--db", "{db}"), 2, r"No trace has the environment env:x: give one of env:"),
        (("simulate", "--slow", "wep=+1s", "--db", "{db}"), 2, r"There is no service 'wep': did you mean web\?"),
        (("simulate", "--db", "{db}"), 2, r"There is nothing to simulate: give --slow SERVICE=\+200ms"),
        (("simulate", "--async", "web->card", "--db", "{db}"), 2, r"No call from web waits for 'card': did you mean c"),
        (("export", "--to", "x", "--since", "soon", "--db", "{db}"), 2, r"--since 'soon' is neither"),
        (("serve", "--grpc", "4317"), 2, r"grpc \(--grpc, LITHOSCOPE_GRPC or the config file\): '4317' is not"),
        (("serve", "--config", "nowhere.toml"), 2, r"The file nowhere\.toml of --config cannot be read"),
    ],
)
def test_an_error_is_one_sentence(shop_file: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    """On standard error, with the remedy and without a traceback; 2 for wrong use and 1 for failure."""
    done = _run(*(argument.replace("{db}", str(shop_file)) for argument in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert re.match(f"lithoscope: {message}", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_debug_shows_the_traceback(shop_file: Path) -> None:
    """For a report to the authors."""
    done = _run("--debug", "sql", "SELEC", "--db", shop_file)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("bogus",), ("sql",), ("sql", "SELECT 1", "--format", "xml")])
def test_wrong_use_is_status_2(arguments: tuple[str, ...]) -> None:
    """Unknown commands, missing arguments and wrong choices come with the usage."""
    done = _run(*arguments)
    assert done.returncode == 2
    assert "Usage: " in done.stdout + done.stderr


def test_without_url_and_db_the_default_is_tried() -> None:
    """When nothing answers, the message says which address that was; when something does, it is asked."""
    done = _run("sql", "SELECT 1 AS one", "--format", "csv")
    if done.returncode == 0:
        assert done.stdout == "one\n1\n"
    else:
        assert "Neither --url nor --db was given, so http://127.0.0.1:4319 was tried." in done.stderr


def test_serve_says_where_it_listens_and_stops_on_a_signal(tmp_path: Path) -> None:
    """One address a line as soon as it is ready; port 0 becomes the port it got; SIGTERM ends it with status 0."""
    ports = [argument for name in ("--grpc", "--http", "--query") for argument in (name, "127.0.0.1:0")]
    with subprocess.Popen(
        [*_LITHOSCOPE, "serve", "--db", str(tmp_path / "x.duckdb"), *ports], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        addresses = dict(process.stdout.readline().split() for _ in range(3))
        assert list(addresses) == ["grpc", "http", "query"]
        done = _run(
            "sql", "SELECT count(*) AS n FROM spans", "--url", f"http://{addresses['query']}", "--format", "csv"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert done.stdout == "n\n0\n"
    assert not any(address.endswith(":0") for address in addresses.values())


def test_check_of_a_file(shop_file: Path, tmp_path: Path) -> None:
    """Held is 0, broken is 1 in every format, and a wrong policy is 2."""
    policy = tmp_path / "policy.toml"

    def check(text: str, *options: str) -> tuple[int, str, str]:
        policy.write_text(text)
        done = _run("check", "--policy", policy, "--db", shop_file, *options)
        return done.returncode, done.stdout.splitlines()[0] if done.stdout else "", done.stderr

    status, first, _ = check('[dependencies]\nforbid = ["web -> cart"]')
    assert (status, first) == (
        1,
        (
            "broken   no dependency web -> cart [web, cart]: web calls cart (1 sync call), which is forbidden.  "
            "lithoscope trace 010101010101"
        ),
    )
    for form in ("json", "junit", "sarif", "markdown"):
        assert check('[dependencies]\nforbid = ["web -> cart"]', "--format", form)[0] == 1
    assert check('[dependencies]\nallow = ["web -> cart"]')[:2] == (
        0,
        ("HELD: 1 of 1 clause. environment without a name, 2 traces, 2026-11-23 12:00 to 2026-11-24 12:00 UTC."),
    )
    assert check('[dependencies]\nforbid = ["web -> card"]') == (
        2,
        "",
        f"lithoscope: {policy}: dependencies.forbid names card, which no stored span comes from: did you mean cart?\n",
    )
    assert check('[dependencies]\nallow = ["web -> cart"]', "--to", "2020-01-01")[0] == 1


def test_check_compares_with_what_was_before(shop_file: Path, tmp_path: Path) -> None:
    """With another file, or with another window of the same source, in the forms that have a place for it."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[index]\nmax = 100\n")
    baseline = Path(shutil.copy(shop_file, tmp_path / "before.duckdb"))

    def check(*options: object) -> subprocess.CompletedProcess[str]:
        return _run("check", "--policy", policy, "--db", shop_file, *options)

    found = json.loads(check("--before", baseline, "--format", "json").stdout)
    assert (found["coupling"]["new_edges"], found["coupling"]["gone_edges"]) == ([], [])
    later = check("--from", "2026-11-24", "--before", "2026-11-23..2026-11-24", "--format", "json")
    assert [edge["caller"] for edge in json.loads(later.stdout)["coupling"]["gone_edges"]] == ["web"]
    assert check("--before", baseline).stdout.endswith("No edge, cycle or finding came or went.\n")
    refused = check("--before", baseline, "--format", "junit")
    assert (refused.returncode, refused.stderr) == (
        2,
        "lithoscope: --before is for --format text, json, markdown: junit has no place for it.\n",
    )
    lone = _run("check", "--policy", policy, "--before", baseline)
    assert (lone.returncode, lone.stderr) == (
        2,
        "lithoscope: Compare a file with another file: give --db, or a --before that is no file.\n",
    )


def test_the_format_follows_from_the_ending_of_the_file(shop_file: Path, tmp_path: Path) -> None:
    """Unless it is said; an ending that tells nothing is refused before the query runs."""

    def write(name: str, *options: str) -> bytes:
        done = _run("sql", "SELECT 1 AS one", "--db", shop_file, "-o", tmp_path / name, *options)
        return (tmp_path / name).read_bytes() if done.returncode == 0 else done.stderr.encode()

    assert write("a.parquet").startswith(b"PAR1")
    assert write("a.CSV") == b"one\n1\n"
    assert write("a.txt").startswith(b"one\n")
    assert write("b.parquet", "--format", "json") == b'[{"one":1}]\n'
    assert write("a.xlsx").endswith(b"by .xlsx: take one of .json, .csv, .arrow, .parquet, .txt, or say --format.\n")


def test_an_import_is_analysed(tmp_path: Path) -> None:
    """What SQL says of services is there at once, and once."""
    db = tmp_path / "trio.duckdb"
    for _ in range(2):
        assert _run("import", ROOT / "sample_traces" / "trio.otlp.zst", "--db", db).returncode == 0
        done = _run("sql", "SELECT name FROM services WHERE type = 'service' ORDER BY name", "--db", db)
        assert (done.stdout.splitlines()[2:5], done.stderr) == (["orders", "stock", "storefront"], "")


def test_a_file_of_which_nothing_is_read_makes_no_database(tmp_path: Path) -> None:
    """Nor a log beside it; one that was there stays."""
    file = tmp_path / "notes.txt"
    file.write_text("no traces")
    db = tmp_path / "new.duckdb"
    assert _run("import", file, tmp_path / "missing", "--db", db).returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


def test_the_readme_counts_failures_as_the_report_does(shop_file: Path) -> None:
    """Its first query, and all others run."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    rows = json.loads(_run("sql", first, "--db", shop_file, "--format", "json").stdout)
    report = json.loads(_run("report", "--db", shop_file, "--format", "json").stdout)
    assert {f"{row['service_name']} {row['span_name']}": row["percent_failed"] / 100 for row in rows} == {
        f"{row['service']} {row['operation']}": row["error_rate"] for row in report["endpoints"]
    }
    for query in others:
        assert _run("sql", query, "--db", shop_file).returncode == 0
