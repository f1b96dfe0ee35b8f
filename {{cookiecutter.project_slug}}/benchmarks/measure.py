"""Compare two ways to the same answer: interleaved rounds, an interval, a verdict."""

import gc
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import comb
from typing import Any

SMALLEST_EFFECT = 0.05  # a difference below 5 % is called none
WIDEST = 0.10  # an interval wider than 10 % of the slower side needs more rounds
BATCH = 0.02  # seconds that one side of a round takes at least: far above the clock's resolution


class WrongAnswer(Exception):
    """The two ways do not give the same answer, so no time of theirs means anything."""


@dataclass(frozen=True)
class Way:
    """One way to an answer.

    Attributes:
        run: gives the answer; it alone is timed.
        within: what is entered before a batch of runs and left after it, untimed.
    """

    run: Callable[[], object]
    within: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One dimension of a comparison, as it is stored.

    Attributes:
        unit: "s", "B" or "" for a count.
        experiment: samples, one per round; one alone for what does not vary.
        control: the same, of the way that is compared against.
        ratio: median of experiment / control, round by round.
        low: lower end of the interval of that median.
        high: upper end.
        verdict: "less", "more", "no difference" or "inconclusive".
    """

    unit: str
    experiment: list[float]
    control: list[float]
    ratio: float
    low: float
    high: float
    verdict: str


@dataclass(kw_only=True)
class Row:
    """What one comparison found, as it is stored.

    Attributes:
        suite: "defaults", "advice", "pages" or "compare".
        name: of the default, the advice or the page.
        scenario: what was done, as a user would say it.
        experiment: label of the way that is measured.
        control: label of the way that it is compared against.
        claim: the dimension that the row is about.
        says: what the default buys, or what the guide says.
        source: address of the documentation, where there is one.
        holds: for advice, whether the claim was found: "yes", "no" or "inconclusive".
        note: what a reader must know beside the figures.
        error: why there are no figures.
        dimensions: by name: time, memory, queries, rows, connections, bytes, requests.
    """

    suite: str
    name: str
    scenario: str
    experiment: str
    control: str
    claim: str = "time"
    says: str = ""
    source: str = ""
    holds: str = ""
    note: str = ""
    error: str = ""
    dimensions: dict[str, Dimension] = field(default_factory=dict)


def interval(values: list[float], alpha: float) -> tuple[float, float]:
    """Return the confidence interval of the median that order statistics give.

    Exact for any distribution, so a few disturbed rounds do not move it.

    Args:
        values: one per round.
        alpha: the probability that the interval misses the median, at most.

    Raises:
        ValueError: too few values for `alpha`.
    """
    ordered, n = sorted(values), len(values)
    below, tail = 0, 0.0  # of the coin tossed n times: heads, and twice the probability of that few
    while (tail := tail + comb(n, below) / 2 ** (n - 1)) <= alpha:
        below += 1
    if not below:
        raise ValueError(f"{n} rounds are too few")
    return ordered[below - 1], ordered[n - below]


def sampled(unit: str, experiment: list[float], control: list[float], alpha: float) -> Dimension:
    """Summarise the samples of all rounds; of too few, nothing can be said yet.

    Args:
        unit: "s", "B" or "" for a count.
        experiment: one sample per round.
        control: the same number of samples.
        alpha: the probability that the interval misses the median, at most.
    """
    ratios = [quotient(new, old) for new, old in zip(experiment, control, strict=True)]
    try:
        low, high = interval(ratios, alpha)
    except ValueError:
        low, high = 0.0, math.inf
    return Dimension(
        unit=unit,
        experiment=experiment,
        control=control,
        ratio=statistics.median(ratios),
        low=low,
        high=high,
        verdict=verdict(low, high),
    )


def figure(unit: str, experiment: float, control: float) -> Dimension:
    """Compare two figures that do not vary from round to round.

    Args:
        unit: "B" or "" for a count.
        experiment: of the way that is measured.
        control: of the way that it is compared against.
    """
    ratio = quotient(experiment, control)
    return Dimension(
        unit=unit,
        experiment=[float(experiment)],
        control=[float(control)],
        ratio=ratio,
        low=ratio,
        high=ratio,
        verdict=verdict(ratio, ratio),
    )


def quotient(experiment: float, control: float) -> float:
    """Divide; something against nothing is infinite, nothing against nothing is no difference."""
    if control:
        return experiment / control
    return math.inf if experiment else 1.0


def verdict(low: float, high: float) -> str:
    """Judge an interval of ratios: only one that lies on one side of the smallest effect tells."""
    if high < 1 - SMALLEST_EFFECT:
        return "less"
    if low > 1 + SMALLEST_EFFECT:
        return "more"
    if low >= 1 - SMALLEST_EFFECT and high <= 1 + SMALLEST_EFFECT:
        return "no difference"
    return "inconclusive"


def rounds(
    experiment: Callable[[], float],
    control: Callable[[], float],
    *,
    alpha: float,
    seconds: float,
    tick: Callable[[float], None] = lambda share: None,
) -> Dimension:
    """Take turns until the interval is narrow and decided, or the time is over.

    It is looked at after each round, which makes `alpha` a little more than it says; what keeps the
    verdicts right is that they need the whole interval beyond the smallest effect.

    Args:
        experiment: runs one batch and returns seconds per run.
        control: the same for the other side.
        alpha: the probability that the interval misses the median, at most.
        seconds: after so many no further round begins.
        tick: is told the share of `seconds` that has gone, 0 to 1, after each round.
    """
    least = next(n for n in count(1) if 2 ** (1 - n) <= alpha) + 2
    new: list[float] = []
    old: list[float] = []
    start = time.monotonic()
    while True:
        # Who is first alternates: what the first side leaves behind (caches, heat) hits both alike.
        for side, samples in ((experiment, new), (control, old))[:: 1 if len(new) % 2 else -1]:
            samples.append(side())
        gone = (time.monotonic() - start) / seconds
        tick(min(gone, 1))
        if len(new) < least:
            continue
        found = sampled("s", new, old, alpha)
        if gone >= 1 or decided(found):
            return found


def decided(found: Dimension) -> bool:
    """Say whether further samples would tell nothing new: the verdict is clear, the interval narrow."""
    narrow = found.high - found.low <= WIDEST * max(1, found.ratio)
    return narrow and found.verdict != "inconclusive"


def compare(
    experiment: Way,
    control: Way,
    *,
    alpha: float,
    seconds: float,
    same: Callable[[Any], object] = lambda answer: answer,
    tick: Callable[[float], None] = lambda share: None,
) -> dict[str, Dimension]:
    """Check that two ways of this process give the same answer, then measure time and memory.

    Args:
        experiment: the way that is measured.
        control: the way that it is compared against.
        alpha: the probability that an interval misses, already divided by the number of rows.
        seconds: how long the rounds may take.
        same: what of an answer must be equal on both sides.
        tick: is told the share of `seconds` that has gone.

    Raises:
        WrongAnswer: the answers differ.
    """
    answers = []
    peaks = []
    gc.collect()
    gc.freeze()  # what lives now is not looked at again before each batch
    for way in (experiment, control):
        with way.within():
            answers.append(same(way.run()))
            for _ in range(3):  # what is made in the first runs is no cost of a later one
                way.run()
            tracemalloc.start()
            try:
                way.run()
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    if answers[0] != answers[1]:
        raise WrongAnswer(f"{answers[0]!r:.200} is not {answers[1]!r:.200}")
    sides = [partial(batch, way, runs_per_batch(way)) for way in (experiment, control)]
    found = rounds(*sides, alpha=alpha, seconds=seconds, tick=tick)
    return {"time": found, "memory": figure("B", *peaks)}


def runs_per_batch(way: Way) -> int:
    """Return how many runs take BATCH seconds."""
    number = 1
    while (taken := batch(way, number) * number) < BATCH:
        number = max(number + 1, min(number * 10, int(number * 1.2 * BATCH / max(taken, 1e-9))))
    return number


def batch(way: Way, number: int) -> float:
    """Return the seconds that one run takes, over `number` of them; the first two are not counted."""
    with way.within():
        way.run()
        way.run()
        gc.collect()  # leave nothing to the side that happens to run when the collector does
        start = time.perf_counter()
        for _ in range(number):
            way.run()
        return (time.perf_counter() - start) / number
