"""Settings: one precedence, every mistake at once, and documentation that cannot lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.errors import ConfigurationError
from collector.settings import FLAGS, Address, Settings, load_settings, variable
from collector.settings_page import describe_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def test_defaults() -> None:
    """Without anything given, everything listens on this machine only."""
    settings = load_settings()
    assert (str(settings.db), str(settings.grpc), str(settings.http), str(settings.query)) == (
        "lithoscope.duckdb",
        "127.0.0.1:4317",
        "127.0.0.1:4318",
        "127.0.0.1:4319",
    )
    assert (settings.retain, settings.max_disk, settings.query_seconds) == (None, None, 30.0)


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source fills what the ones before it left open; a flag that is None was not given."""
    file = tmp_path / "lithoscope.toml"
    file.write_text('grpc = "[::1]:1"\nhttp = "a:1"\nquery = "a:1"\nretain = "7d"\nmax_disk = "20GB"\nquery_rows = 5\n')
    monkeypatch.setenv("LITHOSCOPE_HTTP", "b:2")
    monkeypatch.setenv("LITHOSCOPE_QUERY", "b:2")
    monkeypatch.setenv("LITHOSCOPE_STORE_MEMORY", "4GB")
    settings = load_settings({"query": "c:0", "db": None}, file)
    assert (settings.grpc, settings.http, settings.query) == (Address("::1", 1), Address("b", 2), Address("c", 0))
    assert (settings.retain, settings.max_disk, settings.query_rows) == (604_800.0, 20_000_000_000, 5)
    assert settings.store_memory == "4000000000B"


def test_all_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a mistake, from every source, each with the names of the setting and what is wanted."""
    file = tmp_path / "lithoscope.toml"
    file.write_text('qurey = "a:1"\nretain = "7 weeks"\nquery_rows = 0\n')
    monkeypatch.setenv("LITHOSCOPE_MAX_DISK", "much")
    monkeypatch.setenv("LITHOSCOPE_LOG_FORMAT", "xml")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"grpc": "4317"}, file)
    assert str(caught.value).splitlines() == [
        "grpc (--grpc, LITHOSCOPE_GRPC or the config file): '4317' is not HOST:PORT, for example 127.0.0.1:4317.",
        "retain (LITHOSCOPE_RETAIN or the config file): '7 weeks' is not a duration, for example 200ms, 5s, 1h or 7d.",
        "max_disk (LITHOSCOPE_MAX_DISK or the config file): 'much' is not a size, for example 64MiB or 20GB.",
        "query_rows (LITHOSCOPE_QUERY_ROWS or the config file): input should be greater than 0, not 0.",
        (
            "log_format (--log-format, LITHOSCOPE_LOG_FORMAT or the config file): input should be 'console' or 'json', "
            "not 'xml'."
        ),
        "qurey is not a setting: did you mean query?",
    ]


def test_an_unknown_variable_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets LITHOSCOPE_PORT and others for a service named lithoscope."""
    monkeypatch.setenv("LITHOSCOPE_PORT", "tcp://10.0.0.1:4317")
    assert load_settings().grpc == Address("127.0.0.1", 4317)


@pytest.mark.parametrize("content", [None, "grpc = [", b"\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | bytes | None) -> None:
    """Missing, no TOML, no text: the message names the file and the option."""
    file = tmp_path / "lithoscope.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=r"The file .*lithoscope\.toml of --config cannot be read as TOML"):
        load_settings({}, file)


@pytest.mark.parametrize("text", ["", ":1", "host", "host:", "host:x", "host:65536", "host:-1", "host:²", "[]:1"])
def test_a_wrong_address_is_refused(text: str) -> None:
    """A host and a port between 0 and 65535."""
    with pytest.raises(ValueError, match=r"is not HOST:PORT"):
        Address.parse(text)


def test_the_analysis_is_handed_its_own(tmp_path: Path) -> None:
    """As they stand in the file; it knows best what may be in its tables."""
    file = tmp_path / "lithoscope.toml"
    file.write_text(
        'correct_clocks = false\n[metric_aliases."my.cpu"]\nresource = "cpu"\nreading = "shares"\n[rules.x]\ny = 1\n'
    )
    assert load_settings({}, file).analysis == {
        "correct_clocks": False,
        "metric_aliases": {"my.cpu": {"resource": "cpu", "reading": "shares"}},
        "rules": {"x": {"y": 1}},
        "alerts": (),
    }


@pytest.mark.parametrize(
    ("given", "link"),
    [
        ({}, "http://127.0.0.1:8501"),
        ({"dashboard": "off"}, None),
        ({"dashboard": "127.0.0.1:0"}, None),
        ({"dashboard": "0.0.0.0:8501"}, None),
        ({"dashboard": "off", "dashboard_url": "https://a.example/x/"}, "https://a.example/x"),
        ({"dashboard": "[::1]:1", "tls_cert": "a", "tls_key": "b"}, "https://[::1]:1"),
    ],
)
def test_links_begin_where_people_reach_the_dashboard(given: dict[str, str], link: str | None) -> None:
    """Nothing is guessed: no link rather than one that leads nowhere."""
    assert load_settings(given).dashboard_link == link


def test_an_ipv6_address_wants_brackets() -> None:
    """Without them the port cannot be told from the address."""
    assert str(Address.parse("[::1]:0")) == "[::1]:0"
    with pytest.raises(ValueError, match=r"write an IPv6 address in brackets"):
        Address.parse("::1:4317")


def test_flags_are_settings() -> None:
    """Every option of serve that a message may name is a setting."""
    assert set(FLAGS) <= set(Settings.model_fields)


def test_every_setting_is_documented() -> None:
    """docs/settings.md is what the settings say; `python -m collector.settings_page` writes it anew."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == describe_settings()
