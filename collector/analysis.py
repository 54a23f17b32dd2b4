"""What the collector asks of the analysis, which imports the collector and is handed to it by the front door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa
    from prometheus_client import CollectorRegistry

    from collector.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Beside:
    """What alerts need beside the store: a file of what was told, and what links to the dashboard begin with."""

    state: Path
    dashboard: str | None = None


class Analysis(Protocol):
    """The analysis, as the query API and the commands see it."""

    def running(
        self, store: Store, registry: CollectorRegistry, beside: Beside | None = None
    ) -> AbstractContextManager[None]:
        """Keep the store's rollups up to date inside the ``with`` block; how far it is goes to the registry.

        Alerts are sent when ``beside`` is given.
        """

    def analyse_again(self, store: Store, options: Mapping[str, str] | None) -> dict[str, Any]:
        """Have the minutes of a window analysed again by what is ``running``; without options only say how many wait.

        Options: ``since``, ``from`` and ``to`` as in ``report``. Returns ``minutes``, which were asked for, and
        ``waiting``, of all that were. Raises ``ConfigurationError`` for other options, and when nothing is running.
        """

    def trace(self, trace: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
        """Return the contract's ``trace`` object with its analysis, given it without and its ``spans`` rows."""

    def report(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """Return the contract's ``report`` object of what a store holds.

        Options: ``since`` (a duration before now) or ``from`` and ``to`` (times), ``env``, ``endpoint`` ("SERVICE
        OPERATION"). Raises ``ConfigurationError`` for an option that is unknown or wrong.
        """

    def diff(self, before: tuple[Store, str], after: tuple[Store, str], env: str | None = None) -> dict[str, Any]:
        """Return the contract's ``diff`` object of two sides, each a store and what of it: "" is all of it.

        A side is a window ``FROM..TO``, ``SERVICE@VERSION`` or ``env:NAME``. Raises ``ConfigurationError`` for others.
        """

    def simulate(self, store: Store, options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the contract's ``simulate`` object of what a store holds; each option has all its values.

        Options: ``slow``, ``fail``, ``async`` and ``breaker``, each as often as wanted, and ``since``, ``from``, ``to``
        and ``env`` as in ``report``. Raises ``ConfigurationError`` for an option, a service or an edge that is unknown
        or wrong, and when there is nothing to simulate.
        """

    def series(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """Return what services, endpoints or edges did over time, as ``docs/query-api.md`` has it.

        Options: those of ``report`` but ``endpoint``, ``of``, ``name``, ``bucket`` and ``rows``. Raises
        ``ConfigurationError`` for one that is unknown or wrong; so do the other two.
        """

    def saturation(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """Return how full resources are over time, and how latency answers to load."""

    def coupling_history(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """Return the coupling index of each hour."""
