"""Services and clocks: what a span's resource says about where the span comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.schema import RESOURCES, SERVICES, conform

if TYPE_CHECKING:
    from analytics.arrays import Rows

UNKNOWN_SERVICE = "unknown_service"
"""What OpenTelemetry's SDKs call a service without a name."""

_TEXT = ("environment", "namespace", "instance", "host", "version")


@dataclass(frozen=True, slots=True)
class Origins:
    """Codes of services and hosts by resource id; ``services`` (SERVICES) and ``hosts`` say what the codes stand for.

    A host is what shares a clock; ``versions`` and ``instances`` are the services', null where nobody says. The last
    entry of all four is that of resources nobody described.
    """

    service: Rows
    host: Rows
    services: pl.DataFrame
    hosts: pl.Series
    versions: pl.Series
    instances: pl.Series

    def places(self, resource: pl.Series) -> Rows:
        """Return where ``service`` and ``host`` have these resources; unknown and null ones at the end."""
        known = resource.is_between(0, len(self.service) - 2).fill_null(value=False)
        return np.where(known.to_numpy(), resource.fill_null(0).to_numpy(), len(self.service) - 1).astype(np.int32)


def resolve_origins(resources: pl.DataFrame) -> Origins:
    """Give each service (environment, namespace, name) and each host of RESOURCES a code.

    ``services`` has one row more than are described when no service is the unknown one: that of unknown resources. A
    resource without any host attribute has its instance for a host, and without that its service.
    """
    described = _one_row_an_id(conform(resources, RESOURCES)).with_columns(
        pl.col("service").replace("", None).fill_null(UNKNOWN_SERVICE),
        *(pl.col(name).cast(pl.String).replace("", None) for name in _TEXT),
    )
    identity = ["environment", "namespace", "service"]
    services = described.select(identity).unique().sort(identity, nulls_last=True).with_row_index("service_code")
    host = pl.coalesce("host", "instance", pl.concat_str(pl.col(identity).fill_null(""), separator="/"))
    coded = described.join(services, on=identity, how="left", nulls_equal=True, maintain_order="left").with_columns(
        host.alias("clock")
    )
    hosts = coded["clock"].unique().sort()
    places = pl.DataFrame({"clock": hosts}).with_row_index("host_code")
    coded = coded.join(places, on="clock", how="left", maintain_order="left")
    return Origins(
        service=coded["service_code"].to_numpy().astype(np.int32),
        host=coded["host_code"].to_numpy().astype(np.int32),
        services=conform(services, SERVICES),
        hosts=hosts,
        versions=coded["version"],
        instances=coded["instance"],
    )


def _one_row_an_id(resources: pl.DataFrame) -> pl.DataFrame:
    """Return RESOURCES with every id from 0 to the largest, and one more for those that are unknown."""
    count = 1 + int(resources["resource"].max() or 0) if resources.height else 0  # type: ignore[arg-type]
    ids = pl.DataFrame({"resource": pl.int_range(count + 1, dtype=pl.Int32, eager=True)})
    return ids.join(resources.unique("resource", keep="first", maintain_order=True), on="resource", how="left").sort(
        "resource"
    )
