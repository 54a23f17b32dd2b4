"""Capacity: how much more load a service can take, told only where load varied enough to tell.

Source: Gunther's Universal Scalability Law; Satopää et al. 2011 (Kneedle); the utilisation law of queueing theory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analytics.words import percent

if TYPE_CHECKING:
    from analytics.arrays import Array, Floats, Rows

ENOUGH_LEVELS = 6
LOAD_RANGE = 3.0
LEVEL_STEP = 1.15
"""Loads within 15 % of each other are one level."""
_REPLICATES = 200
_MISFIT = 0.2
"""Above a mean relative error of 20 % the law does not describe the service, and its parameters say nothing."""
_SHARP = 0.15
"""Kneedle's distance from the diagonal of the unit square; noise on a straight line stays below."""
_RISE = 1.5
_AGREE = 0.9
_TARGETS = (([0], [1], [2]), ([0], [1]), ([0], [2]), ([0],), ([0, 1], [2]), ([0, 1],))
"""Which parameters the columns of each face stand for; on the last two b = a."""
_SINGULAR = 1e-12
"""Of the products of columns of length 1: below it two of them are the same for a replicate's windows."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % confidence interval; an end is None when it has no bound."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Scalability:
    """X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)), or ``reason``, which says in words why it is unknown.

    ``rate`` is lambda, a second; ``contention`` sigma; ``crosstalk`` kappa. ``peak`` is N*, the concurrency of the
    greatest throughput, None when none is in sight, that is when kappa may be 0.
    """

    reason: str | None
    levels: int
    rate: Estimate | None = None
    contention: Estimate | None = None
    crosstalk: Estimate | None = None
    peak: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Knee:
    """The load at which latency starts to rise steeply, or ``reason``, which says in words why there is none.

    ``absent``: latency stays or rises evenly over all loads; otherwise a knee without a load is unknown.
    """

    reason: str | None
    levels: int
    load: Estimate | None = None
    agreement: float = 0.0
    absent: bool = False


def utilisation(throughput: float, latency_s: float, instances: float | None, slots: float | None) -> float | None:
    """Return requests at work (throughput times latency) by how many the instances' slots can work on at once.

    None unless instances and slots are known and above 0. Source: the utilisation law, with Little's law.
    """
    if not instances or not slots or instances < 0 or slots < 0:
        return None
    return throughput * latency_s / (instances * slots)


def load_levels(load: Floats) -> tuple[Rows, int]:
    """Return each load's level, ascending from 0, and how many levels there are; all loads are above 0."""
    ordered = np.sort(load)
    # A new level begins where the load exceeds the level's first by the step.
    bounds: list[float] = []
    while len(ordered):
        bounds.append(float(ordered[0]))
        ordered = ordered[np.searchsorted(ordered, ordered[0] * LEVEL_STEP, side="left") :]
    level: Rows = (np.searchsorted(bounds, load, side="right") - 1).astype(np.int32)
    return level, len(bounds)


def fit_scalability(concurrency: Floats, throughput: Floats, seed: int = 0) -> Scalability:
    """Fit the Universal Scalability Law to windows: mean concurrency N against throughput X a second.

    Unknown with fewer than six levels of load, or a range below a factor of 3, or when the law misses the data by more
    than 20 %. Intervals are percentiles over redrawn windows of each level. Windows without load or throughput do not
    count. N/X is linear in 1/lambda, sigma/lambda and kappa/lambda, so the fit is least squares of relative errors with
    these bounds: all three at least 0, and sigma at most 1.
    """
    some = (concurrency > 0) & (throughput > 0)
    concurrency, throughput = concurrency[some], throughput[some]
    level, count = load_levels(concurrency)
    reason = _lacks(concurrency, count)
    if reason:
        return Scalability(reason, count)
    fitted = _fit(concurrency, throughput)
    misfit = float(np.mean(np.abs(_throughput(fitted, concurrency) / throughput - 1)))
    if misfit > _MISFIT:
        return Scalability(f"the scalability law does not fit: off by {percent(misfit)} on average", count)
    rng = np.random.default_rng(seed)
    fits = _refit(concurrency, throughput, level, rng)
    rate, contention, crosstalk = (_interval(fitted[i], fits[:, i]) for i in range(3))
    return Scalability(None, count, rate, contention, crosstalk, _peak(fitted, fits))


