"""Writes down what is true of the shop in a state, out of its description and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sample_traces.shop.system import State

Table = dict[str, Any]

HEAD = """# What is true of the shop in the state "{name}": written from its configuration, never from a recording.
# Seconds count from the start of the first trace.
"""


def truth(state: State) -> str:
    """Return the truth about a state as TOML."""
    tables = _tables(state)
    simple = {
        "environment": state.environment,
        "duration_s": state.duration_s,
        "compensations": state.compensations,
        "lock_step": state.lock_step,
        "cycles": cycles(state),
        **{name: [] for name, entries in tables.items() if not entries},
    }
    sections = (f"\n[[{name}]]\n{_lines(entry)}" for name, entries in tables.items() for entry in entries)
    return HEAD.format(name=state.name) + _lines(simple) + "".join(sections)


def _tables(state: State) -> dict[str, list[Table]]:
    return {
        "services": _services(state),
        "edges": _edges(state),
        "databases": _databases(state),
        "re_entries": [{"service": state.re_entry[0], "path": state.re_entry}] if state.re_entry else [],
        "shared_tables": [{"table": t, "services": users} for t, users in state.shared_tables.items()],
        "chatty_calls": [{"caller": a, "callee": b, "operation": name} for a, b, name in state.chatty],
        "distributed_transactions": [{"participants": state.two_phase_commit}] if state.two_phase_commit else [],
        "distributed_locks": [{"service": state.lock[0], "statement": state.lock[1]}] if state.lock else [],
        "faults": [{"service": f.service, "kind": f.kind, "from_s": f.from_s, "to_s": f.to_s} for f in state.faults],
        "starved_resources": [
            {"service": f.service, "resource": f.starved, "from_s": f.from_s, "to_s": f.to_s}
            for f in state.faults
            if f.starved
        ],
        "deployments": _deployments(state),
        "load": [{"from_s": step * state.step_s, "users": users} for step, users in enumerate(state.users)],
    }


def _services(state: State) -> list[Table]:
    return [
        {
            "name": service.name,
            "protocol": service.protocol,
            "instances": service.instances,
            "version": state.version(service.name, 0),
            "attribute_names": "current" if service.current_names else "old",
            "connections": service.pool_size,
        }
        for service in state.services
    ]


def _edges(state: State) -> list[Table]:
    return [
        {
            "caller": edge.caller,
            "callee": edge.callee,
            "mode": edge.mode,
            "protocol": edge.protocol,
            **({"queue": edge.queue} if edge.queue else {"attempts": edge.attempts, "breaker": edge.breaker}),
            **({"timeout_s": edge.timeout_s} if edge.timeout_s else {}),
        }
        for edge in state.edges
    ]


def _databases(state: State) -> list[Table]:
    names = dict.fromkeys(state.databases.values())
    return [
        {
            "system": "postgresql",
            "namespace": name,
            "services": [service for service, database in state.databases.items() if database == name],
        }
        for name in names
    ]


def _deployments(state: State) -> list[Table]:
    done = dict.fromkeys((service.name for service in state.services), 0)
    tables = []
    for deployment in state.deployments:
        for service in deployment.services:
            done[service] += 1
            version = state.version(service, done[service])
            tables.append({"at_s": deployment.at_s, "service": service, "version": version})
    return tables


def cycles(state: State) -> list[list[str]]:
    """Return the groups of services that all wait for each other, directly or not."""
    names = [service.name for service in state.services]
    reach = {
        name: {edge.callee for edge in state.edges if (edge.caller, edge.mode) == (name, "sync")} for name in names
    }
    for middle in names:
        for name in names:
            if middle in reach[name]:
                reach[name] |= reach[middle]
    groups = [[other for other in names if other in reach[name] and name in reach[other]] for name in names]
    return [group for number, group in enumerate(groups) if group and group not in groups[:number]]


def _lines(table: Table) -> str:
    """Write keys and values; strings, numbers, booleans and lists look in TOML as they do in JSON."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
