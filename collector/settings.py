"""Every setting once, from flags, then the environment, then a TOML file; all mistakes are reported at once."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, TomlConfigSettingsSource

from collector.access.passwords import is_hash
from collector.access.tls import Certificates
from collector.errors import ConfigurationError
from collector.redaction import Redact, Redaction
from collector.tracing import FROM_VARIABLES
from collector.units import parse_duration_ns, parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "LITHOSCOPE_"
FLAGS = (
    *("db", "store", "data", "grpc", "http", "query", "quack", "dashboard", "keys", "insecure", "log_format"),
    "trace_to",
)
"""The settings that ``lithoscope serve`` has options for."""
ANALYSIS = ("correct_clocks", "metric_aliases", "rules", "alerts")
"""The settings that are the analysis's own: it is handed them as they are, and checks what is in them."""

_MOST_PORT = 65_535
_EVERYWHERE = ("0.0.0.0", "::", "*")  # noqa: S104  (no address that a link could have)


class Address(NamedTuple):
    """Where to listen; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address of ``HOST:PORT`` or ``[IPV6]:PORT``; raises ``ValueError`` with a sentence."""
        host, colon, port = text.strip().rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        is_bracketed = host == f"[{bare}]"
        if not (colon and bare and port.isascii() and port.isdigit() and int(port) <= _MOST_PORT):
            raise ValueError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:4317")
        if ":" in bare and not is_bracketed:
            raise ValueError(f"{text!r} is ambiguous: write an IPv6 address in brackets, for example [::1]:4317")
        return cls(bare, int(port))


def _address(value: object) -> Address:
    return value if isinstance(value, Address) else Address.parse(str(value))


def _address_or_off(value: object) -> Address | None:
    return None if value is None or str(value).strip().lower() == "off" else _address(value)


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _seconds(value: object) -> object:
    return parse_duration_ns(value) / 1e9 if isinstance(value, str) else value


def _seconds_or_duration(value: object) -> object:
    """Plain numbers are seconds here, as the setting's name says."""
    return _seconds(value) if isinstance(value, str) and not value.replace(".", "", 1).isdigit() else value


def _memory(value: object) -> str:
    return f"{parse_size(str(value))}B"