def find_knee(load: Floats, p99: Floats, seed: int = 0) -> Knee:
    """Return the load above which p99 rises steeply, by Kneedle on the levels' medians.

    Unknown with fewer than six levels or a range below 3, when p99 rises by less than half, evenly, or up and down, and
    when fewer than 90 % of bootstrap replicates put the knee within one level of it.
    """
    some = (load > 0) & np.isfinite(p99)
    load, p99 = load[some], p99[some]
    level, count = load_levels(load)
    reason = _lacks(load, count)
    if reason:
        return Knee(reason, count)
    x, y = (np.array([np.median(values[level == number]) for number in range(count)]) for values in (load, p99))
    place, distance = _kneedle(x, y)
    if y[-1] < _RISE * y[0]:
        return Knee(
            f"p99 does not rise with load: {y[0]:.3g} at the least and {y[-1]:.3g} at the most", count, absent=True
        )
    if distance < _SHARP:
        return Knee("p99 rises evenly with load, without a knee", count, absent=True)
    if y[: place + 1].max() > y[place + 1 :].min():
        return Knee("p99 goes up and down with load", count)
    rng = np.random.default_rng(seed)
    places = _replaced(load, p99, level, rng)
    agreement = float(np.mean(np.abs(places - place) <= 1))
    if agreement < _AGREE:
        return Knee(
            f"the knee is not certain: {percent(agreement)} of redrawn data agree, {percent(_AGREE)} are needed", count
        )
    return Knee(None, count, _interval(x[place], x[places]), agreement)


def _lacks(load: Floats, levels: int) -> str | None:
    """Say what is missing before load tells anything."""
    if levels < ENOUGH_LEVELS:
        return f"not enough load levels: {levels} of {ENOUGH_LEVELS}"
    spread = float(load.max() / load.min())
    return f"load varied by a factor of {spread:.1f}, {LOAD_RANGE:.0f} is needed" if spread < LOAD_RANGE else None


def _fit(concurrency: Floats, throughput: Floats) -> Floats:
    """Return lambda, sigma and kappa of the least sum of squared relative errors within the bounds.

    The problem is convex, so its solution is the best of the free solutions on the faces of the bounds.
    """
    best, least = np.array([1.0, 0.0, 0.0]), np.inf
    for columns, places in zip(_faces(concurrency), _TARGETS, strict=True):
        solution, error = _least_squares(columns, throughput / concurrency)
        found = np.zeros(3)
        for value, place in zip(solution, places, strict=True):
            found[place] = value
        if error < least and found[0] > 0 and found.min() >= 0 and found[1] <= found[0] * (1 + 1e-12):
            best, least = found, error
    return np.array([1 / best[0], best[1] / best[0], best[2] / best[0]])


def _faces(n: Floats) -> tuple[tuple[Floats, ...], ...]:
    """Return the columns of each face; the parameters are a = 1/lambda, b = sigma/lambda, c = kappa/lambda."""
    one, others, pairs = np.ones_like(n), n - 1, n * (n - 1)
    return (one, others, pairs), (one, others), (one, pairs), (one,), (n, pairs), (n,)


