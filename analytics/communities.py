"""Which services belong together, and the order that shows it in a matrix of who calls whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import networkx as nx

from analytics.layout import layered_layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Node = TypeVar("Node", int, str)


def find_communities(nodes: Iterable[Node], calls: Mapping[tuple[Node, Node], float]) -> list[set[Node]]:
    """Return the communities of a call graph (Louvain; Blondel et al. 2008), of any order; each node is in one.

    ``calls`` weighs pairs of caller and callee, both of them among the nodes; it does not matter who calls.
    """
    network = nx.Graph()
    network.add_nodes_from(nodes)
    for (caller, callee), weight in calls.items():
        known = network.get_edge_data(caller, callee, {"weight": 0.0})["weight"]
        network.add_edge(caller, callee, weight=known + weight)
    return list(nx.community.louvain_communities(network, seed=0))


def matrix_order(services: Sequence[str], calls: Mapping[tuple[str, str], float]) -> list[list[str]]:
    """Return the communities as a matrix has them: callers before callees, within each and among them.

    So calls stand above the diagonal, but for those that lead back. Calls of others are left out; the order of what is
    given does not matter.
    """
    names = sorted(set(services))
    known = {pair: calls[pair] for pair in sorted(calls) if set(pair) <= set(names)}
    layer = {name: place[0] for name, place in layered_layout(names, known).items()}
    ordered = [sorted(members, key=lambda name: (layer[name], name)) for members in find_communities(names, known)]
    return sorted(ordered, key=lambda members: (sum(layer[name] for name in members) / len(members), members))


def service_calls(services: Iterable[Mapping[str, Any]], edges: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a report's calls between two services: ``caller``, ``callee``, ``mode``, ``calls`` and ``via``.

    A message goes from who sends to a queue to each who takes from it, ``via`` that queue, which is null for other
    calls; its ``calls`` are those to the callee, since a queue does not tell whose messages it hands out.
    """
    types = {service["name"]: service["type"] for service in services}
    kept = [edge for edge in edges if edge["calls"] and edge["caller"] != edge["callee"]]
    ends = [(edge, types.get(edge["caller"]), types.get(edge["callee"])) for edge in kept]
    senders: dict[str, list[str]] = {}
    for edge, caller, callee in ends:
        if (caller, callee) == ("service", "queue"):
            senders.setdefault(edge["callee"], []).append(edge["caller"])
    direct = [{**edge, "via": None} for edge, *pair in ends if pair == ["service", "service"]]
    messages = [
        {**edge, "caller": sender, "via": edge["caller"]}
        for edge, *pair in ends
        if pair == ["queue", "service"]
        for sender in senders.get(edge["caller"], ())
        if sender != edge["callee"]
    ]
    return [{key: row[key] for key in ("caller", "callee", "mode", "calls", "via")} for row in (*direct, *messages)]
