"""The replay once more, span by span and recursive: slow, short and plainly what the definitions say."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.dependencies import Awaited

Key = tuple[int, frozenset[int]]


class ReplayOracle:
    """Replays awaited spans; ``lead`` and ``own`` add to the work before and in each span."""

    def __init__(self, awaited: Awaited) -> None:
        self.parent: list[int] = awaited.parent.tolist()
        self.operation: list[int] = awaited.operation.tolist()
        self.begin: list[int] = awaited.begin.tolist()
        self.end: list[int] = awaited.end.tolist()
        self.children: dict[int, list[int]] = {}
        for span, parent in enumerate(self.parent):
            if parent >= 0:
                self.children.setdefault(parent, []).append(span)
        self.contradicted = self._contradicted()

    def ends(self, lead: Sequence[int], own: Sequence[int]) -> list[int]:
        """Return when each span ends."""

        @cache
        def begin(span: int) -> int:
            parent = self.parent[span]
            if parent < 0:
                return lead[span]
            before = self.waits_for(span)
            if not before:
                return begin(parent) + lead[span] + self.begin[span] - self.begin[parent]
            return max(map(end, before)) + lead[span] + self.begin[span] - max(self.end[x] for x in before)

        @cache
        def end(span: int) -> int:
            inside = self.children.get(span, [])
            if not inside:
                return begin(span) + own[span] + self.end[span] - self.begin[span]
            return max(map(end, inside)) + own[span] + self.end[span] - max(self.end[child] for child in inside)

        return [end(span) for span in range(len(self.parent))]

    def waits_for(self, span: int) -> list[int]:
        """Return all siblings that the span waits for."""
        siblings = self.children[self.parent[span]]
        return [x for x in siblings if self._before(x, span) and self._key(x, span) not in self.contradicted]

    def _key(self, one: int, other: int) -> Key:
        return self.operation[self.parent[one]], frozenset((self.operation[one], self.operation[other]))

    def _before(self, one: int, other: int) -> bool:
        """A span of no length comes after what ends and before what begins at that moment."""
        instants = [self.begin[span] == self.end[span] for span in (one, other)]
        return self.end[one] < self.begin[other] or (self.end[one] == self.begin[other] and not all(instants))

    def _contradicted(self) -> set[Key]:
        found: set[Key] = set()
        orders: set[tuple[int, int, int]] = set()
        for parent, spans in self.children.items():
            for one, other in combinations(spans, 2):
                same = self.begin[one] == self.end[one] == self.begin[other] == self.end[other]
                if not (self._before(one, other) or self._before(other, one) or same):
                    found.add(self._key(one, other))
            kinds = {self.operation[span] for span in spans}
            for a in kinds:
                for b in kinds - {a}:
                    pairs = [(x, y) for x in spans for y in spans if self.operation[x] == a and self.operation[y] == b]
                    if all(self._before(x, y) for x, y in pairs):
                        orders.add((self.operation[parent], a, b))
        return found | {(p, frozenset((a, b))) for p, a, b in orders if (p, b, a) in orders}
