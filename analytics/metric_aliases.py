"""Metric names, current and older, and how each tells the utilisation of a resource. Data; users add their own.

Source: OpenTelemetry's semantic conventions and what they were before, and the metrics of widespread instrumentations
and collector receivers that never followed them (Micrometer, kubeletstats).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Reading: TypeAlias = Literal["share", "used", "rate", "pending", "level"]

PART_KEYS = (
    "state",
    "type",
    "cpu.mode",
    "db.client.connection.state",
    "process.cpu.state",
    "system.cpu.state",
    "system.memory.state",
)
"""Attributes that tell parts of one thing apart, such as used and idle connections; parts are added up."""

MEAN_KEYS = ("cpu.logical_number", "system.cpu.logical_number", "cpu")
"""Attributes that tell equal things apart whose mean counts, such as processors."""


@dataclass(frozen=True, slots=True)
class MetricAlias:
    """How a metric tells of a resource.

    ``share``: the value is the utilisation, or a percentage if the unit is ``%``. ``used``: the value by the first of
    the ``limits`` that is known, else by the sum of all parts if ``parts`` are named. ``rate``: the same with the
    growth a second of a cumulative counter. ``pending``: saturated when above 0. ``level``: no utilisation, only a jump
    tells. ``parts`` are those values of PART_KEYS that count as used (default: all).
    """

    resource: str
    reading: Reading
    limits: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def _pool(*limits: str) -> MetricAlias:
    return MetricAlias("db_pool", "used", limits, ("used", "active"))


_CPU = MetricAlias("cpu", "share")
_BUSY_CPU = MetricAlias("cpu", "share", parts=("user", "system", "nice", "irq", "softirq", "interrupt", "steal"))
_CPU_LIMITS = ("k8s.container.cpu.limit", "container.cpu.limit", "k8s.container.cpu_limit")
_CORES = ("process.cpu.count", "jvm.cpu.count", "dotnet.process.cpu.count", "system.cpu.logical.count")
_MEMORY = MetricAlias("memory", "share")
_MEMORY_LIMITS = ("k8s.container.memory.limit", "container.memory.limit", "k8s.container.memory_limit")
_WAITING = MetricAlias("threads", "pending")
_BACKLOG = MetricAlias("queue", "level")
_IN_FLIGHT = MetricAlias("in_flight", "level")

METRIC_ALIASES: dict[str, MetricAlias] = {
    "process.cpu.utilization": _CPU,
    "jvm.cpu.recent_utilization": _CPU,
    "process.runtime.jvm.cpu.utilization": _CPU,
    "process.runtime.cpython.cpu.utilization": _CPU,
    "k8s.container.cpu.limit.utilization": _CPU,
    "k8s.container.cpu.limit_utilization": _CPU,
    "k8s.container.cpu_limit_utilization": _CPU,
    "k8s.pod.cpu_limit_utilization": _CPU,
    "process.cpu.usage": _CPU,
    "system.cpu.utilization": _BUSY_CPU,
    "system.cpu.usage": _CPU,
    "process.cpu.time": MetricAlias("cpu", "rate", (*_CPU_LIMITS, *_CORES)),
    "container.cpu.time": MetricAlias("cpu", "rate", _CPU_LIMITS),
    "container.cpu.usage": MetricAlias("cpu", "used", _CPU_LIMITS),
    "system.memory.utilization": MetricAlias("memory", "share", parts=("used",)),
    "k8s.container.memory.limit.utilization": _MEMORY,
    "k8s.container.memory.limit_utilization": _MEMORY,
    "k8s.container.memory_limit_utilization": _MEMORY,
    "k8s.pod.memory_limit_utilization": _MEMORY,
    "container.memory.working_set": MetricAlias("memory", "used", _MEMORY_LIMITS),
    "container.memory.usage": MetricAlias("memory", "used", _MEMORY_LIMITS),
    # What a collection leaves: before it a heap is full by design.
    "jvm.memory.used_after_last_gc": MetricAlias("memory", "used", ("jvm.memory.limit",)),
    "process.runtime.jvm.memory.usage_after_last_gc": MetricAlias(
        "memory", "used", ("process.runtime.jvm.memory.limit",)
    ),
    "go.memory.used": MetricAlias("memory", "used", ("go.memory.limit",)),
    "v8js.memory.heap.used": MetricAlias("memory", "used", ("v8js.memory.heap.limit",)),
    "process.memory.usage": MetricAlias("memory", "level"),
    "jvm.thread.count": MetricAlias("threads", "level"),
    "process.runtime.jvm.threads.count": MetricAlias("threads", "level"),
    "process.thread.count": MetricAlias("threads", "level"),
    "tomcat.thread.busy.count": MetricAlias("threads", "used", ("tomcat.thread.limit",)),
    "tomcat.threads.busy": MetricAlias("threads", "used", ("tomcat.threads.config.max",)),
    "jetty.thread.busy.count": MetricAlias("threads", "used", ("jetty.thread.limit",)),
    "executor.active": MetricAlias("threads", "used", ("executor.pool.max",)),
    "executor.queued": _WAITING,
    "jetty.thread.queue.size": _WAITING,
    "dotnet.thread_pool.queue.length": _WAITING,
    "process.runtime.dotnet.thread_pool.queue.length": _WAITING,
    "db.client.connection.count": _pool("db.client.connection.max"),
    "db.client.connections.usage": _pool("db.client.connections.max"),
    "hikaricp.connections.active": _pool("hikaricp.connections.max"),
    "db.client.connection.pending_requests": MetricAlias("db_pool", "pending"),
    "db.client.connections.pending_requests": MetricAlias("db_pool", "pending"),
    "hikaricp.connections.pending": MetricAlias("db_pool", "pending"),
    "nodejs.eventloop.utilization": MetricAlias("event_loop", "share"),
    "nodejs.event_loop.utilization": MetricAlias("event_loop", "share"),
    "http.server.active_requests": _IN_FLIGHT,
    "kestrel.active_connections": _IN_FLIGHT,
    "kestrel.queued_requests": MetricAlias("in_flight", "pending"),
    "kestrel.queued_connections": MetricAlias("in_flight", "pending"),
    "aspnetcore.rate_limiting.queued_requests": MetricAlias("in_flight", "pending"),
    "kafka.consumer_group.lag": _BACKLOG,
    "kafka.consumer.records_lag_max": _BACKLOG,
    "kafka.consumer.records-lag-max": _BACKLOG,
    "rabbitmq.message.current": MetricAlias("queue", "level", parts=("ready",)),
}
"""By metric name; a mapping of the same kind replaces and extends it."""