def _words(value: object) -> object:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Listen = Annotated[Address, NoDecode, PlainValidator(_address)]
ListenOrOff = Annotated[Address | None, NoDecode, PlainValidator(_address_or_off)]
Size = Annotated[PositiveInt, BeforeValidator(_size)]
Seconds = Annotated[float, Field(gt=0), BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """The collector's settings; make one with ``load_settings``, which words mistakes for people."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    db: Path = Field(Path("lithoscope.duckdb"), description="The DuckDB file; it is created when it does not exist.")
    store: str | None = Field(
        None,
        description="A lake instead of the file, which several collectors write to: `ducklake:postgres:dbname=…` or "
        " `ducklake:PATH` for one; the durable log stays beside `db`. See docs/lake.md.",
        repr=False,
    )
    data: str | None = Field(None, description="Where the files of `store` are: a folder or an `s3://` address.")
    grpc: Listen = Field(Address("127.0.0.1", 4317), description="Where OTLP/gRPC listens.")
    http: Listen = Field(Address("127.0.0.1", 4318), description="Where OTLP/HTTP listens.")
    query: Listen = Field(Address("127.0.0.1", 4319), description="Where the query API, health and metrics listen.")
    quack: ListenOrOff = Field(
        None,
        description="Where DuckDB's remote protocol listens, on this machine alone, for `ATTACH 'quack:…'` "
        "(needs DuckDB 1.5.5 and its extensions). See docs/quack.md.",
    )
    dashboard: ListenOrOff = Field(
        Address("127.0.0.1", 8501), description="Where the dashboard listens; `off` for none."
    )
    keys: Path | None = Field(
        None,
        description="A file of API keys, made by `lithoscope key`; with it, everything but health wants a key of the "
        "right scope.",
    )
    tls_cert: Path | None = Field(None, description="A certificate with its chain, in PEM: all ports speak TLS.")
    tls_key: Path | None = Field(None, description="The key of `tls_cert`, in PEM, without a password.")
    tls_client_ca: Path | None = Field(
        None, description="Who signs the certificates of clients, in PEM: they must show one on every port."
    )
    insecure: bool = Field(
        False, description="Listen on addresses that other machines reach without asking anybody who they are."
    )
    dashboard_password: str | None = Field(
        None,
        description="What `lithoscope key password` prints: the hash of a password that the dashboard asks for.",
        repr=False,
    )
    dashboard_login: Path | None = Field(
        None,
        description="A file of Streamlit secrets with an `[auth]` table: the dashboard logs people in by OpenID "
        "Connect (needs `pip install lithoscope[oidc]`).",
    )
    dashboard_users: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = Field(
        (),
        description="Who may come in by `dashboard_login`: addresses (`ada@example.org`) and domains (`@example.org`), "
        "with commas between them in the variable; without any, everybody whom the provider lets in.",
    )
    max_request_bytes: Size = Field(64 * 1024**2, description="Largest request, counted after decompression.")
    queue_bytes: Size = Field(
        256 * 1024**2,
        description="Bytes of requests accepted and not yet in the store; beyond it senders are told to retry.",
    )
    log_bytes: Size = Field(
        4 * 1024**3,
        description="Bytes of requests that may wait in the durable log alone while the database cannot be written; "
        "beyond it senders are told to retry.",
    )
    keep_log: bool = Field(False, description="Keep the durable log's segments after they are in the store.")
    retain: Seconds | None = Field(
        None, description="Delete telemetry that is older than this duration, for example 7d; without it, never."
    )
    max_disk: Size | None = Field(
        None,
        description="Delete the oldest telemetry when the database is larger than this, for example 20GB; space comes "
        "free by some 120,000 rows at a time.",
    )
    query_seconds: Annotated[float, Field(gt=0), BeforeValidator(_seconds_or_duration)] = Field(
        30.0, description="Longest time of one query."
    )
    query_rows: PositiveInt = Field(1_000_000, description="Most rows one query may answer.")
    query_memory: Size = Field(
        512 * 1024**2,
        description="Most bytes one query's answer may take in memory, and what it sorts and groups meanwhile; what is "
        "more of that goes to disk.",
    )
    query_concurrency: PositiveInt = Field(
        2, description="Most queries of one API key that run at once, of four in all; further ones wait, a few."
    )
    store_memory: Annotated[str, BeforeValidator(_memory)] = Field(
        "1GB",
        description="Memory DuckDB may use: its cache grows to this size, and what does not fit spills to disk.",
    )
    grpc_workers: PositiveInt = Field(16, description="Threads that answer OTLP/gRPC requests.")
    correct_clocks: bool = Field(
        True,
        description="Correct the clocks of hosts in the analysis, by the calls between them; stored times stay as they "
        "came.",
    )
    metric_aliases: dict[str, Any] = Field(
        {},
        description="Metrics that tell of a resource, besides those that are known: a table for each name, such as "
        '`[metric_aliases."my.pool.busy"]` with `resource = "threads"`, `reading = "used"` (or `share`, `rate`, '
        "`pending`, `level`), and if need be `limits` (metrics that say how much there is) and `parts` (states that "
        "count as used).",
    )
    rules: dict[str, Any] = Field(
        {},
        description="Limits of rules that are not the default: a table for each rule, such as `[rules.sync-chain]` "
        "with `depth = 6`; docs/rules.md names them.",
    )
    alerts: Any = Field(
        (),
        description="What webhooks are told of: a table `[[alerts]]` for each rule on the coupling index, a finding or "
        "an endpoint, see docs/alerts.md; the variable takes them as a list in JSON.",
        repr=False,
    )
    dashboard_url: str | None = Field(
        None,
        description="Where people reach the dashboard, such as https://lithoscope.example.org, for links in alerts; "
        "without it they begin with `dashboard`.",
    )
    redact: Redact = Field(
        Redact(),
        description="Personal data that is not stored: a table `[redact]` with `drop` and `hash` (lists of patterns of "
        'attribute keys, such as `"user.*"`), `hash_key` (a file with the secret of the hashes) and `bodies` (regular '
        "expressions of what to cut out of the bodies of logs). See docs/operations.md.",
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="How the collector's own log is written, on standard error."
    )
    trace_to: str | None = Field(
        None,
        description="An OTLP/HTTP address that the collector's own traces go to, which may be its own, or `otel` for "
        "that of the OTEL_* variables (needs `pip install lithoscope[otel]`).",
    )
    debug: bool = Field(False, description="Log more, and show tracebacks.")

    @model_validator(mode="after")
    def _log_is_not_kept(self) -> Self:
        if self.keep_log and self.redact != Redact():
            raise ValueError("keep_log and redact exclude each other: the durable log holds requests as they came")
        return self

    @model_validator(mode="after")
    def _lake_is_whole(self) -> Self:
        if (self.store is None) != (self.data is None):
            raise ValueError("store and data belong together: give both, or neither")
        if self.store is not None and not self.store.startswith("ducklake:"):
            raise ValueError("store names a lake, as in ducklake:postgres:dbname=lithoscope; for a file give db alone")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both, or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key: clients show theirs inside TLS")
        return self

    @field_validator("dashboard_password")
    @classmethod
    def _password_is_hashed(cls, value: str | None) -> str | None:
        if value is not None and not is_hash(value):
            raise ValueError("write what `lithoscope key password` prints: a password itself belongs in no file")
        return value

    @field_validator("trace_to")
    @classmethod
    def _target_is_an_address(cls, value: str | None) -> str | None:
        if value not in (None, FROM_VARIABLES) and not str(value).startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not an address like http://127.0.0.1:4318, nor {FROM_VARIABLES}")
        return value

    @field_validator("dashboard_url")
    @classmethod
    def _link_is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not an address like https://lithoscope.example.org")
        return value

    @field_validator("dashboard_users")
    @classmethod
    def _users_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for user in value:
            if "@" not in user or user.endswith("@"):
                raise ValueError(f"{user!r} is neither an address nor a domain with an @ before it, like @example.org")
        return value

    @property
    def asks_who(self) -> bool:
        """Whether strangers are told from friends."""
        return self.keys is not None or self.tls_client_ca is not None

    @property
    def certificates(self) -> Certificates | None:
        """What the ports present, if anything."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return Certificates(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def dashboard_link(self) -> str | None:
        """What links to the dashboard begin with; None when nobody says where others reach it."""
        if self.dashboard_url is not None:
            return self.dashboard_url.rstrip("/")
        if self.dashboard is None or not self.dashboard.port or self.dashboard.host in _EVERYWHERE:
            return None
        return f"{'http' if self.certificates is None else 'https'}://{self.dashboard}"

    @property
    def redaction(self) -> Redaction | None:
        """What is not to be stored, if anything."""
        return self.redact.redaction

    @property
    def analysis(self) -> dict[str, Any]:
        """What the analysis is handed."""
        return {name: getattr(self, name) for name in ANALYSIS}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (the library's signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(flags: Mapping[str, Any] | None = None, config: Path | None = None) -> Settings:
    """Return the settings; a flag that is None was not given.

    Raises ``ConfigurationError`` that lists all mistakes, one a line, each with the setting's name and the remedy.
    Unknown variables of the environment are no mistake: Kubernetes sets ``LITHOSCOPE_PORT`` for a service of that name.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return _with_file(config)(**given)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_sentence(mistake) for mistake in error.errors())) from error


def _with_file(config: Path | None) -> type[Settings]:
    if config is None:
        return Settings
    try:
        tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"The file {config} of --config cannot be read as TOML ({reason}): give another, or mend it after "
            "docs/settings.md."
        ) from error

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    return FromFile


def _sentence(mistake: Any) -> str:
    if not mistake["loc"]:  # several settings together
        return f"{str(mistake['msg']).removeprefix('Value error, ')}."
    name = str(mistake["loc"][0])
    if mistake["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        return f"{name} is not a setting{f': did you mean {near[0]}?' if near else '; see docs/settings.md.'}"
    message = str(mistake["msg"]).removeprefix("Value error, ")
    said = "" if mistake["type"] == "value_error" else f", not {mistake['input']!r}"
    return f"{name} ({', '.join(_places(name))} or the config file): {message[:1].lower()}{message[1:]}{said}."


def _places(name: str) -> list[str]:
    return [f"--{name.replace('_', '-')}", variable(name)] if name in FLAGS else [variable(name)]


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"
