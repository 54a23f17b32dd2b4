"""Colours, the same in every chart; told apart by people with any kind of colour vision.

Source: Okabe and Ito 2008 for kinds; cividis (Nuñez, Anderton and Renslow 2018) for amounts.
"""

from __future__ import annotations

from typing import Literal

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8A8F98"),
)

KINDS = {"service": BLUE, "database": GREEN, "queue": ORANGE, "external": PURPLE, "user": GREY, "edge": SKY}
SEVERITIES: dict[str, Literal["red", "orange", "blue"]] = {"critical": "red", "warning": "orange", "info": "blue"}
ICONS = {"critical": ":material/error:", "warning": ":material/warning:", "info": ":material/info:"}
CATEGORIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY)

_AMOUNTS = ((0, 46, 108), (87, 93, 109), (125, 124, 120), (174, 163, 113), (234, 210, 66), (253, 231, 55))


def amount_colour(share: float | None) -> str:
    """Return the colour of a share of 0 to 1, grey for an unknown one."""
    if share is None:
        return GREY
    place = min(max(share, 0.0), 1.0) * (len(_AMOUNTS) - 1)
    low = min(int(place), len(_AMOUNTS) - 2)
    mixed = (a + (b - a) * (place - low) for a, b in zip(_AMOUNTS[low], _AMOUNTS[low + 1], strict=True))
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def amounts(*, dark: bool) -> list[str]:
    """Return the colours of amounts, those that stand out least from the background first."""
    colours = [amount_colour(place / (len(_AMOUNTS) - 1)) for place in range(len(_AMOUNTS))]
    return colours if dark else colours[::-1]


def service_colours(names: list[str]) -> dict[str, str]:
    """Return a colour for each service, by their order; the ninth has the first one's again."""
    return {name: CATEGORIES[place % len(CATEGORIES)] for place, name in enumerate(sorted(set(names)))}


MOST_ROWS = 5_000
"""Rows that a page sends to the browser at most: beyond it tables scroll badly and charts take seconds."""