def _refit(concurrency: Floats, throughput: Floats, level: Rows, rng: np.random.Generator) -> Floats:
    """Return what ``_fit`` says of as many redrawn sets of windows, all at once: 200 fits take 3 ms instead of 50."""
    counts = _redrawn_counts(level, rng)
    found, least = np.tile([1.0, 0.0, 0.0], (_REPLICATES, 1)), np.full(_REPLICATES, np.inf)
    for columns, places in zip(_faces(concurrency), _TARGETS, strict=True):
        matrix = np.stack(columns, axis=1) * (throughput / concurrency)[:, None]
        length = np.linalg.norm(matrix, axis=0)
        unit = matrix / np.where(length > 0, length, 1)
        width = len(columns)
        products = (counts @ (unit[:, :, None] * unit[:, None, :]).reshape(len(unit), -1)).reshape(-1, width, width)
        right = counts @ unit
        solution = np.einsum("rij,rj->ri", np.linalg.pinv(products, rcond=_SINGULAR, hermitian=True), right)
        error = np.einsum("ri,rij,rj->r", solution, products, solution) - 2 * np.sum(right * solution, axis=1)
        fitted = np.zeros((_REPLICATES, 3))
        for place, to in enumerate(places):
            fitted[:, to] = (solution[:, place] / (length[place] or 1))[:, None]
        fits = (fitted[:, 0] > 0) & (fitted.min(axis=1) >= 0) & (fitted[:, 1] <= fitted[:, 0] * (1 + 1e-12))
        better = fits & (error < least)
        found[better], least[better] = fitted[better], error[better]
    parameters: Floats = np.stack([1 / found[:, 0], found[:, 1] / found[:, 0], found[:, 2] / found[:, 0]], axis=1)
    return parameters


def _least_squares(columns: tuple[Floats, ...], scale: Floats) -> tuple[Floats, float]:
    matrix = np.stack(columns, axis=1) * scale[:, None]
    solution: Floats = np.linalg.lstsq(matrix, np.ones(len(scale)), rcond=None)[0].astype(np.float64)
    return solution, float(np.sum((matrix @ solution - 1) ** 2))


def _throughput(fitted: Floats, n: Floats) -> Floats:
    rate, contention, crosstalk = fitted
    x: Floats = rate * n / (1 + contention * (n - 1) + crosstalk * n * (n - 1))
    return x


def _peak(fitted: Floats, fits: Floats) -> Estimate | None:
    """Return N* unless more than one replicate in forty has none."""
    bounded = fits[:, 2] > 0
    if fitted[2] <= 0 or np.mean(~bounded) > 1 / 40:
        return None
    peaks = np.sqrt((1 - fits[bounded, 1]) / fits[bounded, 2])
    return _interval(float(np.sqrt((1 - fitted[1]) / fitted[2])), peaks)


def _interval(value: float, drawn: Array) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


def _redrawn(level: Rows, rng: np.random.Generator) -> list[Array]:
    """Return for each level as many of its windows, drawn with replacement: a row for each replicate."""
    of_level = [np.flatnonzero(level == number) for number in range(int(level.max()) + 1)]
    return [rows[rng.integers(0, len(rows), (_REPLICATES, len(rows)))] for rows in of_level]


def _redrawn_counts(level: Rows, rng: np.random.Generator) -> Floats:
    """Return how often each window was drawn: a row for each replicate."""
    drawn = np.concatenate(_redrawn(level, rng), axis=1)
    flat = np.arange(_REPLICATES)[:, None] * len(level) + drawn
    counts: Floats = np.bincount(flat.ravel(), minlength=_REPLICATES * len(level)).astype(np.float64)
    return counts.reshape(_REPLICATES, -1)


def _replaced(load: Floats, p99: Floats, level: Rows, rng: np.random.Generator) -> Array:
    """Return the place of the knee in each replicate."""
    drawn = _redrawn(level, rng)
    x, y = (np.stack([np.median(values[rows], axis=1) for rows in drawn], axis=1) for values in (load, p99))
    width, height = x[:, -1:] - x[:, :1], y[:, -1:] - y[:, :1]
    known = (width > 0) & (height > 0)
    below = (x - x[:, :1]) / np.where(known, width, 1) - (y - y[:, :1]) / np.where(known, height, 1)
    places: Array = np.argmax(np.where(known, below, 0.0), axis=1)
    return places


def _kneedle(x: Floats, y: Floats) -> tuple[int, float]:
    """Return the place of the greatest distance below the diagonal of a rising convex curve, and that distance."""
    width, height = x[-1] - x[0], y[-1] - y[0]
    if width <= 0 or height <= 0:
        return 0, 0.0
    below = (x - x[0]) / width - (y - y[0]) / height
    place = int(np.argmax(below))
    return place, float(below[place])
